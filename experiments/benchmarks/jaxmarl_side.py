"""JaxMARL's side of `agents`: its IPPO on MPE's simple_spread, from the checkout that argument 1 names.

Nothing of the checkout is changed. hydra, omegaconf and wandb are empty: they read a command line and send curves away. What its
agents learned is judged by our evaluation: they see the same numbers in our environment, in the same order.
"""

import importlib.util
import json
import sys
import time
from importlib.metadata import version
from unittest import mock

import jax
import jax.numpy as jnp

from experiments.benchmarks.serve import serve

NOT_USED = ("hydra", "omegaconf", "wandb")
SETTINGS = {  # baselines/IPPO/config/ippo_ff_mpe.yaml
    "LR": 2.5e-4, "NUM_ENVS": 16, "NUM_STEPS": 128, "UPDATE_EPOCHS": 4, "NUM_MINIBATCHES": 4, "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95, "CLIP_EPS": 0.2, "ENT_COEF": 0.01, "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5, "ACTIVATION": "tanh",
    "ENV_NAME": "MPE_simple_spread_v3", "ENV_KWARGS": {}, "ANNEAL_LR": True,
}  # fmt: skip
EPISODES = 1024


def make_round(name: str, num_seeds: int, steps: int):
    """Returns a compiled training of all seeds, vmapped as its own script does, as JSON like our side's."""
    sys.modules.update({each: mock.MagicMock() for each in NOT_USED})
    sys.modules["hydra"].main = lambda **_: lambda function: function
    path = f"{sys.argv[1]}/baselines/IPPO/ippo_ff_mpe.py"
    spec = importlib.util.spec_from_file_location("ippo_ff_mpe", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = jax.random.split(jax.random.key(30), num_seeds)
    train = jax.jit(jax.vmap(module.make_train({**SETTINGS, "TOTAL_TIMESTEPS": steps}))).lower(keys).compile()

    def one_round() -> str:
        started, begun = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(train(keys))
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - begun
        returns = judged(module.ActorCritic(5), found["runner_state"][0].params)
        return json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "returns": returns})

    return one_round


def judged(network, params) -> list[float]:
    """Returns each seed's return per agent of greedy agents in our environment."""
    import envs
    from algos.core.rollout import evaluate

    env = envs.make("Spread")

    def of_one(params):
        def act(_, observation):
            return jnp.argmax(network.apply(params, observation[: env.layout.own])[0].logits)

        return jnp.mean(evaluate(env, act, jax.random.key(0), EPISODES))

    return jax.jit(jax.vmap(of_one))(params).tolist()


def facts() -> dict[str, str | int]:
    """Returns the versions and the number of devices."""
    return {"devices": jax.device_count(), **{name: version(name) for name in ("jax", "jaxmarl", "distrax")}}


if __name__ == "__main__":
    serve(make_round, facts)
