"""Running normalisation of observations and rewards, as a pure part of the train state.

Observations are moved to mean 0 and variance 1 by the moments of all that were seen before the rollout, so that the
policy that is trained is the one that acted. Rewards are divided by the standard deviation of the discounted return.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from envs import VectorEnv, VectorState

LIMIT = 10.0  # normalised values are clipped to it
SMALL = 1e-8


@struct.dataclass
class Moments:
    """Mean and variance of `count` samples, elementwise."""

    count: jax.Array
    mean: jax.Array
    variance: jax.Array


@struct.dataclass
class Normalizer:
    """None where there is nothing to normalise."""

    observation: Moments | None
    discounted_return: Moments | None
    running_return: jax.Array | None  # [B], sum of gamma^k r_{t-k} over the episode so far


def start(vector: VectorEnv, observation: bool, reward: bool) -> Normalizer:
    """Returns the normaliser before anything was seen."""
    return Normalizer(
        observation=_no_moments(vector.env.observation_shape) if observation else None,
        discounted_return=_no_moments(()) if reward else None,
        running_return=jnp.zeros(vector.num_envs) if reward else None,
    )


def observe(normalizer: Normalizer, observation: jax.Array) -> jax.Array:
    """Returns the observations [..., *shape] as a network is to see them."""
    moments = normalizer.observation
    if moments is None:
        return observation
    return jnp.clip((observation - moments.mean) / jnp.sqrt(moments.variance + SMALL), -LIMIT, LIMIT)


def digest(normalizer: Normalizer, transitions, before: VectorState, gamma):
    """Returns (normaliser after the rollout, transitions [T, B] normalised). `before`: where the rollout began."""
    seen = transitions.replace(
        observation=observe(normalizer, transitions.observation),
        next_observation=observe(normalizer, transitions.next_observation),
    )
    if normalizer.observation is not None:
        normalizer = normalizer.replace(observation=update(normalizer.observation, transitions.observation))
    if normalizer.discounted_return is None:
        return normalizer, seen
    begun = jnp.where(before.episode_length > 0, normalizer.running_return, 0.0)
    running, returns = _discounted_sums(begun, transitions, gamma)
    moments = update(normalizer.discounted_return, returns)
    reward = jnp.clip(transitions.reward / jnp.sqrt(moments.variance + SMALL), -LIMIT, LIMIT)
    normalizer = normalizer.replace(discounted_return=moments, running_return=running)
    return normalizer, seen.replace(reward=reward)


def update(moments: Moments, samples: jax.Array) -> Moments:
    """Returns the moments with the samples [..., *shape] taken in (Chan, Golub and LeVeque 1983, eq. 2.1).

    Reckoned from the first sample, so that the mean of one number is that number to the last digit. Both move by what is
    new: a sum of squares would drift with its rounding.
    """
    axes = tuple(range(samples.ndim - moments.mean.ndim))
    new = samples.size / moments.mean.size
    total = moments.count + new
    samples = samples.astype(moments.mean.dtype)
    first = samples[(0,) * len(axes)]
    shift = jnp.mean(samples - first, axes) + (first - moments.mean)
    variance = jnp.where(moments.count > 0, moments.variance, 0.0)  # none is known before, though 1 is put there
    change = jnp.var(samples - first, axes) - variance + shift**2 * moments.count / total
    return Moments(total, moments.mean + shift * new / total, variance + change * new / total)


def _discounted_sums(begun, transitions, gamma):
    """Returns (sums after the last step [B], sums at every step [T, B]); an episode's end begins a new sum."""

    def one_step(running, row):
        reward, ended = row
        running = reward + gamma * running
        return jnp.where(ended, 0.0, running), running

    return lax.scan(one_step, begun, (transitions.reward, transitions.terminated | transitions.truncated))


def _no_moments(shape) -> Moments:
    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))
