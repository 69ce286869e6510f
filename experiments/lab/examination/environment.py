"""The examination of an environment: its form, and what it does within some hundred steps of many episodes."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from envs import Discrete, Env, VectorState, vectorize
from experiments.lab.definition.experiment import Task
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.outside.env_trace import LONG, MOST_STEPS, checked
from experiments.lab.outside.loss_errors import reason
from experiments.lab.outside.user_env import place_of
from experiments.lab.running.chunks import interruptible

NUM_ENVS, NUM_STEPS = 32, 64  # of one piece
SECONDS, PIECES = 5.0, 32  # whichever is over first
FAR = 3.0  # deviation of random actions where the box has no end
ROUNDING = 1e-5  # of a bound, that an observation may lie beyond it


class Piece(NamedTuple):
    """NUM_STEPS steps of NUM_ENVS environments, [T, B, ...]."""

    action: np.ndarray
    begun: np.ndarray  # observations after resets
    reached: np.ndarray  # observations after steps
    reward: np.ndarray
    ended: np.ndarray
    length: np.ndarray  # of the episode so far


def examine_environment(task: Task) -> list[Finding]:
    """Returns everything found out about the environment; one that cannot be traced is examined no further."""
    try:
        env = checked(task)
    except ValueError as error:
        return [Finding(PROBLEM, str(error))]
    findings = [Finding(OK, "reset and step return what they should, and the same when they are called again")]
    try:
        found, steps = looked_at(env)
    except Exception as error:
        found, steps = [Finding(PROBLEM, f"fails when it runs: {reason(error)}")], 0
    where = place_of(task, env.step)
    findings += [each._replace(text=f"{where}: {each.text}") for each in found]
    if not any(each.level == PROBLEM for each in found):
        bounds = " within its bounds" if env.observation_bounds is not None else ""
        text = f"{steps:,} steps of {NUM_ENVS} environments: all finite{bounds}, one key one outcome"
        findings.append(Finding(OK, text))
    return findings


def looked_at(env: Env) -> tuple[list[Finding], int]:
    """Returns (what each check finds first, the steps looked at), until there is a problem."""
    found: dict[str, Finding] = {}
    steps, ended = 0, False
    for piece, again in pieces(env):
        steps, ended = steps + NUM_STEPS, ended or piece.ended.any()
        for check in (same_again, finite_rewards, finite_observations, within_bounds, ends):
            told = check(env, piece, again)
            if told:
                found.setdefault(check.__name__, told)
        if any(each.level == PROBLEM for each in found.values()):
            break
    if not ended and env.max_steps > LONG:
        text = (
            f"no episode ended within {steps:,} steps, and max_steps is {env.max_steps:,}: evaluations play whole ones"
        )
        found.setdefault("endless", Finding(NOTE, text))
    return list(found.values()), steps


def pieces(env: Env) -> Iterator[tuple[Piece, Piece]]:
    """Yields what happens piece by piece, and what happens when the first piece is played again, until every episode could
    have reached its limit or the time is over."""
    vector = vectorize(env._replace(max_steps=MOST_STEPS), NUM_ENVS)  # so that only what ends by itself ends

    @jax.jit
    def play(key, state: VectorState):
        draws, action = vector.draw(key, NUM_STEPS), actions(env, key)

        def one_step(state, row):
            draws, action = row
            state, reached, episode = vector.step(state, draws, action)
            return state, (reached.observation, reached.reward, episode.ended, episode.length)

        state, (reached, *rest) = lax.scan(one_step, state, (draws, action))
        return state, Piece(action, draws.reset_observation, reached, *rest)

    def played(key, state):
        return interruptible(lambda: jax.block_until_ready(play(key, state)))

    key, until = jax.random.key(0), time.monotonic() + SECONDS
    start = jax.jit(vector.reset)(key)
    state, first = played(key, start)
    _, again = played(key, start)
    yield jax.tree.map(np.asarray, first), jax.tree.map(np.asarray, again)
    for number in range(1, min(PIECES, env.max_steps // NUM_STEPS + 1)):
        if time.monotonic() > until:
            return
        state, piece = played(jax.random.fold_in(key, number), state)
        piece = jax.tree.map(np.asarray, piece)
        yield piece, piece


def actions(env: Env, key) -> jax.Array:
    """Returns actions [T, B, ...]: each discrete action, or either end of the box, for ever in some environments, chance
    in the others."""
    shape, number = (NUM_STEPS, NUM_ENVS, *env.action.shape), jnp.arange(NUM_ENVS)
    if isinstance(env.action, Discrete):
        chance = jax.random.randint(key, shape, 0, env.action.n, jnp.int32)
        return jnp.where((number < NUM_ENVS // 2) & (number < env.action.n), number, chance)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (env.action.low, env.action.high))
    bounded = jnp.isfinite(low) & jnp.isfinite(high)
    inside = low + (high - low) * jax.random.uniform(key, shape)
    outside = jnp.clip(FAR * jax.random.normal(key, shape), low, high)
    chance = jnp.where(bounded, inside, outside)
    number = number.reshape(-1, *(1 for _ in env.action.shape))
    chance = jnp.where((number == 0) & jnp.isfinite(low), low, chance)
    return jnp.where((number == 1) & jnp.isfinite(high), high, chance)


def same_again(env: Env, piece: Piece, again: Piece) -> Finding | None:
    """Returns the problem of an environment that decides something by more than its key, state and action."""
    for name, x, y in zip(Piece._fields, piece, again):
        if not np.array_equal(x, y, equal_nan=np.issubdtype(x.dtype, np.floating)):
            text = f"played again under the same key, {name} differs: chance must come from the key alone"
            return Finding(PROBLEM, text)
    return None


def finite_rewards(env: Env, piece: Piece, again: Piece) -> Finding | None:
    """Returns where a reward is first not finite."""
    return _first(piece, ~np.isfinite(piece.reward), lambda at: f"the reward is {piece.reward[at]}")


def finite_observations(env: Env, piece: Piece, again: Piece) -> Finding | None:
    """Returns where an observation is first not finite."""
    if not np.isfinite(piece.begun).all():
        return Finding(PROBLEM, "reset gives an observation that is not finite")
    wrong = ~np.isfinite(piece.reached)
    axes = tuple(range(2, wrong.ndim))
    return _first(piece, wrong.any(axis=axes), lambda at: f"the observation is not finite: {_short(piece.reached[at])}")


def within_bounds(env: Env, piece: Piece, again: Piece) -> Finding | None:
    """Returns where an observation first lies beyond the bounds that the environment declares."""
    if env.observation_bounds is None:
        return None
    low, high = (np.broadcast_to(bound, env.observation_shape) for bound in env.observation_bounds)
    slack = ROUNDING * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    for what, observation in (("after reset", piece.begun), ("after a step", piece.reached)):
        wrong = np.argwhere((observation < low - slack) | (observation > high + slack))
        if len(wrong):
            time, row, *place = map(int, wrong[0])
            entry = tuple(place)
            text = (
                f"observation{place or ''} is {observation[time, row][entry]:.6g} {what}, and observation_bounds says "
                f"{low[entry]:.6g} to {high[entry]:.6g}"
            )
            return Finding(PROBLEM, text)
    return None


def ends(env: Env, piece: Piece, again: Piece) -> Finding | None:
    """Returns a note where an episode goes on beyond the limit."""
    if piece.length.max() <= env.max_steps and not ((piece.length == env.max_steps) & ~piece.ended).any():
        return None
    return Finding(NOTE, f"an episode goes on beyond max_steps={env.max_steps}: it is cut there, as truncated")


def _first(piece: Piece, wrong: np.ndarray, what: Callable) -> Finding | None:
    """Returns a problem of the first place [T, B] that is wrong, in words."""
    if not wrong.any():
        return None
    at = tuple(map(int, np.argwhere(wrong)[0]))
    text = f"{what(at)} at step {piece.length[at]} of an episode, after action {_short(piece.action[at])}"
    return Finding(PROBLEM, text)


def _short(x: np.ndarray) -> str:
    return np.array2string(np.asarray(x), precision=3, threshold=8).replace("\n", " ")
