"""Pgx's board and card games as `Env`, by the names `pgx/tic_tac_toe` and so on: the only file that knows pgx.

Agents are seats, 0 the one who moves first: pgx deals its player ids to seats anew in every game. Who waits sees nothing. What pgx's
Kuhn and Leduc poker do not show is put before what they do, the seat and all actions so far: without them one observation stands
for several information sets, and in Kuhn poker no policy on those is nearer to equilibrium than an exploitability of 1/36.
"""

import jax
import jax.numpy as jnp
from flax import struct

from envs.core import Discrete, Env, Layout, TimeStep

PREFIX = "pgx/"  # as `envs.suites` names it
# name: (players, the longest game, how long one waits, whether seat and history are shown)
GAMES = {
    "tic_tac_toe": (2, 9, 1, False),
    "connect_four": (2, 42, 1, False),
    "kuhn_poker": (2, 3, 1, True),
    "leduc_holdem": (2, 8, 2, True),
    "hex": (2, 122, 1, False),
    "othello": (2, 128, 1, False),
}


@struct.dataclass
class Playing:
    """A game under way."""

    game: jax.Array  # pgx's state
    first: jax.Array  # int32, the id of who sits at seat 0
    moves: jax.Array  # int32 [longest], the actions so far; -1: not yet
    time: jax.Array  # int32


def names() -> tuple[str, ...]:
    """Returns the names that `make` knows."""
    return tuple(GAMES)


def make(name: str, **fields) -> Env:
    """Returns pgx's game of that name, with or without the prefix. Raises ValueError, in one line, where pgx is not installed,
    and for a name or a field that there is not."""
    name = name.removeprefix(PREFIX)
    if fields:
        raise ValueError(f"{PREFIX}{name} has no field {min(fields)}; it has none")
    if name not in GAMES:
        raise ValueError(f"unknown game {PREFIX}{name}; choose from: {', '.join(PREFIX + one for one in GAMES)}")
    try:
        import pgx
    except ImportError:
        raise ValueError(f"{PREFIX}{name} needs pgx: pip install 'evenhand[pgx]'") from None
    made, (players, longest, waits, told) = pgx.make(name), GAMES[name]
    size = 1
    for length in made.observation_shape:
        size *= length
    own = size + (players + longest * made.num_actions) * told
    seats = jnp.arange(players)

    def acting(state):
        return (seats == (state.game.current_player - state.first) % players) & ~state.game.terminated

    def seen(state):
        parts = [state.game.observation.reshape(-1).astype(jnp.float32)]
        if told:
            mover = (state.game.current_player - state.first) % players
            parts = [jax.nn.one_hot(mover, players), jax.nn.one_hot(state.moves, made.num_actions).reshape(-1), *parts]
        parts.append(state.game.legal_action_mask.astype(jnp.float32))
        return jnp.where(acting(state)[:, None], jnp.concatenate(parts), 0.0)

    def reset(key):
        game = made.init(key)
        state = Playing(game, game.current_player.astype(jnp.int32), jnp.full(longest, -1, jnp.int32), jnp.int32(0))
        return state, seen(state)

    def step(key, state, action):
        chosen = action[jnp.argmax(acting(state))]
        game = made.step(state.game, chosen, key)
        moves = state.moves.at[state.time].set(chosen.astype(jnp.int32))
        state = Playing(game, state.first, moves, state.time + 1)
        reward = jnp.roll(game.rewards, -state.first).astype(jnp.float32)  # of ids, as of seats
        return state, TimeStep(seen(state), reward, game.terminated, jnp.zeros((), bool))

    return Env(
        name=f"{PREFIX}{name}",
        reset=reset,
        step=step,
        observation_shape=(own + made.num_actions,),
        action=Discrete(made.num_actions),
        max_steps=longest,
        agents=players,
        acting=acting,
        waits=waits,
        layout=Layout(own, 0, made.num_actions),
        reward_convention="individual",
    )
