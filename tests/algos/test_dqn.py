"""DQN against rlax, Python loops and dynamic programming.

`stamped` says in every observation which episode it belongs to and how old that is; an episode's number decides its
length, its rewards and how it ends. What a buffer must hold can then be said without looking at how it was filled.
"""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
import rlax
from flax import linen as nn
from scipy import stats

import envs
from algos import a2c, dqn
from algos.core.distributions import epsilon_greedy
from algos.core.networks import QNetwork
from algos.core.types import ReplayBatch
from envs import Discrete, Env, TimeStep

EPISODES, LONGEST = 120, 4
GAMMA = 0.5  # so that sums of whole rewards are exact
HPARAMS = dqn.HParams(gamma=GAMMA, total_steps=100.0)


def length(episode):
    return 1 + episode % LONGEST


def ends(episode):
    """Returns (terminated, truncated) of the episode's last step: one, the other, or both."""
    kind = episode // LONGEST % 3
    return kind != 1, kind != 0


def reward(episode, time):
    return (7 * episode + 3 * time) % 11 - 5


def stamped() -> Env:
    """Returns the environment; state and observation: episode, time, the action that led there."""

    def reset(key):
        state = jnp.stack([jax.random.randint(key, (), 0, EPISODES, jnp.int32), jnp.int32(0), jnp.int32(-1)])
        return state, state

    def step(key, state, action):
        episode, time, _ = state
        reached = jnp.stack([episode, time + 1, action])
        over = time + 1 >= length(episode)
        terminated, truncated = (over & end for end in ends(episode))
        return reached, TimeStep(reached, reward(episode, time).astype(jnp.float32), terminated, truncated)

    return Env("stamped", reset, step, (3,), Discrete(2), LONGEST)


def linear(actions: int = 2):
    return nn.Sequential([lambda x: x.astype(jnp.float32), nn.Dense(actions)])


def constant(*q: float):
    """Returns a network of these action values everywhere; its parameter changes nothing."""
    return nn.Sequential([lambda x: nn.Dense(len(q))(0.0 * x) * 0.0 + jnp.array(q)])


def config(**fields) -> dqn.Config:
    small = dict(num_envs=3, batch_size=4, buffer_size=1_000, warmup_steps=10, target_interval=5, hidden_sizes=(4,))
    return dqn.Config(**{**small, **fields})


def run(algorithm, hparams=HPARAMS, steps: int = 5):
    """Returns (state after init, states after every step, metrics), the latter two [steps, ...]."""

    return compiled(algorithm, steps)(hparams)


def compiled(algorithm, steps: int):
    """Returns the function of hyperparameters that `run` calls."""

    def all_of_it(hparams):
        def one(state, _):
            state, metrics = algorithm.step(state, hparams)
            return state, (state, metrics)

        begun = algorithm.init(jax.random.key(0), hparams)
        return begun, *jax.lax.scan(one, begun, None, steps)[1]

    return probes.quick_jit(all_of_it)


def at(tree, index: int):
    return jax.tree.map(lambda x: x[index], tree)


def assert_same_bits(one, other) -> None:
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


# The loss


def replayed(seed: int = 0, size: int = 300):
    """Returns (online Q, target Q, each [6, 3], a batch whose observations are rows of those)."""
    generator = np.random.default_rng(seed)
    online, target = generator.normal(size=(2, 6, 3)) * 2
    return online, ReplayBatch(
        observation=generator.integers(6, size=size),
        action=generator.integers(3, size=size),
        reward=generator.normal(size=size),
        discount=generator.uniform(size=size),
        next_observation=generator.integers(6, size=size),
        terminated=generator.random(size) < 0.3,
        mask=(generator.random(size) < 0.7).astype(float),
        target_params=target,
    )


def table(params, observation):
    return jnp.asarray(params)[observation]


def rlax_errors(online, batch, double: bool) -> np.ndarray:
    """Returns the TD error of every sample, by rlax."""
    discount = batch.discount * ~batch.terminated
    ours, others = online[batch.observation], batch.target_params[batch.next_observation]
    if double:
        chooser = online[batch.next_observation]
        return np.asarray(jax.vmap(rlax.double_q_learning)(ours, batch.action, batch.reward, discount, others, chooser))
    return np.asarray(jax.vmap(rlax.q_learning)(ours, batch.action, batch.reward, discount, others))


LOSSES = [(False, False), (False, True), (True, False), (True, True)]
every_loss = pytest.mark.parametrize(("double", "huber"), LOSSES)


