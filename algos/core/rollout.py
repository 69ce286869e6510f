"""Collecting experience: one scan over vectorised environments, and whole episodes for evaluation."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.types import Metrics, Transition
from envs import Env, VectorEnv, VectorState
from envs.vector import own_ends


def rollout(vector: VectorEnv, apply, params, state: VectorState, key, num_steps: int):
    """Returns (state, transitions [T, B], episodes [T, B]) of `num_steps` steps in every environment.

    All randomness is drawn before the scan. Only the policy is used inside it: the value half of `apply` is dead code
    there and the compiler drops it.
    """
    key_environment, key_action = jax.random.split(key)
    draws = vector.draw(key_environment, num_steps)
    policy, _ = jax.eval_shape(apply, params, state.observation)
    noise = _noise(policy, key_action, num_steps, vector.env.agents)

    def one_step(state, randomness):
        draws, noise = randomness
        policy, _ = apply(params, state.observation)
        action = policy.sample_from(noise)
        next_state, reached, episode = vector.step(state, draws, vector.env.action.to_environment(action))
        acting, live = (None, None) if vector.takes_part is None else vector.takes_part(state)
        transition = Transition(
            state.observation,
            action,
            policy,
            reached.reward,
            reached.observation,
            reached.terminated,
            reached.truncated,
            acting,
            live,
        )
        return next_state, (transition, episode)

    state, (transitions, episodes) = lax.scan(one_step, state, (draws, noise))
    fault = faulty(transitions.action, transitions.reward, transitions.next_observation)
    return state, transitions, episodes.replace(fault=fault)


def _noise(policy, key, num_steps: int, agents: int | None):
    """Returns the randomness of actions [T, R, ...] of a policy of R rows. Each agent's is its own, whoever else there is."""
    if agents is None:
        return policy.noise(key, (num_steps,))
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((x.shape[0] // agents, *x.shape[1:]), x.dtype), policy)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(agents))
    noise = jax.vmap(lambda key: one.noise(key, (num_steps,)), out_axes=2)(keys)
    return noise.reshape(num_steps, -1, *noise.shape[3:])


def episode_metrics(episodes, mask=True) -> Metrics:
    """Returns sums over the episodes [T, B] that ended where mask is 1, to be divided by their count when it is not 0. Of
    agents an episode's return is the mean over them of their own.

    Counts and lengths are added up over time as integers: no float32 can count beyond 2^24.
    """
    ended = episodes.ended & jnp.asarray(mask, bool)
    return {
        "episode_count": jnp.sum(ended, dtype=jnp.int32).astype(jnp.float32),
        "episode_return_sum": jnp.sum(episodes.episode_return, where=ended),
        "episode_length_sum": jnp.sum(jnp.sum(episodes.length, axis=0, where=ended).astype(jnp.float32)),
        "fault_count": jnp.float32(0.0) if episodes.fault is None else jnp.sum(episodes.fault, dtype=jnp.float32),
    }


def faulty(action, reward, observation) -> jax.Array:
    """Returns where an environment answered a finite action with a reward [...] or an observation [..., *shape] that is
    not finite. An action that is not finite is the learner's fault, and so is what comes of it."""
    return _finite(action, reward.ndim) & ~(_finite(reward, reward.ndim) & _finite(observation, reward.ndim))


def _finite(x, num_axes: int) -> jax.Array:
    """Returns whether all is finite beyond the first `num_axes` axes."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.ones(x.shape[:num_axes], bool)
    return jnp.all(jnp.isfinite(x), axis=tuple(range(num_axes, x.ndim)))


@struct.dataclass
class Evaluation:
    """One whole episode in each of B environments, as far as it is. With N agents observations are [B, N, ...]."""

    key: jax.Array
    time: jax.Array  # int32, steps made
    environment: Any  # [B, ...]
    observation: jax.Array  # [B, ...]
    running: jax.Array  # [B]
    returns: jax.Array  # [B] float32, undiscounted; of agents the mean over them of their own
    faults: jax.Array  # int32, observations that were not finite
    gone: jax.Array | None = None  # [B, N] bool, which agents have ended; None: one agent


def begin_evaluation(env: Env, key, num_episodes: int) -> Evaluation:
    """Returns the episodes before their first steps."""
    key_reset, key_run = jax.random.split(key)
    reset_keys = jax.vmap(jax.random.fold_in, (None, 0))(key_reset, jnp.arange(num_episodes))
    state, observation = jax.vmap(env.reset)(reset_keys)
    running, returns = jnp.ones(num_episodes, bool), jnp.zeros(num_episodes, jnp.float32)
    gone = None if env.agents is None else jnp.zeros((num_episodes, env.agents), bool)
    return Evaluation(key_run, jnp.int32(0), state, observation, running, returns, jnp.int32(0), gone)


def advance_evaluation(env: Env, act, evaluation: Evaluation, num_steps) -> Evaluation:
    """Returns the episodes after `num_steps` more steps, which may be traced, or sooner where all have ended.

    act: (key, observation) -> a policy's action, for a single observation of one agent. `env.max_steps` ends an episode that goes on.
    """
    num_episodes, until = evaluation.running.shape[0], evaluation.time + num_steps
    if env.agents is not None:
        return _advance_agents(env, act, evaluation, until)

    def step_all(now):
        keys = jax.random.split(jax.random.fold_in(now.key, now.time), (2, num_episodes))
        action = env.action.to_environment(jax.vmap(act)(keys[0], now.observation))
        state, reached = jax.vmap(env.step)(keys[1], now.environment, action)
        ended = reached.terminated | reached.truncated | (now.time + 1 >= env.max_steps)
        fault = now.running & ~_finite(now.observation, 1)  # of the carry: the step stays one fused piece, and its bits
        return now.replace(
            time=now.time + 1,
            environment=state,
            observation=reached.observation,
            running=now.running & ~ended,
            returns=now.returns + jnp.where(now.running, reached.reward, 0.0),
            faults=now.faults + jnp.sum(fault, dtype=jnp.int32),
        )

    return lax.while_loop(lambda now: jnp.any(now.running) & (now.time < until), step_all, evaluation)


def _advance_agents(env: Env, act, evaluation: Evaluation, until) -> Evaluation:
    """Returns `advance_evaluation` of an environment with agents, each of which acts by itself."""
    num_episodes = evaluation.running.shape[0]

    def step_all(now):
        keys = jax.random.split(jax.random.fold_in(now.key, now.time), (2, num_episodes))
        own = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(keys[0], jnp.arange(env.agents))
        action = env.action.to_environment(jax.vmap(jax.vmap(act))(own, now.observation))
        state, reached = jax.vmap(env.step)(keys[1], now.environment, action)
        ends, gone = own_ends(env, reached, now.gone, now.time + 1 >= env.max_steps)
        fault = now.running[:, None] & ~_finite(now.observation, 2)
        return now.replace(
            time=now.time + 1,
            environment=state,
            observation=reached.observation,
            running=now.running & ~jnp.all(gone, axis=1),
            returns=now.returns + jnp.where(now.running, jnp.mean(ends.reward, axis=1), 0.0),
            faults=now.faults + jnp.sum(fault, dtype=jnp.int32),
            gone=gone,
        )

    return lax.while_loop(lambda now: jnp.any(now.running) & (now.time < until), step_all, evaluation)


def evaluate(env: Env, act, key, num_episodes: int) -> jax.Array:
    """Returns the undiscounted returns [num_episodes] of one whole episode each; `act` as in `advance_evaluation`."""
    return advance_evaluation(env, act, begin_evaluation(env, key, num_episodes), env.max_steps).returns
