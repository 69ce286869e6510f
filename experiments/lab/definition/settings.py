"""Which algorithms there are, and what differs from their defaults on each environment."""

from types import ModuleType
from typing import Any

from algos import a2c, dqn, pgql, ppo, reinforce, trpo
from algos.agents import (
    entropy_annealed_ppo,
    exact_play,
    fictitious_self_play,
    ia2c,
    iql,
    mappo,
    mmd,
    neurd,
    nfsp,
    qmix,
    vdn,
)
from algos.linear import (
    gradient_monte_carlo,
    gtd2,
    lstd,
    sarsa_lambda,
    semi_gradient_n_step_td,
    semi_gradient_sarsa,
    semi_gradient_td,
    tdc,
)
from algos.tabular import (
    double_q_learning,
    dyna_q,
    dyna_q_plus,
    expected_sarsa,
    monte_carlo,
    monte_carlo_prediction,
    n_step_sarsa,
    n_step_td,
    off_policy_monte_carlo,
    prioritised_sweeping,
    q_learning,
    r_max,
    sarsa,
    td,
    td_lambda,
)
from envs.names import unknown
from experiments.lab.definition.experiment import Contender

# name: (module, the Config fields that make it what the name says)
ALGORITHMS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "reinforce": (reinforce, {}),
    "a2c": (a2c, {}),
    "npg": (trpo, {"line_search": False}),  # the natural policy gradient: TRPO's step, taken without a look
    "trpo": (trpo, {}),
    "ppo": (ppo, {}),
    "dqn": (dqn, {}),
    "pgql": (pgql, {}),
}

# those that learn a table of Q: they need a finite model as environment, and have no loss
TABULAR: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "q_learning": (q_learning, {}),
    "double_q_learning": (double_q_learning, {}),
    "sarsa": (sarsa, {}),
    "expected_sarsa": (expected_sarsa, {}),
    "n_step_sarsa": (n_step_sarsa, {}),
    "monte_carlo": (monte_carlo, {}),
    "off_policy_monte_carlo": (off_policy_monte_carlo, {}),
    "dyna_q": (dyna_q, {}),
    "dyna_q_plus": (dyna_q_plus, {}),
    "prioritised_sweeping": (prioritised_sweeping, {}),
    "r_max": (r_max, {}),
}

# those that learn the values of a policy that is given, any action alike: they rank by how far these are from the truth
PREDICTION: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "td": (td, {}),
    "n_step_td": (n_step_td, {}),
    "td_lambda": (td_lambda, {}),
    "monte_carlo_prediction": (monte_carlo_prediction, {}),
}

# the same of a weight for each feature: those that control take any environment with discrete actions
LINEAR: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "semi_gradient_sarsa": (semi_gradient_sarsa, {}),
    "sarsa_lambda": (sarsa_lambda, {}),
}
LINEAR_PREDICTION: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "gradient_monte_carlo": (gradient_monte_carlo, {}),
    "semi_gradient_td": (semi_gradient_td, {}),
    "semi_gradient_n_step_td": (semi_gradient_n_step_td, {}),
    "lstd": (lstd, {}),
    "tdc": (tdc, {}),
    "gtd2": (gtd2, {}),
}

# those for games of several players that are known
AGENTS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "mmd": (mmd, {}),
    "neurd": (neurd, {}),
    "entropy_annealed_ppo": (entropy_annealed_ppo, {}),
    "fictitious_self_play": (fictitious_self_play, {}),
    "nfsp": (nfsp, {}),
    **{name: (exact_play, {"method": name}) for name in exact_play.METHODS},
}

# those of agents who are a team. All the others learn there too, each agent by itself with the parameters of all
TEAMS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "ippo": (mappo, {"centralised": False}),
    "mappo": (mappo, {}),
    "ia2c": (ia2c, {}),
    "iql": (iql, {}),
    "vdn": (vdn, {}),
    "qmix": (qmix, {}),
}
CONTROLS, PREDICTS = TABULAR | LINEAR, PREDICTION | LINEAR_PREDICTION

