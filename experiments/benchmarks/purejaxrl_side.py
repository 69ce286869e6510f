"""PureJaxRL's side of `peers`: its PPO and DQN at CleanRL's CartPole settings, from the checkout that argument 2 names.

Runs in a virtual environment of its own. Nothing of the checkout is changed, and two things are put in its way: brax,
navix and wandb are empty, for neither algorithm uses them on CartPole; `jax.tree_map`, which jax has dropped, is back.
"""

import importlib
import sys
import time
from importlib.metadata import distributions, version
from unittest import mock

import jax

NOT_USED = ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix", "wandb")
SHARED = {"ENV_NAME": "CartPole-v1", "LR": 2.5e-4, "GAMMA": 0.99}
PPO = {
    "NUM_ENVS": 4,
    "NUM_STEPS": 128,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ANNEAL_LR": False,
}
DQN = {  # one update every ten environment steps
    "NUM_ENVS": 10,
    "BUFFER_SIZE": 10_000,
    "BUFFER_BATCH_SIZE": 128,
    "EPSILON_START": 1.0,
    "EPSILON_FINISH": 0.05,
    "TARGET_UPDATE_INTERVAL": 500,
    "LEARNING_STARTS": 1_000,
    "TRAINING_INTERVAL": 10,
    "TAU": 1.0,
}


def make_round(algorithm: str, num_seeds: int, steps: int):
    """Returns a compiled training of all seeds, vmapped as its own examples do. Its seconds hold no compiling.

    algorithm: `ppo-256-32` is PPO with 256 environments and rollouts of 32 steps.
    """
    module = imported(sys.argv[2], algorithm.partition("-")[0])
    settings = {"ppo": PPO, "dqn": DQN, "dqn-one-env": DQN | {"NUM_ENVS": 1}}.get(algorithm)
    if settings is None:
        num_envs, num_steps = map(int, algorithm.split("-")[1:])
        settings = PPO | {"NUM_ENVS": num_envs, "NUM_STEPS": num_steps}
    config = {**SHARED, **settings, "TOTAL_TIMESTEPS": steps, "EPSILON_ANNEAL_TIME": steps / 2}
    train = module.make_train(config)
    keys = jax.random.split(jax.random.key(0), num_seeds)
    if num_seeds > 1:
        train = jax.vmap(train)
    else:  # plain matrix products are faster than batches of one
        keys = keys[0]
    train = jax.jit(train).lower(keys).compile()

    def one_round() -> float:
        started = time.perf_counter()
        jax.block_until_ready(train(keys))
        return time.perf_counter() - started

    return one_round


def imported(checkout: str, algorithm: str):
    """Returns the checkout's module `ppo` or `dqn`."""
    sys.modules.update({name: mock.MagicMock() for name in NOT_USED})
    jax.tree_map = jax.tree.map
    sys.path.insert(0, f"{checkout}/purejaxrl")
    return importlib.import_module(algorithm)


def facts() -> dict[str, str | int]:
    """Returns the versions and the number of devices."""
    names = [name for name in ("jax", "gymnax", "flashbax") if any(distributions(name=name))]
    return {"devices": jax.device_count(), **{name: version(name) for name in names}}
