"""What the on-policy algorithms share: their first state, their batch and how they act."""

import jax
import jax.numpy as jnp

from algos.agents import played
from algos.core import losses, normalize
from algos.core.returns import gae
from algos.core.rollout import rollout
from algos.core.types import Algorithm, Batch, TrainState
from envs import Env, VectorEnv


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
    value, next_value = apply(params, observations)[1]
    acting = transitions.acting
    advantage = gae(
        transitions.reward, transitions.terminated, transitions.truncated, value, next_value, gamma, gae_lambda, acting
    )
    recorded = {name: x for name, x in vars(transitions).items() if name != "live"}
    batch = Batch(
        **recorded,
        log_prob=transitions.policy.log_prob(transitions.action),
        value=value,
        next_value=next_value,
        advantage=advantage,
        value_target=advantage + value,
        mask=jnp.ones_like(value) if acting is None else _counted(vector.env, acting),
        agent=agents_of_rows(vector.env, value.shape),
    )
    return state.replace(environment=environment, normalizer=normalizer), batch, episodes


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