@every_loss
def test_loss_and_metrics_are_means_of_rlaxs_td_errors(float64, double, huber):
    online, batch = replayed()
    error, counted = rlax_errors(online, batch, double), batch.mask > 0
    size = np.abs(error)
    penalty = np.where(size <= 1.0, error**2 / 2, size - 0.5) if huber else error**2 / 2
    loss, metrics = dqn.td_loss(double, huber)(online, table, batch, HPARAMS)
    np.testing.assert_allclose(loss, penalty[counted].mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics["td_error"], size[counted].mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics["q"], online[batch.observation, batch.action][counted].mean(), rtol=1e-12)
    assert set(metrics) == {"td_error", "q"}
    assert (size <= 1.0).any() and (size > 1.0).any()


@every_loss
def test_the_gradient_is_that_of_the_value_of_the_action_taken_alone(float64, double, huber):
    online, batch = replayed()
    error, expected = rlax_errors(online, batch, double), np.zeros((6, 3))
    for sample in np.flatnonzero(batch.mask):
        slope = np.clip(error[sample], -1.0, 1.0) if huber else error[sample]
        expected[batch.observation[sample], batch.action[sample]] -= slope / batch.mask.sum()
    gradient = jax.grad(lambda params: dqn.td_loss(double, huber)(params, table, batch, HPARAMS)[0])(online)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@every_loss
def test_no_gradient_reaches_the_target_network(float64, double, huber):
    online, batch = replayed()

    def of_target(target_params):
        return dqn.td_loss(double, huber)(online, table, batch.replace(target_params=target_params), HPARAMS)[0]

    np.testing.assert_array_equal(jax.grad(of_target)(batch.target_params), np.zeros((6, 3)))
    assert of_target(batch.target_params) != of_target(2.0 * batch.target_params)


def test_double_and_plain_targets_differ_where_the_networks_disagree(float64):
    online, batch = replayed()
    plain, double = (dqn.td_loss(double, False)(online, table, batch, HPARAMS)[0] for double in (False, True))
    assert abs(plain - double) > 0.01
    agreeing = batch.replace(target_params=online)
    plain, double = (dqn.td_loss(double, False)(online, table, agreeing, HPARAMS)[0] for double in (False, True))
    np.testing.assert_allclose(plain, double, rtol=1e-14)


def every_loss_at_once(params, apply, batch, hparams):
    values = {f"{which}": dqn.td_loss(*which)(params, apply, batch, hparams)[0] for which in LOSSES}
    return values[f"{LOSSES[0]}"], values


def test_without_a_loss_of_ones_own_it_is_that_of_the_configuration():
    def losses_met(hparams):
        walk = probes.random_walk(3)
        settings = [config(double=double, huber=huber, batch_size=50) for double, huber in LOSSES]
        given = dqn.make(walk, settings[0], network=linear(), loss=every_loss_at_once)
        state = given.init(jax.random.key(0), hparams)
        state = state.replace(target_params=jax.tree.map(lambda x: -4.0 * x, state.params))
        default = [dqn.make(walk, setting, network=linear()).step(state, hparams)[1]["loss"] for setting in settings]
        values = given.step(state, hparams)[1]
        return jnp.stack(default), jnp.stack([values[f"{which}"] for which in LOSSES])

    default, expected = probes.quick_jit(losses_met)(HPARAMS)
    np.testing.assert_allclose(default, expected, rtol=1e-6)
    assert np.diff(np.sort(expected)).min() > 1e-3


def test_the_modules_loss_is_that_of_the_default_configuration(float64):
    online, batch = replayed()
    default = dqn.td_loss(dqn.Config().double, dqn.Config().huber)(online, table, batch, HPARAMS)
    assert_same_bits(dqn.loss(online, table, batch, HPARAMS), default)


# What the buffer holds


def in_order(state, num_envs: int) -> list[list[dict]]:
    """Returns for every environment what the buffer, which has never been full, holds of it, oldest first."""
    data = {name: np.asarray(leaf) for name, leaf in vars(state.replay.data).items() if leaf is not None}
    rows = [{name: leaf[row] for name, leaf in data.items()} for row in range(int(state.replay.added))]
    return [rows[place::num_envs] for place in range(num_envs)]


def n_steps_from(episode: int, time: int, n: int) -> dict:
    """Returns what n steps from there give, by a Python loop: fewer steps where the episode ends first."""
    rewards, discount = 0.0, 1.0
    for _ in range(n):
        rewards, discount = rewards + discount * reward(episode, time), discount * GAMMA
        time += 1
        if time == length(episode):
            break
    terminated = time == length(episode) and ends(episode)[0]
    return {"reward": rewards, "discount": discount, "next_observation": (episode, time), "terminated": terminated}


@functools.cache
def filled(n: int, num_steps: int):
    """Returns (state after init, state after 6 more steps) on `stamped`, 3 environments."""
    algorithm = dqn.make(stamped(), config(n_step=n, num_steps=num_steps), network=linear())
    begun, states, _ = run(algorithm, steps=6)
    return begun, at(states, -1)


