"""Every planner against every problem with a known answer, one row each, and against a linear program.

Figures are closed forms, or were solved in float64 elsewhere and looked up: none comes from this code.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import scipy.optimize

from algos.tabular.planning import (
    backward_induction,
    modified_policy_iteration,
    policy_evaluation,
    policy_iteration,
    value_iteration,
)
from envs.mdp import MDP, epsilon_soft, from_arrays, from_dense, from_step, of_action, problems

PLANNERS = {
    "value iteration": functools.partial(value_iteration.solve, tolerance=1e-11),
    "value iteration in place": functools.partial(value_iteration.solve, tolerance=1e-11, in_place=True),
    "policy iteration": policy_iteration.solve,
    "modified policy iteration": functools.partial(modified_policy_iteration.solve, tolerance=1e-11),
}


class Row(NamedTuple):
    name: str
    gamma: float
    values: dict  # state, or "start" for the mean over where episodes begin: value
    fields: dict = {}
    accuracy: float = 1e-8


ROWS = [
    Row("FrozenLake-4x4", 0.9, {"start": 0.0688909049}, accuracy=1e-10),
    Row("FrozenLake-4x4", 0.95, {"start": 0.1804715784}, accuracy=1e-10),
    Row("FrozenLake-4x4", 0.99, {"start": 0.5420259320}, accuracy=1e-10),
    Row("FrozenLake-4x4", 1.0, {"start": 14 / 17}),
    Row("FrozenLake-8x8", 0.9, {"start": 0.0064111143}, accuracy=1e-10),
    Row("FrozenLake-8x8", 0.95, {"start": 0.0482502041}, accuracy=1e-10),
    Row("FrozenLake-8x8", 0.99, {"start": 0.4146403618}, accuracy=1e-10),
    Row("FrozenLake-8x8", 1.0, {"start": 1.0}),
    Row("Taxi", 0.9, {"start": -1.2633231}, accuracy=5e-8),
    Row("Taxi", 0.95, {"start": 1.7299300}, accuracy=5e-8),
    Row("Taxi", 0.99, {"start": 6.3274643}, accuracy=5e-8),
    Row("Taxi", 1.0, {"start": 7.93}),
    Row("CliffWalking", 0.9, {"start": -(1 - 0.9**13) / 0.1}),
    Row("CliffWalking", 0.95, {"start": -(1 - 0.95**13) / 0.05}),
    Row("CliffWalking", 0.99, {"start": -12.2478977}, accuracy=1e-7),
    Row("CliffWalking", 1.0, {"start": -13.0}),
    Row("WindyGridworld", 1.0, {"start": -15.0}),
    Row("WindyGridworld", 1.0, {"start": -7.0}, {"moves": "king"}),
    Row("WindyGridworld", 1.0, {"start": -7.0}, {"moves": "stay"}),
    Row("Gridworld", 0.9, {1: 10 / (1 - 0.9**5), 0: 9 / (1 - 0.9**5)}),
    Row("Gridworld", 0.9, {0: 22.0, 1: 24.4, 2: 22.0, 3: 19.4, 4: 17.5}, accuracy=0.05),  # figure 3.5, top row
    Row("Gambler", 1.0, {25: 0.16, 50: 0.4, 75: 0.64}),
    Row("Gambler", 1.0, {51: 0.4031, 99: 0.9643}, accuracy=5e-5),
    Row("Gambler", 1.0, {25: 0.0625, 50: 0.25, 75: 0.4375}, {"heads": 0.25}),
    Row("CarRental", 0.9, {0: 421.4141, 220: 574.9483, 440: 636.9896}, accuracy=5e-5),
    Row("Blackjack", 1.0, {"start": -0.046556}, accuracy=5e-7),
    Row("Blackjack", 1.0, {"start": -0.043113}, {"natural_wins": True}, accuracy=5e-7),
    Row("RandomWalk-5", 1.0, {state: state / 6 for state in range(1, 6)}),
    Row("RandomWalk-19", 1.0, {state: state / 10 - 1 for state in range(1, 20)}),
    Row("RandomWalk-1000", 1.0, {1: -0.92196, 1000: 0.92196}, accuracy=5e-6),
    Row("DynaMaze", 0.95, {"start": 0.95**13}),
    Row("BlockingMaze", 0.95, {"start": 0.95**9}),
    Row("BlockingMaze", 0.95, {"start": 0.95**15}, {"after": True}),
    Row("ShortcutMaze", 0.95, {"start": 0.95**15}),
    Row("ShortcutMaze", 0.95, {"start": 0.95**9}, {"after": True}),
    Row("Baird", 0.99, {0: 0.0, 6: 0.0}),
]
SHAPE = (512, 10, 10)


@functools.cache
def known(name: str, **fields) -> MDP:
    mdp = problems.model(name, **fields)
    return mdp if any(size > most for size, most in zip(mdp.successor.shape, SHAPE)) else filled(mdp)


def filled(mdp: MDP) -> MDP:
    """Returns the model with idle states, a last action repeated and empty outcomes up to SHAPE: then most problems share
    each planner's compiled program."""
    states, actions, outcomes = (most - size for most, size in zip(SHAPE, mdp.successor.shape))

    def grown(array, idle):
        array = np.pad(array, [(0, 0), (0, actions), (0, 0)], "edge")
        array = np.pad(array, [(0, 0), (0, 0), (0, outcomes)])
        return np.concatenate([array, np.broadcast_to(idle, (states, *SHAPE[1:]))])

    first = np.arange(SHAPE[2]) == 0
    here = np.arange(mdp.num_states, SHAPE[0])[:, None, None]
    return MDP(
        grown(mdp.successor, here), grown(mdp.probability, 1.0 * first), grown(mdp.reward, 0.0),
        grown(mdp.terminated, True), np.pad(mdp.start, (0, states)),
    )  # fmt: skip


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.name}-{row.gamma}-{'-'.join(map(str, row.fields.values()))}"
)
def test_every_planner_finds_the_known_values_of_every_problem(row, planner):
    mdp = known(row.name, **row.fields)
    solution = PLANNERS[planner](mdp, row.gamma)
    for state, value in row.values.items():
        found = mdp.start @ solution.value if state == "start" else solution.value[state]
        assert found == pytest.approx(value, abs=row.accuracy)
    assert solution.bound < 1e-8 or row.gamma == 1.0


