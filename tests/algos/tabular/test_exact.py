"""Exact gradients against finite differences, against every trajectory enumerated, and against the losses of REINFORCE and A2C."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from algos import a2c, reinforce
from algos.core.distributions import Categorical
from algos.core.networks import ActorCritic
from algos.core.returns import gae, reward_to_go
from algos.core.types import Batch
from algos.tabular import exact
from envs import Discrete
from envs.mdp import from_arrays, problems

pytestmark = pytest.mark.usefixtures("float64")

STATES, ACTIONS, LONGEST, END = 5, 2, 3, 4
GAMMA = 0.7


def tiny():
    """States 0 and 1 lead to 2 and 3, or end; those lead on to state 3, or end: three steps at most."""
    random = np.random.default_rng(0)
    successor = np.array([[[2, 3, END]] * 2, [[2, 3, END]] * 2, [[3, 3, END]] * 2, [[END] * 3] * 2, [[END] * 3] * 2])
    probability = random.dirichlet(np.ones(3), size=(STATES, ACTIONS))
    reward = random.normal(size=successor.shape)
    reward[END] = 0.0
    return from_arrays(successor, probability, reward, successor == END, np.array([0.6, 0.4, 0, 0, 0]))


MDP = tiny()
LOGITS = np.random.default_rng(1).normal(size=STATES * ACTIONS)


def softmax(params):
    return Categorical(params.reshape(STATES, ACTIONS))


def network_policy():
    network = ActorCritic((STATES,), Discrete(ACTIONS), (4,))
    params = network.init(jax.random.key(0), jnp.eye(STATES))
    flat, unravel = ravel_pytree(jax.tree.map(lambda x: x.astype(jnp.float64), params))
    flat = flat + 0.3 * jax.random.normal(jax.random.key(1), flat.shape)
    return lambda params: network.apply(unravel(params), jnp.eye(STATES))[0], flat


def differences(function, point, width=1e-5):
    steps = width * np.eye(point.size)
    return np.array([(function(point + step) - function(point - step)) / (2 * width) for step in steps])


def softmax_policy():
    return softmax, jnp.asarray(LOGITS)


@pytest.mark.parametrize("make", [softmax_policy, network_policy])
def test_autodiff_the_theorem_and_finite_differences_give_one_gradient(make):
    policy, params = make()

    @jax.jit
    def both(at):
        measured = jax.value_and_grad(lambda new: exact.expected_return(MDP, policy, new, GAMMA))
        return measured(at), exact.policy_gradient(MDP, policy, at, GAMMA)

    (_, by_autodiff), by_theorem = both(params)
    np.testing.assert_allclose(by_autodiff, by_theorem, atol=1e-12)
    np.testing.assert_allclose(by_autodiff, differences(lambda at: both(at)[0][0], params), atol=1e-8)
    assert np.abs(by_autodiff).max() > 1e-2


def paths():
    """Yields (chance of the environment's part, [(state, action, reward, successor, ended), ...]) of every trajectory."""

    def onward(state, chance, before):
        for action, k in itertools.product(range(ACTIONS), range(3)):
            reached, over = MDP.successor[state, action, k], MDP.terminated[state, action, k]
            path = [*before, (state, action, MDP.reward[state, action, k], reached, over)]
            p = chance * MDP.probability[state, action, k]
            yield from [(p, path)] if over else onward(reached, p, path)

    for state in (0, 1):
        yield from onward(state, MDP.start[state], [])


PATHS = list(paths())


def filled(row, fill):
    """Returns an array [LONGEST, N] of one entry of the steps; rows after an end are filled up."""
    column = [[step[row] for step in path] + [fill] * (LONGEST - len(path)) for _, path in PATHS]
    return np.array(column).T


@functools.partial(jax.jit, static_argnames="gae_lambda")
def batch_of_all(value, gamma, gae_lambda=None):
    state, action, reward, reached, over = (filled(row, fill) for row, fill in enumerate((END, 0, 50.0, END, False)))
    mask = jnp.asarray(filled(3, -1) >= 0, jnp.float64)
    policy, value_of = Categorical(jnp.asarray(LOGITS).reshape(STATES, ACTIONS)[state]), jnp.asarray(value)
    cut = jnp.zeros_like(over)
    if gae_lambda is None:
        advantage = reward_to_go(reward, over, cut, gamma) - value_of[state]
    else:
        advantage = gae(reward, over, cut, value_of[state], value_of[reached], gamma, gae_lambda)
    return Batch(
        observation=jnp.asarray(state), action=jnp.asarray(action), policy=policy, log_prob=policy.log_prob(action),
        value=value_of[state], reward=reward, next_observation=reached, next_value=value_of[reached], terminated=over,
        truncated=cut, advantage=advantage, value_target=advantage + value_of[state], mask=mask,
    )  # fmt: skip


def sampled_field(loss, hparams, batch, weight=None):
    """Returns minus the expected gradient of the loss, summed over an episode's steps: what sampling comes to."""
    probs = np.asarray(jax.nn.softmax(LOGITS.reshape(STATES, ACTIONS)))
    chance = np.array([p * np.prod([probs[state, action] for state, action, *_ in path]) for p, path in PATHS])
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    if weight is not None:
        batch = batch.replace(advantage=batch.advantage * weight)

    def apply(params, observation):
        return Categorical(params.reshape(STATES, ACTIONS)[observation]), jnp.zeros(observation.shape)

    def summed(params, trajectory):
        trajectory = jax.tree.map(lambda x: x[:, None], trajectory)
        return loss(params, apply, trajectory, hparams)[0] * trajectory.mask.sum()

    gradients = jax.jit(jax.vmap(jax.grad(summed), (None, 1)))(jnp.asarray(LOGITS), batch)
    return -chance @ np.asarray(gradients)


@jax.jit
def truth(gamma):
    """Returns (values, grad J) of the policy, by autodiff."""
    params = jnp.asarray(LOGITS)
    gradient = jax.grad(lambda at: exact.expected_return(MDP, softmax, at, gamma))(params)
    return exact.value(MDP, exact.probabilities(softmax, params), gamma), gradient


WRONG = np.random.default_rng(3).normal(size=STATES)
SAMPLED = {
    "reinforce": lambda gamma: (reinforce.loss, reinforce.HParams(value_coef=0.0), batch_of_all(WRONG * 0, gamma)),
    "reinforce with a baseline": lambda gamma: (
        reinforce.loss, reinforce.HParams(value_coef=0.0), batch_of_all(WRONG, gamma)
    ),
    "a2c": lambda gamma: (a2c.loss, a2c.HParams(value_coef=0.0), batch_of_all(truth(gamma)[0], gamma, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLED)
def test_what_the_losses_sample_is_the_undiscounted_field_and_the_gradient_only_without_a_discount(name):
    discounted, undiscounted = both_fields(jnp.asarray(LOGITS))
    sampled = sampled_field(*SAMPLED[name](GAMMA))
    np.testing.assert_allclose(sampled, undiscounted, atol=1e-12)
    assert np.abs(sampled - discounted).max() > 1e-3
    weighted = sampled_field(*SAMPLED[name](GAMMA), weight=GAMMA ** np.arange(LONGEST)[:, None])
    np.testing.assert_allclose(weighted, discounted, atol=1e-12)
    np.testing.assert_allclose(sampled_field(*SAMPLED[name](1.0)), truth(1.0)[1], atol=1e-12)


@jax.jit
def both_fields(params):
    return [exact.policy_gradient(MDP, softmax, params, GAMMA, weighting) for weighting in exact.WEIGHTINGS]


def test_the_undiscounted_field_is_the_gradient_of_nothing():
    """Its derivatives do not commute, as those of a gradient must."""
    params = jnp.asarray(LOGITS)
    for weighting, symmetric in (("discounted", True), ("undiscounted", False)):
        jacobian = jax.jit(jax.jacobian(functools.partial(field, weighting=weighting)))(params)
        assert (np.abs(jacobian - jacobian.T).max() < 1e-12) == symmetric


def field(params, weighting):
    """Returns the field, differentiable: weights and values too depend on the parameters."""
    probs = exact.probabilities(softmax, params)
    weight, q = exact.weights(MDP, probs, GAMMA, weighting), exact.action_value(MDP, probs, GAMMA)
    advantage = q - (probs * q).sum(1, keepdims=True)
    return (weight[:, None] * probs * advantage).ravel()


def of(function, params=LOGITS, *rest):
    """Returns what a function of the parameters gives, compiled as one."""
    return jax.jit(function)(jnp.asarray(params), *rest)


def test_visits_are_counted_as_the_trajectories_count_them():
    probs = np.asarray(jax.nn.softmax(LOGITS.reshape(STATES, ACTIONS)))
    for gamma in (GAMMA, 1.0):
        counted = np.zeros(STATES)
        for p, path in PATHS:
            chance = p * np.prod([probs[state, action] for state, action, *_ in path])
            np.add.at(counted, [step[0] for step in path], chance * gamma ** np.arange(len(path)))
        visits = of(functools.partial(exact.visits, MDP, gamma=gamma), probs)
        np.testing.assert_allclose(visits, counted, atol=1e-12)


@pytest.mark.parametrize("weighting", exact.WEIGHTINGS)
def test_the_natural_gradient_of_a_softmax_is_the_advantage(weighting):
    q = np.asarray(of(lambda at: exact.action_value(MDP, exact.probabilities(softmax, at), GAMMA)))
    natural = np.asarray(of(lambda at: exact.natural_gradient(MDP, softmax, at, GAMMA, weighting)))
    centred = q - q.mean(1, keepdims=True)  # the same number for all actions changes no policy
    np.testing.assert_allclose(natural.reshape(STATES, ACTIONS)[:END], centred[:END], atol=1e-9)


@pytest.mark.parametrize("weighting", exact.WEIGHTINGS)
def test_fisher_is_the_curvature_of_the_kl_averaged_over_the_same_visits(weighting):
    policy, params = network_policy()
    other = exact.WEIGHTINGS[weighting == "discounted"]

    def matrices(params):
        hessian = jax.hessian(lambda new: exact.mean_kl(MDP, policy, params, new, GAMMA, weighting))(params)
        return hessian, *(exact.fisher(MDP, policy, params, GAMMA, which) for which in (weighting, other))

    hessian, fisher, another = of(matrices, params)
    np.testing.assert_allclose(fisher, hessian, atol=1e-12)
    assert np.abs(another - hessian).max() > 1e-4


@pytest.mark.parametrize("weighting", exact.WEIGHTINGS)
def test_a_trust_region_step_has_the_kl_it_was_given_and_no_step_of_that_kl_promises_more(weighting):
    policy, params = network_policy()

    def step_and_outcome(params):
        step = exact.trust_region_step(MDP, policy, params, GAMMA, 1e-6, weighting)
        before, after = (exact.expected_return(MDP, policy, at, GAMMA) for at in (params, params + step))
        kl = exact.mean_kl(MDP, policy, params, params + step, GAMMA, weighting)
        gradient = exact.policy_gradient(MDP, policy, params, GAMMA, weighting)
        return step, kl, after - before, gradient, exact.fisher(MDP, policy, params, GAMMA, weighting)

    step, kl, gained, gradient, fisher = map(np.asarray, of(step_and_outcome, params))
    assert kl == pytest.approx(1e-6, rel=1e-2)
    for other in np.random.default_rng(0).normal(size=(50, params.size)):
        other = other * np.sqrt(2e-6 / (other @ fisher @ other))
        assert gradient @ step > gradient @ other
    assert gained > 0 and (weighting == "undiscounted" or gained == pytest.approx(gradient @ step, rel=1e-2))


def test_where_there_is_nothing_to_gain_there_is_no_step():
    nothing = MDP.replace(reward=MDP.reward * 0.0)
    np.testing.assert_array_equal(of(lambda at: exact.trust_region_step(nothing, softmax, at, GAMMA, 0.01)), 0.0)


def test_weightings_that_have_no_meaning_are_refused():
    grid, probs = problems.model("Gridworld"), np.full((25, 4), 0.25)
    with pytest.raises(ValueError, match="from state 0 the policy never ends"):
        exact.weights(grid, probs, 0.9, "undiscounted")
    with pytest.raises(ValueError, match="weighting must be one of discounted, undiscounted, not 'stationary'"):
        exact.weights(grid, probs, 0.9, "stationary")