every_n = pytest.mark.parametrize(("n", "num_steps"), [(1, 4), (3, 1), (3, 4), (6, 1)])


@every_n
def test_the_buffer_holds_what_a_python_loop_over_the_episodes_gives(n, num_steps):
    met = set()
    for column in in_order(filled(n, num_steps)[1], 3):
        for row in column:
            episode, time, _ = row["observation"]
            expected = n_steps_from(int(episode), int(time), n)
            reached = tuple(row["next_observation"][:2].tolist())
            assert reached == expected["next_observation"]
            assert (row["reward"], row["discount"]) == (expected["reward"], expected["discount"])
            assert row["terminated"] == expected["terminated"]
            met.add((reached[1] == length(episode), bool(row["terminated"])))
    assert met >= {(True, True), (True, False)}


@every_n
def test_no_transition_is_lost_or_doubled_and_each_has_its_own_action(n, num_steps):
    state = filled(n, num_steps)[1]
    for place, column in enumerate(in_order(state, 3)):
        stored = [row["observation"] for row in column]
        actions = [row["action"] for row in column]
        waiting = [] if n == 1 else np.asarray(state.recent.observation)[:, place]
        stream = [*stored, *waiting, state.environment.observation[place]]
        actions += [] if n == 1 else np.asarray(state.recent.action)[:, place].tolist()
        assert len(stream) == 4 + (n - 1) + 6 * num_steps + 1
        for (episode, time, _), action, following in zip(stream[:-1], actions, stream[1:], strict=True):
            if time + 1 == length(episode):
                assert following[1] == 0
            else:
                assert tuple(following) == (episode, time + 1, action)


def test_the_next_observation_is_the_one_reached_and_not_the_one_after_the_reset():
    for column in in_order(filled(1, 4)[1], 3):
        ended = [(row, after) for row, after in zip(column, column[1:]) if after["observation"][1] == 0]
        assert len(ended) >= 2
        for row, _ in ended:
            assert tuple(row["next_observation"]) == (
                row["observation"][0],
                length(row["observation"][0]),
                row["action"],
            )


@pytest.mark.parametrize(
    ("num_envs", "warmup", "n"), [(3, 10, 1), (3, 9, 1), (7, 1, 1), (1, 5, 1), (3, 10, 3), (7, 20, 2)]
)
def test_the_warmup_fills_whole_rounds_of_transitions_and_all_its_steps_are_counted(num_envs, warmup, n):
    algorithm = dqn.make(endless(), config(num_envs=num_envs, warmup_steps=warmup, n_step=n), network=linear())
    state = probes.quick_jit(algorithm.init)(jax.random.key(0), HPARAMS)
    rounds = int(np.ceil(warmup / num_envs))
    assert int(state.replay.added) == rounds * num_envs
    assert algorithm.steps_in_init == (rounds + n - 1) * num_envs
    assert state.recent is None if n == 1 else state.recent.reward.shape == (n - 1, num_envs)
    assert int(state.update) == 0
    assert_same_bits(state.params, state.target_params)


@functools.cache
def with_buffer(size: int):
    algorithm = dqn.make(stamped(), config(buffer_size=size, warmup_steps=30, n_step=2), network=linear())
    begun, states, _ = run(algorithm, HPARAMS.replace(learning_rate=0.0), steps=9)
    return begun, at(states, -1)


@pytest.mark.parametrize("size", [4, 29])
@pytest.mark.parametrize("moment", [0, 1])
def test_a_buffer_smaller_than_the_warmup_holds_the_newest(size, moment):
    # actions follow the parameters, which stay put: a buffer of any size then meets the same transitions
    whole, small = (with_buffer(size)[moment].replay for size in (1_000, size))
    added = int(whole.added)
    assert added == (30, 57)[moment]
    newest = jax.tree.map(lambda x: np.asarray(x[added - size : added]), whole.data)
    for leaf, other in zip(jax.tree.leaves(small.data), jax.tree.leaves(newest), strict=True):
        assert sorted(row.tobytes() for row in np.asarray(leaf)) == sorted(row.tobytes() for row in other)


def test_the_buffer_takes_the_memory_of_its_transitions():
    algorithm = dqn.make(stamped(), config(buffer_size=100), network=linear())
    memory = jax.eval_shape(algorithm.init, jax.random.key(0), HPARAMS).replay
    bytes_each = 3 * 4 + 4 + 4 + 4 + 3 * 4 + 1
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory.data)) == 100 * bytes_each


