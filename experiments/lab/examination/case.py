"""What a loss is examined on: parameters, a batch and hyperparameters of its own algorithm on a small environment."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import envs
from algos import dqn
from algos.core.types import Batch, ReplayBatch
from algos.pgql import Batches
from experiments.lab.outside.user_loss import UserLoss

OK, NOTE, PROBLEM = "ok", "note", "problem"
TINY = 1e-12  # a gradient shorter than this is none
NUM_ENVS, NUM_STEPS, TIME_LIMIT = 5, 26, 12  # two episodes fit a rollout: REINFORCE counts whole ones only
SAMPLES = NUM_ENVS * NUM_STEPS  # 130, a size that no layer has: an axis of it is the samples'
SMALL = {
    "num_envs": NUM_ENVS,
    "num_epochs": 1,
    "num_minibatches": 1,
    "value_epochs": 1,
    "value_minibatches": 1,
    "cg_iterations": 1,
    "backtracks": 1,
    "batch_size": SAMPLES,
    "warmup_steps": SAMPLES,
    "buffer_size": 4 * SAMPLES,
}


class Finding(NamedTuple):
    """One thing that was found out."""

    level: str  # OK, NOTE or PROBLEM
    text: str
    line: int | None = None  # of the user's file


class Case(NamedTuple):
    """A loss with all that it is called with. `old` are the parameters that the batch was collected with."""

    loss: Callable
    apply: Callable
    params: Any
    batch: Any
    hparams: Any
    old: Any
    user: UserLoss
    environment: str

    def trace(self) -> jax.Array:
        """Returns the loss, a scalar, for a program that is being traced."""
        params, batch, hparams = jax.tree.map(jnp.asarray, (self.params, self.batch, self.hparams))
        return self.loss(params, self.apply, batch, hparams)[0]

    def value(self) -> float:
        """Returns the loss."""
        return float(compiled(self.loss, self.apply)(self.params, self.batch, self.hparams)[0][0])

    def metrics(self) -> dict:
        """Returns what the loss gives beside its value."""
        return compiled(self.loss, self.apply)(self.params, self.batch, self.hparams)[0][1]

    def gradient(self) -> np.ndarray:
        """Returns the gradient by the parameters, one vector."""
        return flat(compiled(self.loss, self.apply)(self.params, self.batch, self.hparams)[1])

    def astype(self, dtype) -> "Case":
        """Returns the case with every floating-point array as `dtype`, float32 or float64 (under `jax.enable_x64`)."""
        arrays = cast((self.params, self.batch, self.hparams, self.old), dtype)
        return self._replace(params=arrays[0], batch=arrays[1], hparams=arrays[2], old=arrays[3])


@functools.lru_cache(maxsize=32)
def compiled(loss: Callable, apply: Callable) -> Callable:
    """Returns the program (params, batch, hparams) -> ((value, metrics), gradient), compiled for each shape once."""
    return jax.jit(lambda params, batch, hparams: jax.value_and_grad(loss, has_aux=True)(params, apply, batch, hparams))


def cast(tree, dtype) -> Any:
    """Returns the tree as host arrays, those of floating point as `dtype`."""

    def one(leaf):
        leaf = np.asarray(leaf)
        return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(one, tree)


def flat(tree) -> np.ndarray:
    """Returns all leaves in one float64 vector."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def moved(params, scale: float, seed: int) -> Any:
    """Returns the parameters with `scale` times a standard normal added to each."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + scale * random.standard_normal(np.shape(x)), params)


def prepare(user: UserLoss, environment: str) -> Case:
    """Returns the case in float64, made of what the loss's own algorithm gives its loss on the environment.

    The policy at collection is moved off the uniform one that training begins with, and `params` a little further.
    """
    apply, params, batch = captured(user.module, environment, user.network)
    with jax.enable_x64(True):
        params, batch, hparams = cast((params, batch, user.hparams_class()), np.float64)
        old = moved(params, 0.1, seed=0)
        batch = recollected(apply, old, batch, moved(params, 0.1, seed=1))
        return Case(
            user.function, apply, moved(old, 0.03, seed=2), cast(batch, np.float64), hparams, old, user, environment
        )


@functools.cache
def captured(module: ModuleType, environment: str, network) -> tuple:
    """Returns (apply, parameters, batch) of the first call of the loss in the first update, as host arrays. Raises
    ValueError for a user's algorithm that calls it with no batch of ours, or not at all."""
    config = small(module)
    env = envs.make(environment, max_steps_in_episode=TIME_LIMIT)
    calls, networks = [], []

    def spy(params, apply, batch, hparams):
        networks.append(apply)
        jax.debug.callback(lambda *arrays: calls.append(arrays), params, batch)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params)), {}

    chosen = {} if network is None else {"network": network(env, config)}
    learner, hparams = module.make(env, config, loss=spy, **chosen), module.HParams()
    run = jax.jit(lambda key: learner.step(learner.init(key, hparams), hparams)[1])
    jax.block_until_ready(run(jax.random.key(0)))
    jax.effects_barrier()
    if not calls or not isinstance(calls[0][1], Batch | ReplayBatch | Batches):
        what = f"a {type(calls[0][1]).__name__}" if calls else "nothing"
        raise ValueError(
            f"{module.__file__}: its first update gives its loss {what}; what is examined are losses of a Batch or a "
            "ReplayBatch of algos.core.types"
        )
    return jax.jit(networks[0]), *jax.tree.map(np.asarray, calls[0])  # jit: traced once, not with every program


def small(module: ModuleType) -> Any:
    """Returns a configuration of the algorithm that is small, as far as it has fields of those names."""
    sizes = SMALL | ({} if module is dqn else {"num_steps": NUM_STEPS})
    return module.Config(**{name: x for name, x in sizes.items() if name in module.Config.__dataclass_fields__})


def recollected(apply, old, batch, target_params) -> Any:
    """Returns the batch as the policy of the parameters `old` would have seen it.

    Next observations are moved a little: none is equal to an observation, so that they can be told apart.
    """
    if isinstance(batch, Batches):
        return Batches(
            recollected(apply, old, batch.fresh, None), recollected(apply, old, batch.replayed, target_params)
        )
    batch = batch.replace(next_observation=moved(batch.next_observation, 1e-3, seed=3))
    if not isinstance(batch, Batch):
        return batch.replace(target_params=target_params)
    policy, value = apply(old, batch.observation)[:2]
    return batch.replace(
        policy=policy,
        log_prob=policy.log_prob(batch.action),
        value=value,
        next_value=apply(old, batch.next_observation)[1],
    )


def parts(batch) -> list:
    """Returns the batches that a batch is made of."""
    return [batch.fresh, batch.replayed] if isinstance(batch, Batches) else [batch]


def edited(batch, edit: Callable) -> Any:
    """Returns the batch with each of its parts replaced by `edit(part)`."""
    if isinstance(batch, Batches):
        return Batches(edit(batch.fresh), edit(batch.replayed))
    return edit(batch)


def on_samples(part, change: Callable) -> Any:
    """Returns the part with `change(array, axis)` made of every array; axis: the samples', or the environments' in [T, B]."""
    arrays = part if isinstance(part, Batch) else part.replace(target_params=None)
    changed = jax.tree.map(lambda x: change(x, part.mask.ndim - 1), arrays)
    return changed if isinstance(part, Batch) else changed.replace(target_params=part.target_params)
