"""Prioritised sweeping: what it saves to work backwards from where values change, on mazes of growing size."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import envs
from algos.tabular import dyna_q, prioritised_sweeping
from algos.tabular.planning import value_iteration
from envs.mdp import MDP
from envs.mdp.model import terminal_states
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import over_runs

HALVINGS = (0, 1, 2, 3, 4)
PLANNING, GAMMA, EPSILON = 5, 0.95, 0.1
SLACK = 1.2  # how long the way may be, of the shortest: from a way that good a step of exploring seldom finds a better
LONG_ENOUGH = 500_000  # steps of an episode, and of a run: one that needs more has taken infinitely many backups
BOOK = {"Dyna-Q": (19_252, 38_056, 65_860, 148_700, 403_090), "prioritised sweeping": (150, 597, 999, 47_234, 91_830)}
METHODS = {"Dyna-Q": dyna_q, "prioritised sweeping": prioritised_sweeping}


def mazes(runs: int = 20) -> Figure:
    """Returns the figure of example 8.4: backups until the greedy actions are a short way, against the number of states.

    Both methods make up to 5 backups after each step, and Dyna-Q the one of the step itself; both at alpha = 1."""
    x = np.array([envs.make("DynaMaze", halvings=number).model.num_states for number in HALVINGS])
    found = {name: np.stack([backups(name, number, runs) for number in HALVINGS], axis=1) for name in METHODS}
    curves = [Curve(name, x, values) for name, values in found.items()]
    ratio = found["Dyna-Q"] / found["prioritised sweeping"]
    rows = [Row(f"{states} states, Dyna-Q's backups for each one", "4 or more", one) for states, one in zip(x, ratio.T)]
    book = [(states, level) for levels in BOOK.values() for states, level in zip(x, levels)]
    return Figure("Example 8.4: mazes of growing size", "states", "backups until the greedy way is short", curves, rows,
                  (100.0, 1e6), book=book, scale="log", line="o-", scale_below="log", middle="median")  # fmt: skip


def backups(name: str, halvings: int, runs: int) -> np.ndarray:
    """Returns how many backups each run made before it knew a short way, [runs]."""
    module = METHODS[name]
    env = envs.make("DynaMaze", halvings=halvings, max_steps_in_episode=LONG_ENOUGH)
    algorithm = module.make(env, module.Config(num_planning=PLANNING, num_steps=1))
    hparams = module.HParams(learning_rate=1.0, gamma=GAMMA, epsilon=EPSILON)
    known = way_known(env.model)

    def one_run(key):
        def searching(state):
            return ~known(state.params) & (state.update < LONG_ENOUGH)

        state = lax.while_loop(searching, lambda state: algorithm.step(state, hparams)[0], algorithm.init(key, hparams))
        made = state.memory.backups if module is prioritised_sweeping else state.update * (1 + PLANNING)
        return jnp.where(known(state.params), made, jnp.inf)

    return over_runs(one_run, runs)


def way_known(mdp: MDP):
    """Returns a function of Q [S, A]: whether its greedy actions, the first of equals, lead from the start to an end in no
    more than SLACK times the fewest steps."""
    over, successor, start = terminal_states(mdp), mdp.successor[..., 0], int(mdp.start.argmax())
    costly = mdp.replace(reward=np.where(over[:, None, None], 0.0, -1.0) * np.ones(mdp.reward.shape))
    most = int(SLACK * -value_iteration.solve(costly, 1.0).value[start] + 1e-6)
    over, successor = jnp.asarray(over), jnp.asarray(successor)

    def known(q) -> jax.Array:
        def under_way(carry):
            return ~over[carry[0]] & (carry[1] < most)

        def one_step(carry):
            return successor[carry[0], jnp.argmax(q[carry[0]])], carry[1] + 1

        return over[lax.while_loop(under_way, one_step, (jnp.int32(start), 0))[0]]

    return known
