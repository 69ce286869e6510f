"""Cooperative spread: agents must cover landmarks and keep out of each other's way (simple_spread of MPE; Lowe et al. 2017,
arXiv 1706.02275; mpe2's dynamics and reward).

    x' = x + v dt,   v' = (1 - damping) v + dt (thrust u + sum of contact forces at x),   u one of 0, -x, +x, -y, +y
    r_i = -w (agents that i touches) - (1 - w) sum over landmarks of the distance of the nearest agent,   w = local_ratio

Distances and touches are of the state reached. An episode has 25 steps; its end is a time limit, so a truncation.
"""

import math
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.agents import with_ids
from envs.core import CONVENTIONS, Discrete, Env, Layout, TimeStep

DT, DAMPING, THRUST = 0.1, 0.25, 5.0
RADIUS = 0.15  # of an agent
CONTACT_FORCE, CONTACT_MARGIN = 100.0, 1e-3
DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], np.float32)  # of the actions
MOST_ASSIGNMENTS = 5040


@struct.dataclass
class Spread:
    """Where everything is: N agents, L landmarks."""

    position: jax.Array  # [N, 2]
    velocity: jax.Array  # [N, 2]
    landmark: jax.Array  # [L, 2]
    time: jax.Array  # int32, steps made


def spread(
    num_agents: int = 3,
    num_landmarks: int | None = None,
    local_ratio: float = 0.5,
    reward: str = "individual",
    max_steps: int = 25,
    agent_ids: bool = False,
) -> Env:
    """Returns the environment; num_landmarks None: as many as agents.

    An agent observes own velocity, own position, landmarks and other agents relative to itself, two zeros for each other
    agent (who could speak in other scenarios and is silent here), before them its one-hot id where `agent_ids`; `state`, for
    a critic, is every agent's velocity and position and the landmarks'. reward "individual": each agent is given its own
    r_i; "team": all are given the mean of r_i. Raises ValueError for fields that cannot be.
    """
    num_landmarks = num_agents if num_landmarks is None else num_landmarks
    _check(num_agents, num_landmarks, local_ratio, reward, max_steps)

    def observe(state: Spread):
        everything = jnp.concatenate([x.reshape(-1) for x in (state.velocity, state.position, state.landmark)])
        return jnp.concatenate([own(state), jnp.broadcast_to(everything, (num_agents, everything.size))], axis=1)

    def reset(key):
        key_agent, key_landmark = jax.random.split(key)
        position = jax.random.uniform(key_agent, (num_agents, 2), minval=-1.0, maxval=1.0)
        landmark = jax.random.uniform(key_landmark, (num_landmarks, 2), minval=-1.0, maxval=1.0)
        state = Spread(position, jnp.zeros((num_agents, 2)), landmark, jnp.int32(0))
        return state, observe(state)

    def step(key, state, action):
        del key  # only the beginning is random
        state = moved(state, jnp.asarray(DIRECTIONS)[action])
        rewards = individual_rewards(state, local_ratio)
        if reward == "team":
            rewards = jnp.full(num_agents, jnp.mean(rewards))
        return state, TimeStep(observe(state), rewards, jnp.bool_(False), state.time >= max_steps)

    seen = 4 + 2 * num_landmarks + 4 * (num_agents - 1)
    layout = Layout(own=seen, state=4 * num_agents + 2 * num_landmarks)
    env = Env(
        "Spread", reset, step, (sum(layout),), Discrete(len(DIRECTIONS)), max_steps,
        agents=num_agents, layout=layout, reward_convention=reward,
    )  # fmt: skip
    return with_ids(env) if agent_ids else env


def own(state: Spread) -> jax.Array:
    """Returns what MPE's agents observe, [N, 4 + 2L + 4(N - 1)]."""
    num_agents = state.position.shape[0]
    others = np.array([[j for j in range(num_agents) if j != i] for i in range(num_agents)], int)
    landmarks = (state.landmark[None] - state.position[:, None]).reshape(num_agents, -1)
    agents = (state.position[others] - state.position[:, None]).reshape(num_agents, -1)
    return jnp.concatenate([state.velocity, state.position, landmarks, agents, jnp.zeros_like(agents)], axis=1)


