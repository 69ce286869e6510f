"""What the on-policy algorithms share: their first state, their batch and how they act."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from algos.core import losses, normalize, played
from algos.core.returns import gae
from algos.core.rollout import rollout
from algos.core.types import Algorithm, Batch, TrainState
from envs import Env, VectorEnv, VectorState

ROWS = 512  # images


def initialise(vector: VectorEnv, network, optimizer, key, config) -> TrainState:
    """Returns the state before the first update. All algorithms split the key alike: under one seed all meet the same
    initial states."""
    key_environment, key_params, key_train = jax.random.split(key, 3)
    environment = vector.reset(key_environment)
    params = network.init(key_params, environment.observation)
    return TrainState(
        params=params,
        opt_state=optimizer.init(params),
        environment=environment,
        normalizer=normalize.start(vector, config.normalize_observation, config.normalize_reward),
        key=key_train,
        update=jnp.int32(0),
        plans=played.start(vector.env),
    )


def collect(vector: VectorEnv, apply, params, state, key, num_steps: int, gamma, gae_lambda):
    """Returns (state, batch [T, B, ...], episodes [T, B]) after one rollout, with generalised advantages.

    The critic is not needed while acting: all values come from one pass over the finished rollout. With agents B counts rows;
    those count, mask 1, where the agent acted and its next decision is sure to be seen.
    """

    def seeing(params, observation):
        return apply(params, normalize.observe(state.normalizer, observation))

    if getattr(state, "plans", None) is not None:
        plans = played.add(vector.env, state.plans, lambda observation: seeing(params, observation)[0], state.update)
        state = state.replace(plans=plans)
    environment, transitions, episodes = rollout(vector, seeing, params, state.environment, key, num_steps)
    normalizer, transitions = normalize.digest(state.normalizer, transitions, state.environment, gamma)
    observations = jnp.stack([transitions.observation, transitions.next_observation])
    value, next_value = in_rows(lambda observation: apply(params, observation)[1], observations)
    if vector.env.agents is not None and vector.env.reward_convention == "team":
        transitions, next_value = team_ends(vector.env, transitions, environment, next_value)
    acting = transitions.acting
    advantage = gae(
        transitions.reward, transitions.terminated, transitions.truncated, value, next_value, gamma, gae_lambda, acting,
        transitions.live, vector.env.waits,
    )  # fmt: skip
    batch = Batch(
        **vars(transitions),
        log_prob=transitions.policy.log_prob(transitions.action),
        value=value,
        next_value=next_value,
        advantage=advantage,
        value_target=advantage + value,
        mask=jnp.ones_like(value) if acting is None else _counted(vector.env, acting),
        agent=agents_of_rows(vector.env, value.shape),
    )
    return state.replace(environment=environment, normalizer=normalizer), batch, episodes


def in_rows(function, observations: jax.Array):
    """Returns function(observations) [2, T, B] of observations [2, T, B, *shape], of images ROWS at a time, as far as ROWS
    divides their number: thousands at once leave a CPU's cache and take half as long again."""
    leading, shape = observations.shape[:3], observations.shape[3:]
    number = math.prod(leading)
    if len(shape) != 3 or number % ROWS:
        return function(observations)
    return lax.map(function, observations.reshape(-1, ROWS, *shape)).reshape(leading)


def team_ends(env: Env, transitions, after: VectorState, next_value):
    """Returns (transitions [T, B N], next values) of a team, which a gone agent's reward is too: its next value is the mean of
    those that its team's living have, and where time is up for them it is for it. after: the state that the rollout ended in."""
    terminated, truncated, live, value = (
        x.reshape(x.shape[0], -1, env.agents)
        for x in (transitions.terminated, transitions.truncated, transitions.live, next_value)
    )
    stopped = jnp.any(truncated & ~terminated, axis=2, keepdims=True)
    ended = jnp.all(truncated | terminated, axis=2, keepdims=True)
    living = jnp.where(ended, live & ~terminated, jnp.concatenate([live[1:], ~after.gone[None]]))
    mean = jnp.sum(value, axis=2, keepdims=True, where=living) / jnp.maximum(jnp.sum(living, axis=2, keepdims=True), 1)
    shape = next_value.shape
    transitions = transitions.replace(
        terminated=(terminated & ~stopped).reshape(shape), truncated=(truncated | terminated & stopped).reshape(shape)
    )
    return transitions, jnp.where(living, value, mean).reshape(shape)


def _counted(env: Env, acting) -> jax.Array:
    """Returns 1.0 where an agent acted, [T, B], but for the last `env.waits` steps: there only some agents, which depends on
    what they did, would come to their next decision in time."""
    early = jnp.arange(acting.shape[0]) < acting.shape[0] - env.waits
    return (acting & early[:, None]).astype(jnp.float32)


def agents_of_rows(env: Env, shape: tuple[int, ...]) -> jax.Array | None:
    """Returns whose row each is, int32 of that shape [T, B]; None for one agent."""
    if env.agents is None:
        return None
    return jnp.broadcast_to(jnp.arange(shape[-1], dtype=jnp.int32) % env.agents, shape)


def normalize_advantage(env: Env, batch: Batch) -> Batch:
    """Returns the batch with advantages of mean 0 and deviation 1 over what counts; each agent's by themselves where rewards
    are the agents' own: another's scale is not theirs."""
    if env.agents is None or env.reward_convention == "team":
        return batch.replace(advantage=losses.normalize(batch.advantage, batch.mask))

    def one(agent):
        return losses.normalize(batch.advantage, batch.mask * (batch.agent == agent))

    every = jax.vmap(one)(jnp.arange(env.agents))
    return batch.replace(advantage=jnp.take_along_axis(every, batch.agent[None], axis=0)[0])


def algorithm(init, step, network, steps_per_update: int, critic=lambda state: state.params) -> Algorithm:
    """Returns the parts as an `Algorithm` that acts by its network's policy: a sample when exploring, else the mode.

    critic: (state) -> the parameters whose value is the learned one. It is in units of the normalised reward.
    """

    def seen(state, observation):
        return normalize.observe(state.normalizer, observation)

    def policy(state, observation):
        return network.apply(state.params, seen(state, observation))[0]

    def value(state, observation):
        return network.apply(critic(state), seen(state, observation))[1]

    def act(state, key, observation, explore: bool):
        chosen = policy(state, observation)
        return chosen.sample(key) if explore else chosen.mode()

    return Algorithm(init, step, act, steps_per_update, policy=policy, value=value)