def linear_program(mdp: MDP, gamma: float) -> np.ndarray:
    """Returns V*: the least V with V(s) >= r(s, a) + gamma sum p V for every a (Puterman 1994, section 6.9)."""
    rows = []
    for state, action in np.ndindex(mdp.num_states, mdp.num_actions):
        row = np.zeros(mdp.num_states)
        row[state] -= 1.0
        onward = mdp.probability[state, action] * ~mdp.terminated[state, action]
        np.add.at(row, mdp.successor[state, action], gamma * onward)
        rows.append(row)
    reward = (mdp.probability * mdp.reward).sum(-1).ravel()
    ones = np.ones(mdp.num_states)
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = scipy.optimize.linprog(ones, np.array(rows), -reward, bounds=(None, None), method="highs", options=tight)
    assert found.success, found.message
    return found.x


GARNETS = [(30, 4, 2, 0.0), (100, 10, 3, 0.5)]


@pytest.mark.parametrize("garnet", GARNETS)
def test_all_planners_agree_with_the_linear_program_on_random_models(garnet):
    mdp = problems.garnet(*garnet, seed=3)
    by_program = linear_program(mdp, 0.95)
    for name, plan in PLANNERS.items():
        np.testing.assert_allclose(plan(mdp, 0.95).value, by_program, atol=1e-8, err_msg=name)


def test_they_agree_where_rewards_are_of_the_transition_and_some_transitions_end():
    mdp = with_ends(problems.garnet(30, 4, 2, 1.0, seed=4))
    by_program = linear_program(mdp, 0.9)
    for name, plan in PLANNERS.items():
        np.testing.assert_allclose(plan(filled(mdp), 0.9).value[:30], by_program, atol=1e-8, err_msg=name)


