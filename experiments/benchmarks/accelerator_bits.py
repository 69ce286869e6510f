"""Does a seed keep its bits on this device? The programs are those of `compare`, the settings CartPole's, the runs short."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from experiments.lab.definition.contenders import contenders
from experiments.lab.machine import devices
from experiments.lab.running.chunks import advanced
from experiments.lab.running.programs import Programs, compile_programs, trial_arrays

ENVIRONMENT, LIMIT = "CartPole-v1", 100  # of an episode: REINFORCE's rollouts are whole episodes
STEPS = 100_000
UPDATES = 4
EVALUATION_EPISODES = 8
SHARE = "0.2"  # of the accelerator's memory, for a second process: the first holds three quarters


def rows(names: Sequence[str], width: int, sizes: dict[str, Any], in_processes: int) -> Iterator[Callable[[], dict]]:
    """Yields what makes each row: every algorithm's bits, then those of the first few from another process.

    sizes: Config fields in place of the lab's settings, where an algorithm has them.
    """
    for name in names:
        yield partial(measured, name, width, sizes)
    for name in names[:in_processes]:
        yield partial(in_another_process, name, width, sizes)


def measured(name: str, width: int, sizes: dict[str, Any]) -> dict:
    """Returns whether a seed's bits are the same in a second run, alone in its block, elsewhere in it, and cut elsewhere."""
    programs, hparams = compiled(name, width, sizes)
    seeds = list(range(width))
    found = outcome(programs, hparams, seeds)
    last = bits(found, width - 1)
    same = {
        "twice": all(bits(outcome(programs, hparams, seeds), place) == bits(found, place) for place in seeds),
        "alone": bits(outcome(programs, hparams, [width - 1] * width), 0) == last,
        "elsewhere": bits(outcome(programs, hparams, seeds[::-1]), 0) == last,
        "cut": bits(outcome(programs, hparams, seeds, [1, UPDATES - 1]), width - 1) == last,
        "seeds differ": width == 1 or bits(found, 0) != last,
    }
    return {"what": name, "width": width, "updates": UPDATES, **same, "right": all(same.values())}


def in_another_process(name: str, width: int, sizes: dict[str, Any]) -> dict:
    """Returns whether a process that compiles the program from nothing gets the same bits: XLA measures nothing twice in
    one process."""
    same = digest_of_another_process(name, width, sizes) == digest(name, width, sizes)
    return {"what": f"{name}, in another process", "width": width, "updates": UPDATES, "twice": same, "right": same}


def digest_of_another_process(name: str, width: int, sizes: dict[str, Any]) -> str:
    """Returns what a process of its own gives, its cache of programs out of use."""
    answer = (
        f"from experiments.benchmarks import accelerator_bits; accelerator_bits.answer({name!r}, {width}, {sizes!r})"
    )
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false", "XLA_PYTHON_CLIENT_MEM_FRACTION": SHARE}
    asked = subprocess.run(
        [sys.executable, "-c", answer], env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    return asked.stdout.split()[-1]


def answer(name: str, width: int, sizes: dict[str, Any]) -> None:
    """Prints the digest that this process gets."""
    devices.start()
    print(digest(name, width, sizes))


def digest(name: str, width: int, sizes: dict[str, Any]) -> str:
    """Returns the SHA-256 of every bit of a block after training."""
    found = outcome(*compiled(name, width, sizes), list(range(width)))
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in jax.tree.leaves(found))).hexdigest()


def compiled(name: str, width: int, sizes: dict[str, Any]) -> tuple[Programs, Any]:
    """Returns an algorithm's (programs, hyperparameters)."""
    (contender,) = contenders((name,), ENVIRONMENT, STEPS)
    fields = {field: size for field, size in sizes.items() if getattr(contender.config, field, None)}
    contender = dataclasses.replace(contender, config=dataclasses.replace(contender.config, **fields))
    env = envs.make(ENVIRONMENT, max_steps_in_episode=LIMIT)
    algorithm = contender.make(env)
    (programs,) = compile_programs(env, algorithm, contender.hparams, devices.lanes(1), width, EVALUATION_EPISODES)
    return programs, contender.hparams


def outcome(programs: Programs, hparams, seeds: Sequence[int], cuts: Sequence[int] = (UPDATES,)):
    """Returns (state, sums of metrics, evaluation) of a block after training, on the host, leaves [width, ...]."""
    block = programs.begin(*trial_arrays(seeds, [hparams]))
    for updates in cuts:
        block = advanced(updates, programs, block)
    evaluation = programs.begin_evaluation(block.key_eval, np.int32(0))
    evaluation, _ = programs.advance_evaluation(block.state, evaluation, np.int32(LIMIT))
    return jax.tree.map(on_host, (block.state, block.sums, evaluation))


def on_host(leaf) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def bits(found, place: int) -> list[bytes]:
    """Returns every bit of one trial of a block."""
    return [leaf[place].tobytes() for leaf in jax.tree.leaves(found)]
