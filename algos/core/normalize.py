"""Running normalisation of observations and rewards, as a pure part of the train state.

Observations are moved to mean 0 and variance 1 by the moments of all that were seen before the rollout, so that the
policy that is trained is the one that acted. Rewards are divided by the standard deviation of the discounted return. With
agents, moments are those of rows that take part: observations that were acted on, returns of agents that had not ended. What
says which actions are legal is not moved.
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
    shape, layout = vector.env.observation_shape, vector.env.layout
    shape = shape if layout is None else (layout.own + layout.state,)
    return Normalizer(
        observation=_no_moments(shape) if observation else None,
        discounted_return=_no_moments(()) if reward else None,
        running_return=jnp.zeros(vector.num_rows) if reward else None,
    )


def observe(normalizer: Normalizer, observation: jax.Array) -> jax.Array:
    """Returns the observations [..., *shape] as a network is to see them."""
    moments = normalizer.observation
    if moments is None:
        return observation
    moved = _moved(moments, observation)
    if moved is not observation:
        seen = observe(normalizer, moved)
        return jnp.concatenate([seen, observation[..., moved.shape[-1] :].astype(seen.dtype)], axis=-1)
    return jnp.clip((observation - moments.mean) / jnp.sqrt(moments.variance + SMALL), -LIMIT, LIMIT)


def digest(normalizer: Normalizer, transitions, before: VectorState, gamma):
    """Returns (normaliser after the rollout, transitions [T, B] normalised). `before`: where the rollout began."""
    seen = transitions.replace(
        observation=observe(normalizer, transitions.observation),
        next_observation=observe(normalizer, transitions.next_observation),
    )
    if normalizer.observation is not None:
        moved = _moved(normalizer.observation, transitions.observation)
        moments = update(normalizer.observation, moved, transitions.acting)
        normalizer = normalizer.replace(observation=moments)
    if normalizer.discounted_return is None:
        return normalizer, seen
    length = before.episode_length
    if transitions.acting is not None:
        length = jnp.repeat(length, normalizer.running_return.size // length.size)
    begun = jnp.where(length > 0, normalizer.running_return, 0.0)
    running, returns = _discounted_sums(begun, transitions, gamma)
    moments = update(normalizer.discounted_return, returns, transitions.live)
    reward = jnp.clip(transitions.reward / jnp.sqrt(moments.variance + SMALL), -LIMIT, LIMIT)
    normalizer = normalizer.replace(discounted_return=moments, running_return=running)
    return normalizer, seen.replace(reward=reward)


def _moved(moments: Moments, observation: jax.Array) -> jax.Array:
    """Returns the part of an observation that is normalised: all but what is legal, which comes last."""
    size = moments.mean.shape[-1:]
    return observation if size == observation.shape[-1:] or not size else observation[..., : size[0]]


def update(moments: Moments, samples: jax.Array, mask: jax.Array | None = None) -> Moments:
    """Returns the moments with the samples [..., *shape] taken in (Chan, Golub and LeVeque 1983, eq. 2.1); mask [...] says
    which of them count, None: all.

    Reckoned from the first sample, so that the mean of one number is that number to the last digit. Both move by what is
    new: a sum of squares would drift with its rounding.
    """
    axes = tuple(range(samples.ndim - moments.mean.ndim))
    if mask is not None:
        return _update_some(moments, samples.astype(moments.mean.dtype), mask, axes)
    new = samples.size / moments.mean.size
    total = moments.count + new
    samples = samples.astype(moments.mean.dtype)
    first = samples[(0,) * len(axes)]
    shift = jnp.mean(samples - first, axes) + (first - moments.mean)
    variance = jnp.where(moments.count > 0, moments.variance, 0.0)  # none is known before, though 1 is put there
    change = jnp.var(samples - first, axes) - variance + shift**2 * moments.count / total
    return Moments(total, moments.mean + shift * new / total, variance + change * new / total)


def _update_some(moments: Moments, samples: jax.Array, mask: jax.Array, axes: tuple[int, ...]) -> Moments:
    """Returns `update` by the samples where mask is True: as before where there are none."""
    counts = mask.reshape(*mask.shape, *(1,) * moments.mean.ndim)
    new = jnp.sum(mask, dtype=moments.count.dtype)
    total, divisor = moments.count + new, jnp.maximum(new, 1.0)
    first = samples.reshape(-1, *moments.mean.shape)[jnp.argmax(mask.reshape(-1))]
    difference = jnp.where(counts, samples - first, 0.0)
    average = jnp.sum(difference, axes) / divisor
    shift = average + (first - moments.mean)
    variance = jnp.where(moments.count > 0, moments.variance, 0.0)
    spread = jnp.sum(jnp.where(counts, (difference - average) ** 2, 0.0), axes) / divisor
    change = spread - variance + shift**2 * moments.count / jnp.maximum(total, 1.0)
    share = new / jnp.maximum(total, 1.0)
    found = Moments(total, moments.mean + shift * share, variance + change * share)
    return jax.tree.map(lambda old, now: jnp.where(new > 0, now, old), moments, found)


def _discounted_sums(begun, transitions, gamma):
    """Returns (sums after the last step [B], sums at every step [T, B]); an episode's end begins a new sum. While an agent
    waits nothing is discounted."""
    discount = gamma if transitions.acting is None else jnp.where(transitions.acting, gamma, 1.0)

    def one_step(running, row):
        reward, ended, *waited = row
        running = reward + (waited[0] if waited else discount) * running
        return jnp.where(ended, 0.0, running), running

    rows = (transitions.reward, transitions.terminated | transitions.truncated)
    return lax.scan(one_step, begun, rows if transitions.acting is None else (*rows, discount))


def _no_moments(shape) -> Moments:
    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))
