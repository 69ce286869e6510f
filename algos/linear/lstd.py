"""Least-squares TD (Bradtke and Barto 1996; Sutton and Barto 2018, section 9.8): the weights that semi-gradient TD(0) comes to
on the steps so far, at once and without a learning rate.

    A = ridge I + sum_t rho_t x_t (x_t - gamma x_{t+1})^T,   b = sum_t rho_t R_{t+1} x_t,   w = A^-1 b           (9.20)

x_{t+1} = 0 where the episode ended. `solution` solves a log in float64; the `Algorithm` keeps A^-1 by Sherman and Morrison's
formula, d^2 numbers and operations a step, and no matrix is ever inverted:

    A^-1 <- A^-1 - (A^-1 u)(v^T A^-1) / (1 + v^T A^-1 u),   u = rho x, v = x - gamma x'                          (9.22)
    w <- w + (R - v^T w) A^-1 u / (1 + v^T A^-1 u)

The last line is A^-1 b, told from the w before: in float32 the product itself is lost among features that nearly depend on
each other, where A^-1 stays as large as 1 / ridge and b grows.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.linear.features import Active, Features, value
from algos.linear.online import of_features, prediction
from algos.tabular.online import Method
from envs import Env


class Solution(NamedTuple):
    """What a log says, float64, and how much of it the ridge says."""

    weights: np.ndarray  # [d]
    ridge: float  # that was added to A: 0 leaves the fixed point where it is
    condition: float  # of A with the ridge in it: about so many times relative rounding is what w is off by


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    features: str = ""  # as `algos.linear.named` has them; "": what is observed
    target: tuple[
        float, ...
    ] = ()  # how likely each action is, in every state, of the policy learned about; (): all alike
    behaviour: tuple[float, ...] = ()  # of the policy followed; (): the same
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    ridge: float = 1e-2  # above 0: at first it is all that A is


@struct.dataclass
class Memory:
    """What is kept from step to step beside the weights."""

    inverse: Any  # A^-1 [d, d]


def solution(x, reward, next_x, terminated, gamma: float, ridge: float = 0.0, ratio=None) -> Solution:
    """Returns the solution of T steps, x and next_x [T, d], reward, terminated and ratio (None: 1) [T]. Raises ValueError for
    a ridge below 0, and where A is singular, as it is without a ridge if some combination of features was never met."""
    if not ridge >= 0.0:
        raise ValueError(f"the ridge must be 0 or more, not {ridge!r}")
    x, next_x = np.asarray(x, np.float64), np.asarray(next_x, np.float64)
    weighted = x if ratio is None else np.asarray(ratio, np.float64)[:, None] * x
    goes_on = 1.0 - np.asarray(terminated, np.float64)
    matrix = ridge * np.eye(x.shape[1]) + weighted.T @ (x - gamma * goes_on[:, None] * next_x)
    return solved(matrix, weighted.T @ np.asarray(reward, np.float64), ridge)


def solved(matrix: np.ndarray, earned: np.ndarray, ridge: float) -> Solution:
    """Returns A^-1 b. Raises ValueError where A is singular."""
    rank = np.linalg.matrix_rank(matrix)
    if rank < len(matrix):
        raise ValueError(f"A has rank {rank}, and there are {len(matrix)} features: the steps do not tell them apart, "
                         f"take a ridge above {ridge:g}")  # fmt: skip
    return Solution(np.linalg.solve(matrix, earned), float(ridge), float(np.linalg.cond(matrix)))


def make(env: Env, config: Config = Config(), *, features: Features | None = None, policy=None,
         behaviour=None) -> Algorithm:  # fmt: skip
    """Returns LSTD of a policy [S, A], following the behaviour [S, A]; None: as `config` says. features: of an observation,
    None: as `config` names them. Raises ValueError for what has no finite model."""
    return prediction(env, "lstd", of_features(method), config, features, policy, behaviour)


def method(features: Features) -> Method:
    """Returns how the weights are begun, and learned from a step."""

    def start(hparams):
        return jnp.zeros(features.size), Memory(jnp.eye(features.size) / hparams.ridge)

    def learn(w, memory, step, hparams):
        discount = jnp.where(step.terminated, 0.0, hparams.gamma)
        ahead = _times(step.x, memory.inverse.T) * step.ratio  # A^-1 u
        back = _times(step.x, memory.inverse) - discount * _times(step.next_x, memory.inverse)  # v^T A^-1
        along = jnp.sum(back[step.x.index] * step.x.value) * step.ratio
        gain = ahead / (1.0 + along)
        error = td_target(step.reward, step.terminated, value(w, step.next_x), hparams.gamma) - value(w, step.x)
        return w + gain * error, Memory(memory.inverse - jnp.outer(gain, back))

    return Method(start, learn)


def _times(x: Active, matrix):
    """Returns x^T M, [d]."""
    return x.value @ matrix[x.index]
