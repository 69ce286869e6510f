"""A side of `peers`: Q-learning on FrozenLake 8x8 as a plain loop, argument 2 says which: `numba` compiles it, `numpy` runs
it in Python on the model's tables, `gymnasium` steps Gymnasium's own environment.

Those in Python make a twentieth of the steps, and say twenty times the seconds. Needs no package of this project.
"""

import sys
import time
from importlib.metadata import version

import gymnasium
import numpy as np

RATE, GAMMA, EPSILON, LIMIT = 0.1, 0.99, 0.1, 200
SHARE_IN_PYTHON = 20


def make_round(workload: str, num_seeds: int, steps: int):
    """Returns a training of one seed; its seconds hold no compiling."""
    loop = {"numba": compiled_loop, "numpy": table_loop, "gymnasium": gymnasium_loop}[sys.argv[2]]()
    share = 1 if sys.argv[2] == "numba" else SHARE_IN_PYTHON

    def one_round() -> float:
        started = time.perf_counter()
        q = loop(steps // share)
        taken = time.perf_counter() - started
        assert np.isfinite(q).all()
        return taken * share

    return one_round


def tables():
    """Returns (successor, threshold, reward, terminated), each [64, 4, 3], of Gymnasium's model."""
    model = gymnasium.make("FrozenLake8x8-v1").unwrapped.P
    rows = np.zeros((64, 4, 3, 4))
    for state, action in np.ndindex(64, 4):
        outcomes = model[state][action]
        rows[state, action, : len(outcomes)] = outcomes
    threshold = np.cumsum(rows[..., 0], axis=-1)
    threshold[threshold > 1.0 - 1e-9] = 2.0
    return rows[..., 1].astype(np.int64), threshold, rows[..., 2].copy(), rows[..., 3] > 0.0


def loop_on_tables(steps, successor, threshold, reward, terminated, q):
    """Returns Q after so many steps; equal actions are taken alike. What numba compiles, and Python runs."""
    state, length = 0, 0
    for _ in range(steps):
        if np.random.random() < EPSILON:
            action = np.random.randint(0, 4)
        else:
            action, ties = 0, 1
            for other in range(1, 4):
                if q[state, other] > q[state, action]:
                    action, ties = other, 1
                elif q[state, other] == q[state, action]:
                    ties += 1
                    if np.random.random() * ties < 1.0:
                        action = other
        drawn, outcome = np.random.random(), 0
        while drawn >= threshold[state, action, outcome]:
            outcome += 1
        following = successor[state, action, outcome]
        over = terminated[state, action, outcome]
        best = 0.0 if over else max(q[following, 0], q[following, 1], q[following, 2], q[following, 3])
        q[state, action] += RATE * (reward[state, action, outcome] + GAMMA * best - q[state, action])
        length += 1
        state, length = (0, 0) if over or length >= LIMIT else (following, length)
    return q


def compiled_loop():
    import numba

    loop, model = numba.njit(loop_on_tables), tables()
    loop(10, *model, np.zeros((64, 4)))
    return lambda steps: loop(steps, *model, np.zeros((64, 4)))


def table_loop():
    model = tables()
    return lambda steps: loop_on_tables(steps, *model, np.zeros((64, 4)))


def gymnasium_loop():
    env, random = gymnasium.make("FrozenLake8x8-v1"), np.random.default_rng()

    def loop(steps):
        q = np.zeros((64, 4))
        state, _ = env.reset()
        for _ in range(steps):
            best = np.flatnonzero(q[state] == q[state].max())
            action = int(random.integers(4) if random.random() < EPSILON else random.choice(best))
            following, reward, terminated, truncated, _ = env.step(action)
            target = reward + GAMMA * q[following].max() * (not terminated)
            q[state, action] += RATE * (target - q[state, action])
            state = env.reset()[0] if terminated or truncated else following
        return q

    return loop


def facts() -> dict[str, str | int]:
    """Returns the versions and the number of threads."""
    return {"threads": 1} | {name: version(name) for name in ("numba", "numpy", "gymnasium")}