NORMALIZED = {"normalize_observation": True}
BOTH_NORMALIZED = {"normalize_observation": True, "normalize_reward": True}
TRUST_REGION = {"num_envs": 16, "num_steps": 128, "value_epochs": 20, "value_minibatches": 16}
LONG_EPOCHS = {"num_envs": 8, "num_steps": 64, "num_epochs": 10}
FAST_Q = {"learning_rate": 1e-3, "anneal": 1.0, "exploration_fraction": 0.2, "epsilon_end": 0.02}
FADING = {"learning_rate": 0.2, "anneal": 1.0, "epsilon": 0.3}

# gymnax's games have no sticky actions and their minimal action sets: settings of the kind its own baselines use
GAMES = tuple(f"{game}-MinAtar" for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"))
MANY_GAMES = {"num_envs": 64, "hidden_sizes": (128, 128)}
REPLAYED = {"buffer_size": 100_000, "warmup_steps": 5_000}
ON_GAMES = {
    "ppo": (MANY_GAMES | {"num_steps": 32, "num_minibatches": 8}, {"learning_rate": 5e-4}),
    "a2c": (MANY_GAMES | {"num_steps": 16}, {"gae_lambda": 0.95, "entropy_coef": 0.01}),
    "dqn": (REPLAYED | {"target_interval": 100, "hidden_sizes": (128, 128)}, {"exploration_fraction": 0.1}),
    "pgql": (MANY_GAMES | REPLAYED, {"gae_lambda": 0.95, "entropy_coef": 0.03}),
}
ON_GAME = {  # 100,000 steps are few updates of 64 environments
    "Breakout-MinAtar": {
        "a2c": (
            MANY_GAMES | {"num_envs": 16, "num_steps": 16},
            {"learning_rate": 2e-3, "gae_lambda": 0.95, "entropy_coef": 0.01},
        ),
        "dqn": (
            REPLAYED | {"target_interval": 100, "hidden_sizes": (128, 128)},
            {"learning_rate": 5e-4, "exploration_fraction": 0.3},
        ),
        "pgql": (
            MANY_GAMES | REPLAYED | {"num_envs": 16},
            {"learning_rate": 4e-3, "gae_lambda": 0.95, "entropy_coef": 0.03},
        ),
    },
}

TEAM_STEPS = {"num_envs": 16, "num_steps": 100, "num_epochs": 4, "num_minibatches": 8}
TEAM_LOOKS = {"learning_rate": 2e-3, "gamma": 0.9, "gae_lambda": 0.9}  # half an episode ahead is enough
TEAM_REPLAY = {"num_envs": 16, "num_updates": 1, "buffer_size": 50_000, "hidden_sizes": (64, 64)}
TEAM_Q = {"learning_rate": 1e-3, "anneal": 1.0, "gamma": 0.9, "exploration_fraction": 0.3}

# Baird's counterexample: always the second action, learned about by a policy that seldom takes it (S&B section 11.2)
BAIRD = {"target": (0.0, 1.0), "behaviour": (6 / 7, 1 / 7)}
BAIRD_BEGINS = {"begin": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0)}
TEN_GROUPS = {"features": "aggregation:10"}

# a table: one linear map of what stands for an information set
TABLE = {"num_envs": 128, "num_steps": 16, "num_epochs": 4, "num_minibatches": 1, "hidden_sizes": ()}

SPELLED = {"num_envs": 256, "num_steps": 16, "num_epochs": 2, "num_minibatches": 4, "hidden_sizes": (64, 64)}