def test_the_warmup_begins_in_the_states_that_other_algorithms_meet_under_the_same_seed():
    walk = probes.random_walk(3)

    def first_observations(hparams):
        memory = dqn.make(walk, config(), network=linear()).init(jax.random.key(1), hparams).replay
        others = a2c.make(walk, a2c.Config(num_envs=3), network=probes.Linear())
        return memory.data.observation[:3], others.init(jax.random.key(1), a2c.HParams()).environment.observation

    met, expected = probes.quick_jit(first_observations)(HPARAMS)
    np.testing.assert_array_equal(met, expected)
    assert len(np.unique(expected, axis=0)) == 3


def test_warmup_actions_are_uniform():
    algorithm = dqn.make(
        endless(), config(num_envs=30, warmup_steps=3_000, buffer_size=3_000), network=constant(0.0, 9.0)
    )
    actions = probes.quick_jit(algorithm.init)(jax.random.key(0), HPARAMS).replay.data.action
    assert stats.chisquare(np.bincount(actions, minlength=2)).pvalue > 1e-3


# What a loss is given


@functools.cache
def samples_met(n: int):
    """Returns what the loss was given and made of it in 150 updates on one sample each, where Q is 100 everywhere."""

    def loss(params, apply, batch, hparams):
        value, metrics = dqn.td_loss(False, False)(params, apply, batch, hparams)
        whole = {"episode": batch.observation[0, 0], "time": batch.observation[0, 1], "action": batch.action[0]}
        whole |= {"reached_episode": batch.next_observation[0, 0], "reached_time": batch.next_observation[0, 1]}
        whole |= {"reward": batch.reward[0], "discount": batch.discount[0], "terminated": batch.terminated[0]}
        return value, {**metrics, **whole, "mask": batch.mask[0], "size": batch.mask.size}

    small = config(n_step=n, batch_size=1, warmup_steps=150)
    algorithm = dqn.make(stamped(), small, loss=loss, network=constant(100.0, 100.0))
    metrics = {name: np.asarray(leaf) for name, leaf in run(algorithm, steps=150)[2].items()}
    return [{name: leaf[step] for name, leaf in metrics.items()} for step in range(150)]


@pytest.mark.parametrize("n", [1, 3])
def test_a_transition_cut_by_a_time_limit_bootstraps_and_one_that_terminated_does_not(n):
    met = set()
    for sample in samples_met(n):
        expected = n_steps_from(int(sample["episode"]), int(sample["time"]), n)
        time_is_up = expected["next_observation"][1] == length(int(sample["episode"]))
        target = expected["reward"] + expected["discount"] * 100.0 * (not expected["terminated"])
        assert sample["td_error"] == abs(target - 100.0)
        met.add((bool(time_is_up), bool(expected["terminated"])))
    assert met == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize("n", [1, 3])
def test_a_loss_is_given_whole_transitions_of_the_buffer(n):
    for sample in samples_met(n):
        expected = n_steps_from(int(sample["episode"]), int(sample["time"]), n)
        assert (sample["reached_episode"], sample["reached_time"]) == expected["next_observation"]
        assert (sample["reward"], sample["discount"]) == (expected["reward"], expected["discount"])
        assert sample["terminated"] == expected["terminated"]
        assert sample["mask"] == 1.0 and sample["size"] == 1
    assert {float(sample["action"]) for sample in samples_met(n)} == {0.0, 1.0}
    assert len({(sample["episode"], sample["time"]) for sample in samples_met(n)}) > 50


def test_every_update_has_its_own_sample():
    def loss(params, apply, batch, hparams):
        age = batch.observation[0, 0]
        return dqn.loss(params, apply, batch, hparams)[0], {"age": age, "age_squared": age**2}

    small = config(batch_size=1, num_updates=4, warmup_steps=300)
    _, _, metrics = run(dqn.make(endless(), small, loss=loss, network=linear()), steps=20)
    variance_within_a_step = np.asarray(metrics["age_squared"] - metrics["age"] ** 2)
    assert variance_within_a_step.min() > 1.0
    # the ages 0 to 100 or so, all alike, have variance 850; of which 4 samples show 3/4
    assert 400.0 < variance_within_a_step.mean() < 900.0
    assert len(np.unique(metrics["age"])) > 10


# Counting updates and target copies


def counting_loss(params, apply, batch, hparams):
    """Has a gradient of -1: Adam at learning rate 1 then adds (all but) 1 to the parameter at every update."""
    metrics = {"updates_before": params["count"], "target_before": batch.target_params["count"]}
    return -params["count"] + 0.0 * jnp.sum(apply(params, batch.observation)), metrics


counter = SimpleNamespace(
    init=lambda key, observation: {"count": jnp.float32(0.0)},
    apply=lambda params, observation: jnp.zeros((*observation.shape[:-1], 2)) + params["count"],
)


