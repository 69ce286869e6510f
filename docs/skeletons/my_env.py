"""A line of `size` places: 0 goes left, 1 goes right, an action fails with probability `slip`, the right end pays 1."""

import jax
import jax.numpy as jnp
import numpy as np

from envs import Discrete, Env, TimeStep


def line(size: int = 8, slip: float = 0.0) -> Env:
    """Returns the environment; its fields are set as `--env "my_env.py:line(size=5)"`."""

    def observe(place):
        return jax.nn.one_hot(place, size)

    def reset(key):
        place = jax.random.randint(key, (), 0, size - 1)
        return place, observe(place)

    def step(key, place, action):
        action = jnp.where(jax.random.bernoulli(key, slip), 1 - action, action)
        place = jnp.clip(place + 2 * action - 1, 0, size - 1)
        found = place == size - 1
        return place, TimeStep(observe(place), found.astype(jnp.float32), found, False)

    def draw(place, observation):
        image = np.full((1, size, 3), 255, np.uint8)
        image[0, -1], image[0, int(place)] = (0, 158, 115), (0, 114, 178)
        return image.repeat(40, axis=0).repeat(40, axis=1)

    return Env("line", reset, step, (size,), Discrete(2), max_steps=4 * size, draw=draw)