def moved(state: Spread, direction: jax.Array) -> Spread:
    """Returns the state after one step with the agents' thrusts in `direction` [N, 2]."""
    force = THRUST * direction + contact_forces(state.position)
    velocity = (1.0 - DAMPING) * state.velocity + DT * force
    return state.replace(position=state.position + DT * state.velocity, velocity=velocity, time=state.time + 1)


def contact_forces(position: jax.Array) -> jax.Array:
    """Returns the force on each agent, [N, 2]: sum_j c (x_i - x_j) / d_ij m log(1 + exp((2 radius - d_ij) / m))."""
    apart = position[:, None] - position[None]
    distance = distances(apart)
    depth = CONTACT_MARGIN * jnp.logaddexp(0.0, (2.0 * RADIUS - distance) / CONTACT_MARGIN)
    return CONTACT_FORCE * jnp.sum(apart * (depth / jnp.where(distance > 0.0, distance, 1.0))[..., None], axis=1)


def distances(apart: jax.Array) -> jax.Array:
    """Returns the lengths of the vectors [..., 2]."""
    return jnp.sqrt(jnp.sum(apart**2, axis=-1))


def individual_rewards(state: Spread, local_ratio: float) -> jax.Array:
    """Returns r_i of the state reached, [N]."""
    far = distances(state.position[:, None] - state.landmark[None])
    touching = distances(state.position[:, None] - state.position[None]) < 2.0 * RADIUS
    touched = jnp.sum(touching, axis=1) - 1.0  # less its own
    return -local_ratio * touched - (1.0 - local_ratio) * jnp.sum(jnp.min(far, axis=0))


def controller(env: Env):
    """Returns (observation [N, ...]) -> actions, int32 [N]: each agent heads for the landmark that the assignment of the least
    total distance gives it, by the thrust after which it is nearest two steps on, when a thrust shows.

    Agents without a landmark do nothing. It is near the best there is, not the best: nobody goes round anybody, and the
    least squared distances would assign a little better.
    """
    num_landmarks = (env.layout.state - 4 * env.agents) // 2
    first = env.layout.own - (4 + 2 * num_landmarks + 4 * (env.agents - 1))  # after the ids

    def act(observation):
        seen = observation[:, first:]
        velocity, relative = seen[:, None, :2], seen[:, 4 : 4 + 2 * num_landmarks].reshape(env.agents, num_landmarks, 2)
        target, has_one = assignment(distances(relative))
        towards = jnp.take_along_axis(relative, target[:, None, None], axis=1)
        next_velocity = (1.0 - DAMPING) * velocity + DT * THRUST * jnp.asarray(DIRECTIONS)
        missing = distances(DT * (velocity + next_velocity) - towards)
        return jnp.where(has_one, jnp.argmin(missing, axis=1), 0).astype(jnp.int32)

    return act


def assignment(cost: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (landmark of each agent, whether it has one), [N] each, of the least total cost [N, L] over all assignments
    of as many pairs as there can be. Raises ValueError where these are more than MOST_ASSIGNMENTS."""
    num_agents, num_landmarks = cost.shape
    fewer, more = sorted((num_agents, num_landmarks))
    if math.perm(more, fewer) > MOST_ASSIGNMENTS:
        raise ValueError(f"{num_agents} agents and {num_landmarks} landmarks are more than the controller can assign")
    chosen = np.array(list(permutations(range(more), fewer)))
    landmark = np.zeros((len(chosen), num_agents), np.int32)
    has_one = np.zeros((len(chosen), num_agents), bool)
    for row, picked in enumerate(chosen):
        agents, landmarks = (range(fewer), picked) if num_agents == fewer else (picked, range(fewer))
        landmark[row, list(agents)], has_one[row, list(agents)] = list(landmarks), True
    total = jnp.sum(jnp.where(has_one, cost[np.arange(num_agents), landmark], 0.0), axis=1)
    best = jnp.argmin(total)
    return jnp.asarray(landmark)[best], jnp.asarray(has_one)[best]


def _check(num_agents, num_landmarks, local_ratio, reward, max_steps) -> None:
    for name, value in (("num_agents", num_agents), ("num_landmarks", num_landmarks), ("max_steps", max_steps)):
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be a whole number, 1 or more, not {value!r}")
    if not 0.0 <= local_ratio <= 1.0:
        raise ValueError(f"local_ratio must be from 0 to 1, not {local_ratio!r}")
    if reward not in CONVENTIONS:
        raise ValueError(f"reward must be one of {', '.join(CONVENTIONS)}, not {reward!r}")
