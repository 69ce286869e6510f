"""Known games as environments to learn on: trees turn by turn, games in normal form all at once.

Each player is an agent. On a tree the one to move sees its information set and what is legal there; the others wait, and see
nothing. Chance is drawn by the key, with the step that leads to it. Payoffs come at the end.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.core import Discrete, Env, Layout, TimeStep
from envs.games.features import features
from envs.games.matrix import MatrixGame, as_tree
from envs.games.tree import CHANCE, END, GameTree


def tree_env(tree: GameTree, name: str = "GameTree", observation: str = "one_hot") -> Env:
    """Returns the game as an environment of which a state is a history, int32. observation: as in `envs.games.features`.

    Where a player chooses what is not legal, the first legal action is taken. Raises ValueError for another observation, and
    for a game in which nobody may come to decide.
    """
    told = np.concatenate([features(tree, observation), tree.legal.astype(np.float32)], axis=1)
    told = np.concatenate([told, np.zeros_like(told[:1])])  # of who waits
    children, chances, followers = _children(tree), *_followers(tree)
    players, info_set, payoff = np.arange(tree.num_players), tree.info_set, tree.payoff.astype(np.float32)

    def drawn(key, history):
        """The decision or the end that chance leads to; every history leads to itself where chance has nothing to do."""
        place = jnp.sum(jax.random.uniform(key) >= jnp.asarray(chances)[history])
        return jnp.asarray(followers)[history, place]

    def acting(history):
        return players == jnp.asarray(tree.player)[history]

    def seen(history):
        own = jnp.where(acting(history), jnp.asarray(info_set)[history], tree.num_info_sets)
        return jnp.asarray(told)[own]

    def reset(key):
        history = drawn(key, 0)
        return history, seen(history)

    def step(key, history, action):
        mover = jnp.maximum(jnp.asarray(tree.player)[history], 0)
        history = drawn(key, jnp.asarray(children)[history, action[mover]])
        over = jnp.asarray(tree.player)[history] == END
        return history, TimeStep(seen(history), jnp.asarray(payoff)[history], over, jnp.zeros((), bool))

    waits, longest = _durations(tree)
    return Env(
        name=name,
        reset=reset,
        step=step,
        observation_shape=told.shape[1:],
        action=Discrete(tree.num_actions),
        max_steps=longest,
        observe=lambda info_set: jnp.asarray(told)[info_set],
        agents=tree.num_players,
        acting=acting,
        waits=waits,
        layout=Layout(told.shape[1] - tree.num_actions, 0, tree.num_actions),
        reward_convention=_convention(tree.payoff.T),
        game=tree,
    )


def _children(tree: GameTree) -> np.ndarray:
    """Returns the history after each action, int32 [H, A]; after one that is not legal, the first legal one's; itself at an
    end."""
    children = np.repeat(np.arange(tree.num_histories, dtype=np.int32)[:, None], tree.num_actions, axis=1)
    for history in range(tree.num_histories - 1, 0, -1):  # the first legal action is written last
        before = tree.parent[history]
        if tree.player[before] >= 0:
            legal = tree.legal[tree.info_set[before]]
            if tree.action[history] == np.argmax(legal):
                children[before, ~legal] = history
            children[before, tree.action[history]] = history
    return children


def _followers(tree: GameTree) -> tuple[np.ndarray, np.ndarray]:
    """Returns (cumulative probabilities [H, K], histories [H, K]) to which chance may lead from each history that is first
    met, down to where a player decides or the game ends."""
    found: list[list[tuple[float, int]]] = [[] for _ in range(tree.num_histories)]
    for history in range(tree.num_histories - 1, -1, -1):  # children before parents
        if tree.player[history] != CHANCE:
            found[history] = [(1.0, history)]
        if history and tree.player[tree.parent[history]] == CHANCE:
            chance = tree.chance[history]
            found[tree.parent[history]] += [(chance * p, to) for p, to in found[history] if chance > 0.0]
    width = max(map(len, found))
    chances, followers = np.ones((len(found), width)), np.zeros((len(found), width), np.int32)
    for history, one in enumerate(found):
        chances[history, : len(one)] = np.cumsum([p for p, _ in one])
        followers[history] = [to for _, to in one] + [one[-1][1]] * (width - len(one))
    chances[:, -1] = np.inf  # no number drawn is above
    return chances.astype(np.float32), followers


def _durations(tree: GameTree) -> tuple[int, int]:
    """Returns (the most decisions of others between two of one player's, or until the end, the most decisions of all)."""
    waited = np.full((tree.num_histories, tree.num_players), -1)  # -1: has not decided yet
    decided, waits = np.zeros(tree.num_histories, int), 0
    for history in range(1, tree.num_histories):
        before = tree.parent[history]
        waited[history], decided[history] = waited[before], decided[before]
        if tree.player[before] >= 0:
            waited[history] += waited[history] >= 0
            waited[history, tree.player[before]] = 0
            decided[history] += 1
        if tree.player[history] == END:
            waits = max(waits, waited[history].max())
        elif tree.player[history] >= 0:
            waits = max(waits, waited[history, tree.player[history]])
    return int(waits), int(decided.max())


@struct.dataclass
class Rounds:
    """How many rounds were played, and the actions of the last one, [N]; -1 before the first."""

    played: jax.Array
    last: jax.Array


def matrix_env(
    game: MatrixGame, name: str = "MatrixGame", rounds: int = 1, memory: bool = False, ids: bool = True
) -> Env:
    """Returns the game in normal form as an environment: so many rounds of it, and every round pays.

    What an agent sees is who it is (ids), and with memory what all did in the last round; else nothing, which is the number 1.
    Without memory it is judged as one round of the game. Raises ValueError for rounds that are not 1 or more.
    """
    if type(rounds) is not int or rounds < 1:
        raise ValueError(f"rounds must be 1 or more, not {rounds!r}")
    tree, sizes = as_tree(game), game.payoff.shape[1:]
    agents, actions = len(sizes), max(sizes)
    payoff = game.payoff.astype(np.float32)
    unequal = min(sizes) < actions
    legal = tree.legal.astype(np.float32) if unequal else np.zeros((agents, 0), np.float32)
    who = np.eye(agents, dtype=np.float32) if ids else np.ones((agents, 1), np.float32)
    own = who.shape[1] + agents * actions * memory

    def seen(last):
        told = [who]
        if memory:  # oneself first, then the others in turn
            order = (np.arange(agents)[:, None] + np.arange(agents)) % agents
            told.append(jax.nn.one_hot(last[order], actions).reshape(agents, -1))
        return jnp.concatenate([*told, legal], axis=1)

    def reset(key):
        nothing = jnp.full(agents, -1, jnp.int32)
        return Rounds(jnp.int32(0), nothing), seen(nothing)

    def step(key, state, action):
        action = jnp.minimum(action, np.array(sizes, np.int32) - 1)
        reward = jnp.asarray(payoff)[(slice(None), *action)]
        played = state.played + 1
        return Rounds(played, action), TimeStep(seen(action), reward, played >= rounds, jnp.zeros((), bool))

    first = np.concatenate([who, legal], axis=1)
    return Env(
        name=name,
        reset=reset,
        step=step,
        observation_shape=(own + legal.shape[1],),
        action=Discrete(actions),
        max_steps=rounds,
        observe=None if memory else lambda info_set: jnp.asarray(first)[info_set],
        agents=agents,
        layout=Layout(own, 0, legal.shape[1]),
        reward_convention=_convention(game.payoff),
        ids=ids,
        game=None if memory else tree,
    )


def _convention(payoff: np.ndarray) -> str:
    """Returns what payoffs [N, ...] are called: the team's where all are given the same."""
    return "team" if len(payoff) > 1 and all(np.array_equal(payoff[0], one) for one in payoff) else "individual"
