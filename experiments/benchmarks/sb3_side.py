"""The side of `peers` that is stable-baselines3 and sb3-contrib, in their own virtual environment. It trains one seed on one thread.

PPO and DQN at CleanRL's CartPole settings, TRPO at those of rl-baselines3-zoo. What is not named here is the library's
default and equal to ours.
"""

import time
from importlib.metadata import version

import torch
from sb3_contrib import TRPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env

torch.set_num_threads(
    1
)  # the faster for networks this small; two on a busy two-core machine took 20 to 36 times as long

ALGORITHMS = {
    "ppo": (
        PPO,
        4,  # environments
        {"n_steps": 128, "batch_size": 128, "n_epochs": 4, "learning_rate": 2.5e-4, "ent_coef": 0.01},
        {"net_arch": [64, 64]},  # one such tower each for actor and critic; tanh
    ),
    "dqn": (  # one update every ten environment steps
        DQN,
        10,
        {
            "buffer_size": 10_000,
            "learning_starts": 1_000,
            "batch_size": 128,
            "train_freq": 1,
            "gradient_steps": 1,
            "target_update_interval": 500,
            "exploration_fraction": 0.5,
            "learning_rate": 2.5e-4,
        },
        {"net_arch": [120, 84]},
    ),
    "trpo": (
        TRPO,
        2,
        {
            "n_steps": 512,
            "batch_size": 512,  # of the critic's updates
            "n_critic_updates": 20,
            "cg_damping": 1e-3,
            "cg_max_steps": 15,
            "gae_lambda": 0.98,
            "learning_rate": 1e-3,
        },
        {"net_arch": [64, 64]},
    ),
}
ALGORITHMS["dqn-one-env"] = (DQN, 1, ALGORITHMS["dqn"][2] | {"train_freq": 10}, ALGORITHMS["dqn"][3])


def make_round(algorithm: str, num_seeds: int, steps: int):
    """Returns a training of one seed over `steps` environment steps. Its seconds hold no set-up."""
    if num_seeds != 1:
        raise ValueError(f"stable-baselines3 trains one seed, not {num_seeds}")
    make, num_envs, settings, network = ALGORITHMS[algorithm]

    def one_round() -> float:
        env = make_vec_env("CartPole-v1", n_envs=num_envs, seed=0)
        model = make("MlpPolicy", env, policy_kwargs=network, device="cpu", seed=0, **settings)
        started = time.perf_counter()
        model.learn(steps)
        return time.perf_counter() - started

    return one_round


def facts() -> dict[str, str | int]:
    """Returns the versions and the number of threads that torch computes with."""
    names = ("torch", "stable-baselines3", "sb3-contrib", "gymnasium")
    return {"threads": torch.get_num_threads(), **{name: version(name) for name in names}}