@functools.cache
def counted(target_interval: int, num_updates: int, num_envs: int, num_steps: int):
    """Returns (algorithm, the function of the target rate that gives what `run` does over 11 steps)."""
    fields = dict(num_envs=num_envs, num_steps=num_steps, num_updates=num_updates, target_interval=target_interval)
    algorithm = dqn.make(endless(), config(**fields), loss=counting_loss, network=counter)
    go = compiled(algorithm, 11)
    return algorithm, lambda rate: go(HPARAMS.replace(learning_rate=1.0, target_rate=rate))


def endless() -> Env:
    """Returns an environment without end: its observation is its age."""

    def step(key, age, action):
        return age + 1.0, TimeStep((age + 1.0)[None], jnp.float32(0.0), jnp.array(False), jnp.array(False))

    return Env("endless", lambda key: (jnp.float32(0.0), jnp.zeros(1)), step, (1,), Discrete(2), 10**9)


AWKWARD = [(3, 1, 1, 5), (7, 1, 3, 5), (3, 2, 3, 5), (7, 2, 1, 5), (7, 1, 5, 2), (1, 3, 2, 100)]


@pytest.mark.parametrize(("num_envs", "num_steps", "num_updates", "interval"), AWKWARD)
def test_updates_and_target_copies_happen_exactly_as_often_as_configured(num_envs, num_steps, num_updates, interval):
    _, states, metrics = counted(interval, num_updates, num_envs, num_steps)[1](1.0)
    params, target, made = 0, 0, 0
    for step in range(11):
        params_seen, targets_seen = [], []
        for _ in range(num_updates):
            params_seen.append(params)
            targets_seen.append(target)
            params, made = params + 1, made + 1
            target = params if made % interval == 0 else target
        np.testing.assert_allclose(states.params["count"][step], params, rtol=1e-4)
        np.testing.assert_allclose(states.target_params["count"][step], target, rtol=1e-4)
        np.testing.assert_allclose(metrics["updates_before"][step], np.mean(params_seen), rtol=1e-4)
        np.testing.assert_allclose(metrics["target_before"][step], np.mean(targets_seen), rtol=1e-4)
    np.testing.assert_array_equal(states.update, np.arange(1, 12))


@pytest.mark.parametrize(("num_envs", "num_steps", "num_updates", "interval"), AWKWARD)
def test_environment_steps_happen_exactly_as_often_as_stated(num_envs, num_steps, num_updates, interval):
    algorithm, go = counted(interval, num_updates, num_envs, num_steps)
    begun, states, _ = go(1.0)
    assert algorithm.steps_per_update == num_envs * num_steps
    np.testing.assert_array_equal(begun.environment.episode_length * num_envs, algorithm.steps_in_init)
    taken = states.environment.episode_length - begun.environment.episode_length
    for step in range(11):
        assert int(jnp.sum(taken[step])) == (step + 1) * algorithm.steps_per_update
        assert int(states.replay.added[step] - begun.replay.added) == (step + 1) * algorithm.steps_per_update


@pytest.mark.parametrize("rate", [0.25, 0.9])
@pytest.mark.parametrize("interval", [1, 5])
def test_a_target_rate_below_1_moves_the_target_part_of_the_way(rate, interval):
    _, states, _ = counted(interval, 1, 3, 1)[1](rate)
    target = 0.0
    for step in range(11):
        if (step + 1) % interval == 0:
            target += rate * (step + 1 - target)
        np.testing.assert_allclose(states.target_params["count"][step], target, rtol=1e-4)


def test_a_target_rate_of_1_copies_the_bits_and_between_copies_none_changes():
    algorithm = dqn.make(probes.random_walk(3), config(num_updates=1, target_interval=5), network=linear())
    begun, states, _ = run(algorithm, HPARAMS.replace(learning_rate=0.3), steps=17)
    target = begun.params
    for step in range(17):
        now = at(states, step)
        assert any(np.any(x != y) for x, y in zip(jax.tree.leaves(now.params), jax.tree.leaves(target), strict=True))
        if (step + 1) % 5 == 0:
            target = now.params
        assert_same_bits(now.target_params, target)


def test_target_updates_keep_their_interval_beyond_what_an_int32_can_count():
    algorithm = dqn.make(endless(), config(num_updates=2, target_interval=3), network=linear())

    def copied(update):
        state, _ = algorithm.step(algorithm.init(jax.random.key(0), HPARAMS).replace(update=update), HPARAMS)
        return jnp.all(
            state.params["params"]["layers_1"]["kernel"] == state.target_params["params"]["layers_1"]["kernel"]
        )

    updates = 2**30 + np.arange(3)  # 2 x 2^30 gradient steps are made before
    due = [(2 * int(update) + 2) % 3 == 0 for update in updates]  # at the second of the two, so that nothing follows it
    assert sum(due) == 1
    np.testing.assert_array_equal(
        probes.quick_jit(lambda x: jax.lax.map(copied, x))(jnp.asarray(updates, jnp.int32)), due
    )


