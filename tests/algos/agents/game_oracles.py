"""Games worked out by recursion, enumeration and linear programs, from a tree's arrays alone, and what our code says of them."""

import functools
import itertools
from fractions import Fraction

import jax
import numpy as np
import scipy.optimize
import scipy.sparse

from algos.agents import exact
from algos.core import sequences
from envs.games import Chance, Decision, End, from_function
from envs.games.kuhn import kuhn
from envs.games.liars_dice import liars_dice
from envs.games.tree import CHANCE, END


def odd(history):
    """Returns the node of a game that poker is unlike: histories of unlike length in one information set, a player who may never
    be asked, chance in the middle, unlike actions, payoffs that sum to nothing in particular."""
    if history == ():
        return Decision(0, "start", ("left", "right", "out"))
    if history == ("out",):
        return Chance({"rain": 0.25, "sun": 0.75})
    if history[0] == "out":
        return End((5.0, 0.5) if history[1] == "sun" else (-3.0, 1.0))
    if history == ("right",):
        return Decision(0, "again", ("a", "b"))
    if history == ("right", "b"):
        return End((1.0, -2.0))
    if history in (("left",), ("right", "a")):
        return Decision(1, "cannot tell how far", ("yes", "no"))
    if history == ("left", "no"):
        return Decision(1, "last word", ("a", "b"))
    return End(
        (0.5 * len(history) + 3.0 * (history[-1] == "b"), 1.5 - len(history) + 2.0 * (history[-2:] == ("a", "yes")))
    )


GAMES = {
    "kuhn": kuhn,
    "kuhn for 3": functools.partial(kuhn, 3),
    "liars_dice": functools.partial(liars_dice, 1, 2),
    "odd": lambda: from_function(odd, 2),
}


@functools.cache
def tree_of(name):
    return GAMES[name]()


@jax.jit
def compiled(game, policy):
    """Returns what there is to know of a policy, {name: array}; compiled once for games of one shape."""
    functions = [exact.value, exact.best_value, exact.nash_conv, exact.best_response, sequences.realisation_plan]
    functions += [exact.exploitability] * game.rivals
    return {function.__name__: function(game, policy) for function in functions}


def measured(name, policy):
    """Returns the same as NumPy arrays, of one of GAMES by its name, or of another tree."""
    tree = tree_of(name) if isinstance(name, str) else name
    return {key: np.asarray(x) for key, x in compiled(form_of(tree), policy).items()}


FORMS = {}


def form_of(tree):
    """Returns the tree's sequence form, made once."""
    if id(tree) not in FORMS:
        FORMS[id(tree)] = tree, sequences.tables(tree)  # a tree that is kept keeps its id
    return FORMS[id(tree)][1]


def random_policy(tree, seed):
    """Returns a stochastic policy, [I, A]."""
    weight = np.random.default_rng(seed).exponential(size=tree.legal.shape) * tree.legal
    return weight / weight.sum(1, keepdims=True)


@functools.cache
def children(key):
    parent = np.array(key)
    return [np.flatnonzero(parent == history).tolist() for history in range(len(parent))]


def values(tree, policy, history=0):
    """Returns what each player earns from the history on, [N], by recursion."""
    after = children(tuple(tree.parent.tolist()))[history]
    if tree.player[history] == END:
        return tree.payoff[history]
    weight = [
        tree.chance[child] if tree.player[history] == CHANCE else policy[tree.info_set[history], tree.action[child]]
        for child in after
    ]
    return sum(p * values(tree, policy, child) for p, child in zip(weight, after))


def pure(tree, player):
    """Yields every choice of one action in each of the player's information sets, as one-hot rows."""
    rows = np.flatnonzero(tree.mover == player)
    for actions in itertools.product(*(np.flatnonzero(tree.legal[row]) for row in rows)):
        yield rows, np.eye(tree.num_actions)[list(actions)]


def best_by_enumeration(tree, policy, player):
    """Returns the most that the player earns by any pure strategy against the others' policies."""
    found = []
    for rows, choice in pure(tree, player):
        changed = policy.copy()
        changed[rows] = choice
        found.append(values(tree, changed)[player])
    return max(found)


def fictitious_play(tree, iterations):
    """Returns NashConv of the average after each iteration of fictitious play between two rivals, in fractions: from nothing played,
    so that the first best responses are to uniform play, and ties go to the first action."""
    played, gaps = {None: 0}, []
    answers = [reply(tree, uniform_plan(tree), player) for player in range(2)]
    for _ in range(iterations):
        for _, plan in answers:
            played |= {sequence: played.get(sequence, 0) + x for sequence, x in plan.items()}
        played[None] += 1
        answers = [reply(tree, played, player) for player in range(2)]
        gaps.append(float(sum(earns for earns, _ in answers) / played[None]))
    return gaps


def uniform_plan(tree):
    """Returns how far uniform play leads to each (information set, action)."""
    plan = {None: Fraction(1)}
    for row in range(tree.num_info_sets):
        before = tuple(tree.past[row].tolist())
        for action in np.flatnonzero(tree.legal[row]).tolist():
            plan[row, action] = plan[before if before in plan else None] / int(tree.legal[row].sum())
    return plan


