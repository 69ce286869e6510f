"""What planners say of their own error is true at every stop, in both precisions; and what they refuse."""

import subprocess
import sys
from fractions import Fraction

import jax
import numpy as np
import pytest

from algos.tabular import bellman
from algos.tabular.planning import (
    backward_induction,
    modified_policy_iteration,
    policy_evaluation,
    policy_iteration,
    value_iteration,
)
from algos.tabular.planning.sweeps import gauss_seidel, synchronous
from envs.mdp import MDP, from_arrays, from_step, problems

SIZE = (30, 4, 2)


def never_ends(seed):
    return problems.garnet(*SIZE, 1.0, seed=seed)


def often_ends(seed):
    mdp = problems.garnet(*SIZE, 1.0, seed=seed)
    return from_arrays(mdp.successor, mdp.probability, mdp.reward, np.random.default_rng(seed).random(SIZE) < 0.2)


def rarely_ends(seed):
    """All rewards positive, and in all but one pair a fifth of every step ends: no middle to move to, and c far from C."""
    mdp = problems.garnet(*SIZE, 0.0, seed=seed)
    terminated = mdp.probability < 0.4
    terminated[0, 0] = False
    return from_arrays(mdp.successor, mdp.probability, np.abs(mdp.reward), terminated)


def exact(mdp: MDP, gamma: float, policy=None) -> np.ndarray:
    """Returns V* [S], or V of a policy, in the longest floating-point numbers there are, by plain sweeps."""
    wide = np.longdouble
    onward, gamma = (mdp.probability * ~mdp.terminated).astype(wide), wide(gamma)
    reward, value = (mdp.probability.astype(wide) * mdp.reward).sum(-1), np.zeros(mdp.num_states, wide)
    for _ in range(100_000):
        q = reward + gamma * (onward * value[mdp.successor]).sum(-1)
        new = q.max(1) if policy is None else (policy * q).sum(1)
        if np.abs(new - value).max() <= (1 - gamma) * wide(1e-17):
            return new
        value = new
    raise AssertionError("never exact")


