"""NeuRD against the replicator equation, and PPO's annealed entropy against PPO."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kuhn_oracles import TREE, conditional, expected_gradient, quantal_response, softmax, some_logits
from scipy.integrate import solve_ivp

import envs
from algos import ppo
from algos.agents import entropy_annealed_ppo, neurd
from algos.core.distributions import Categorical
from algos.core.networks import only_legal
from algos.core.optimize import geometric, linear, scheduled
from algos.core.types import Algorithm, Batch


def hparams(alpha, threshold=0.0):
    return neurd.HParams(temperature=alpha, threshold=threshold)


@pytest.mark.parametrize("alpha", [pytest.param(0.0, marks=pytest.mark.slow), 0.3])
def test_the_expected_force_on_a_logit_is_what_its_action_is_worth_less_the_mean_of_all(alpha, float64):
    policy = softmax(some_logits())
    q, value = conditional(TREE, policy)
    entropy = -(policy * np.log(policy)).sum(1, keepdims=True)
    worth = q - value[:, None] - alpha * (np.log(policy) + entropy)
    found = expected_gradient(neurd.loss, hparams(alpha), policy)
    np.testing.assert_allclose(found, worth.mean(1, keepdims=True) - worth, atol=1e-8)


def test_where_the_temperature_stays_the_fixed_point_is_the_logit_quantal_response_equilibrium(float64):
    assert np.abs(expected_gradient(neurd.loss, hparams(0.3), quantal_response(0.3))).max() < 1e-6
    assert np.abs(expected_gradient(neurd.loss, hparams(0.6), quantal_response(0.3))).max() > 1e-2


ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
START = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])


def one_row(logits, observation, action, advantage, old, given=hparams(0.0)):  # noqa: B008
    """Returns NeuRD's loss of one decision at the row of the logits that the observation says."""
    nothing, said = jnp.zeros(1), Categorical(old[None])
    batch = Batch(
        observation=observation[None], action=action[None], policy=said, log_prob=said.log_prob(action[None]), value=nothing,
        reward=nothing, next_observation=nothing, next_value=nothing, terminated=nothing, truncated=nothing,
        advantage=advantage[None], value_target=nothing, mask=jnp.ones(1),
    )  # fmt: skip
    return neurd.loss(logits, lambda logits, seen: (Categorical(seen @ logits), nothing), batch, given)[0]


def expected_steps(size, count):
    """Returns both players' policies after so many steps down NeuRD's expected gradient in a table, both at once, [2, 3]."""
    place = jnp.arange(6)
    player, action, payoff = place // 3, place % 3, jnp.asarray(ROCK_PAPER_SCISSORS)

    def expected(logits, policy, advantage):
        each = jax.vmap(one_row, (None, 0, 0, 0, 0))(
            logits, jnp.eye(2)[player], action, advantage.reshape(-1), jnp.log(policy)[player]
        )
        return policy.reshape(-1) @ each

    def step(_, logits):
        policy = jax.nn.softmax(logits)
        worth = jnp.stack([payoff @ policy[1], -policy[0] @ payoff])
        advantage = worth - (policy * worth).sum(1, keepdims=True)
        return logits - size * jax.grad(expected)(logits, policy, advantage)

    return np.asarray(jax.nn.softmax(jax.jit(lambda x: jax.lax.fori_loop(0, count, step, x))(jnp.log(START))))


def replicator(time, power=1):
    """Returns the policies after so much time of d pi(a) / dt = pi(a) (u(a) - u), by scipy. power 2: of the policy gradient."""

    def velocity(_, flat):
        policy = flat.reshape(2, 3)
        worth = np.stack([ROCK_PAPER_SCISSORS @ policy[1], -policy[0] @ ROCK_PAPER_SCISSORS])
        force = policy ** (power - 1) * (worth - (policy * worth).sum(1, keepdims=True))
        return (policy * (force - (policy * force).sum(1, keepdims=True))).reshape(-1)

    return solve_ivp(velocity, (0.0, time), START.reshape(-1), rtol=1e-9, atol=1e-10).y[:, -1].reshape(2, 3)


def test_in_a_table_small_steps_are_the_replicator_equation(float64):
    found = expected_steps(0.002, 1500)
    np.testing.assert_allclose(found, replicator(3.0), atol=3e-3)
    assert np.abs(found - START).max() > 0.2 < 4 * np.abs(replicator(3.0, power=2) - found).max()