def with_ends(mdp: MDP) -> MDP:
    terminated = np.random.default_rng(0).random(mdp.successor.shape) < 0.2
    return from_arrays(mdp.successor, mdp.probability, mdp.reward, terminated)


@pytest.mark.parametrize("method", policy_evaluation.METHODS)
def test_every_method_of_evaluation_finds_the_known_values_of_policies(method):
    uniform = np.full((25, 4), 0.25)
    book = [3.3, 8.8, 4.4, 5.3, 1.5, 1.5, 3.0, 2.3, 1.9, 0.5]
    value = policy_evaluation.solve(problems.model("Gridworld"), uniform, 0.9, method).value
    np.testing.assert_allclose(value[:10], book, atol=0.05)
    mdp = with_ends(problems.garnet(30, 4, 2, 1.0, seed=4))
    policy = np.random.default_rng(1).dirichlet(np.ones(4), size=30)
    expected = by_hand(mdp, policy, 0.97)
    solution = policy_evaluation.solve(mdp, policy, 0.97, method, tolerance=1e-11)
    np.testing.assert_allclose(solution.value, expected, atol=1e-10)
    assert solution.bound < 2e-11
    np.testing.assert_allclose(
        policy_evaluation.solve(mdp, policy, 1.0, method, tolerance=1e-13).value, by_hand(mdp, policy, 1.0), atol=1e-9
    )


