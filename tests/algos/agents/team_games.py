"""Small environments of several agents whose right answers are known."""

import jax
import jax.numpy as jnp
import numpy as np

from envs import Discrete, Env, Layout, TimeStep


def scripted(reward, terminated, truncated=None, convention="individual", state=1):
    """Returns an environment in which, at time t of an episode, agent n is given reward[t, n] and ends where terminated[t, n].

    Observations are (agent, number of the episode's environment, time | the same number `state` times): the number is drawn
    from the key, another for each environment.
    """
    reward, terminated = np.asarray(reward, np.float32), np.asarray(terminated, bool)
    truncated = np.zeros(len(reward), bool) if truncated is None else np.asarray(truncated, bool)
    agents = reward.shape[1]

    def seen(number, time):
        own = jnp.stack(
            [jnp.arange(agents, dtype=jnp.float32), jnp.full(agents, number), jnp.full(agents, time)], axis=1
        )
        return jnp.concatenate([own, jnp.full((agents, state), number)], axis=1)

    def reset(key):
        number = jax.random.uniform(key)
        return (number, jnp.int32(0)), seen(number, 0.0)

    def step(key, place, action):
        number, time = place
        ends, cut = jnp.asarray(terminated)[time], jnp.asarray(truncated)[time]
        reached = TimeStep(seen(number, time + 1.0), jnp.asarray(reward)[time], ends, cut)
        return (number, jnp.minimum(time + 1, len(reward) - 1)), reached

    layout = Layout(3, state)
    return Env(
        "Scripted", reset, step, (3 + state,), Discrete(2), len(reward) + 1,
        agents=agents, layout=layout, reward_convention=convention,
    )  # fmt: skip


def one_round(payoff, ids=True):
    """Returns the game in which all agents choose once and all are paid payoff[actions]. They see who they are, or nothing."""
    payoff = np.asarray(payoff, np.float32)
    agents, actions = payoff.ndim, payoff.shape[0]
    who = np.eye(agents, dtype=np.float32) if ids else np.ones((agents, 1), np.float32)

    def reset(key):
        return jnp.int32(0), jnp.asarray(who)

    def step(key, state, action):
        paid = jnp.asarray(payoff)[tuple(action)]
        return state, TimeStep(jnp.asarray(who), jnp.full(agents, paid), jnp.bool_(True), jnp.bool_(False))

    return Env(
        "OneRound", reset, step, who.shape[1:], Discrete(actions), 1, agents=agents, reward_convention="team", ids=ids
    )  # fmt: skip


SEVEN, EIGHT = np.full((2, 2), 7.0), np.array([[0.0, 1.0], [1.0, 8.0]])


def two_steps():
    """Returns QMIX's example (arXiv 1803.11485, section 4): the first agent chooses which of two games is played next, one that
    always pays 7 or one that pays 8 where both take their second action and less else."""

    def seen(place):
        told = jnp.tile(jax.nn.one_hot(place, 3), (2, 1))
        return jnp.concatenate([jnp.eye(2), told], axis=1)

    def reset(key):
        return jnp.int32(0), seen(0)

    def step(key, place, action):
        paid = jnp.where(place == 0, 0.0, jnp.where(place == 1, SEVEN[0, 0], jnp.asarray(EIGHT)[action[0], action[1]]))
        reached = jnp.where(place == 0, 1 + action[0], place)
        return reached, TimeStep(seen(reached), jnp.full(2, paid), place > 0, jnp.bool_(False))

    return Env("TwoSteps", reset, step, (5,), Discrete(2), 2, agents=2, reward_convention="team", ids=True)
