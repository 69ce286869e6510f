"""The data that passes between the parts of an algorithm, and the algorithm itself: a pair of pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import struct

from algos.core.normalize import Normalizer
from envs import VectorState

Params = Any
Metrics = dict[str, jax.Array]


@struct.dataclass
class Transition:
    """What a rollout records, [T, B, ...]. With agents B counts rows, environments times agents."""

    observation: jax.Array
    action: jax.Array  # as sampled: in units of the action's bounds where it has any, before clipping
    policy: Any  # the distribution that the action was drawn from
    reward: jax.Array
    next_observation: jax.Array  # the one reached, before any reset
    terminated: jax.Array
    truncated: jax.Array
    acting: jax.Array | None = None  # bool, whether the action counted; None: always
    live: jax.Array | None = None  # bool, False after an agent's own end; None: always


@struct.dataclass
class Batch:
    """Every array that a loss may use and that is not differentiated.

    Leading axes: [T, B] for REINFORCE and A2C, [minibatch] for PPO. Formulas that are elementwise serve both.
    """

    observation: jax.Array
    action: jax.Array  # as sampled: -1 is the lower bound of the environment's action, 1 the upper
    policy: Any  # the distribution at collection time, with log_prob, entropy, kl, mode
    log_prob: jax.Array  # of the action, at collection time
    value: jax.Array  # V(observation), at collection time
    reward: jax.Array
    next_observation: jax.Array  # reached, before any reset
    next_value: jax.Array  # V(next_observation), at collection time; not yet zeroed where terminated
    terminated: jax.Array
    truncated: jax.Array
    advantage: jax.Array
    value_target: jax.Array
    mask: jax.Array  # float32, 1.0 where the sample counts
    acting: jax.Array | None = None  # bool, whether the action counted; the mask may leave out more. None: always
    agent: jax.Array | None = None  # int32, whose sample it is; None: there is one agent
    live: jax.Array | None = None  # bool, False after an agent's own end; None: always


@struct.dataclass
class ReplayBatch:
    """What a loss on replayed experience may use, [minibatch, ...]."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array  # of one step, or the discounted sum over n
    discount: jax.Array  # what a value of next_observation counts: gamma, or gamma^n; not yet zeroed where terminated
    next_observation: jax.Array  # reached after those steps, before any reset
    terminated: jax.Array  # there; a time limit does not count
    mask: jax.Array  # float32, 1.0 where the sample counts
    target_params: Params


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Params
    opt_state: Any
    environment: VectorState
    normalizer: Normalizer
    key: jax.Array
    update: jax.Array  # int32, updates made so far
    plans: jax.Array | None = None  # [I, A], what was played of a game that is known; None: none is


class Algorithm(NamedTuple):
    """`init` and `step` are pure; nothing in them compiles, prints, reads a clock or touches a file."""

    init: Callable[[jax.Array, Any], Any]  # (key, hparams) -> state
    step: Callable[[Any, Any], tuple[Any, Metrics]]  # (state, hparams) -> (state, metrics)
    act: Callable[
        [Any, jax.Array, jax.Array, bool], jax.Array
    ]  # (state, key, observation, explore) -> action, as Batch has it
    steps_per_update: int  # environment steps that one `step` takes
    steps_in_init: int = 0  # environment steps that `init` takes, to fill a replay buffer
    policy: Callable[[Any, jax.Array], Any] | None = None  # (state, observation) -> of exploring actions
    value: Callable[[Any, jax.Array], jax.Array] | None = None  # (state, observation) -> V, as it was learned
    average: Callable[[Any, jax.Array], Any] | None = (
        None  # (state, observation) -> what is learned, where it is an average
    )
    answer: Callable | None = None  # of language methods: (state, key, prompts [B, P]) -> algos.rlhf.sampling.Answers
    answer_kl: float = 0.0  # nats that choosing among whole answers adds to the divergence of their tokens, at most


Loss = Callable[[Params, Callable, Batch, Any], tuple[jax.Array, Metrics]]  # (params, apply, batch, hparams)
