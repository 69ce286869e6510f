"""Finite models: every way to make one gives the same arrays, Gymnasium's tables are theirs, and what cannot be is named."""

import warnings

import gymnasium
import numpy as np
import pytest
import scipy.sparse
from scipy.stats import beta, kstest, norm

from algos.tabular.planning import value_iteration
from envs.mdp import (
    MDP,
    epsilon_soft,
    from_arrays,
    from_dense,
    from_gymnasium,
    from_map,
    from_sparse,
    from_step,
    of_action,
    of_transition,
    on_leaving,
    on_reaching,
    problems,
)
from envs.mdp.model import expected_reward, reachable, terminal_states

STATES, ACTIONS = 6, 3


def dense(mdp: MDP) -> dict[str, np.ndarray]:
    """Returns what a model means: [S, A, S] chances to go on and to end, the expected reward [S, A] and the start."""
    onward = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_states))
    end, reward = np.zeros(onward.shape), np.zeros(onward.shape[:2])
    for s, a, k in np.ndindex(mdp.successor.shape):
        table = end if mdp.terminated[s, a, k] else onward
        table[s, a, mdp.successor[s, a, k]] += mdp.probability[s, a, k]
        reward[s, a] += mdp.probability[s, a, k] * mdp.reward[s, a, k]
    return {"onward": onward, "end": end, "reward": reward, "start": mdp.start}


def assert_same(one: MDP, other: MDP):
    for name, array in dense(one).items():
        np.testing.assert_allclose(array, dense(other)[name], atol=1e-12, err_msg=name)


def random_parts(seed=0):
    random = np.random.default_rng(seed)
    probability = random.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))
    probability[random.random(probability.shape) < 0.4] = 0.0
    probability[..., 0] += probability.sum(-1) == 0.0
    probability /= probability.sum(-1, keepdims=True)
    return probability, random.normal(size=(STATES, ACTIONS, STATES))


def by_hand(probability, reward, terminal) -> MDP:
    """Returns the model with all S successors listed, those that end and those from an end set one by one."""
    successor = np.broadcast_to(np.arange(STATES), probability.shape)
    probability, reward, terminated = probability.copy(), reward.copy(), np.zeros(probability.shape, bool)
    terminated[:, :, terminal] = True
    probability[terminal], reward[terminal], terminated[terminal] = 0.0, 0.0, True
    probability[terminal, :, terminal] = 1.0
    return from_arrays(successor, probability, reward, terminated, 0)


def test_dense_sparse_arrays_and_functions_make_the_same_model():
    probability, reward = random_parts()
    expected = by_hand(probability, reward, 4)
    assert_same(from_dense(probability, of_transition(reward), [4], 0), expected)
    matrices = [scipy.sparse.coo_matrix(probability[:, action]) for action in range(ACTIONS)]
    assert_same(from_sparse(matrices, of_transition(reward), [4], 0), expected)

    def step(state, action):
        over = state == 4
        reached = np.arange(STATES)
        chance = np.where(over, reached == 4, probability[state[..., 0], action[..., 0]])
        return reached, chance, np.where(over, 0.0, reward[state[..., 0], action[..., 0]]), over | (reached == 4)

    assert_same(from_step(step, STATES, ACTIONS, start=0), expected)
    table = {
        s: {
            a: [tuple(array[s, a, k] for array in (expected.probability, expected.successor, expected.reward, expected.terminated))
                for k in range(expected.num_outcomes) if expected.probability[s, a, k] > 0.0]
            for a in range(ACTIONS)
        }
        for s in range(STATES)
    }  # fmt: skip
    assert_same(from_gymnasium(table, start=0), expected)