def by_hand(mdp: MDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """Returns V of a policy by loops and a dense solve."""
    system, reward = np.eye(mdp.num_states), np.zeros(mdp.num_states)
    for state, action, k in np.ndindex(mdp.successor.shape):
        chance = policy[state, action] * mdp.probability[state, action, k]
        reward[state] += chance * mdp.reward[state, action, k]
        if not mdp.terminated[state, action, k]:
            system[state, mdp.successor[state, action, k]] -= gamma * chance
    return np.linalg.solve(system, reward)


def test_the_blackjack_hand_of_the_book_has_its_value():
    from envs.mdp.problems.cards import HIT, STICK, state_of

    mdp = problems.model("Blackjack")
    stick = np.array([state >= 0 and (state // 10) % 18 + 4 >= 20 for state in range(mdp.num_states)])
    policy = np.eye(2)[np.where(stick, STICK, HIT)]
    value = policy_evaluation.solve(mdp, policy, 1.0).value
    assert value[state_of(13, True, 2)] == pytest.approx(-0.277204, abs=5e-7)


def test_the_mean_length_of_the_thousand_state_walk():
    walk = problems.model("RandomWalk-1000")
    steps = walk.replace(reward=np.ones_like(walk.reward))
    value = policy_evaluation.solve(steps, np.ones((1002, 1)), 1.0).value
    assert walk.start @ value == pytest.approx(83.152, abs=5e-4)


def cliff_with(epsilon, chosen):
    """Returns the value of the start under a policy [S, A] mixed with epsilon of all actions."""
    mdp = problems.model("CliffWalking")
    mixed = (1 - epsilon) * chosen + epsilon / 4
    return mdp.start @ policy_evaluation.solve(mdp, mixed, 1.0).value


def test_what_exploring_costs_on_the_cliff_depends_on_ties_and_the_best_soft_policy_walks_the_first_row():
    mdp = problems.model("CliffWalking")
    best = value_iteration.solve(filled(mdp), 1.0).policy[:38, :4]
    best = best / best.sum(1, keepdims=True)  # the fourth action is there several times
    assert cliff_with(0.1, best) == pytest.approx(-50.80, abs=5e-3)
    first, last = np.eye(4)[best.argmax(1)], np.eye(4)[3 - best[:, ::-1].argmax(1)]
    assert sorted([cliff_with(0.1, first), cliff_with(0.1, last)]) == pytest.approx([-51.8132, -45.8033], abs=5e-5)
    for name in ("value iteration", "policy iteration"):
        soft = PLANNERS[name](filled(epsilon_soft(mdp, 0.1)), 1.0)
        assert mdp.start @ soft.value[:38] == pytest.approx(-20.7076774, abs=5e-8)
    assert cliff_with(0.1, np.eye(4)[soft.policy.argmax(1)[:38]]) == pytest.approx(-20.7076774, abs=5e-8)
    assert steps_to_the_end(mdp, soft.policy) == 15


def steps_to_the_end(mdp, policy):
    state, steps, over = int(mdp.start.argmax()), 0, False
    while not over:
        action = policy[state].argmax()
        state, over, steps = mdp.successor[state, action, 0], mdp.terminated[state, action, 0], steps + 1
    return steps


def test_the_car_rental_policy_moves_the_cars_that_the_books_does():
    solution = policy_iteration.solve(problems.model("CarRental"), 0.9)
    here, there = np.arange(441) // 21, np.arange(441) % 21
    moved = np.clip(np.arange(-5, 6), -there[:, None], here[:, None])
    least = np.where(solution.policy > 0, moved, 99).min(1)
    assert (least == np.where(solution.policy > 0, moved, -99).max(1)).all()  # equal only where it is the same move
    assert (least == 0).sum() == 270
    assert least[20 * 21] == 5 and least[20] == -4


def test_every_best_stake_of_the_gambler_is_in_the_policy_and_has_the_best_value():
    mdp = problems.model("Gambler")
    solution = value_iteration.solve(mdp, 1.0, 1e-12)
    assert set(np.flatnonzero(solution.policy[51]) + 1) == {1, 49, 50}  # 50 stakes the 49 that are allowed
    assert set(np.flatnonzero(solution.policy[50]) + 1) == {50}
    value = policy_evaluation.solve(mdp, solution.policy, 1.0).value
    np.testing.assert_allclose(value, solution.value, atol=1e-9)


@pytest.mark.parametrize("slippery, best", [(True, 14 / 17), (False, 1.0)])
def test_on_frozen_lake_without_a_discount_the_policy_ends_though_never_ending_ones_look_as_good(slippery, best):
    mdp = known("FrozenLake-4x4", slippery=slippery)
    for plan in PLANNERS.values():
        solution = plan(mdp, 1.0)
        value = policy_evaluation.solve(mdp, solution.policy, 1.0).value  # refuses a policy that never ends
        assert mdp.start @ value == pytest.approx(best, abs=1e-10)
    first = np.eye(SHAPE[1])[solution.policy.argmax(1)]
    if not slippery:  # the first of equals walks against the wall
        with pytest.raises(ValueError, match="from state 0 the policy never ends"):
            policy_evaluation.solve(mdp, first, 1.0)


def test_a_time_limit_is_another_problem():
    lake = problems.model("FrozenLake-4x4")
    solution = backward_induction.solve(lake, 100)
    assert lake.start @ solution.value[100] == pytest.approx(0.7442, abs=5e-5)
    assert solution.value.shape == (101, 16) and solution.policy.shape == (100, 16, 4)
    assert solution.bound < 1e-12
    assert lake.start @ backward_induction.solve(lake, 100, last=np.ones(16)).value[100] > 0.7443


def test_backward_induction_takes_the_policy_that_knows_the_time():
    def step(state, action):  # wait for nothing, or end with 1; from state 0 waiting leads to 1, where ending earns 3
        reward = np.where(action == 1, np.where(state == 1, 3.0, 1.0), 0.0)
        return np.minimum(state + 1, 1), 1.0, reward, action == 1

    mdp = from_step(step, 2, 2, start=0)
    solution = backward_induction.solve(mdp, 3)
    np.testing.assert_array_equal(solution.value, [[0, 0], [1, 3], [3, 3], [3, 3]])
    np.testing.assert_array_equal(solution.policy[0, 0], [0, 1])
    np.testing.assert_array_equal(solution.policy[1, 0], [1, 0])
    discounted = backward_induction.solve(mdp, 3, 0.25)
    np.testing.assert_array_equal(discounted.value[:, 0], [0, 1, 1, 1])


def test_enough_steps_of_backward_induction_are_value_iteration():
    mdp = problems.garnet(30, 4, 2, seed=3)
    best = PLANNERS["policy iteration"](mdp, 0.5).value
    np.testing.assert_allclose(backward_induction.solve(mdp, 60, 0.5).value[-1], best, atol=1e-12)


def corridor(length):
    """Returns states 0 to `length`, the last the goal: 1 for reaching it, and nothing else. Actions left and right."""

    def step(state, action):
        reached = np.clip(state + 2 * action - 1, 0, length)
        over = state == length
        return np.where(over, state, reached), 1.0, (reached == length) & ~over, over | (reached == length)

    return from_step(step, length + 1, 2, start=0)


def test_a_corridor_whose_reward_is_far_off_takes_more_than_one_sweep():
    solution = value_iteration.solve(filled(corridor(12)), 0.5, 1e-12)
    np.testing.assert_array_equal(solution.value[:13], [*0.5 ** np.arange(11, -1, -1), 0.0])
    assert 12 <= solution.iterations <= 14
    assert value_iteration.solve(filled(corridor(12)), 0.5, in_place=True).iterations > 1


@pytest.mark.parametrize("penalty", [-1e3, -1e6, -1e9, -1e12])
def test_the_policy_earns_the_values_however_much_an_action_costs_that_is_never_best(penalty):
    successor = np.array([[[max(s - 1, 0)], [min(s + 1, 5)], [s]] for s in range(6)])  # left, right, the forbidden one
    reward = np.broadcast_to([[-1.0], [-1.0], [penalty]], successor.shape)
    mdp = from_arrays(successor, 1.0, reward, (np.arange(6) == 5)[:, None, None] & [[False], [True], [False]], start=0)
    solution = value_iteration.solve(mdp, 0.9)
    np.testing.assert_array_equal(solution.policy, np.eye(3)[[1] * 6])
    np.testing.assert_allclose(policy_evaluation.solve(mdp, solution.policy, 0.9).value, solution.value, atol=1e-6)


def test_where_all_actions_are_alike_the_policy_takes_all():
    mdp = filled(from_dense(np.full((3, 2, 3), 1 / 3), of_action(np.ones((3, 2)))))
    for plan in PLANNERS.values():
        solution = plan(mdp, 0.9)
        np.testing.assert_array_equal(solution.policy, 1 / SHAPE[1])
        np.testing.assert_allclose(solution.value[:3], 10.0, atol=1e-10)


def test_an_option_of_several_steps_discounted_by_its_time_is_the_chain_it_stands_for():
    gamma, moves = 0.9, np.zeros((5, 1, 5))
    moves[np.arange(4), 0, np.arange(1, 5)] = moves[4, 0, 4] = 1.0
    reward = np.array([[1.0], [2.0], [3.0], [4.0], [0.0]])
    steps = policy_evaluation.solve(from_dense(moves, of_action(reward), [4], 0), np.ones((5, 1)), gamma).value
    pair = np.zeros((3, 1, 3))  # states 0, 2 and the end; one decision is two steps
    pair[0, 0, 1] = pair[1, 0, 2] = pair[2, 0, 2] = 1.0
    earned = np.array([[1 + gamma * 2], [3 + gamma * 4], [0]])
    jumps = policy_evaluation.solve(from_dense(pair, of_action(earned), [2], 0), np.ones((3, 1)), gamma**2).value
    np.testing.assert_allclose(jumps[:2], steps[[0, 2]], atol=1e-12)


def test_semi_gradient_td_on_bairds_features_has_the_published_eigenvalue_and_growth():
    from envs.mdp.problems import features

    mdp = problems.model("Baird")
    phi, gamma = features.baird(mdp), 0.99
    following = np.zeros((7, 7))
    following[:, 6] = 1.0  # the target policy is solid
    assert (mdp.successor[:, 1, 0] == 6).all() and (mdp.probability[:, 1, 0] == 1.0).all()
    matrix = phi.T @ (np.eye(7) - gamma * following) @ phi / 7
    assert np.linalg.eigvals(matrix).real.min() == pytest.approx(-0.239250, abs=5e-7)
    assert 1 - 0.01 * np.linalg.eigvals(matrix).real.min() == pytest.approx(1.0023925, abs=5e-8)
