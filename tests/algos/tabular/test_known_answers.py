"""Every control method against problems whose best value is known: what the greedy policy is worth, exactly. One row a
method; a new one joins `METHODS`."""

import functools

import jax
import numpy as np
import pytest
from test_protocol import CONTROL

import envs
from algos.core.loop import advance, no_metrics
from envs.mdp import as_env, from_map
from envs.mdp.maps import LEFT, RIGHT

SEEDS = 3


def corridor():
    """Four steps to the right; nothing is random."""
    return as_env(from_map("S...G", (LEFT, RIGHT), reward={"G": 1.0}), "corridor", 100)


def walk():
    """Five states between a worthless end and one worth 1; a fifth of all moves go the other way, and each costs."""
    mdp = from_map("H..S..G", (LEFT, RIGHT), step_reward=-0.05, reward={"G": 1.0, "H": 0.0}, slip=0.2)
    return as_env(mdp, "walk", 100)


# name: (environment, gamma, the best value of an episode's beginning, steps, the share of it that must be reached)
PROBLEMS = {
    "corridor": (corridor, 0.9, 0.9**3, 4_000, 1.0),
    "walk": (walk, 1.0, None, 30_000, 0.99),
    "lake": (lambda: envs.make("FrozenLake-4x4"), 0.95, 0.1804715784, 300_000, 0.97),
    "maze": (lambda: envs.make("DynaMaze"), 0.95, 0.95**13, 60_000, 1.0),
}
FADING = {"learning_rate": 0.2, "anneal": 1.0, "epsilon": 0.3}
HPARAMS = {
    "monte_carlo": {"learning_rate": 0.05, "anneal": 1.0, "epsilon": 0.3},
    "off_policy_monte_carlo": {"epsilon": 0.3},
    "prioritised_sweeping": {},
    "r_max": {},
    "dyna_q_plus": FADING | {"kappa": 1e-4},
}
OPTIMISTIC = {
    "initial_value": 1.0
}  # what a maze is worth at most: every way is tried before a longer one is settled for
CONFIG = {("r_max", "lake"): {"known_after": 100}, ("r_max", "walk"): {"known_after": 20}}
SOFT = ("sarsa", "expected_sarsa", "n_step_sarsa", "monte_carlo")  # the best policy that explores is not the best one's
SHARE = {("monte_carlo", "maze"): 0.9, ("off_policy_monte_carlo", "maze"): 0.9} | {
    (name, "lake"): 0.85 for name in SOFT
}
# the last step of a pair is no model of random outcomes; importance sampling learns from the tails of episodes alone
LEFT_OUT = [("dyna_q", "lake"), ("dyna_q_plus", "lake"), ("off_policy_monte_carlo", "lake")]
ROWS = [(name, problem) for name in CONTROL for problem in PROBLEMS if (name, problem) not in LEFT_OUT]


def worth(mdp, gamma, policy):
    """Returns what a policy [S, A] is worth at an episode's beginning, by one linear solve."""
    chance = policy[..., None] * mdp.probability
    matrix = np.eye(mdp.num_states)
    rows = np.broadcast_to(np.arange(mdp.num_states)[:, None, None], chance.shape)
    np.add.at(matrix, (rows, mdp.successor), -gamma * chance * ~mdp.terminated)
    return mdp.start @ np.linalg.lstsq(matrix, (chance * mdp.reward).sum((1, 2)))[0]


def best(mdp, gamma):
    """Returns what the best policy is worth at an episode's beginning, by sweeps."""
    q = np.zeros((mdp.num_states, mdp.num_actions))
    for _ in range(3000):
        q = (mdp.probability * (mdp.reward + gamma * ~mdp.terminated * q.max(1)[mdp.successor])).sum(-1)
    return mdp.start @ q.max(1)


def greedy_actions(name, problem):
    """Returns what the trained policies do, int [SEEDS, S]."""
    make, gamma, _, steps, _ = PROBLEMS[problem]
    env, (module, fields) = make(), CONTROL[name]
    fields = fields | CONFIG.get((name, problem), {}) | ({"num_sweeps": 300} if name == "r_max" else {})
    algorithm = module.make(env, module.Config(num_steps=500, **fields))
    chosen = HPARAMS.get(name, FADING) | {"gamma": min(gamma, 0.999) if name == "r_max" else gamma}
    if problem == "maze" and name != "r_max" and "monte_carlo" not in name:
        chosen |= OPTIMISTIC
    hparams = module.HParams(total_steps=float(steps), **chosen)

    def train(seed):
        state = algorithm.init(jax.random.key(seed), hparams)
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), steps // 500)
        act = functools.partial(algorithm.act, state, jax.random.key(0), explore=False)
        return jax.vmap(lambda observation: act(observation=observation))(np.eye(env.model.num_states))

    return env, np.asarray(jax.jit(lambda seeds: jax.lax.map(train, seeds))(np.arange(SEEDS)))


@pytest.mark.parametrize(
    ("name", "problem"),
    [row if row == ("q_learning", "corridor") else pytest.param(*row, marks=pytest.mark.slow) for row in ROWS],
)
def test_the_greedy_policy_is_worth_what_the_best_one_is(name, problem):
    _, gamma, known, _, share = PROBLEMS[problem]
    env, actions = greedy_actions(name, problem)
    wanted = best(env.model, gamma)
    assert known is None or wanted == pytest.approx(known, abs=1e-8)
    found = [worth(env.model, gamma, np.eye(env.action.n)[action]) for action in actions]
    share = SHARE.get((name, problem), share)
    assert min(found) >= share * wanted - 1e-9, found
    assert max(found) <= wanted + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("expected_sarsa", -21.2, -20.7076774), ("sarsa", -22.5, -20.7076774), ("q_learning", -51.8132, -45.8033)],
)
def test_on_the_cliff_exploring_costs_q_learning_what_it_must_and_sarsa_finds_the_best_policy_that_explores(
    name, least, most
):
    """The limits are exact: the best epsilon-soft policy; the epsilon-greedy ones on Q*, whichever way its ties fall."""
    module, _ = CONTROL[name]
    env = envs.make("CliffWalking", max_steps_in_episode=10_000)
    algorithm = module.make(env, module.Config(num_steps=1000))
    hparams = module.HParams(learning_rate=0.3, anneal=1.0, gamma=1.0, epsilon=0.1, total_steps=3e6)

    def train(seed):
        state = algorithm.init(jax.random.key(seed), hparams)
        return advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), 3000)[0].params

    for q in np.asarray(jax.jit(lambda seeds: jax.lax.map(train, seeds))(np.arange(SEEDS))):
        chance = np.full(q.shape, 0.1 / q.shape[1]) + 0.9 * np.eye(q.shape[1])[q.argmax(1)]
        assert least <= worth(env.model, 1.0, chance) <= most + 1e-4
