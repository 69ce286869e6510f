"""PGQL against NumPy: its estimate of action values, its expected update enumerated on a small MDP, and where the
iteration ends.

The MDP has acting states 0 and 1 and a terminal state 2, whose value in the table is junk: a leak would show.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

import envs
from algos import a2c, pgql
from algos.core.distributions import Categorical
from algos.core.types import Batch, ReplayBatch, TrainState

ACTING, ACTIONS, STATES, JUNK = 2, 3, 3, 50.0
GAMMA, VALUE_COEF = 0.8, 0.7
GENERATOR = np.random.default_rng(0)
TRANSITION = GENERATOR.dirichlet(np.ones(STATES), size=(ACTING, ACTIONS))  # [state, action, next state]
REWARD = GENERATOR.normal(size=(ACTING, ACTIONS, STATES))
LOGITS, VALUES = GENERATOR.normal(size=(ACTING, ACTIONS)), GENERATOR.normal(size=ACTING)
VISITED = np.array([0.6, 0.4])  # how often each state is met by fresh experience
STORED = GENERATOR.dirichlet(np.full(ACTING * ACTIONS, 3.0)).reshape(ACTING, ACTIONS)  # and each pair, by replayed
STATE, ACTION, REACHED = (index.ravel() for index in np.indices(TRANSITION.shape))  # every transition there is
MEAN_REWARD = np.sum(TRANSITION * REWARD, axis=-1)

exact = pytest.mark.usefixtures("float64")


# The oracle: NumPy alone.


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def estimate(policy, value, alpha):
    """Returns Q~ [ACTING, ACTIONS], one number at a time."""
    q = np.zeros_like(policy)
    for state, row in enumerate(policy):
        entropy = -sum(p * np.log(p) for p in row)
        for action, p in enumerate(row):
            q[state, action] = alpha * (np.log(p) + entropy) + value[state]
    return q


def backed_up(next_value):
    """Returns E[r + gamma V(s')] of every pair; the terminal state is worth nothing."""
    return MEAN_REWARD + GAMMA * TRANSITION[:, :, :ACTING] @ next_value


def q_of(policy):
    """Returns Q^pi by solving the linear equations for V^pi."""
    moves = np.einsum("sa,sat->st", policy, TRANSITION[:, :, :ACTING])
    rewards = np.sum(policy * MEAN_REWARD, axis=-1)
    return backed_up(np.linalg.solve(np.eye(ACTING) - GAMMA * moves, rewards))


def best_q():
    """Returns Q* by value iteration."""
    q = np.zeros((ACTING, ACTIONS))
    for _ in range(500):
        q = backed_up(q.max(axis=-1))
    return q


def residuals(policy, value, alpha):
    """Returns (Q^pi - Q~, T*Q~ - Q~)."""
    q = estimate(policy, value, alpha)
    return q_of(policy) - q, backed_up(q.max(axis=-1)) - q


def update_of_section_4(logits, value, alpha, eta, stored):
    """Returns what is added to (logits, value), the sums of section 4 written out."""
    policy = softmax(logits)
    on_policy, bellman = residuals(policy, value, alpha)
    weighted = (1 - eta) * VISITED[:, None] * policy * on_policy + eta * stored * bellman
    return weighted - policy * weighted.sum(axis=-1, keepdims=True), VALUE_COEF * weighted.sum(axis=-1)


# The code under test, in expectation over every transition.


def tabular(params, observation):
    value = jnp.append(params["value"], JUNK)
    logits = jnp.concatenate([params["logits"], jnp.array([[JUNK, 0.0, -JUNK]])])
    return Categorical(logits[observation]), value[observation]


def parameters(logits=LOGITS, value=VALUES):
    return {"logits": jnp.asarray(logits), "value": jnp.asarray(value)}


def every_transition(params):
    """Returns `Batches` with every transition there is once, [N, 1]; the advantages are those of Q^pi, exactly."""
    policy = jax.nn.softmax(params["logits"])
    moves = jnp.einsum("sa,sat->st", policy, TRANSITION[:, :, :ACTING])
    state_value = jnp.linalg.solve(jnp.eye(ACTING) - GAMMA * moves, jnp.sum(policy * MEAN_REWARD, axis=-1))
    returns = (MEAN_REWARD + GAMMA * jnp.asarray(TRANSITION[:, :, :ACTING]) @ state_value)[STATE, ACTION][:, None]
    observation, action, reached = (jnp.asarray(x)[:, None] for x in (STATE, ACTION, REACHED))
    reward, terminated = jnp.asarray(REWARD.ravel())[:, None], reached == ACTING
    policy, value = tabular(params, observation)
    _, next_value = tabular(params, reached)
    fresh = Batch(
        observation=observation, action=action, policy=policy, log_prob=policy.log_prob(action), value=value,
        reward=reward, next_observation=reached, next_value=next_value, terminated=terminated,
        truncated=jnp.zeros_like(terminated), advantage=returns - value, value_target=returns,
        mask=jnp.ones_like(value),
    )  # fmt: skip
    replayed = ReplayBatch(
        observation=observation, action=action, reward=reward, discount=jnp.full_like(value, GAMMA),
        next_observation=reached, terminated=terminated, mask=jnp.ones_like(value),
        target_params=jax.tree.map(lambda x: jnp.broadcast_to(x, (len(STATE), *x.shape)), params),
    )  # fmt: skip
    return pgql.Batches(fresh, replayed)


def expected_update(params, alpha, eta, stored):
    """Returns minus the expected gradient of the loss: fresh and replayed transitions drawn independently."""
    hparams = pgql.HParams(gamma=GAMMA, eta=eta, entropy_coef=alpha, value_coef=VALUE_COEF)
    policy = jax.nn.softmax(params["logits"])
    chance = jnp.asarray(TRANSITION.ravel())
    fresh_chance = (VISITED[:, None] * policy)[STATE, ACTION] * chance
    replayed_chance = stored[STATE, ACTION] * chance
    batches = every_transition(params)

    def gradient(fresh, replayed):
        return jax.grad(lambda p: pgql.loss(p, tabular, pgql.Batches(fresh, replayed), hparams)[0])(params)

    pairs = jax.vmap(jax.vmap(gradient, (None, 0)), (0, None))(batches.fresh, batches.replayed)
    return jax.tree.map(lambda x: -jnp.einsum("i,j,ij...", fresh_chance, replayed_chance, x), pairs)


@functools.cache
def compiled_update():
    return probes.quick_jit(expected_update)


@functools.cache
def iterated(stored: str):
    """Returns the compiled iteration (alpha, eta) -> (policy, value), 40,000 updates from one start.

    stored: "fixed", or "policy" when what is replayed is distributed as what is fresh.
    """

    @jax.jit
    def run(alpha, eta):
        def update(_, params):
            on_policy = VISITED[:, None] * jax.nn.softmax(params["logits"])
            step = expected_update(params, alpha, eta, on_policy if stored == "policy" else jnp.asarray(STORED))
            return jax.tree.map(lambda x, dx: x + 0.5 * dx, params, step)

        return jax.lax.fori_loop(0, 40_000, update, parameters())

    def outcome(alpha, eta):
        params = run(alpha, eta)
        return softmax(np.asarray(params["logits"])), np.asarray(params["value"])

    return outcome


@exact
def test_the_estimate_is_alpha_times_log_probability_plus_entropy_plus_value():
    policy = softmax(LOGITS)
    q = pgql.action_values(Categorical(jnp.asarray(LOGITS)), jnp.asarray(VALUES), 0.3)
    np.testing.assert_allclose(q, estimate(policy, VALUES, 0.3), rtol=1e-12)


@exact
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_the_policys_expectation_of_the_estimate_is_the_value(scale):
    generator = np.random.default_rng(1)
    logits, value = scale * generator.normal(size=(50, 7, 4)), generator.normal(size=(50, 7))
    for alpha in (0.01, 1.0, 10.0):
        q = pgql.action_values(Categorical(jnp.asarray(logits)), jnp.asarray(value), alpha)
        np.testing.assert_allclose(np.sum(softmax(logits) * q, axis=-1), value, atol=1e-11)


@exact
@pytest.mark.parametrize("stored", [STORED, VISITED[:, None] * softmax(LOGITS)], ids=["others", "own"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_expected_update_is_that_of_section_4(eta, stored):
    step = compiled_update()(parameters(), 0.4, eta, jnp.asarray(stored))
    logits, value = update_of_section_4(LOGITS, VALUES, 0.4, eta, stored)
    np.testing.assert_allclose(step["logits"], logits, atol=1e-12)
    np.testing.assert_allclose(step["value"], value, atol=1e-12)
    assert np.abs(logits).max() > 1e-2 and np.abs(value).max() > 1e-2


@exact
def test_with_eta_0_loss_and_gradient_are_a2cs_whatever_is_replayed():
    params, masked = parameters(), jnp.asarray(np.arange(len(STATE))[:, None] % 3 != 2, jnp.float64)
    batches = every_transition(params)
    fresh = batches.fresh.replace(mask=masked)
    replayed = batches.replayed.replace(target_params=params)
    coefficients = {"value_coef": 0.7, "entropy_coef": 0.3}

    def a2cs(params):
        return a2c.loss(params, tabular, fresh, a2c.HParams(**coefficients))[0]

    def pgqls(params, reward, eta):
        batch = pgql.Batches(fresh, replayed.replace(reward=reward))
        return pgql.loss(params, tabular, batch, pgql.HParams(eta=eta, **coefficients))[0]

    expected = jax.tree.leaves(probes.quick_jit(jax.value_and_grad(a2cs))(params))
    ours = probes.quick_jit(jax.value_and_grad(pgqls))
    rewards = (replayed.reward, jnp.full_like(replayed.reward, 9.0))
    for reward in rewards:
        for one, other in zip(jax.tree.leaves(ours(params, reward, 0.0)), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-17)
    one, other = (ours(params, reward, 0.5)[1] for reward in rewards)
    assert np.abs(one["logits"] - other["logits"]).max() > 1e-2 and np.abs(one["value"] - other["value"]).max() > 1e-2


@exact
def test_with_no_replayed_sample_counted_the_rest_is_one_minus_eta_of_a2c():
    params = parameters()
    batches = every_transition(params)
    nothing = batches.replayed.replace(mask=jnp.zeros_like(batches.replayed.mask), target_params=params)
    hparams = {"value_coef": 0.7, "entropy_coef": 0.3}
    ours = pgql.loss(params, tabular, pgql.Batches(batches.fresh, nothing), pgql.HParams(eta=0.25, **hparams))
    theirs = a2c.loss(params, tabular, batches.fresh, a2c.HParams(**hparams))
    np.testing.assert_allclose(ours[0], 0.75 * theirs[0], rtol=1e-12)


@exact
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_where_the_policy_gradient_ends_the_estimate_is_the_policys_true_action_value(alpha):
    policy, value = iterated("fixed")(alpha, 0.0)
    true = q_of(policy)
    np.testing.assert_allclose(policy, softmax(true / alpha), atol=1e-8)
    np.testing.assert_allclose(value, np.sum(policy * true, axis=-1), atol=1e-8)
    np.testing.assert_allclose(estimate(policy, value, alpha), true, atol=1e-7)
    assert np.abs(policy - softmax(LOGITS)).max() > 0.1


@exact
def test_there_the_bellman_residual_is_positive_and_at_most_gamma_alpha_log_actions_and_falls_with_alpha():
    largest = []
    for alpha in (2.0, 1.0, 0.5, 0.3):
        _, residual = residuals(*iterated("fixed")(alpha, 0.0), alpha)
        assert np.all(residual > 0.0) and np.all(residual < GAMMA * alpha * np.log(ACTIONS))
        largest.append(residual.max())
    assert np.all(np.diff(largest) < 0.0) and largest[0] > 4 * largest[-1]


@exact
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_q_learning_alone_ends_at_the_optimal_action_values_whatever_is_stored(alpha):
    for stored in ("fixed", "policy"):
        policy, value = iterated(stored)(alpha, 1.0)
        np.testing.assert_allclose(estimate(policy, value, alpha), best_q(), atol=1e-7)
        np.testing.assert_allclose(policy, softmax(best_q() / alpha), atol=1e-7)


@exact
def test_in_between_replaying_the_policys_own_experience_ends_at_a_mixture_of_both_targets():
    policy, value = iterated("policy")(0.5, 0.3)
    q = estimate(policy, value, 0.5)
    np.testing.assert_allclose(q, 0.7 * q_of(policy) + 0.3 * backed_up(q.max(axis=-1)), atol=1e-7)
    assert np.abs(q - q_of(policy)).max() > 1e-2 and np.abs(q - best_q()).max() > 1e-2


@exact
def test_in_between_with_others_experience_the_weighted_residuals_cancel_in_every_pair():
    policy, value = iterated("fixed")(0.5, 0.3)
    on_policy, bellman = residuals(policy, value, 0.5)
    np.testing.assert_allclose(0.7 * VISITED[:, None] * policy * on_policy, -0.3 * STORED * bellman, atol=1e-8)
    assert np.abs(STORED * bellman).max() > 1e-3


# The algorithm around the loss.

WALK = probes.random_walk(3)
SMALL = pgql.Config(num_envs=3, num_steps=4, batch_size=40, buffer_size=30, warmup_steps=10)  # 12 to warm up
SPY_HPARAMS = pgql.HParams(gamma=GAMMA, total_steps=1000.0)


def spying(params, apply, batch, hparams):
    """A loss that hands out what it was given."""
    total, metrics = pgql.loss(params, apply, batch, hparams)
    return total, {**metrics, "batch": batch}


@functools.cache
def begun(config=SMALL):
    """Returns (algorithm, state) before the first update."""
    algorithm = pgql.make(WALK, config, loss=spying, network=probes.Linear())
    return algorithm, probes.quick_jit(algorithm.init)(jax.random.key(0), SPY_HPARAMS)


@functools.cache
def stepped():
    """Returns (state, following state, batch) of the first update."""
    algorithm, state = begun()
    following, metrics = probes.quick_jit(algorithm.step)(state, SPY_HPARAMS)
    return state, following, metrics["batch"]


def rows(steps, size):
    """Returns one row of numbers a transition, [size, ...]."""
    names = [name for name in pgql.Experience.__dataclass_fields__ if name != "live"]  # None: there is one agent
    return np.concatenate([np.asarray(getattr(steps, name), float).reshape(size, -1) for name in names], axis=1)


def test_the_warm_up_is_stored_and_counted_and_begins_where_a2c_begins():
    algorithm, state = begun()
    assert algorithm.steps_in_init == 12 and int(state.replay.added) == 12
    others = a2c.make(WALK, a2c.Config(num_envs=3), network=probes.Linear())
    theirs = probes.quick_jit(others.init)(jax.random.key(0), a2c.HParams())
    np.testing.assert_array_equal(state.replay.data.observation[:3], theirs.environment.observation)
    jax.tree.map(np.testing.assert_array_equal, state.params, theirs.params)
    stored = state.replay.data
    went_on = np.all(
        stored.next_observation[:6] == stored.observation[3:9], axis=-1
    )  # before the limit, the third step
    np.testing.assert_array_equal(went_on, ~stored.terminated[:6])
    assert went_on.any()


def test_a_step_stores_all_that_is_fresh_and_replays_what_is_stored():
    state, following, batch = stepped()
    assert int(following.replay.added) == 24 and batch.fresh.observation.shape == (4, 3, 2)
    memory = rows(following.replay.data, 30)
    np.testing.assert_array_equal(memory[:12], rows(state.replay.data, 30)[:12])
    np.testing.assert_array_equal(memory[12:24], rows(batch.fresh, 12))
    drawn = {tuple(row) for row in rows(batch.replayed, 40)}
    assert drawn <= {tuple(row) for row in memory[:24]}
    assert drawn & {tuple(row) for row in memory[:12]} and drawn & {tuple(row) for row in memory[12:24]}
    np.testing.assert_allclose(batch.replayed.discount, GAMMA, rtol=1e-6)
    np.testing.assert_array_equal(batch.replayed.mask, 1.0)
    jax.tree.map(np.testing.assert_array_equal, batch.replayed.target_params, state.params)


def test_of_a_warm_up_longer_than_the_buffer_the_newest_are_kept():
    _, state = begun(pgql.Config(num_envs=3, num_steps=4, batch_size=40, buffer_size=13, warmup_steps=30))
    stored = state.replay.data
    reached_last = np.all(stored.next_observation[-3:] == state.environment.observation, axis=-1)
    np.testing.assert_array_equal(reached_last, state.environment.episode_length > 0)
    assert reached_last.any() and int(state.replay.added) == 13


def test_with_eta_0_an_update_moves_the_parameters_as_a2cs_does():
    hparams = {"gamma": 0.9, "gae_lambda": 0.8, "entropy_coef": 0.2, "value_coef": 0.7, "max_grad_norm": 0.1,
               "anneal": 0.0}  # fmt: skip
    ours = pgql.make(WALK, SMALL, network=probes.Linear())
    theirs = a2c.make(WALK, a2c.Config(num_envs=3, num_steps=4), network=probes.Linear())
    state = probes.quick_jit(ours.init)(jax.random.key(1), pgql.HParams(eta=0.0, **hparams))
    shared = {name: getattr(state, name, None) for name in TrainState.__dataclass_fields__}
    before, their_state = state.params, TrainState(**shared)
    our_step, their_step = probes.quick_jit(ours.step), probes.quick_jit(theirs.step)
    for _ in range(3):  # both take the first two keys of a split: the rollouts are the same
        state, _ = our_step(state, pgql.HParams(eta=0.0, **hparams))
        their_state, _ = their_step(their_state, a2c.HParams(**hparams))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-7), state.params, their_state.params)
    moved = jax.tree.map(lambda x, y: float(np.abs(x - y).max()), before, state.params)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_continuous_actions_are_refused():
    with pytest.raises(ValueError, match="pgql needs discrete actions, Pendulum-v1 has .* a2c"):
        pgql.make(envs.make("Pendulum-v1"))


@pytest.mark.parametrize("field", ["num_envs", "num_steps", "batch_size", "buffer_size", "warmup_steps"])
def test_sizes_must_be_positive_integers(field):
    with pytest.raises(ValueError, match=f"{field} must be a positive integer, not 0"):
        pgql.make(WALK, pgql.Config(**{field: 0}))


def test_a_rollout_must_fit_the_buffer():
    with pytest.raises(ValueError, match="buffer_size=11 must be num_envs"):
        pgql.make(WALK, pgql.Config(num_envs=3, num_steps=4, buffer_size=11))
