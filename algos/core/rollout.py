"""Collecting experience: one scan over vectorised environments, and whole episodes for evaluation."""

import jax
import jax.numpy as jnp
from jax import lax

from algos.core.types import Metrics, Transition
from envs import Env, VectorEnv, VectorState


def rollout(vector: VectorEnv, apply, params, state: VectorState, key, num_steps: int):
    """Returns (state, transitions [T, B], episodes [T, B]) of `num_steps` steps in every environment.

    All randomness is drawn before the scan. Only the policy is used inside it: the value half of `apply` is dead code
    there and the compiler drops it.
    """
    key_environment, key_action = jax.random.split(key)
    draws = vector.draw(key_environment, num_steps)
    policy, _ = jax.eval_shape(apply, params, state.observation)
    noise = policy.noise(key_action, (num_steps,))

    def one_step(state, randomness):
        draws, noise = randomness
        policy, _ = apply(params, state.observation)
        action = policy.sample_from(noise)
        next_state, reached, episode = vector.step(state, draws, vector.env.action.to_environment(action))
        transition = Transition(
            state.observation,
            action,
            policy,
            reached.reward,
            reached.observation,
            reached.terminated,
            reached.truncated,
        )
        return next_state, (transition, episode)

    state, (transitions, episodes) = lax.scan(one_step, state, (draws, noise))
    return state, transitions, episodes


def episode_metrics(episodes, mask=True) -> Metrics:
    """Returns sums over the episodes [T, B] that ended where mask is 1, to be divided by their count when it is not 0.

    Counts and lengths are added up over time as integers: no float32 can count beyond 2^24.
    """
    ended = episodes.ended & jnp.asarray(mask, bool)
    return {
        "episode_count": jnp.sum(ended, dtype=jnp.int32).astype(jnp.float32),
        "episode_return_sum": jnp.sum(episodes.episode_return, where=ended),
        "episode_length_sum": jnp.sum(jnp.sum(episodes.length, axis=0, where=ended).astype(jnp.float32)),
    }


def evaluate(env: Env, act, key, num_episodes: int) -> jax.Array:
    """Returns the undiscounted returns [num_episodes] of one whole episode each.

    act: (key, observation) -> a policy's action, for a single observation. Runs until the last episode has ended.
    """
    key_reset, key_run = jax.random.split(key)
    reset_keys = jax.vmap(jax.random.fold_in, (None, 0))(key_reset, jnp.arange(num_episodes))
    state, observation = jax.vmap(env.reset)(reset_keys)
    running = jnp.ones(num_episodes, bool)

    def step_all(carry):
        time, state, observation, running, returns = carry
        keys = jax.random.split(jax.random.fold_in(key_run, time), (2, num_episodes))
        action = jax.vmap(act)(keys[0], observation)
        state, reached = jax.vmap(env.step)(keys[1], state, env.action.to_environment(action))
        returns = returns + jnp.where(running, reached.reward, 0.0)
        running = running & ~(reached.terminated | reached.truncated)
        return time + 1, state, reached.observation, running, returns

    start = (jnp.int32(0), state, observation, running, jnp.zeros(num_episodes, jnp.float32))
    return lax.while_loop(lambda carry: jnp.any(carry[3]), step_all, start)[-1]
