"""Action distributions as pytrees: batched over every leading axis, differentiable, and nothing hidden.

Both policies have the same methods, so a loss reads the same for discrete and for continuous actions. `noise` draws the
randomness of a sample before the parameters are known (only shapes are used), `sample_from` turns it into actions:
a rollout draws all its noise at once.
"""

import jax
import jax.numpy as jnp
from flax import struct

LOG_2PI = 1.8378770664093453


@struct.dataclass
class Categorical:
    """p(a) = softmax(logits)_a over A actions; `logits` [..., A] need not be normalised."""

    logits: jax.Array

    def log_probs(self) -> jax.Array:
        """Returns log p(a) for every action, [..., A]."""
        return jax.nn.log_softmax(self.logits)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Returns log p(action), [...]. A selection instead of a gather: its gradient is no scatter."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(chosen, self.log_probs(), 0.0), axis=-1)

    def entropy(self) -> jax.Array:
        """Returns -sum_a p(a) log p(a) in nats, [...]."""
        return -_expectation(self.log_probs(), self.log_probs())

    def kl(self, other: "Categorical") -> jax.Array:
        """Returns KL(self || other) = sum_a p(a) (log p(a) - log q(a)) in nats, [...]."""
        return _expectation(self.log_probs(), self.log_probs() - other.log_probs())

    def fisher(self, tangent: "Categorical") -> "Categorical":
        """Returns the Fisher metric times a tangent of the logits: (diag(p) - p p^T) u."""
        probs = jnp.exp(self.log_probs())
        weighted = probs * tangent.logits
        return Categorical(weighted - probs * jnp.sum(weighted, axis=-1, keepdims=True))

    def noise(self, key: jax.Array, leading: tuple[int, ...] = ()) -> jax.Array:
        """Returns Gumbel noise [*leading, ..., A]."""
        return jax.random.gumbel(key, leading + self.logits.shape, self.logits.dtype)

    def sample_from(self, noise: jax.Array) -> jax.Array:
        """Returns argmax_a (logits_a + noise_a), which is distributed as softmax(logits) (Gumbel 1954), int32 [...]."""
        return jnp.argmax(self.logits + noise, axis=-1).astype(jnp.int32)

    def sample(self, key: jax.Array) -> jax.Array:
        """Returns one action a row, int32 [...]."""
        return self.sample_from(self.noise(key))

    def mode(self) -> jax.Array:
        """Returns the most probable action, int32 [...]; the lowest index among equals."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)


def _expectation(log_probs: jax.Array, x: jax.Array) -> jax.Array:
    """Returns sum_a p(a) x_a over the actions with p(a) > 0; x may be anything at the others, gradients stay finite."""
    possible = log_probs > -jnp.inf
    return jnp.sum(jnp.exp(log_probs) * jnp.where(possible, x, 0.0), axis=-1)


def epsilon_greedy(q: jax.Array, epsilon, only_some: bool = False) -> Categorical:
    """Returns the policy that takes the best action of q [..., A], or with probability epsilon any, all alike; only_some: but
    never one whose value is -inf, as those that are not legal have."""
    greedy = jax.nn.one_hot(jnp.argmax(q, axis=-1), q.shape[-1], dtype=q.dtype)
    if only_some:
        legal = q > -jnp.inf
        return Categorical(jnp.log((1.0 - epsilon) * greedy + epsilon * legal / jnp.sum(legal, axis=-1, keepdims=True)))
    return Categorical(jnp.log((1.0 - epsilon) * greedy + epsilon / q.shape[-1]))


@struct.dataclass
class Quantiles:
    """Each action's return as N equally likely values (arXiv 1710.10044, eq. 6); `values` [..., A, N].

    A Q-network may give them in place of Q: DQN acts by the mean.
    """

    values: jax.Array

    def mean(self) -> jax.Array:
        """Returns Q [..., A]."""
        return jnp.mean(self.values, axis=-1)

    def of(self, action: jax.Array) -> jax.Array:
        """Returns the values of one action's return, [..., N]. A selection instead of a gather."""
        chosen = jax.nn.one_hot(action, self.values.shape[-2], dtype=bool)[..., None]
        return jnp.sum(self.values, axis=-2, where=chosen)


@struct.dataclass
class DiagonalGaussian:
    """Independent normals: `mean` [..., d] and `log_std` [..., d]; the last axis is one action vector."""

    mean: jax.Array
    log_std: jax.Array

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Returns the log density of the action as sampled, summed over d, [...]."""
        scaled = (action - self.mean) * jnp.exp(-self.log_std)
        return -jnp.sum(0.5 * scaled**2 + self.log_std + 0.5 * LOG_2PI, axis=-1)

    def entropy(self) -> jax.Array:
        """Returns the differential entropy sum_i (log sigma_i + (1 + log 2 pi) / 2) in nats, [...]."""
        per_dimension = self.log_std + 0.5 * (1.0 + LOG_2PI)
        return jnp.sum(jnp.broadcast_to(per_dimension, self.mean.shape), axis=-1)

    def kl(self, other: "DiagonalGaussian") -> jax.Array:
        """Returns KL(self || other) in nats, summed over d, [...]."""
        log_ratio = other.log_std - self.log_std
        squares = jnp.exp(-2.0 * log_ratio) + ((self.mean - other.mean) * jnp.exp(-other.log_std)) ** 2
        return jnp.sum(log_ratio + 0.5 * (squares - 1.0), axis=-1)

    def fisher(self, tangent: "DiagonalGaussian") -> "DiagonalGaussian":
        """Returns the Fisher metric times a tangent: 1 / sigma^2 on the mean, 2 on log sigma."""
        return DiagonalGaussian(jnp.exp(-2.0 * self.log_std) * tangent.mean, 2.0 * tangent.log_std)

    def noise(self, key: jax.Array, leading: tuple[int, ...] = ()) -> jax.Array:
        """Returns standard normal noise [*leading, ..., d]."""
        return jax.random.normal(key, leading + self.mean.shape, self.mean.dtype)

    def sample_from(self, noise: jax.Array) -> jax.Array:
        """Returns mean + sigma * noise, [..., d]."""
        return self.mean + jnp.exp(self.log_std) * noise

    def sample(self, key: jax.Array) -> jax.Array:
        """Returns one action vector a row, [..., d]."""
        return self.sample_from(self.noise(key))

    def mode(self) -> jax.Array:
        """Returns the mean, [..., d]."""
        return self.mean
