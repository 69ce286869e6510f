"""JaxMARL's environments as `Env`, by the names `jaxmarl/MPE_simple_spread_v3` and so on: the only file that knows jaxmarl.

Episodes are as long as they say: JaxMARL counts a step after it has compared, so that its MPE and SMAX go on for one step more
than their limit, and calls the end of time an end of the task; here the limit is kept and is a truncation, and the observation is
of the state reached. Rows are agents in the order of their names. Unlike observations and numbers of actions are filled up.
"""

import contextlib
import inspect
import io
import re
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.agents import with_ids
from envs.core import Box, Discrete, Env, Layout, TimeStep

PREFIX = "jaxmarl/"  # as `envs.suites` names it
MPE = (
    "MPE_simple_v3", "MPE_simple_tag_v3", "MPE_simple_world_comm_v3", "MPE_simple_spread_v3", "MPE_simple_crypto_v3",
    "MPE_simple_speaker_listener_v4", "MPE_simple_push_v3", "MPE_simple_adversary_v3", "MPE_simple_reference_v3",
    "MPE_simple_facmac_v1", "MPE_simple_facmac_3a_v1", "MPE_simple_facmac_6a_v1", "MPE_simple_facmac_9a_v1",
)  # fmt: skip
SMAX = ("SMAX", "HeuristicEnemySMAX")
TEAMS = ("HeuristicEnemySMAX", "switch_riddle", "overcooked", "hanabi")  # all agents are given the same reward
NAMES = (*MPE, *SMAX, "switch_riddle", "overcooked", "hanabi")
MPE_WORLD = ("rad", "moveable", "collide", "mass", "accel", "max_speed", "u_noise", "c_noise", "damping")
MPE_WORLD += ("contact_force", "contact_margin")  # what SimpleMPE takes from its **kwargs
NEVER = 2**30  # steps, for limits that are kept here and not there
LONGEST_HANABI = 200  # steps; no game is as long: at most 50 cards are played, each of which gives one hint back


@struct.dataclass
class Playing:
    """A game under way."""

    game: Any  # JaxMARL's state
    time: jax.Array  # int32, steps made


class Limit(NamedTuple):
    """When time is up."""

    steps: int
    alone: bool  # whether JaxMARL ends a game for nothing else


def names() -> tuple[str, ...]:
    """Returns the names that `make` knows."""
    return NAMES


def make(name: str, max_steps: int | None = None, agent_ids: bool = False, **fields) -> Env:
    """Returns JaxMARL's environment of that name, with or without the prefix; `fields` go to its constructor.

    Observations that are vectors are [own | state | legal]: own with the agent's one-hot id before it where `agent_ids`,
    state all agents' observations or SMAX's world state, legal where actions may be illegal or agents have unlike numbers of
    them. Images (overcooked) stay images, without a layout. Raises ValueError, in one line, where jaxmarl is not installed,
    and for a name or a field that there is not.
    """
    name = name.removeprefix(PREFIX)
    if name not in NAMES:
        raise ValueError(f"unknown environment {PREFIX}{name}; choose from: {', '.join(NAMES)}")
    env, limit = _construct(name, max_steps, fields)
    if not env.agents:
        raise ValueError(f"{PREFIX}{name} has no agents with these fields")
    agents = sorted(env.agents, key=_natural)
    actions = [env.action_space(agent) for agent in agents]
    action = _action(name, actions)
    shapes = [x.shape for x in _shapes(env, agents)]
    image = len(shapes[0]) > 1
    width = max(shape[0] for shape in shapes)
    legal = _legal(name, env, agents, actions)

    def observe(game, seen):
        rows = [jnp.asarray(seen[agent], jnp.float32) for agent in agents]
        if image:
            return jnp.stack(rows)
        parts = [jnp.stack([jnp.pad(row, (0, width - row.size)) for row in rows])]
        everything = jnp.asarray(seen["world_state"], jnp.float32) if "world_state" in seen else jnp.concatenate(rows)
        parts += [jnp.broadcast_to(everything, (len(agents), everything.size))]
        parts += [] if legal is None else [legal(game)]
        return jnp.concatenate(parts, axis=1)

    def reset(key):
        seen, game = env.reset(key)
        game = _strong(game)
        return Playing(game, jnp.int32(0)), observe(game, seen)

    def step(key, state, action):
        taken = {agent: one[: size(space)] if one.ndim else one for agent, space, one in zip(agents, actions, action)}
        seen, game, rewards, dones, _ = env.step_env(key, state.game, taken)
        game = jax.tree.map(lambda new, old: _strong(new).astype(old.dtype), game, state.game)
        time = state.time + 1
        reward = jnp.stack([jnp.asarray(rewards[agent], jnp.float32).reshape(()) for agent in agents])
        terminated = jnp.stack([jnp.reshape(dones[agent] | dones["__all__"], ()) for agent in agents])
        terminated = jnp.zeros_like(terminated) if limit.alone else terminated
        return Playing(game, time), TimeStep(observe(game, seen), reward, terminated, time >= limit.steps)

    observed = jax.eval_shape(lambda key: reset(key)[1], jax.random.key(0)).shape[1:]
    layout = None
    if not image:
        numbers = 0 if legal is None else action.n
        layout = Layout(own=width, state=observed[0] - width - numbers, legal=numbers)
    made = Env(
        PREFIX + name, reset, step, observed, action, limit.steps,
        agents=len(agents), layout=layout, reward_convention="team" if name in TEAMS else "individual",
        **_turns(name, env, agents),
    )  # fmt: skip
    return with_ids(made) if agent_ids else made


