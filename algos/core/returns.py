"""Returns and targets over time-major arrays [T, B]: one equation a function.

`terminated` stops bootstrapping. `terminated | truncated` stops accumulation. `next_value` is the value of the state
reached by the step, before any reset; the last row is bootstrapped from it unless it terminated. Targets carry no
gradient: each function stops it. G, V, gamma and lambda as in Sutton and Barto (2018).
"""

import chex
import jax.numpy as jnp
from jax import lax


def reward_to_go(reward, terminated, truncated, gamma, acting=None, live=None):
    """Returns G_t = r_t + gamma G_{t+1} within the episode, [T, B]; nothing is bootstrapped (S&B eq. 3.9).

    acting, live [T, B]: as in `decision_returns`; None: at every step.
    """
    nothing = jnp.zeros_like(reward)
    if acting is not None:
        return decision_returns(reward, terminated, truncated, nothing, nothing, gamma, 1.0, acting, live)
    return lambda_returns(reward, terminated, truncated, nothing, gamma, 1.0)


def td_target(reward, terminated, next_value, gamma):
    """Returns r_t + gamma (1 - terminated_t) V(s_{t+1}), any shape (S&B eq. 6.2); gamma may be one for each sample."""
    chex.assert_equal_shape([reward, terminated, next_value])
    return lax.stop_gradient(reward + gamma * jnp.where(terminated, 0.0, next_value))


def n_step_returns(reward, terminated, truncated, next_value, gamma, n: int):
    """Returns sum_{k<n} gamma^k r_{t+k} + gamma^n V(s_{t+n}), [T, B] (S&B eq. 7.1).

    Fewer steps where the episode or the rollout ends first, then bootstrapped from the state reached there.
    """
    _check(reward, terminated, truncated, next_value)
    rewards, discount, last = n_step(reward, terminated, truncated, gamma, n)
    reached, over = (jnp.take_along_axis(x, last, axis=0) for x in (next_value, terminated))
    return td_target(rewards, over, reached, discount)


def n_step(reward, terminated, truncated, gamma, n: int):
    """Returns (sum_{k<m} gamma^k r_{t+k}, gamma^m, index t + m - 1 of the last step), each [T, B].

    m is n, or less where the episode or the array ends first. Step `last` says which state was reached and how.
    """
    step = jnp.broadcast_to(jnp.arange(reward.shape[0])[:, None], reward.shape)
    reward = jnp.asarray(reward, jnp.result_type(reward, float))  # whole rewards have a discount between 0 and 1 too
    one = (reward, jnp.full_like(reward, gamma), step)
    goes_on = _goes_on(terminated, truncated)
    rewards, discount, last = one
    for _ in range(n - 1):
        rewards, discount, last = (jnp.roll(x, -1, axis=0) for x in (rewards, discount, last))
        rewards = jnp.where(goes_on, reward + gamma * rewards, one[0])
        discount = jnp.where(goes_on, gamma * discount, one[1])
        last = jnp.where(goes_on, last, one[2])
    return rewards, discount, last


def lambda_returns(reward, terminated, truncated, next_value, gamma, lambda_):
    """Returns G_t = r_t + gamma ((1 - lambda) V(s_{t+1}) + lambda G_{t+1}), [T, B] (S&B eq. 12.18).

    At an episode's end and at the last row G_t = r_t + gamma (1 - terminated_t) V(s_{t+1}).
    """
    _check(reward, terminated, truncated, next_value)
    goes_on = _goes_on(terminated, truncated)
    one_step = td_target(reward, terminated, next_value, gamma)
    # One product a sum: of a b + c d either may be rounded first, and XLA chooses by the shape.
    part, onward = reward + gamma * (1.0 - lambda_) * next_value, jnp.asarray(gamma * lambda_)

    def backwards(following, row):
        part, one_step, goes_on = row
        returns = jnp.where(goes_on, part + onward * following, one_step)
        return returns, returns

    rows = (part, one_step, goes_on)
    _, returns = lax.scan(backwards, jnp.zeros_like(one_step[0]), rows, reverse=True)
    return lax.stop_gradient(returns)


def decision_returns(
    reward, terminated, truncated, value, next_value, gamma, lambda_, acting, live=None, waits: int = 0
):
    """Returns lambda-returns of agents that do not act at every step, [T, B]; `acting` [T, B] says where they do.

        G_t = r_t + gamma C_{t+1}
        C_t = (1 - lambda) V(s_t) + lambda G_t   where the agent acts,   r_t + C_{t+1}   where it waits

    Time is counted in the agent's own decisions: what happens between two of them is the environment's, its rewards add up
    undiscounted, and the next value is that of the agent's own next decision. Where the array ends C is V(s_{t+1}), at an
    episode's end (1 - terminated_t) V(s_{t+1}). Rows where the agent does not act mean nothing.

    live [T, B]: False where the agent is gone, which is no waiting: what its team earns then is discounted at every step. None:
    nobody is. waits: C_t = V(s_t) for decisions in the last `waits` rows, since what lies beyond may be the value of an agent that
    is not to move, which no critic has learned.
    """
    _check(reward, terminated, truncated, next_value)
    chex.assert_equal_shape([reward, value, acting])
    beyond = td_target(jnp.zeros_like(reward), terminated, next_value, 1.0)
    discount = jnp.where(acting if live is None else acting | ~live, gamma, 1.0)
    steps = reward.shape[0]
    cut = jnp.broadcast_to(jnp.arange(steps)[:, None] >= steps - waits, reward.shape)

    def backwards(following, row):
        reward, value, beyond, goes_on, acting, discount, cut = row
        ahead = jnp.where(goes_on, following, beyond)
        returns = reward + discount * ahead
        blended = jnp.where(cut, value, (1.0 - lambda_) * value + lambda_ * returns)
        return jnp.where(acting, blended, returns), returns

    rows = (reward, value, beyond, _goes_on(terminated, truncated), acting, discount, cut)
    _, returns = lax.scan(backwards, jnp.zeros_like(beyond[0]), rows, reverse=True)
    return lax.stop_gradient(returns)


def gae(reward, terminated, truncated, value, next_value, gamma, lambda_, acting=None, live=None, waits: int = 0):
    """Returns the generalised advantage A_t = sum_k (gamma lambda)^k delta_{t+k}, [T, B] (arXiv 1506.02438, eq. 16).

    Computed as the lambda-return less the value, which is the same sum. acting, live, waits: as in
    `decision_returns`; None: always.
    """
    chex.assert_equal_shape([reward, value])
    if acting is not None:
        returns = decision_returns(
            reward, terminated, truncated, value, next_value, gamma, lambda_, acting, live, waits
        )
        return lax.stop_gradient(returns - value)
    return lax.stop_gradient(lambda_returns(reward, terminated, truncated, next_value, gamma, lambda_) - value)


def _goes_on(terminated, truncated):
    """Returns where the next row belongs to the same episode, [T, B]."""
    return ~jnp.asarray(terminated | truncated).at[-1].set(True)


def _check(reward, terminated, truncated, next_value):
    chex.assert_rank(reward, 2)
    chex.assert_equal_shape([reward, terminated, truncated, next_value])
    chex.assert_type([terminated, truncated], bool)
