"""Moving the parameters: the optimiser made from hyperparameters, annealing, and minibatch epochs."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from algos.core.losses import off_at_zero
from algos.core.types import Algorithm

# XLA puts so many arrays together anew in each kernel that reads them, element by element, and more only once; that is the
# faster from so many parameters on.
JOINED, LARGE = 8, 2**16


def adam(learning_rate, max_grad_norm, epsilon: float = 1e-5, network=None) -> optax.GradientTransformation:
    """Returns Adam on the gradient clipped to a global norm (0.0: no clipping), over one flat parameter vector.

    Made anew from traced numbers wherever it is used: its state holds no numbers of the hyperparameters. network: what the parameters
    are of; where it has `stacked` ones, leaves [N, ...] of N agents, each agent's are clipped and moved by themselves, by the
    gradient of its own mean: that of the mean over the rows of all of them is an N-th of it.
    """
    clip = clip_by_global_norm(off_at_zero(max_grad_norm))
    one = over_many(optax.flatten(optax.chain(clip, optax.adam(learning_rate, eps=epsilon))))
    if not getattr(network, "stacked", False):
        return one

    def update(gradient, *given):
        return jax.vmap(one.update)(jax.tree.map(lambda g: g * g.shape[0], gradient), *given)

    return optax.GradientTransformation(jax.vmap(one.init), update)


def over_many(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the optimiser over a tree of more than JOINED arrays: where a large one has fewer, zeros are added, which stay 0."""

    def update(gradient, state, params=None):
        updates, state = optimizer.update(padded(gradient), state, None if params is None else padded(params))
        return updates[0], state

    return optax.GradientTransformation(lambda params: optimizer.init(padded(params)), update)


def padded(tree):
    """Returns the tree, and beside it as many zeros as make it more than JOINED arrays where it is large."""
    leaves = jax.tree.leaves(tree)
    is_large = sum(leaf.size for leaf in leaves) >= LARGE
    zero = lax.optimization_barrier(jnp.zeros(1))  # constants side by side XLA would make one
    return tree, [zero] * (JOINED + 1 - len(leaves) if is_large else 0)


def clip_by_global_norm(max_norm) -> optax.GradientTransformation:
    """Returns optax's clipping by one factor, min(1, max_norm / |g|), held behind a barrier.

    optax divides each element by the norm, which XLA writes in one way for one trial and in another for several.
    """

    def update(gradient, state, params=None):
        norm = optax.tree.norm(gradient)
        factor = lax.optimization_barrier(jnp.where(norm < max_norm, 1.0, max_norm / norm))
        return jax.tree.map(lambda g: g * factor, gradient), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def env_steps(update, steps_per_update: int, steps_in_init: int = 0) -> jax.Array:
    """Returns the environment steps taken before an update, float32: exact up to 2^24, to 1e-7 of itself beyond.

    The warm-up counts, as it does in the budget. An int32 product would begin anew at 2^31.
    """
    return steps_in_init + jnp.asarray(update, jnp.float32) * steps_per_update


def linear(start, end, env_steps, over_steps):
    """Returns what falls (or rises) in a straight line from `start` to `end` over `over_steps`, then stays; 0: `end`."""
    progress = jnp.where(over_steps > 0, env_steps / jnp.where(over_steps > 0, over_steps, 1.0), 1.0)
    return start + (end - start) * jnp.clip(progress, 0.0, 1.0)


def annealed(value, anneal, env_steps, total_steps):
    """Returns the value after `env_steps`: it falls linearly to (1 - anneal) of itself at `total_steps`."""
    return linear(value, value * (1.0 - anneal), env_steps, total_steps)


def geometric(start, end, env_steps, over_steps):
    """Returns what moves from `start` to `end` over `over_steps`, by as much of itself in every step, then stays; both above 0."""
    return start * (end / start) ** linear(0.0, 1.0, env_steps, over_steps)


def scheduled(algorithm: Algorithm, name: str, schedule) -> Algorithm:
    """Returns the algorithm with the hyperparameter of that name on its way to the one called `<name>_end`, where it is at
    total_steps. schedule: `linear` or `geometric`."""

    def step(state, hparams):
        taken = env_steps(state.update, algorithm.steps_per_update, algorithm.steps_in_init)
        now = schedule(getattr(hparams, name), getattr(hparams, f"{name}_end"), taken, hparams.total_steps)
        state, metrics = algorithm.step(state, hparams.replace(**{name: now}))
        return state, {**metrics, name: now}

    return algorithm._replace(step=step)


def gradient_step(optimizer, loss, params, opt_state, apply, batch, hparams):
    """Returns (params, opt_state, metrics) after one step down the gradient of the loss."""
    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(params, apply, batch, hparams)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    vector, _ = ravel_pytree(padded(gradient))  # what `adam` clips as a rule: its norm is then computed once
    metrics = {"loss": value, "gradient_norm": optax.tree.norm(vector), **metrics}
    return optax.apply_updates(params, updates), opt_state, metrics


def minibatch_epochs(update, carry, batch, key, num_epochs: int, num_minibatches: int):
    """Returns (carry, metrics averaged over updates): `update(carry, minibatch) -> (carry, metrics)` over shuffled data.

    batch: arrays [N, ...]. Every epoch has its own permutation and meets every sample once.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    indices = permutations(key, num_epochs, size).reshape(num_epochs * num_minibatches, size // num_minibatches)

    def one_update(carry, index):
        return update(carry, jax.tree.map(lambda x: x[index], batch))

    carry, metrics = lax.scan(one_update, carry, indices)
    return carry, mean_in_turn(metrics)


def mean_in_turn(metrics):
    """Returns the means of arrays [N], added up in their order: a sum at once is in an order that XLA chooses by the shape,
    and so by the number of trials beside this one."""

    def added(total, one):
        return jax.tree.map(jnp.add, total, one), None

    total, _ = lax.scan(added, jax.tree.map(lambda x: jnp.zeros_like(x[0]), metrics), metrics)
    return jax.tree.map(lambda total, x: total / len(x), total, metrics)


def permutations(key, number: int, size: int) -> jax.Array:
    """Returns independent random orders of 0 to size - 1, int32 [number, size].

    Each index lies in the low bits of a random word, so that one array is sorted and not pairs: XLA sorts that twelve
    times as fast on a CPU. Of b-bit indices two are tied, and then stay in their order, with probability 2^(b - 32).
    """
    index_bits = (size - 1).bit_length()
    high = jax.random.bits(key, (number, size), jnp.uint32) >> index_bits << index_bits
    words = lax.sort(high | jnp.arange(size, dtype=jnp.uint32), dimension=1, is_stable=False)
    return (words & jnp.uint32(2**index_bits - 1)).astype(jnp.int32)
