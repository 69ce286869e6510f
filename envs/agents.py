"""What every environment with agents may be given: who each of them is."""

import jax.numpy as jnp

from envs.core import Env, Layout


def with_ids(env: Env) -> Env:
    """Returns the environment with each agent's number, one-hot, before what it observes: [id | own | state | legal].

    Agents that share a policy cannot act unlike each other without it. Raises ValueError where there are no agents or
    observations are no vectors.
    """
    if env.agents is None or len(env.observation_shape) != 1:
        raise ValueError(f"ids are for agents whose observations are vectors, and {env.name} has none")
    layout, identity = env.layout or Layout(env.observation_shape[0]), jnp.eye(env.agents)

    def told(observation):
        return jnp.concatenate([identity.astype(observation.dtype), observation], axis=1)

    def reset(key):
        state, observation = env.reset(key)
        return state, told(observation)

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        return state, reached.replace(observation=told(reached.observation))

    def observe(info_set):
        return jnp.concatenate([identity[jnp.asarray(env.game.mover)[info_set]], env.observe(info_set)])

    return env._replace(
        observe=None if env.game is None else observe,
        reset=reset,
        step=step,
        observation_shape=(env.agents + env.observation_shape[0],),
        observation_bounds=None,
        ids=True,
        layout=layout._replace(own=env.agents + layout.own),
    )
