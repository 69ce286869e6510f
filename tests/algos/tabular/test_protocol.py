"""What holds for every tabular method as an algorithm. A new method joins `METHODS`."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos.core.config import require_in_range
from algos.core.loop import advance, no_metrics
from algos.tabular import (
    double_q_learning,
    dyna_q,
    dyna_q_plus,
    expected_sarsa,
    monte_carlo,
    monte_carlo_prediction,
    n_step_sarsa,
    n_step_td,
    off_policy_monte_carlo,
    prioritised_sweeping,
    q_learning,
    r_max,
    sarsa,
    td,
    td_lambda,
)  # fmt: skip
from algos.tabular.experience import Step, below, draw, epsilon_greedy, one_of, walk_of
from algos.tabular.online import Method, control
from envs import vectorize
from experiments.lab.definition import settings
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.running.checks import check_settings

PREDICTION = {
    "td": (td, {}),
    "n_step_td": (n_step_td, {}),
    "td_lambda": (td_lambda, {}),
    "monte_carlo_prediction": (monte_carlo_prediction, {}),
}
CONTROL = {
    "double_q_learning": (double_q_learning, {}),
    "dyna_q": (dyna_q, {"num_planning": 2}),
    "dyna_q_plus": (dyna_q_plus, {"num_planning": 2}),
    "expected_sarsa": (expected_sarsa, {}),
    "monte_carlo": (monte_carlo, {}),
    "n_step_sarsa": (n_step_sarsa, {}),
    "off_policy_monte_carlo": (off_policy_monte_carlo, {}),
    "prioritised_sweeping": (prioritised_sweeping, {"num_planning": 2}),
    "q_learning": (q_learning, {}),
    "r_max": (r_max, {"num_sweeps": 5}),
    "sarsa": (sarsa, {}),
}
METHODS = PREDICTION | CONTROL
DAILY = ("q_learning",)  # whose program is compiled every day
LAKE = envs.make("FrozenLake-4x4", max_steps_in_episode=9)
every_method = pytest.mark.parametrize("name", METHODS)
compiling = pytest.mark.parametrize(
    "name", [name if name in DAILY else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)


def algorithm_of(name, num_steps=5, env=LAKE):
    module, fields = METHODS[name]
    return module.make(env, module.Config(num_steps=num_steps, **fields))


@pytest.mark.parametrize(("here", "named"), [(CONTROL, settings.TABULAR), (PREDICTION, settings.PREDICTION)])
def test_every_method_has_its_name_in_the_lab_and_no_other(here, named):
    assert {name: module for name, (module, _) in here.items()} == {name: module for name, (module, _) in named.items()}


@pytest.mark.parametrize("name", PREDICTION)
def test_what_predicts_says_which_policy_it_follows_and_what_each_state_is_worth(name):
    given = np.array([[0.1, 0.2, 0.3, 0.4]] * 16)
    algorithm = METHODS[name][0].make(LAKE, policy=given)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), METHODS[name][0].HParams())
    state = state.replace(params=jnp.arange(16.0))
    np.testing.assert_allclose(np.exp(algorithm.policy(state, LAKE.observe(5)).log_probs()), given[5], rtol=1e-6)
    assert algorithm.value(state, LAKE.observe(5)) == 5.0


@functools.cache
def compiled(name, num_steps):
    algorithm = algorithm_of(name, num_steps)

    def begin(seed, hparams):
        state = algorithm.init(jax.random.key(seed), hparams)
        return state, no_metrics(algorithm, state, hparams)

    def go_on(carry, hparams, num_updates):
        return advance(algorithm, carry[0], hparams, carry[1], num_updates)

    quickly = {"xla_backend_optimization_level": 0}
    return jax.jit(begin, compiler_options=quickly), jax.jit(go_on, compiler_options=quickly)


def run(name, chunks, num_steps=5, **fields):
    begin, go_on = compiled(name, num_steps)
    hparams = METHODS[name][0].HParams(**fields)
    carry = begin(3, hparams)
    for number in chunks:
        carry = go_on(carry, hparams, number)
    return carry


def raw(tree):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


@compiling
def test_a_run_cut_into_chunks_has_the_bits_of_the_straight_run(name):
    straight, cut = run(name, [40]), run(name, [1, 9, 30])
    for one, other in zip(raw(straight), raw(cut), strict=True):
        np.testing.assert_array_equal(one, other)
    assert straight[0].update == 40
    assert straight[1].total["episode_count"] > 5 and straight[1].total["episode_length_sum"] <= 200


@every_method
def test_no_key_is_used_twice_and_no_shape_depends_on_a_number(name):
    algorithm, hparams = algorithm_of(name), METHODS[name][0].HParams()

    def two_updates(key, hparams):
        begun = algorithm.init(key, hparams)
        state, _ = algorithm.step(begun, hparams)
        return begun, algorithm.step(state, hparams)[0]

    with jax.debug_key_reuse(True):
        jax.jit(two_updates).lower(jax.random.key(0), hparams)
    for given in (hparams, jax.tree.map(jnp.float32, hparams)):
        begun, later = jax.eval_shape(two_updates, jax.random.key(0), given)
        assert jax.tree.structure(begun) == jax.tree.structure(later) and begun == later


@pytest.mark.parametrize("name", ["q_learning", "double_q_learning", "td"])
def test_a_method_acts_by_one_hot_observations_of_which_it_is_told_the_state(name):
    algorithm = algorithm_of(name)
    state = algorithm.init(jax.random.key(0), METHODS[name][0].HParams())
    if name in CONTROL:
        best = np.random.default_rng(0).integers(4, size=16)
        table = 10.0 * jax.nn.one_hot(best, 4) + jnp.zeros_like(state.params)
        chosen = [int(algorithm.act(state.replace(params=table), jax.random.key(1), x, False)) for x in np.eye(16)[:4]]
        assert chosen == best[:4].tolist()
    actions = {int(algorithm.act(state, jax.random.key(i), np.eye(16)[3], True)) for i in range(24)}
    assert actions == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ("CartPole-v1", "q_learning learns a table: CartPole-v1 is no finite model"),
        ("Baird", "q_learning learns a table: Baird shows features of its states"),
        ("Pendulum-v1", "q_learning needs discrete actions, Pendulum-v1 has continuous ones"),
    ],
)
def test_what_no_table_can_hold_is_refused_in_one_line(environment, words):
    with pytest.raises(ValueError, match=words) as error:
        q_learning.make(envs.make(environment))
    assert "\n" not in str(error.value)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="n must be a positive integer, not 0"):
        n_step_td.make(LAKE, n_step_td.Config(n=0))
    with pytest.raises(ValueError, match="trace must be one of accumulating, replacing, true_online, not 'dutch'"):
        td_lambda.make(LAKE, td_lambda.Config(trace="dutch"))
    with pytest.raises(ValueError, match="a policy is \\[16, 4\\], each row probabilities"):
        td.make(LAKE, policy=np.ones((16, 4)))
    with pytest.raises(ValueError, match="in state 0 the behaviour never takes action 1, and the policy does"):
        monte_carlo_prediction.make(LAKE, behaviour=np.eye(4)[np.zeros(16, int)])
    with pytest.raises(ValueError, match="untried must be one of absorbing, optimistic, not ''"):
        r_max.make(LAKE, r_max.Config(untried=""))


@pytest.mark.parametrize("gamma", [1.0, 1.0 - 1e-9])  # which float32 rounds to 1
def test_r_max_refuses_the_gamma_at_which_what_is_best_is_infinite(gamma):
    one = settings.contender("r_max", "Taxi", 5000)
    require_in_range(one.hparams.replace(gamma=0.9999999))
    wrong = dataclasses.replace(one, hparams=one.hparams.replace(gamma=gamma))
    with pytest.raises(ValueError, match=f"^r_max: gamma must be from 0 to below 1, not {gamma}$"):
        check_settings(Experiment((Task("Taxi", (wrong,)),), (0,), 5000))


def test_a_run_begins_in_the_states_that_other_algorithms_meet_under_the_seed():
    env = envs.make("Taxi")
    key = jax.random.key(7)
    met = vectorize(env, 3).reset(jax.random.split(key, 3)[0]).environment.index
    begun = q_learning.make(env).init(key, q_learning.HParams()).environment.state.index
    assert begun == met[0] and len(set(met.tolist())) == 3


def test_episodes_of_drawn_numbers_are_those_of_the_environment():
    env = envs.make("FrozenLake-4x4", max_steps_in_episode=3)
    model, walk = walk_of(env, "test")
    for seed in range(6):
        key = jax.random.key(seed)
        state, _ = env.reset(key)
        reached, step = env.step(key, state.replace(index=jnp.int32(14), time=jnp.int32(seed)), 2)
        uniform = jax.random.uniform(key)
        other, reward, terminated, truncated = walk.step(uniform, state.replace(index=14, time=seed), 2)
        assert (other.index, other.time) == (reached.index, reached.time)
        assert (reward, terminated, truncated) == (step.reward, step.terminated, step.truncated)
        assert walk.start(uniform).index == state.index


def test_episodes_begin_and_go_on_as_often_as_the_model_says():
    env = envs.make("Taxi")
    draws = draw(walk_of(env, "test")[1], jax.random.key(0), 60_000, 0)
    found = np.bincount(draws.start.index, minlength=500) / 60_000
    assert np.abs(found - env.model.start).max() < 5 * np.sqrt(1 / 300 / 60_000)


def test_equal_actions_are_taken_alike_and_others_by_epsilon_alone():
    words = jax.random.bits(jax.random.key(0), (40_000,))
    q = jnp.array([1.0, 2.0, 0.0, 2.0, 2.0])
    taken = np.bincount(jax.vmap(lambda word: epsilon_greedy(q, 0.1, word))(words), minlength=5) / 40_000
    np.testing.assert_allclose(taken, [0.02, 0.32, 0.02, 0.32, 0.32], atol=0.012)
    only = np.bincount(jax.vmap(lambda word: epsilon_greedy(q, 0.0, word))(words), minlength=5)
    assert only[0] == only[2] == 0
    ends = jnp.array([0, 2**32 - 1], jnp.uint32)
    assert jax.vmap(lambda word: one_of(jnp.array([False, True, True]), word))(ends).tolist() == [1, 2]


def test_an_index_below_any_number_is_the_high_half_of_a_product_of_64_bits():
    random = np.random.default_rng(0)
    numbers = np.append(random.integers(2**32, size=2000), [0, 1, 65_535, 65_536, 65_537, 2**32 - 1]).astype(np.uint32)
    words = np.append(random.integers(2**32, size=2000), [2**32 - 1] * 6).astype(np.uint32)
    expected = [int(number) * int(word) >> 32 for number, word in zip(numbers, words)]
    assert jax.jit(below)(numbers, words).tolist() == expected


def test_dyna_q_remembers_from_every_part_of_a_large_table_alike():
    number = 200_000
    model = dyna_q.nothing_remembered(number, 1)
    model = model.replace(states=jnp.arange(number, dtype=jnp.int32), num_states=jnp.int32(number))
    model = model.replace(taken=jnp.ones((number, 1), bool))
    words = jax.random.bits(jax.random.key(0), (number, 2))
    step = Step(*(jnp.int32(0),) * 7, words[0])
    states = np.asarray(jax.jit(jax.vmap(lambda pair: dyna_q.again(model, step, pair).state))(words))
    np.testing.assert_allclose(np.bincount(states // 4000, minlength=50) / 4000, 1.0, atol=0.1)
    found = np.unique(states).size  # half a word tells 65,536 apart
    assert found == pytest.approx(number * (1 - np.exp(-1)), rel=0.01)


def test_an_update_of_ones_own_is_what_is_learned_by_in_planning_too():
    def update(q, step, hparams):
        return q.at[step.state, step.action].set(7.0)

    for module in (q_learning, dyna_q, td):
        own = update if module is not td else lambda v, step, hparams: v.at[step.state].set(7.0)
        algorithm = module.make(LAKE, module.Config(num_steps=20), update=own)
        state = algorithm.init(jax.random.key(0), module.HParams())
        params = algorithm.step(state, module.HParams())[0].params
        assert set(np.unique(params)) == {0.0, 7.0}


@pytest.mark.parametrize("commits", [True, False])
def test_the_action_that_was_seen_next_is_taken_next_by_a_method_that_commits_to_it_alone(commits):
    def start(hparams):
        return jnp.zeros((16, 4)), (jnp.int32(0), jnp.bool_(True))

    def learn(q, memory, step, hparams):
        promised, ended = memory
        broken = (step.action != promised) & ~ended
        return q.at[0, 0].add(broken), (step.next_action, step.terminated | step.truncated)

    method = Method(start, learn, commits=commits)
    algorithm, hparams = control(LAKE, "test", method, 60), sarsa.HParams(epsilon=1.0)
    broken = algorithm.step(algorithm.init(jax.random.key(0), hparams), hparams)[0].params[0, 0]
    assert (broken == 0) == commits and not 0 < broken < 20