def test_rewards_of_states_actions_and_transitions_are_one_convention():
    probability, _ = random_parts(1)
    here, pair, there = (
        np.random.default_rng(2).normal(size=STATES),
        np.ones((STATES, ACTIONS)),
        np.arange(STATES) ** 2.0,
    )
    reference = from_dense(probability, of_transition(np.broadcast_to(here[:, None, None], probability.shape)))
    assert_same(from_dense(probability, on_leaving(here)), reference)
    assert_same(from_dense(probability, of_action(pair * here[:, None])), reference)
    reached = from_dense(probability, of_transition(np.broadcast_to(there, probability.shape)))
    assert_same(from_dense(probability, on_reaching(there)), reached)
    assert_same(from_dense(probability, of_action(probability @ there)), reached)


def test_a_state_that_ends_the_episode_leads_nowhere_and_earns_nothing_whatever_its_row_says():
    probability, reward = random_parts(3)
    mdp = from_dense(probability, of_transition(reward), [2], 0)
    assert terminal_states(mdp)[2] and not terminal_states(mdp)[[0, 1, 3, 4, 5]].any()
    assert dense(mdp)["end"][2, :, 2] == pytest.approx(1.0) and not dense(mdp)["reward"][2].any()
    assert (dense(mdp)["onward"][:, :, 2] == 0.0).all()


TABLES = {
    "FrozenLake-4x4": lambda: gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True),
    "FrozenLake-8x8": lambda: gymnasium.make("FrozenLake-v1", map_name="8x8", is_slippery=True),
    "Taxi": lambda: gymnasium.make("Taxi-v4"),
}


@pytest.mark.filterwarnings("ignore:no episode can reach")
@pytest.mark.parametrize("name", TABLES)
def test_our_models_are_gymnasiums_tables(name):
    ours, theirs = problems.model(name), from_gymnasium(TABLES[name]())
    if (
        name == "Taxi"
    ):  # theirs lists the numbers whose passenger is at the goal; where it ends they name no row that matters
        assert (reachable(ours) == reachable(theirs)).all()
    assert_same(ours, theirs)


def test_dry_ice_is_gymnasiums_too():
    theirs = from_gymnasium(gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=False))
    assert_same(problems.model("FrozenLake-4x4", slippery=False), theirs)


def test_our_cliff_is_gymnasiums_without_the_cells_that_no_episode_enters():
    with pytest.warns(UserWarning, match="no episode can reach 10 of 48 states: 37, 38, 39, 40, 41, ..."):
        theirs = dense(from_gymnasium(gymnasium.make("CliffWalking-v1")))
    mdp = problems.model("CliffWalking")
    index = mdp.cell[:, 0] * 12 + mdp.cell[:, 1]
    ours, actions = dense(mdp), np.arange(4)
    for name in ("onward", "end"):
        table = theirs[name][np.ix_(index, actions, index)].copy()
        table[-1] = ours[name][-1]  # the goal: theirs goes on from it, though no episode does
        np.testing.assert_array_equal(ours[name], table)
    np.testing.assert_array_equal(ours["reward"][:-1], theirs["reward"][index[:-1]])
    np.testing.assert_array_equal(ours["start"], theirs["start"][index])