def test_an_interval_that_no_int32_can_count_is_refused():
    with pytest.raises(ValueError, match="target_interval \\* num_updates must be less than 2\\^31"):
        dqn.make(endless(), config(num_updates=4, target_interval=2**29))


# Exploration


@functools.cache
def exploring():
    """Returns the function of hyperparameters that gives what `run` does over 12 steps of 6 environment steps, after 12."""
    return compiled(dqn.make(endless(), config(num_steps=2), network=linear()), 12)


def test_epsilon_falls_in_a_straight_line_over_its_share_of_the_steps_the_warm_up_among_them():
    hparams = HPARAMS.replace(epsilon_start=0.9, epsilon_end=0.1, exploration_fraction=0.5, total_steps=100.0)
    begun, states, metrics = exploring()(hparams)
    expected = np.interp(12.0 + 6.0 * np.arange(12), [0.0, 50.0], [0.9, 0.1])
    np.testing.assert_allclose(metrics["epsilon"], expected, rtol=1e-5)
    np.testing.assert_allclose(states.epsilon, expected, rtol=1e-5)
    np.testing.assert_allclose(begun.epsilon, 0.9, rtol=1e-6)


@pytest.mark.parametrize("end", [0.0, 0.05])
def test_an_epsilon_that_starts_at_0_is_a_number_and_goes_to_its_end(end):
    _, _, metrics = exploring()(HPARAMS.replace(epsilon_start=0.0, epsilon_end=end, exploration_fraction=0.5))
    expected = np.interp(12.0 + 6.0 * np.arange(12), [0.0, 50.0], [0.0, end])
    np.testing.assert_allclose(metrics["epsilon"], expected, atol=1e-6)


def test_an_exploration_fraction_of_0_gives_the_final_epsilon_at_once():
    _, _, metrics = exploring()(HPARAMS.replace(epsilon_start=0.9, epsilon_end=0.1, exploration_fraction=0.0))
    np.testing.assert_allclose(metrics["epsilon"][1:], 0.1, rtol=1e-5)
    # a line that falls in no time: at time 0 either end of it is right
    assert np.isclose(metrics["epsilon"][0], [0.9, 0.1]).any()


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_the_epsilon_greedy_policy_has_the_stated_probabilities(float64, epsilon):
    q = np.random.default_rng(0).normal(size=(20, 4))
    probabilities = np.exp(epsilon_greedy(jnp.asarray(q), epsilon).log_probs())
    expected = np.full((20, 4), epsilon / 4)
    for row in range(20):
        expected[row, np.argmax(q[row])] += 1.0 - epsilon
    np.testing.assert_allclose(probabilities, expected, atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-12)


def test_with_epsilon_0_every_sample_is_the_best_action_and_the_first_among_equals():
    q = jnp.array([[1.0, 3.0, 3.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    samples = jax.vmap(epsilon_greedy(q, 0.0).sample)(jax.random.split(jax.random.key(0), 200))
    np.testing.assert_array_equal(samples, np.tile([1, 0, 0], (200, 1)))


def test_actions_in_training_follow_the_schedule_and_the_networks_values():
    algorithm = dqn.make(endless(), config(num_envs=7, num_steps=50, buffer_size=4_000), network=constant(1.0, 2.0))
    hparams = HPARAMS.replace(epsilon_start=0.3, epsilon_end=0.3)
    begun, states, _ = run(algorithm, hparams, steps=10)
    chosen = np.asarray(states.replay.data.action[-1])[int(begun.replay.added) : int(states.replay.added[-1])]
    assert len(chosen) == 3_500
    assert stats.binomtest(int(chosen.sum()), 3_500, 0.85).pvalue > 1e-3


@functools.cache
def acting():
    """Returns (`act` over many keys, a state) of an algorithm whose Q is 1, 3, 2 everywhere."""
    env = endless()._replace(action=Discrete(3))
    algorithm = dqn.make(env, config(), network=constant(1.0, 3.0, 2.0))
    state = probes.quick_jit(algorithm.init)(jax.random.key(0), HPARAMS)
    return jax.jit(jax.vmap(algorithm.act, (None, 0, None, None)), static_argnums=3), state


@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
def test_acting_takes_the_best_action_or_explores_with_the_present_epsilon(epsilon):
    act, state = acting()
    state, keys = state.replace(epsilon=jnp.float32(epsilon)), jax.random.split(jax.random.key(0), 3_000)
    counts = np.bincount(act(state, keys, jnp.zeros(1), True), minlength=3)
    others = epsilon / 3
    expected = 3_000 * np.array([others, 1.0 - 2 * others, others])
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert stats.chisquare(counts[possible], expected[possible]).pvalue > 1e-3 or possible.sum() == 1


@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
def test_acting_without_exploring_takes_the_best_action_whatever_epsilon_is(epsilon):
    act, state = acting()
    keys = jax.random.split(jax.random.key(0), 20)
    np.testing.assert_array_equal(act(state.replace(epsilon=jnp.float32(epsilon)), keys, jnp.zeros(1), False), 1)


# Networks


@functools.cache
def q_network(dueling: bool):
    network = QNetwork((5,), 3, (6, 4), dueling)
    return network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 5)))


