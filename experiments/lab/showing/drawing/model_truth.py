"""What is best in a finite model, what an agent makes of it, and where it is wrong, state by state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.tabular import exact
from algos.tabular.planning import policy_evaluation, value_iteration
from envs import Env
from envs.mdp.model import MDP, terminal_states


class Side(NamedTuple):
    """A policy: what its states are worth, and how often it comes to them."""

    value: np.ndarray  # [S]: V*, or what an agent learned, or where it tells none what its greedy policy is worth
    policy: np.ndarray  # [S, A]
    visits: np.ndarray  # [S], sum_t gamma^t P(s_t = s), as `visits` has them
    value_is: str  # what `value` is, in words


class Truth(NamedTuple):
    """What is best on a model, and where an agent is from it."""

    best: Side
    agent: Side | None
    wrong: np.ndarray  # bool [S], states where the agent's action is none of the best
    error: np.ndarray  # [S], |V - V*|
    words: list[str]


def truth_of(env: Env, gamma: float, agent=None) -> Truth:
    """Returns the best of the model, and of an agent, (algorithm, state), how it compares. Raises ValueError for a gamma that
    cannot be and for a model that has no values without a discount."""
    mdp, solution = env.model, value_iteration.solve(env.model, gamma, 1e-10)
    best = Side(solution.value, solution.policy, visits(mdp, solution.policy, gamma), "V*")
    earned = float(mdp.start @ solution.value)
    words = [f"J* = {earned:.6g} at gamma = {gamma:g}"]
    nothing = np.zeros(mdp.num_states)
    if agent is None:
        return Truth(best, None, nothing.astype(bool), nothing, words)
    action, learned = acts_and_values(env, *agent)
    policy = np.eye(mdp.num_actions)[action]
    worth = policy_evaluation.solve(mdp, policy, gamma).value
    value, value_is = (worth, "V of its greedy policy") if learned is None else (learned, "V as it was learned")
    side = Side(value, policy, visits(mdp, policy, gamma), value_is)
    counted = ~terminal_states(mdp)
    wrong = counted & (solution.policy[np.arange(mdp.num_states), action] == 0.0)
    error = np.where(counted, np.abs(value - solution.value), 0.0)
    reached = float(mdp.start @ worth)
    below = earned - reached if earned - reached > solution.bound + 1e-9 else 0.0
    words += [
        f"J of the greedy policy = {reached:.6g}, {below:.3g} below J*",
        f"its action is none of the best in {wrong.sum()} of {counted.sum()} states",
        f"{value_is}: |V - V*| is {error.max():.3g} at most, {error[counted].mean():.3g} on average",
    ]
    return Truth(best, side, wrong, error, words)


def acts_and_values(env: Env, algorithm, state) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns (greedy action [S], V as it was learned [S], or None where the algorithm tells none or it was not kept)."""
    observations = jax.vmap(env.observe)(jnp.arange(env.model.num_states))
    action = jax.vmap(lambda x: algorithm.act(state, jax.random.key(0), x, False))(observations)
    if algorithm.value is None or hasattr(state, "value_params"):  # a run folder keeps what acts
        return np.asarray(action), None
    return np.asarray(action), np.asarray(jax.vmap(lambda x: algorithm.value(state, x))(observations))


def visits(mdp: MDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """Returns how often an episode of the policy comes to each state, float64 [S], discounted by 0.999 at most: finite though
    it never ends."""
    with jax.enable_x64(True):
        return np.asarray(exact.visits(mdp, jnp.asarray(policy), min(gamma, 0.999)))


def directions(mdp: MDP) -> np.ndarray:
    """Returns where each action leads on the grid, unit vectors (row, column) [A, 2]; 0 for one that leads nowhere.

    The usual move, over states, of the mean over outcomes, less what all actions of a state share: wind and slips fall out.
    """
    moved = mdp.cell[mdp.successor] - mdp.cell[:, None, None]  # [S, A, K, 2]
    mean = (mdp.probability[..., None] * moved).sum(2)[~terminal_states(mdp)]
    usual = np.median(mean - mean.mean(1, keepdims=True), axis=0)
    length = np.linalg.norm(usual, axis=1, keepdims=True)
    return np.where(length > 0.1 * length.max(), usual / np.where(length > 0.0, length, 1.0), 0.0)