def _construct(name: str, max_steps: int | None, fields: dict[str, Any]):
    """Returns (JaxMARL's environment, the limit of its episodes)."""
    if max_steps is not None and (type(max_steps) is not int or not 1 <= max_steps < NEVER):
        raise ValueError(f"max_steps must be a whole number, 1 or more, not {max_steps!r}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # importing it prints lines, and so does its first use
            import jaxmarl
    except ImportError as error:
        needs = "pip install 'evenhand[jaxmarl]', or 'jaxmarl>=0.2,<0.3'"
        raise ValueError(f"{PREFIX}{name} needs JaxMARL: {needs} ({error})") from None
    fields = dict(fields)
    if name == "overcooked":  # its observation tells when time is nearly up
        fields["max_steps"] = max_steps or 400
    if isinstance(fields.get("scenario"), str):
        fields["scenario"] = _scenario(fields["scenario"])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        _check_fields(name, jaxmarl.make(name), fields)
        try:
            env = jaxmarl.make(name, **fields)
        except (TypeError, AssertionError, AttributeError, KeyError, IndexError, NotImplementedError) as error:
            raise ValueError(f"{PREFIX}{name}: {error}") from None
    limit = Limit(max_steps or (LONGEST_HANABI if name == "hanabi" else env.max_steps), name in (*MPE, "overcooked"))
    if name in (
        *MPE,
        *SMAX,
        "switch_riddle",
    ):  # which call the end of time an end like the others, and most of them a step late
        getattr(env, "_env", env).max_steps = NEVER
    return env, limit


def _scenario(name: str):
    """Returns SMAX's scenario of that name. Raises ValueError, listing them, where there is none."""
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    if name not in MAP_NAME_TO_SCENARIO:
        raise ValueError(f"unknown scenario {name!r}; choose from: {', '.join(MAP_NAME_TO_SCENARIO)}")
    return MAP_NAME_TO_SCENARIO[name]


def _check_fields(name: str, env, fields: dict[str, Any]) -> None:
    """Raises ValueError for a field that no constructor of the environment names: many take anything and look at nothing."""
    classes = [*type(env).__mro__, *([type(env._env)] if name == "HeuristicEnemySMAX" else [])]
    known = {one for each in classes if each is not object for one in inspect.signature(each.__init__).parameters}
    known |= set(MPE_WORLD) if name in MPE else set()
    known -= {"self", "args", "kwargs", "env_kwargs"}
    unknown = sorted(set(fields) - known)
    if unknown:
        allowed = ", ".join(sorted(known | {"max_steps", "agent_ids"}))
        raise ValueError(f"{PREFIX}{name} has no field {unknown[0]}; its fields are: {allowed}")


def _natural(agent: str) -> tuple:
    """Returns what sorts names as people do: agent_2 before agent_10."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", agent))


def _shapes(env, agents):
    seen, _ = jax.eval_shape(env.reset, jax.random.key(0))
    return [seen[agent] for agent in agents]


def _action(name: str, spaces) -> Discrete | Box:
    """Returns one action space for all agents: that of the agent who has the most actions, or the longest vector."""
    if all(hasattr(space, "n") for space in spaces):
        return Discrete(max(int(space.n) for space in spaces))
    bounds = {
        (float(bound[0]), float(bound[1])) for bound in (np.ravel([s.low, s.high]) for s in spaces if hasattr(s, "low"))
    }
    if len(bounds) != 1 or not all(hasattr(space, "low") for space in spaces):
        raise ValueError(f"{PREFIX}{name} has agents whose actions are of unlike kinds")
    (low, high), most = bounds.pop(), max(size(space) for space in spaces)
    return Box((low,) * most, (high,) * most)


def size(space) -> int:
    """Returns how many numbers an action is."""
    return int(np.prod(space.shape))


def _legal(name: str, env, agents, spaces):
    """Returns (game) -> [N, actions], 1.0 where an action is legal, or None where all are."""
    if not all(hasattr(space, "n") for space in spaces):
        return None
    numbers = np.array([int(space.n) for space in spaces])
    told = {"hanabi": "get_legal_moves", **dict.fromkeys(SMAX, "get_avail_actions")}.get(name)
    most = int(numbers.max())
    if told is None:
        there = (np.arange(most) < numbers[:, None]).astype(np.float32)
        return None if there.all() else lambda game: jnp.asarray(there)

    def legal(game):
        moves = getattr(env, told)(game)
        rows = [jnp.asarray(moves[agent], jnp.float32).reshape(-1) for agent in agents]
        return jnp.stack([jnp.pad(row, (0, most - row.size)) for row in rows])

    return legal


def _turns(name: str, env, agents) -> dict[str, Any]:
    """Returns the fields of `Env` that say whose turn it is, where they take turns."""
    if name != "hanabi":
        return {}
    place = np.array([env.agents.index(agent) for agent in agents])

    def acting(state):
        game = state.game
        return jax.nn.one_hot(game.seat_order[jnp.argmax(game.cur_player_idx)], len(agents))[place] > 0.0

    return {"acting": acting, "waits": len(agents) - 1}


def _strong(state):
    """Returns the state with the dtypes that it has, none of them weak, so that a scan's carry keeps its type."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), state)