def test_beyond_the_threshold_a_logit_moves_inwards_alone():
    logits, old, seen = jnp.array([[3.0, -3.0]]), jnp.log(jnp.array([0.5, 0.5])), jnp.ones(1)

    gradient = jax.jit(jax.grad(one_row))

    def force(advantage, action):
        row = (seen, jnp.int32(action), jnp.float32(advantage), old, hparams(0.0, threshold=2.0))
        return -gradient(logits, *row)[0]

    np.testing.assert_allclose([force(1.0, 0), force(-1.0, 1)], np.zeros((2, 2)))
    np.testing.assert_allclose([force(-1.0, 0), force(1.0, 1)], [[-1.0, 1.0], [-1.0, 1.0]])


def test_a_logit_is_taken_less_the_mean_of_the_legal_ones_and_no_gradient_comes_near_the_others():
    seen = jnp.array([1.0, 0.0, 1.0, 1.0])
    logits = jnp.array([1.0, 50.0, 2.0, 6.0])

    def centred(logits):
        return neurd.centred_logit(only_legal(logits, seen), jnp.int32(3))

    value, gradient = jax.value_and_grad(centred)(logits)
    assert value == 3.0
    np.testing.assert_allclose(gradient, [-1 / 3, 0.0, -1 / 3, 2 / 3], rtol=1e-6)


def test_neurd_refuses_continuous_actions_in_one_line():
    with pytest.raises(ValueError, match="neurd needs discrete actions, Pendulum-v1 has continuous ones"):
        neurd.make(envs.make("Pendulum-v1"))


def test_a_hyperparameter_is_scheduled_to_where_its_formula_has_it_by_the_steps_taken():
    class HParams(NamedTuple):
        x: float = 8.0
        x_end: float = 2.0
        total_steps: float = 100.0

        def replace(self, **fields):
            return self._replace(**fields)

    plain = Algorithm(None, lambda state, hparams: (state, {"used": hparams.x}), None, steps_per_update=10)
    for schedule, halfway in ((linear, 5.0), (geometric, 4.0)):
        step = scheduled(plain, "x", schedule).step
        used = [float(step(SimpleNamespace(update=update), HParams())[1]["used"]) for update in (0, 5, 10, 30)]
        assert used == pytest.approx([8.0, halfway, 2.0, 2.0], rel=1e-6)
        told = step(SimpleNamespace(update=5), HParams())[1]["x"]
        assert float(told) == pytest.approx(halfway, rel=1e-6)


@pytest.mark.slow  # the schedule is asked every day
def test_ppo_with_annealed_entropy_is_ppo_with_the_coefficient_of_the_line():
    env, fields = envs.make("Kuhn"), {"num_envs": 4, "num_steps": 4, "num_epochs": 1, "num_minibatches": 1}
    algorithm = entropy_annealed_ppo.make(env, entropy_annealed_ppo.Config(**fields, hidden_sizes=()))
    plain = ppo.make(env, ppo.Config(**fields, hidden_sizes=(), normalize_advantage=False))
    total = 10.0 * algorithm.steps_per_update
    chosen = entropy_annealed_ppo.HParams(entropy_coef=0.5, entropy_coef_end=0.1, total_steps=total, anneal=0.0)

    @jax.jit
    def both(update, coef):
        state = algorithm.init(jax.random.key(0), chosen).replace(update=update)
        given = ppo.HParams(
            **{**{name: x for name, x in vars(chosen).items() if name != "entropy_coef_end"}, "entropy_coef": coef}
        )
        return algorithm.step(state, chosen), plain.step(state, given)

    for update, expected in ((0, 0.5), (5, 0.3), (10, 0.1), (25, 0.1)):
        (annealed, metrics), (constant, plainly) = both(jnp.int32(update), jnp.float32(expected))
        assert float(metrics["entropy_coef"]) == pytest.approx(expected, abs=1e-6)
        assert float(metrics["loss"]) == pytest.approx(float(plainly["loss"]), abs=1e-6)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), annealed.params, constant.params)
        assert abs(metrics["loss"] - both(jnp.int32(update), jnp.float32(0.9))[1][1]["loss"]) > 0.2