def reply(tree, weight, player):
    """Returns (what the player's best reply earns, its plan) to the other, whose sequences have this weight."""
    after, choice = children(tuple(tree.parent.tolist())), {}

    def earned(nodes):
        """Returns what is earned from histories on that are open at once, each with chance's share and the other's weight. An
        information set is asked once, for all of its histories: who asks at each is clairvoyant."""
        total, asked, nodes = Fraction(0), {}, list(nodes)
        for history, share, other in nodes:  # which grows
            mover, row = tree.player[history], int(tree.info_set[history])
            if mover == END:
                total += share * other * Fraction(float(tree.payoff[history, player]))
            elif mover == player:
                asked.setdefault(row, []).append((history, share, other))
            elif mover == CHANCE:
                likely = [Fraction(float(tree.chance[child])).limit_denominator(1000) for child in after[history]]
                nodes += [(child, share * p, other) for child, p in zip(after[history], likely)]
            else:
                nodes += [(child, share, weight[row, int(tree.action[child])]) for child in after[history]]
        return total + sum(chosen(row, here) for row, here in asked.items())

    def chosen(row, nodes):
        worth = [
            earned(
                [(child, *rest) for history, *rest in nodes for child in after[history] if tree.action[child] == action]
            )
            for action in range(tree.num_actions)
        ]  # of games in which all is legal everywhere
        choice[row] = worth.index(max(worth))
        return max(worth)

    earns, plan = earned([(0, Fraction(1), weight[None])]), {}
    for row in sorted(choice):
        before = tuple(tree.past[row].tolist())
        for action in range(tree.num_actions):
            plan[row, action] = plan.get(before, 1) * (action == choice[row])
    return earns, plan


def sequence_form(tree):
    """Returns (first player's payoffs over both players' sequences, each player's constraints (E, e) of E x = e, each player's
    places of sequences (information set, action))."""
    ways = [((0, ()), (1, ()))]  # of each history, the sequences of both: (player, last (set, action))
    reach = [1.0]
    for history in range(1, tree.num_histories):
        before = tree.parent[history]
        sequences, player = list(ways[before]), tree.player[before]
        if player >= 0:
            sequences[player] = (player, (int(tree.info_set[before]), int(tree.action[history])))
        ways.append(tuple(sequences))
        reach.append(reach[before] * tree.chance[history])
    places = []
    for player in range(2):
        rows = np.flatnonzero(tree.mover == player)
        own = [(int(row), int(action)) for row in rows for action in np.flatnonzero(tree.legal[row])]
        places.append({(): 0} | {sequence: place for place, sequence in enumerate(own, 1)})
    payoff = scipy.sparse.lil_array((len(places[0]), len(places[1])))
    constraints = []
    for history in np.flatnonzero(tree.player == END):
        one, two = (places[p][ways[history][p][1]] for p in range(2))
        payoff[one, two] += reach[history] * tree.payoff[history, 0]
    for player in range(2):
        sets = {int(tree.info_set[h]): ways[h][player][1] for h in np.flatnonzero(tree.player == player)}
        matrix = scipy.sparse.lil_array((len(sets) + 1, len(places[player])))
        matrix[0, 0] = 1.0
        for line, (row, before) in enumerate(sets.items(), 1):
            matrix[line, places[player][before]] = -1.0
            for action in np.flatnonzero(tree.legal[row]):
                matrix[line, places[player][(row, int(action))]] = 1.0
        constraints.append((matrix.tocsr(), np.eye(len(sets) + 1)[0]))
    return payoff.tocsr(), constraints, places


def linear_program(tree):
    """Returns (the first player's value, a policy [I, A] in equilibrium) of a game for two with opposite interests."""
    payoff, ((first, one), (second, two)), places = sequence_form(tree)
    policy, worth = tree.legal / tree.legal.sum(1, keepdims=True), []
    for player, (game, own, own_sum, other, other_sum) in enumerate(
        ((payoff, first, one, second, two), (-payoff.T, second, two, first, one))
    ):  # max q . other_sum subject to game^T x >= other^T q, own x = own_sum, x >= 0
        sequences, rows = own.shape[1], other.shape[0]
        done = scipy.optimize.linprog(
            c=np.concatenate([np.zeros(sequences), -other_sum]),
            A_ub=scipy.sparse.hstack([-game.T, other.T]),
            b_ub=np.zeros(other.shape[1]),
            A_eq=scipy.sparse.hstack([own, scipy.sparse.csr_array((own.shape[0], rows))]),
            b_eq=own_sum,
            bounds=[(0, None)] * sequences + [(None, None)] * rows,
            method="highs",
        )
        assert done.status == 0, done.message
        worth.append(-done.fun)
        for row in np.flatnonzero(tree.mover == player):
            plan = np.array(
                [done.x[places[player][(int(row), a)]] if tree.legal[row, a] else 0.0 for a in range(tree.num_actions)]
            )
            plan = np.maximum(plan, 0.0)
            policy[row] = plan / plan.sum() if plan.sum() > 1e-9 else policy[row]
    return worth[0], policy