def layers(params) -> dict:
    """Returns {name: (kernel, bias)} in double precision."""
    flat = {**params["params"]["torso"], **{k: v for k, v in params["params"].items() if k != "torso"}}
    return {name: [np.asarray(layer[part], np.float64) for part in ("kernel", "bias")] for name, layer in flat.items()}


def perturbed(params):
    generator = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + generator.normal(size=x.shape).astype(np.float32), params)


def test_a_dueling_q_is_the_value_plus_advantages_that_average_0():
    network, params = q_network(True)
    params, observation = perturbed(params), np.random.default_rng(1).normal(size=(8, 5))
    weights, features = layers(params), observation
    for name in ("Dense_0", "Dense_1"):
        features = np.maximum(features @ weights[name][0] + weights[name][1], 0.0)
    value, advantage = (features @ weights[name][0] + weights[name][1] for name in ("value", "head"))
    q = np.asarray(jax.jit(network.apply)(params, observation))
    np.testing.assert_allclose(q.mean(axis=-1), value[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(q, value + advantage - advantage.mean(axis=-1, keepdims=True), rtol=1e-4, atol=1e-5)
    assert np.ptp(q, axis=-1).min() > 0.1


def test_a_plain_q_is_one_head_on_the_torso():
    network, params = q_network(False)
    params, observation = perturbed(params), np.random.default_rng(1).normal(size=(8, 5))
    weights, features = layers(params), observation
    for name in ("Dense_0", "Dense_1"):
        features = np.maximum(features @ weights[name][0] + weights[name][1], 0.0)
    expected = features @ weights["head"][0] + weights["head"][1]
    np.testing.assert_allclose(jax.jit(network.apply)(params, observation), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dueling", [False, True])
def test_the_configuration_decides_whether_the_network_duels(dueling):
    algorithm = dqn.make(stamped(), config(dueling=dueling, hidden_sizes=(6, 4)))
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), HPARAMS).params["params"]
    assert set(shapes) == ({"torso", "head", "value"} if dueling else {"torso", "head"})
    assert [layer["kernel"].shape[1] for layer in shapes["torso"].values()] == [6, 4]
    assert shapes["head"]["kernel"].shape == (4, 2)


# Settings that cannot be


def test_continuous_actions_are_refused_and_the_algorithms_that_take_them_named():
    with pytest.raises(ValueError, match="discrete") as refusal:
        dqn.make(envs.make("Pendulum-v1"))
    message = str(refusal.value)
    assert "Pendulum-v1" in message and "\n" not in message
    assert all(name in message for name in ("reinforce", "a2c", "ppo"))


@pytest.mark.parametrize("value", [0, -1, 2.5])
@pytest.mark.parametrize(
    "field",
    ["num_envs", "num_steps", "num_updates", "batch_size", "buffer_size", "warmup_steps", "target_interval", "n_step"],
)
def test_a_count_that_is_no_positive_integer_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        dqn.make(stamped(), config(**{field: value}))


def test_hidden_sizes_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="hidden_sizes"):
        dqn.make(stamped(), config(hidden_sizes=(4, 0)))


def test_a_buffer_smaller_than_one_step_is_refused_and_one_as_large_runs():
    small = dict(num_envs=3, num_steps=2, n_step=3, warmup_steps=1)
    with pytest.raises(ValueError, match="buffer_size"):
        dqn.make(endless(), config(**small, buffer_size=5))
    _, states, _ = run(dqn.make(endless(), config(**small, buffer_size=6), network=linear()), steps=3)
    assert np.all(np.asarray(jnp.minimum(states.replay.added, 6)) == 6)


# Images


def test_image_observations_stay_bool_in_the_buffer_and_train_a_convolution():
    env = envs.make("Breakout-MinAtar")
    algorithm = dqn.make(env, config(num_envs=2, buffer_size=20, warmup_steps=4, hidden_sizes=(8,)))
    begun, states, metrics = run(algorithm, steps=1)
    data = states.replay.data
    for leaf in (data.observation, data.next_observation):
        assert leaf.shape == (1, 20, 10, 10, 4) and leaf.dtype == bool
        assert leaf.any() and not leaf.all()
    kernels = [params["params"]["torso"]["Conv"]["kernel"] for params in (begun.params, at(states, 0).params)]
    assert kernels[0].shape == (3 * 3 * 4, 16)
    assert np.all(np.isfinite(kernels[1])) and np.any(kernels[0] != kernels[1])
    assert np.isfinite(metrics["loss"]).all()


