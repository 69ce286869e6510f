"""A side of `peers`: our PPO with the same network and settings, its environments stepped by gymnax's own `env.step`.

That is the usual loop: `env.step` computes a reset at every step and selects, keys are split inside the scan. All else
is ours, so that the difference is what the vectorised environment makes; with argument 2 `flax` the convolution too is
the usual one, flax's, and the difference is that of training as people write it.
"""

import sys
from unittest import mock

from experiments.benchmarks import our_side
from experiments.benchmarks.serve import Round, serve
from experiments.lab.machine import devices


def make_round(workload: str, num_seeds: int, steps: int) -> Round:
    """Returns a training of all seeds by the experiments' runner. Its seconds hold no compiling."""
    from algos import ppo

    network = usual_network if sys.argv[2:] == ["flax"] else ppo.actor_critic

    def make(env, config):
        with mock.patch.object(ppo, "vectorize", gymnax_vector):
            return ppo.make(env, config, network=network(env, config.hidden_sizes))

    return our_side.make_round(workload, num_seeds, steps, make)


def usual_network(env, hidden_sizes):
    """Returns the function of observations that our network is, its 3x3 convolution by flax's `Conv`."""
    import flax.linen as nn

    from algos.core.distributions import Categorical
    from algos.core.networks import CONV_FEATURES, HIDDEN_GAIN, POLICY_GAIN, orthogonal

    def tower(observation):
        convolution = nn.Conv(CONV_FEATURES, (3, 3), padding="VALID", kernel_init=orthogonal(HIDDEN_GAIN))
        x = nn.relu(convolution(observation.astype(float)))
        x = x.reshape(*x.shape[:-3], -1)
        for size in hidden_sizes:
            x = nn.tanh(nn.Dense(size, kernel_init=orthogonal(HIDDEN_GAIN))(x))
        return x

    class ActorCritic(nn.Module):
        @nn.compact
        def __call__(self, observation):
            policy = nn.Dense(env.action.n, kernel_init=orthogonal(POLICY_GAIN), name="policy")(tower(observation))
            value = nn.Dense(1, kernel_init=orthogonal(1.0), name="value")(tower(observation))
            return Categorical(policy), value[..., 0]

    return ActorCritic()


def gymnax_vector(env, num_envs: int):
    """Returns `num_envs` copies of gymnax's environment of the same name. Their state carries the key; nothing is drawn
    before the scan."""
    import gymnax
    import jax
    import jax.numpy as jnp

    from envs.core import TimeStep
    from envs.vector import Episode, VectorEnv, VectorState

    game, params = gymnax.make(env.name)

    def reset(key):
        keys = jax.random.split(key, num_envs + 1)
        observation, state = jax.vmap(game.reset, (0, None))(keys[1:], params)
        zeros = jnp.zeros(num_envs, jnp.float32)
        return VectorState((keys[0], state), observation, zeros, zeros.astype(jnp.int32))

    def step(state, _, action):
        key, games = state.environment
        key, *keys = jax.random.split(key, num_envs + 1)
        observation, games, reward, terminated, truncated, info = jax.vmap(game.step, (0, 0, 0, None))(
            jnp.stack(keys), games, action, params
        )
        ended, total, length = terminated | truncated, state.episode_return + reward, state.episode_length + 1
        state = VectorState((key, games), observation, jnp.where(ended, 0.0, total), jnp.where(ended, 0, length))
        return state, TimeStep(info["final_observation"], reward, terminated, truncated), Episode(ended, total, length)

    return VectorEnv(env, num_envs, reset, lambda key, num_steps: None, step)


if __name__ == "__main__":
    devices.start()
    serve(make_round, our_side.facts)