@pytest.mark.filterwarnings("ignore:no episode can reach")
@pytest.mark.parametrize("gamma", [0.9, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("name", TABLES)
def test_values_of_our_models_are_those_of_gymnasiums_own_rows(name, gamma):
    """By loops over the table, which know `done` and nothing of ours."""
    source = TABLES[name]().unwrapped
    rows = [(s, a, *outcome) for s, row in source.P.items() for a, outcomes in row.items() for outcome in outcomes]
    s, a, p, reached, reward, done = (np.array(column) for column in zip(*rows))
    pair, value = s.astype(int) * len(source.P[0]) + a.astype(int), np.zeros(len(source.P))
    mdp, ours = problems.model(name), np.zeros(len(source.P))
    onward, expected = mdp.probability * ~mdp.terminated, (mdp.probability * mdp.reward).sum(-1)
    for _ in range(400):
        q = np.bincount(pair, p * (reward + gamma * ~done.astype(bool) * value[reached.astype(int)]))
        value = q.reshape(len(source.P), -1).max(1)
        ours = (expected + gamma * (onward * ours[mdp.successor]).sum(-1)).max(1)
        np.testing.assert_allclose(ours, value, atol=1e-10)


def test_taxi_whose_ends_are_ignored_gains_without_end_and_has_no_values():
    """A passenger who was brought is carried about and brought again."""
    table = TABLES["Taxi"]().unwrapped.P
    ended = {s: {a: [(*outcome[:3], False) for outcome in row[a]] for a in row} for s, row in table.items()}
    value, found = np.zeros(len(ended)), []
    for _ in range(200):
        value = np.array([max(sum(p * (r + value[t]) for p, t, r, _ in row[a]) for a in row) for row in ended.values()])
        found.append(value.min())
    assert found[-1] - found[-2] > 1.0 < found[99] - found[98]
    with pytest.raises(ValueError, match="a policy can go on for ever, which gains"):
        value_iteration.solve(from_gymnasium(ended), 1.0)


def test_a_time_limit_is_no_part_of_a_gymnasium_table_and_an_environment_without_one_is_refused():
    with pytest.raises(ValueError, match="CartPoleEnv has no table P"):
        from_gymnasium(gymnasium.make("CartPole-v1"))


def parts(**changes):
    """Returns a good model's arrays [2, 2, 2], with one entry changed: name=(place, value)."""
    arrays = {
        "successor": np.array([[[0, 1], [1, 0]], [[0, 1], [1, 1]]]),
        "probability": np.array([[[0.5, 0.5], [0.25, 0.75]], [[0.1, 0.9], [1.0, 0.0]]]),
        "reward": np.zeros((2, 2, 2)),
        "terminated": np.zeros((2, 2, 2), bool),
        "start": np.array([0.5, 0.5]),
    }
    for name, (place, value) in changes.items():
        arrays[name][place] = value
    return arrays


WRONG = {
    "probability of state 1, action 0, outcome 1 is not finite: nan": {"probability": ((1, 0, 1), np.nan)},
    "probability of state 0, action 1, outcome 0 is negative: -0.25": {"probability": ((0, 1, 0), -0.25)},
    "the sum of probability of state 0, action 1 is not 1: 1.05": {"probability": ((0, 1, 0), 0.3)},
    "reward of state 1, action 0, outcome 0 is not finite: inf": {"reward": ((1, 0, 0), np.inf)},
    "successor of state 0, action 0, outcome 1 is no state of 0 to 1: 2": {"successor": ((0, 0, 1), 2)},
    "successor of state 1, action 1, outcome 0 is no state of 0 to 1: -1": {"successor": ((1, 1, 0), -1)},
    "start of state 1 is no probability: -0.5": {"start": (1, -0.5)},
    "start of state 0 is no probability: nan": {"start": (0, np.nan)},
    "the sum of start is 0.75, not 1": {"start": (1, 0.25)},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_check_names_the_entry_that_cannot_be(message):
    with pytest.raises(ValueError, match=message):
        from_arrays(**parts(**WRONG[message]))


MALFORMED = {
    r"have three axes \[states, actions, outcomes\], not 2": lambda: from_arrays(np.zeros((2, 2)), 1.0, 0.0, False),
    r"probability must be \[states, actions, states\], not \[2, 3, 4\]": lambda: from_dense(np.ones((2, 3, 4)), None),
    "every action's matrix must be 2 x 2": lambda: from_sparse([np.eye(2), np.eye(3)], of_action(np.ones((2, 2)))),
    r"the reward must be \[2\], not \[3\]": lambda: from_dense(np.full((2, 1, 2), 0.5), on_reaching(np.ones(3))),
    r"the reward must be \[2, 1\], not \[2\]": lambda: from_dense(np.full((2, 1, 2), 0.5), of_action(np.ones(2))),
    r"the reward must be \[2, 1, 2\], not \[2, 1, 3\]": lambda: from_dense(
        np.full((2, 1, 2), 0.5), of_transition(np.ones((2, 1, 3)))
    ),
    "successor is no whole number: 0.5": lambda: from_arrays(np.full((2, 1, 1), 0.5), 1.0, 0.0, False),
    "successor is no whole number: 4294967297": lambda: from_arrays(np.full((2, 1, 1), 2**32 + 1), 1.0, 0.0, False),
    "start is no state of 0 to 1: 2": lambda: from_arrays(**{**parts(), "start": 2}),
    r"start is \(3,\), and there are 2 states": lambda: from_arrays(**{**parts(), "start": np.ones(3) / 3}),
    r"step gives arrays \[2, 4, 1\], \[\], \[\], \[\] for 2 states and 3 actions": lambda: from_step(
        lambda state, action: (np.zeros((2, 4, 1), int), 1.0, 0.0, False), 2, 3
    ),
    "the map is empty": lambda: from_map(" \n "),
    "reward is of 'X', which is nowhere on the map": lambda: from_map("S.G", reward={"X": 1.0}),
    "slip must be 0 to 1, not 2.0": lambda: from_map("S.G", slip=2.0),
    r"wind must be a whole number for each of 3 columns, not \[1\]": lambda: from_map("S.G", wind=[1]),
    "a model has one or more states and actions, not 3 and 0": lambda: from_dense(np.ones((3, 0, 3)), None),
    "there is no matrix": lambda: from_sparse([], None),
    "the reward must say what it is of": lambda: from_dense(np.full((2, 1, 2), 0.5), np.ones(2)),
    "terminal names no state of 0 to 1: 2": lambda: from_dense(
        np.full((2, 1, 2), 0.5), on_reaching(np.ones(2)), terminal=[2]
    ),
    "terminal names no state of 0 to 1: 0.5": lambda: from_dense(
        np.full((2, 1, 2), 0.5), on_reaching(np.ones(2)), terminal=0.5
    ),
    "start is no state of 0 to 1: 0.5": lambda: from_arrays(**{**parts(), "start": 0.5}),
    "start is no state of 0 to 1: first": lambda: from_arrays(**{**parts(), "start": "first"}),
    "terminated must be true or false, not 0.3": lambda: from_arrays(np.zeros((2, 1, 1)), 1.0, 0.0, 0.3),
    "successor is no whole number: nan": lambda: from_arrays(np.full((2, 1, 1), np.nan), 1.0, 0.0, False),
    r"cell must be row and column of each state, \[2, 2\], not \[1, 2\]": lambda: from_arrays(**parts(), cell=[[0, 0]]),
    "step must return a tuple": lambda: from_step(lambda state, action: (state, 1.0, 0.0), 2, 3),
    "a model has one or more states and actions, not 0 and 3": lambda: from_step(None, 0, 3),
    "P is empty": lambda: from_gymnasium({}),
    "P must have states 0 to 1, all with the same actions: state 1 has not": lambda: from_gymnasium(
        {0: {0: [(1.0, 0, 0.0, False)]}, 7: {0: [(1.0, 0, 0.0, False)]}}
    ),
    "the map has no S": lambda: from_map("FG"),
    "the lines of a map must be of one length, not 2, 3": lambda: from_map("SG\nFFF"),
    "epsilon must be 0 to 1, not 1.5": lambda: epsilon_soft(problems.model("FrozenLake-4x4"), 1.5),
    "successors must be 1 to states=3, not 4": lambda: problems.garnet(3, 2, 4),
    "heads must be between 0 and 1, not 1.0": lambda: problems.model("Gambler", heads=1.0),
    "size must be one of 4, 8, not 5": lambda: problems.frozen_lake(5),
    "halvings must be 0 or more, not -1": lambda: problems.model("DynaMaze", halvings=-1),
    "moves must be one of four, king, stay, not 'knight'": lambda: problems.model("WindyGridworld", moves="knight"),
    "Gambler has no field odds; its fields are: heads, goal, max_steps_in_episode": lambda: problems.model(
        "Gambler", odds=1
    ),
    "unknown model 'Maze'; .*choose from: FrozenLake-4x4": lambda: problems.model("Maze"),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_what_is_no_model_is_refused_in_one_line(message):
    with pytest.raises(ValueError, match=message) as error:
        MALFORMED[message]()
    assert "\n" not in str(error.value)


def test_rows_in_float32_need_sum_to_one_only_to_its_rounding_and_are_divided_by_their_sums():
    random = np.random.default_rng(3)
    rounded = random.dirichlet(np.ones(STATES), (STATES, ACTIONS)).astype(np.float32)
    rounded[0, 0] = np.float32([1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    start = np.full(STATES, 1 / STATES, np.float32)
    assert (np.abs(rounded.astype(float).sum(-1) - 1.0) > 1e-8).sum() > 3 and start.astype(float).sum() != 1.0
    exact = rounded.astype(float) / rounded.astype(float).sum(-1, keepdims=True)
    reward = on_leaving(np.arange(STATES, dtype=float))
    expected = from_dense(exact, reward, start=np.full(STATES, 1 / STATES))
    sparse = [scipy.sparse.csr_array(rounded[:, action]) for action in range(ACTIONS)]
    earned = np.arange(STATES)[:, None, None]
    arrays = from_arrays(np.broadcast_to(np.arange(STATES), rounded.shape), rounded, earned, False, start)
    for found in (from_dense(rounded, reward, start=start), from_sparse(sparse, reward, start=start), arrays):
        np.testing.assert_allclose(found.probability.sum(-1), 1.0, atol=1e-15)
        np.testing.assert_allclose(found.start.sum(), 1.0, atol=1e-15)
        assert_same(found, expected)
    with pytest.raises(
        ValueError, match=r"of state 0, action 0 is not 1 \(divide each row by its sum, or give the table in f"
    ):
        from_dense(rounded.astype(float), reward)
    with pytest.raises(ValueError, match="the sum of probability of state 0, action 0 is not 1: 1.0001"):
        from_dense(rounded * np.float32(1.0001), reward)


def test_an_impossible_outcome_may_earn_anything():
    mdp = from_arrays(np.zeros((1, 1, 3)), np.array([0.0, 1.0, 0.0]), np.array([-np.inf, 2.0, np.nan]), False)
    assert mdp.num_outcomes == 1 and mdp.reward == 2.0
    uneven = from_arrays(
        np.zeros((1, 2, 2)), np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[np.inf, 2.0], [1.0, 3.0]]), False
    )
    np.testing.assert_array_equal(expected_reward(uneven), [[2.0, 2.0]])


def test_states_that_no_episode_can_reach_are_a_warning_and_no_error():
    with pytest.warns(UserWarning, match="no episode can reach 1 of 2 states: 1"):
        from_arrays(np.zeros((2, 1, 1)), 1.0, 0.0, False, start=0)
    for make in (lambda: from_map("S.G#."), lambda: from_dense(np.eye(2)[:, None], on_leaving(np.zeros(2)), start=0)):
        with pytest.warns(UserWarning, match="no episode can reach 1 of") as told:
            make()
        assert told[0].filename == __file__  # and at no line of ours
    with pytest.warns(UserWarning, match="no episode can reach 1 of 3 states: 2"):  # what is impossible leads nowhere
        successor = np.array([[[1, 2]], [[0, 1]], [[2, 0]]])
        from_arrays(successor, np.array([[[1.0, 0.0]], [[0.5, 0.5]], [[0.5, 0.5]]]), 0.0, False, start=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_arrays(np.zeros((2, 1, 1)), 1.0, 0.0, False)


def test_an_epsilon_soft_model_mixes_the_actions():
    mdp = problems.garnet(5, 3, 2, 1.0, seed=1)
    soft, plain = dense(epsilon_soft(mdp, 0.3)), dense(mdp)
    for name in ("onward", "end", "reward"):
        expected = 0.7 * plain[name] + 0.3 * plain[name].mean(1, keepdims=True)
        np.testing.assert_allclose(soft[name], expected, atol=1e-12)


def test_a_garnet_has_distinct_successors_and_a_seed_is_a_model():
    mdp = problems.garnet(50, 3, 5, seed=4)
    ordered = np.sort(mdp.successor, -1)
    assert (np.diff(ordered, axis=-1) > 0).all()
    assert (mdp.probability > 0).all() and not mdp.terminated.any()
    assert (mdp.reward == mdp.reward[..., :1]).all()  # no deviation
    assert np.abs(problems.garnet(200, 10, 5).probability.mean((0, 1)) - 0.2).max() < 0.02
    for same, other in ((problems.garnet(50, 3, 5, seed=4), True), (problems.garnet(50, 3, 5, seed=5), False)):
        assert (same.reward == mdp.reward).all() == other


@pytest.mark.parametrize("successors", [2, 5])
def test_a_garnets_probabilities_are_the_gaps_of_sorted_uniforms_and_its_rewards_normal(successors):
    """Uniform on the simplex: each probability is Beta(1, b - 1), that of uniforms divided by their sum is not."""
    mdp = problems.garnet(300, 4, successors, deviation=0.5, seed=2)
    for place in range(successors):
        assert kstest(mdp.probability[..., place].ravel(), beta(1, successors - 1).cdf).pvalue > 1e-3
    assert kstest(mdp.reward[..., 0].ravel(), norm(0.0, np.sqrt(1.25)).cdf).pvalue > 1e-3
    about = (mdp.reward - mdp.reward.mean(-1, keepdims=True)).var(-1, ddof=1).mean()
    assert about == pytest.approx(0.25, rel=0.1)


def test_a_million_states_take_less_than_a_gigabyte():
    mdp = problems.garnet(10_000, 4, 5)
    arrays = (mdp.successor, mdp.probability, mdp.reward, mdp.terminated, mdp.start)
    assert 100 * sum(array.nbytes for array in arrays) < 2**30 / 2


@pytest.mark.parametrize("halvings", range(5))
def test_a_maze_of_finer_cells_has_twice_the_states_and_its_way_is_the_shortest_of_the_finer_map(halvings):
    lines = [".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", "........."]
    for cut in range(halvings):  # by words: characters twice, then lines twice
        lines = (
            [line for line in lines for _ in range(2)] if cut % 2 else ["".join(2 * x for x in line) for line in lines]
        )
    free = {(r, c): cell for r, line in enumerate(lines) for c, cell in enumerate(line) if cell != "#"}
    reached, way, steps = {min(place for place in free if free[place] == "S")}, set(), 0
    while not any(free[place] == "G" for place in reached):
        way |= reached
        beside = {(r + down, c + right) for r, c in reached for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        reached, steps = (beside & free.keys()) - way, steps + 1
    mdp = problems.model("DynaMaze", halvings=halvings)
    assert mdp.num_states == len(free) == 47 * 2**halvings
    assert mdp.start @ value_iteration.solve(mdp, 0.95).value == pytest.approx(0.95 ** (steps - 1), abs=1e-9)


def test_walls_slips_wind_and_ways_back_of_a_map():
    with warnings.catch_warnings(record=True):  # from S the one way leads back to S
        warnings.simplefilter("always")
        mdp = from_map("S#G\nC..", slip=0.5, reward={"G": 2.0, "C": -5.0}, step_reward=-1.0, back="C", wind=(0, 0, 1))
    index = {tuple(cell): state for state, cell in enumerate(mdp.cell)}
    start, goal, middle, corner = index[0, 0], index[0, 2], index[1, 1], index[1, 2]
    meaning = dense(mdp)
    down, right, up = 1, 2, 3
    assert meaning["onward"][start, down, start] == 1.0  # the cell below leads back, a wall and the edge stay
    assert meaning["reward"][start, down] == 0.5 * -5.0 + 0.5 * -1.0
    assert meaning["end"][corner, up, goal] == 0.5 + 0.25  # up, and right against the edge, blown up
    assert meaning["onward"][middle, right, corner] == 0.5
    assert terminal_states(mdp)[goal] and not terminal_states(mdp)[start]