MODELS = [never_ends, often_ends, rarely_ends]
LIMITED = {
    "value iteration": lambda mdp, gamma, stop, **rest: value_iteration.solve(
        mdp, gamma, 1e-300, max_sweeps=stop, **rest
    ),
    "in place": lambda mdp, gamma, stop, **rest: value_iteration.solve(
        mdp, gamma, 1e-300, max_sweeps=stop, in_place=True, **rest
    ),
    "modified": lambda mdp, gamma, stop, **rest: modified_policy_iteration.solve(
        mdp, gamma, 1e-300, max_iterations=stop, **rest
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("planner", LIMITED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bound_is_no_less_than_the_true_error_wherever_a_planner_is_stopped(planner, model, dtype):
    for seed, gamma in [(0, 0.5), (1, 0.9), (2, 0.99), (3, 0.0)]:
        mdp = model(seed)
        true = exact(mdp, gamma)
        for stop in (0, 1, 2, 3, 5, 8, 13, 30, 100, 300, 3000):
            solution = LIMITED[planner](mdp, gamma, stop, dtype=dtype)
            assert solution.value.dtype == dtype and solution.iterations <= stop
            assert np.abs(solution.value - true).max() <= solution.bound


def test_the_bound_is_tight_where_no_pair_ends_the_episode():
    mdp = never_ends(1)
    solution = value_iteration.solve(mdp, 0.99, 1e-6)
    error = float(np.abs(solution.value - exact(mdp, 0.99)).max())
    assert error <= solution.bound <= 1e-6
    assert value_iteration.solve(mdp, 0.99, 1e-6).iterations < 300  # by the largest change alone some 1,600
    assert value_iteration.solve(mdp, 0.9, 1e-12).bound <= 1e-12


def test_policy_iteration_and_the_methods_of_evaluation_are_certain_too():
    mdp = often_ends(5)
    policy = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    for gamma in (0.9, 0.999):
        solution = policy_iteration.solve(mdp, gamma)
        assert np.abs(solution.value - exact(mdp, gamma)).max() <= solution.bound < 1e-8
        true = exact(mdp, gamma, policy)
        for method in policy_evaluation.METHODS:
            solution = policy_evaluation.solve(mdp, policy, gamma, method)
            assert np.abs(solution.value - true).max() <= solution.bound <= 1e-9


def test_a_span_that_stops_early_is_no_excuse_for_values_that_are_off_by_a_constant():
    mdp = never_ends(7).replace(reward=np.full(SIZE, 1.0))  # the first sweep changes all values alike
    solution = value_iteration.solve(mdp, 0.99, 1e-6)
    np.testing.assert_allclose(solution.value, 100.0, atol=1e-9)
    assert solution.iterations <= 2 and solution.bound <= 1e-6


def test_what_has_ended_stays_worth_nothing_whatever_the_bound():
    mdp = problems.model("FrozenLake-4x4")
    for stop in (0, 1, 5, 50):
        value = value_iteration.solve(mdp, 0.9, max_sweeps=stop).value
        assert (value[[5, 7, 11, 12, 15]] == 0.0).all()


def test_rewards_that_cancel_widen_the_bound():
    chance, earned = [0.1, 0.2, 0.7], [1e16, -2.5e16, 5.714285714285714e15]
    mdp = from_arrays(np.zeros((1, 1, 3)), np.array(chance), np.array(earned), False)
    mean = sum(Fraction(p) * Fraction(r) for p, r in zip(chance, earned))
    value = mean / (1 - Fraction(0.5) * sum(map(Fraction, chance)))
    solution = value_iteration.solve(mdp, 0.5)
    error = abs(Fraction(float(solution.value[0])) - value)
    assert 1e-3 < error <= solution.bound  # far more than the value's own last digit


def test_single_precision_is_as_exact_as_it_can_be_and_double_precision_is_double():
    mdp = problems.model("FrozenLake-8x8")
    true = exact(mdp, 0.99)
    single, double = (value_iteration.solve(mdp, 0.99, 1e-12, dtype=dtype) for dtype in (np.float32, np.float64))
    scale = np.abs(true).max() / (1 - 0.99)
    assert true.dtype == np.longdouble and double.value.dtype == np.float64
    assert np.abs(double.value - true).max() <= 1e-12
    assert 1e-9 < np.abs(single.value - true).max() <= 1e-6 * scale
    assert np.abs(single.value - true).max() <= single.bound


def test_without_a_discount_nothing_is_certain():
    assert value_iteration.solve(problems.model("FrozenLake-4x4"), 1.0).bound == np.inf


def test_the_operators_are_the_equations_whichever_way_they_are_computed(float64, monkeypatch):
    mdp = often_ends(2)
    value, policy = np.random.default_rng(0).normal(size=30), np.random.default_rng(1).dirichlet(np.ones(4), size=30)
    q = np.zeros((30, 4))
    for state, action, k in np.ndindex(SIZE):
        after = 0.0 if mdp.terminated[state, action, k] else 0.9 * value[mdp.successor[state, action, k]]
        q[state, action] += mdp.probability[state, action, k] * (mdp.reward[state, action, k] + after)
    tables = bellman.tables(mdp)
    for unrolled in (64, 0):
        monkeypatch.setattr(bellman, "UNROLLED", unrolled)
        np.testing.assert_allclose(bellman.action_value(tables, value, 0.9), q, atol=1e-13)
        np.testing.assert_allclose(bellman.backup(tables, value, 0.9), q.max(1), atol=1e-13)
        followed = bellman.backup(bellman.follow(tables, policy), value, 0.9)
        np.testing.assert_allclose(followed, (policy * q).sum(1), atol=1e-13)
        highest, action = bellman.best(tables, value, 0.9)
        np.testing.assert_array_equal(action, q.argmax(1))
        np.testing.assert_allclose(bellman.backup(bellman.choose(tables, action), value, 0.9), q.max(1), atol=1e-13)
        np.testing.assert_allclose(highest, q.max(1), atol=1e-13)


def test_in_place_uses_what_the_same_sweep_has_found(float64):
    def step(state, action):
        return np.maximum(state - 1, 0), 1.0, 1.0 * (state == 0), state == 0

    tables = bellman.tables(from_step(step, 5, 1))
    once = [loop(tables, np.zeros(5), 0.5, 1e-9, 1)[0] for loop in (synchronous, gauss_seidel)]
    np.testing.assert_array_equal(once, [[1, 0, 0, 0, 0], [1, 0.5, 0.25, 0.125, 0.0625]])


@pytest.mark.parametrize("plan", [value_iteration.solve, modified_policy_iteration.solve])
def test_states_shared_out_over_devices_give_the_same_values(plan):
    mdp = problems.garnet(31, 4, 2, seed=1)
    alone, shared = plan(mdp, 0.9), plan(mdp, 0.9, devices=jax.devices()[:4])
    assert shared.iterations == alone.iterations
    np.testing.assert_allclose(shared.value, alone.value, atol=1e-13)


@pytest.mark.slow
def test_a_model_of_a_million_states_is_built_and_solved_within_a_gibibyte():
    """Of memory beside what Python and jax take, by the operating system's count; 4 actions, 5 successors, float64."""
    program = """
import resource
from algos.tabular.planning import modified_policy_iteration
from envs.mdp import problems
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
before = peak()
solution = modified_policy_iteration.solve(problems.garnet(1_000_000, 4, 5), 0.99, 1e-6)
print(peak() - before, solution.bound)
"""
    printed = subprocess.run(
        (sys.executable, "-c", program), stdout=subprocess.PIPE, encoding="utf-8", check=True
    ).stdout
    gibibytes, bound = map(float, printed.split())
    assert 0.4 < gibibytes < 1.0 and bound <= 1e-6


def test_planners_leave_the_precision_of_the_program_as_it_was():
    value_iteration.solve(never_ends(0), 0.9)
    assert jax.numpy.ones(1).dtype == np.float32


NEVER = problems.model("Garnet")
LAKE = problems.model("FrozenLake-4x4")


def waits_or_pays():
    """State 0: wait for nothing, or end for -1."""

    def step(state, action):
        return 0, 1.0, -1.0 * (action == 1), action == 1

    return from_step(step, 1, 2)


def test_waiting_for_ever_at_no_cost_is_found_by_value_iteration_and_refused_by_policy_iteration():
    assert value_iteration.solve(waits_or_pays(), 1.0).value == 0.0
    for plan in (policy_iteration.solve, modified_policy_iteration.solve):
        with pytest.raises(
            ValueError, match="from state 0 a policy can go on for ever at no cost: use value iteration"
        ):
            plan(waits_or_pays(), 1.0)


REFUSED = {
    "gamma must be 0 to 1, not -0.1": lambda: value_iteration.solve(LAKE, -0.1),
    "gamma must be 0 to 1, not 1.01": lambda: policy_iteration.solve(LAKE, 1.01),
    "gamma must be 0 to 1, not nan": lambda: modified_policy_iteration.solve(LAKE, np.nan),
    "gamma must be 0 to 1, not 2": lambda: backward_induction.solve(LAKE, 3, 2),
    "tolerance must be above 0, not 0.0": lambda: value_iteration.solve(LAKE, 0.9, 0.0),
    "horizon must be 1 or more, not 0": lambda: backward_induction.solve(LAKE, 0),
    r"last must be \[states\] = \[16\], not \[4\]": lambda: backward_induction.solve(LAKE, 3, last=np.zeros(4)),
    "most_sweeps must be 0 or more, not -1": lambda: modified_policy_iteration.solve(LAKE, 0.9, most_sweeps=-1),
    "max_iterations must be 1 or more, not 0": lambda: policy_iteration.solve(LAKE, 0.9, max_iterations=0),
    r"policy must be \[states, actions\] = \[16, 4\], not \[16\]": lambda: policy_evaluation.solve(
        LAKE, np.zeros(16), 0.9
    ),
    "policy of state 3 is no distribution": lambda: policy_evaluation.solve(
        LAKE, np.where(np.arange(16)[:, None] == 3, 0.3, 0.25) * np.ones((16, 4)), 0.9
    ),
    "method must be one of direct, krylov, sweeps, not 'lu'": lambda: policy_evaluation.solve(
        LAKE, np.full((16, 4), 0.25), 0.9, "lu"
    ),
    "from state 0 the policy never ends": lambda: policy_evaluation.solve(
        problems.model("FrozenLake-4x4", slippery=False), np.eye(4)[np.zeros(16, int)], 1.0
    ),
    "from state 0 a policy can go on for ever, which": lambda: value_iteration.solve(NEVER, 1.0),
    "in place one state follows another": lambda: value_iteration.solve(
        LAKE, 0.9, in_place=True, devices=2 * jax.devices()[:1]
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(message):
    with pytest.raises(ValueError, match=message) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)