# (environment, algorithm): (Config fields, HParams fields). docs/settings.md says where they come from
TUNED: dict[tuple[str, str], tuple[dict[str, Any], dict[str, float]]] = {
    ("CartPole-v1", "reinforce"): ({"num_envs": 1}, {"learning_rate": 1e-2}),
    ("CartPole-v1", "a2c"): ({"num_steps": 8}, {"learning_rate": 1.5e-3, "gamma": 0.98, "gae_lambda": 0.9}),
    ("CartPole-v1", "npg"): ({}, {"max_kl": 0.01, "gamma": 0.99}),  # the defaults, which no other point was ahead of
    ("CartPole-v1", "trpo"): ({}, {"max_kl": 0.01, "gamma": 0.99}),
    ("CartPole-v1", "ppo"): (
        LONG_EPOCHS | {"num_epochs": 5},
        {"learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.9, "entropy_coef": 0.0},
    ),
    ("CartPole-v1", "dqn"): (
        {"num_envs": 8, "num_steps": 4, "num_updates": 8, "batch_size": 64, "buffer_size": 100_000}
        | {"target_interval": 128, "n_step": 10, "hidden_sizes": (64, 64)},
        {"learning_rate": 1e-3, "anneal": 1.0, "exploration_fraction": 0.16, "epsilon_end": 0.04},
    ),
    ("CartPole-v1", "pgql"): (
        {"num_steps": 8},
        {"learning_rate": 2e-3, "gamma": 0.98, "gae_lambda": 0.9, "entropy_coef": 0.3, "eta": 0.2},
    ),
    ("Acrobot-v1", "a2c"): (BOTH_NORMALIZED, {"learning_rate": 1e-3, "gae_lambda": 0.95, "entropy_coef": 0.0}),
    ("Acrobot-v1", "ppo"): (LONG_EPOCHS, {"learning_rate": 1e-3}),
    ("Acrobot-v1", "trpo"): (TRUST_REGION | NORMALIZED, {"max_kl": 0.02, "gae_lambda": 0.9}),
    ("Acrobot-v1", "npg"): (TRUST_REGION | NORMALIZED, {}),
    ("Acrobot-v1", "dqn"): (
        {"buffer_size": 100_000},
        FAST_Q | {"learning_rate": 2e-3, "exploration_fraction": 0.1},
    ),
    ("Acrobot-v1", "pgql"): ({}, {"learning_rate": 2e-3, "gae_lambda": 0.9, "entropy_coef": 0.1}),
    ("Catch-bsuite", "dqn"): ({}, FAST_Q),
    ("Catch-bsuite", "pgql"): ({"num_steps": 8}, {"gae_lambda": 0.9, "entropy_coef": 0.05}),
    ("MountainCar-v0", "dqn"): (
        {"num_envs": 8, "num_steps": 32, "num_updates": 64, "buffer_size": 50_000, "target_interval": 128}
        | {"n_step": 10, "hidden_sizes": (64, 64), "rescale_observation": True},
        {"learning_rate": 2e-3, "anneal": 1.0, "exploration_fraction": 0.05},
    ),
    ("MountainCar-v0", "trpo"): (TRUST_REGION | NORMALIZED, {"max_kl": 0.02, "gae_lambda": 0.98}),
    ("MountainCar-v0", "npg"): (TRUST_REGION | NORMALIZED, {"gae_lambda": 0.98}),
    ("Pendulum-v1", "a2c"): (
        {"num_steps": 4} | BOTH_NORMALIZED,
        {"learning_rate": 7e-4, "gamma": 0.9, "gae_lambda": 0.9},
    ),
    ("Pendulum-v1", "trpo"): (
        TRUST_REGION | {"num_envs": 2, "num_steps": 1024} | NORMALIZED,
        {"max_kl": 0.005, "gamma": 0.9, "gae_lambda": 0.9},
    ),
    ("Pendulum-v1", "ppo"): (
        {"num_steps": 1024, "num_epochs": 10, "num_minibatches": 64},
        {"learning_rate": 1e-3, "gamma": 0.9, "entropy_coef": 0.0},
    ),
    ("MountainCarContinuous-v0", "trpo"): (
        TRUST_REGION | {"num_envs": 4, "num_steps": 256} | BOTH_NORMALIZED,
        {"max_kl": 0.02, "gamma": 0.9999, "gae_lambda": 0.95},
    ),
    ("MountainCarContinuous-v0", "ppo"): (
        {"num_steps": 256, "num_epochs": 10, "num_minibatches": 16} | BOTH_NORMALIZED,
        {"learning_rate": 2e-3, "gamma": 0.9999, "gae_lambda": 0.95, "entropy_coef": 0.0},
    ),
    ("MountainCarContinuous-v0", "a2c"): (
        {"num_envs": 4, "num_steps": 64} | BOTH_NORMALIZED,
        {"learning_rate": 5e-4, "gae_lambda": 0.9},
    ),
    ("FrozenLake-4x4", "ppo"): (
        {"num_envs": 16, "num_steps": 128, "num_epochs": 10, "num_minibatches": 8},
        {"learning_rate": 1e-3, "entropy_coef": 0.03},
    ),
    ("FrozenLake-4x4", "trpo"): (TRUST_REGION, {"max_kl": 0.005}),
    ("FrozenLake-4x4", "npg"): (TRUST_REGION, {}),
    ("FrozenLake-4x4", "dqn"): (
        {"hidden_sizes": (64, 64)},
        {"learning_rate": 5e-4, "anneal": 1.0, "epsilon_end": 0.1},
    ),
    ("FrozenLake-4x4", "pgql"): ({}, {"learning_rate": 2e-3, "entropy_coef": 0.02, "gae_lambda": 0.9}),
    ("FrozenLake-4x4", "q_learning"): ({}, FADING),
    ("FrozenLake-4x4", "double_q_learning"): ({}, FADING),
    ("MountainCar-v0", "semi_gradient_sarsa"): ({"n": 4}, {"learning_rate": 0.5, "gamma": 1.0, "epsilon": 0.0}),
    ("MountainCar-v0", "sarsa_lambda"): (
        {"trace": "replacing"},
        {"learning_rate": 0.5, "gamma": 1.0, "lambda_": 0.9, "epsilon": 0.0},
    ),
    ("Kuhn", "mmd"): (
        TABLE,
        {"learning_rate": 0.02, "temperature": 0.08, "temperature_end": 0.02, "stepsize": 0.05, "max_grad_norm": 0.0},
    ),
    ("Kuhn", "ppo"): (TABLE, {"learning_rate": 0.005, "gamma": 1.0, "clip": 0.1, "entropy_coef": 0.1}),
    ("Kuhn", "neurd"): (
        TABLE | {"num_epochs": 1},
        {"learning_rate": 0.04, "temperature": 0.08, "temperature_end": 0.04, "threshold": 2.0, "max_grad_norm": 0.0},
    ),
    ("Kuhn", "entropy_annealed_ppo"): (
        TABLE,
        {"learning_rate": 0.005, "clip": 0.1, "entropy_coef": 0.1, "entropy_coef_end": 0.015},
    ),
    ("Kuhn", "fictitious_self_play"): (
        TABLE | {"num_steps": 4, "num_epochs": 2, "store_interval": 4, "store_size": 256},
        {"learning_rate": 0.04, "anneal": 0.0, "clip": 0.3, "entropy_coef": 0.15},
    ),
    ("Kuhn", "nfsp"): (
        {"num_envs": 128, "num_steps": 16, "num_updates": 8, "target_interval": 50, "hidden_sizes": (64,)},
        {"learning_rate": 1e-2},
    ),
    ("Leduc", "ppo"): (
        SPELLED,
        {"learning_rate": 2.5e-3, "gamma": 1.0, "clip": 0.1, "entropy_coef": 0.1, "max_grad_norm": 0.0},
    ),
    ("Leduc", "entropy_annealed_ppo"): (
        SPELLED,
        {"learning_rate": 5e-3, "clip": 0.1, "entropy_coef": 0.3, "entropy_coef_end": 0.05, "max_grad_norm": 0.0},
    ),
    ("Leduc", "neurd"): (
        SPELLED | {"num_epochs": 1, "num_minibatches": 1},
        {"learning_rate": 0.02, "temperature": 0.4, "temperature_end": 0.05, "value_coef": 0.1, "max_grad_norm": 0.0},
    ),
    ("Leduc", "fictitious_self_play"): (
        SPELLED | {"num_steps": 8, "store_size": 256, "store_interval": 4},
        {"learning_rate": 0.01, "anneal": 0.0, "clip": 0.2, "entropy_coef": 0.7, "max_grad_norm": 0.0},
    ),
    ("Leduc", "nfsp"): (
        {"num_envs": 128, "num_steps": 16, "num_updates": 64, "target_interval": 300, "hidden_sizes": (64, 64)}
        | {"buffer_size": 200_000, "reservoir_size": 500_000},
        {"learning_rate": 3e-3, "anticipatory": 0.3},
    ),
    ("Leduc", "mmd"): (
        SPELLED,
        {"learning_rate": 0.01, "temperature": 0.5, "temperature_end": 0.05, "stepsize": 0.05, "value_coef": 0.1}
        | {"max_grad_norm": 0.0},
    ),
    ("RandomWalk-19", "gradient_monte_carlo"): ({}, {"learning_rate": 0.005, "anneal": 1.0}),
    ("RandomWalk-1000", "gradient_monte_carlo"): (TEN_GROUPS, {"learning_rate": 0.01, "anneal": 1.0}),
    ("RandomWalk-1000", "semi_gradient_td"): (TEN_GROUPS, {"learning_rate": 0.05, "anneal": 1.0}),
    ("RandomWalk-1000", "semi_gradient_n_step_td"): (TEN_GROUPS | {"n": 16}, {"learning_rate": 0.05, "anneal": 1.0}),
    ("RandomWalk-1000", "lstd"): (TEN_GROUPS, {}),
    ("RandomWalk-1000", "tdc"): (TEN_GROUPS, {}),
    ("RandomWalk-1000", "gtd2"): (TEN_GROUPS, {}),
    ("Baird", "semi_gradient_td"): (BAIRD | BAIRD_BEGINS, {"learning_rate": 0.01}),
    ("Baird", "lstd"): (BAIRD, {}),
    ("Baird", "tdc"): (BAIRD | BAIRD_BEGINS, {"learning_rate": 0.005, "beta": 0.05}),
    ("Baird", "gtd2"): (BAIRD | BAIRD_BEGINS, {"learning_rate": 0.005, "beta": 0.05}),
    ("Spread", "ppo"): (TEAM_STEPS, TEAM_LOOKS),
    ("Spread", "ippo"): (TEAM_STEPS, TEAM_LOOKS | {"learning_rate": 4e-3}),
    ("Spread", "mappo"): (TEAM_STEPS, TEAM_LOOKS | {"learning_rate": 4e-3}),
    ("Spread", "iql"): (TEAM_REPLAY, TEAM_Q),
    ("Spread", "vdn"): (TEAM_REPLAY | {"num_updates": 2}, TEAM_Q | {"learning_rate": 2e-3}),
    ("Spread", "qmix"): (TEAM_REPLAY, TEAM_Q | {"learning_rate": 5e-4}),
    **{(game, name): chosen for game in GAMES for name, chosen in (ON_GAMES | ON_GAME.get(game, {})).items()},
}


def contender(name: str, environment: str, steps: int) -> Contender:
    """Returns the algorithm with the settings for the environment and schedules that end with the budget.

    Raises ValueError for a name that is no algorithm's.
    """
    return given(name, steps, *TUNED.get((environment, name), ({}, {})))


def given(name: str, steps: int, config: dict[str, Any], hparams: dict[str, float]) -> Contender:
    """Returns the algorithm with these fields of Config and of HParams, its defaults for the others, and that budget.

    Raises ValueError for a name that is no algorithm's.
    """
    known = ALGORITHMS | AGENTS | TEAMS | CONTROLS | PREDICTS
    if name not in known:
        raise ValueError(unknown("algorithm", name, list(known)))
    algorithm, makes_it = known[name]
    return Contender(
        name=name,
        algorithm=algorithm,
        config=algorithm.Config(**{**config, **makes_it}),
        hparams=algorithm.HParams(**{"total_steps": float(steps), **hparams}),
    )