# Against dynamic programming

STATES, END = 4, 4  # END: the episode terminates on the way there


def random_mdp():
    """Returns (transition [state, action, next state or END], reward [state, action])."""
    generator = np.random.default_rng(4)
    transition = generator.dirichlet(np.full(STATES + 1, 0.5), size=(STATES, 2))
    return transition, generator.uniform(0.0, 2.0, size=(STATES, 2))


def best_values(transition, rewards, gamma: float) -> np.ndarray:
    """Returns Q* [state, action] by value iteration."""
    q = np.zeros((STATES, 2))
    for _ in range(2_000):
        value = np.append(q.max(axis=1), 0.0)
        q = rewards + gamma * transition @ value
    return q


def tabular(transition, rewards) -> Env:
    """Returns the MDP with one-hot observations, begun anywhere and cut by the time limit after 3 steps."""

    def reset(key):
        state = jax.random.randint(key, (), 0, STATES, jnp.int32)
        return (state, jnp.int32(0)), jax.nn.one_hot(state, STATES)

    def step(key, state, action):
        state, time = state
        reached = jax.random.categorical(key, jnp.log(jnp.asarray(transition, jnp.float32))[state, action])
        gain = jnp.asarray(rewards, jnp.float32)[state, action]
        observation = jax.nn.one_hot(reached, STATES)
        return (reached.astype(jnp.int32), time + 1), TimeStep(observation, gain, reached == END, time + 1 >= 3)

    return Env("tabular", reset, step, (STATES,), Discrete(2), 3)


def learned(transition, rewards, hparams, **fields) -> np.ndarray:
    """Returns Q [state, action] after 3000 updates of a linear network, nearly all actions random."""
    small = dict(num_envs=8, batch_size=128, buffer_size=40_000, target_interval=20, hidden_sizes=())
    algorithm = dqn.make(tabular(transition, rewards), config(**{**small, **fields}))
    hparams = hparams.replace(learning_rate=0.05, anneal=1.0, total_steps=24_000.0, gamma=0.9, epsilon_end=0.9)

    @probes.quick_jit
    def train(key):
        state = algorithm.init(key, hparams)
        state = jax.lax.fori_loop(0, 3_000, lambda _, state: algorithm.step(state, hparams)[0], state)
        observation = jnp.eye(STATES)
        greedy = jax.vmap(algorithm.act, (None, None, 0, None))(state, key, observation, False)
        q = QNetwork((STATES,), 2, (), fields.get("dueling", False)).apply(state.params, observation)
        return q, greedy

    return jax.tree.map(np.asarray, train(jax.random.key(0)))


VARIANTS = {
    "plain": (dict(double=False), {}),
    "double": (dict(double=True), {}),
    "dueling": (dict(double=True, dueling=True), {}),
    "polyak": (dict(double=True, target_interval=1), dict(target_rate=0.05)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_on_a_tabular_mdp_q_reaches_the_best_values_of_dynamic_programming(name):
    fields, of_hparams = VARIANTS[name]
    transition, rewards = random_mdp()
    expected = best_values(transition, rewards, 0.9)
    q, greedy = learned(transition, rewards, dqn.HParams(**of_hparams), **fields)
    np.testing.assert_allclose(q.max(axis=1), expected.max(axis=1), rtol=0.05)
    np.testing.assert_allclose(q, expected, rtol=0.1)
    np.testing.assert_array_equal(greedy, expected.argmax(axis=1))


def chain_mdp():
    """Returns the chain 0 -> 1 -> 2 -> 3 -> END whose two actions do the same, so that any behaviour is the best."""
    transition = np.zeros((STATES, 2, STATES + 1))
    transition[np.arange(STATES), :, np.arange(STATES) + 1] = 1.0
    return transition, np.tile(np.array([1.0, -1.0, 0.5, 3.0])[:, None], (1, 2))


def test_n_step_targets_with_hubers_loss_reach_the_values_where_all_behaviour_is_alike():
    transition, rewards = chain_mdp()
    q, _ = learned(transition, rewards, dqn.HParams(), n_step=3, huber=True, double=False)
    np.testing.assert_allclose(q, best_values(transition, rewards, 0.9), rtol=0.05)
    np.testing.assert_allclose(best_values(transition, rewards, 0.9)[:, 0], [2.692, 1.88, 3.2, 3.0], rtol=1e-6)
