"""The run folder: manifest.json, curves.csv, summary.json and curves.png; everything a reader needs to judge a run."""

import csv
import dataclasses
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.lab import devices, runner
from experiments.lab.experiment import Contender, Experiment
from experiments.lab.statistics import iqm, iqm_interval
from experiments.lab.verdicts import verdicts

COLUMNS = ("environment", "algorithm", "seed", "env_steps", "metric", "value")
PACKAGES = ("evenhand", "jax", "jaxlib", "flax", "optax", "chex", "gymnax", "numpy", "scipy")
ROOT = Path(__file__).parents[2]


def create(folder: Path) -> None:
    """Makes the run folder. Raises ValueError when it cannot be written or already holds a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty; name a new folder, nothing is ever written over")
        probe = folder / "manifest.json"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}; name a folder that can be written") from None


def write_manifest(folder: Path, experiment: Experiment, command: str) -> None:
    """Writes what it takes to run the experiment again."""
    manifest = {
        "command": command,
        "seeds": list(experiment.seeds),
        "steps": experiment.steps,
        "evaluations": experiment.evaluations,
        "eval_episodes": experiment.eval_episodes,
        "width": experiment.width,
        "promise": "one seed's bits depend on the settings, the width, the versions and the kind of processor alone",
        "environments": {
            task.environment: {
                "fields": task.fields,
                "algorithms": {contender.name: describe(contender) for contender in task.contenders},
            }
            for task in experiment.tasks
        },
        "versions": {"python": platform.python_version(), **versions()},
        "git": git_state(),
        "device": device(),
        "flags": {name: value for name, value in os.environ.items() if name.startswith(("XLA_", "JAX_", "NPROC"))},
    }
    write_json(folder / "manifest.json", manifest)


def describe(contender: Contender) -> dict[str, Any]:
    """Returns a contender's settings as plain data."""
    loss = contender.loss or contender.algorithm.loss
    return {
        "algorithm": contender.algorithm.__name__,
        "config": dataclasses.asdict(contender.config),
        "hparams": {name: float(value) for name, value in vars(contender.hparams).items()},
        "loss": f"{loss.__module__}.{loss.__qualname__}",
        "network": "default" if contender.network is None else contender.network.__qualname__,
    }


def versions() -> dict[str, str]:
    """Returns the installed version of each package that decides results."""
    return {name: metadata.version(name) for name in PACKAGES if _installed(name)}


def _installed(name: str) -> bool:
    return any(metadata.distributions(name=name))


def git_state() -> dict[str, Any]:
    """Returns the commit of this code and whether its files differ from it; None where that cannot be known."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def device() -> dict[str, Any]:
    """Returns what the run computes on."""
    first = jax.devices()[0]
    return {
        "platform": first.platform,
        "kind": first.device_kind,
        "count": jax.device_count(),
        "machine": devices.processor(),
    }


def append_curves(folder: Path, event: runner.Evaluated) -> None:
    """Adds the rows of one evaluation to curves.csv. `repr` writes a float so that it reads back to the same one."""
    path = folder / "curves.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        where = (event.task.environment, event.contender.name)
        writer.writerows(
            (*where, seed, env_steps, metric, repr(value)) for seed, env_steps, metric, value in event.rows
        )


def summarise(finished: list[runner.Finished], experiment: Experiment, interrupted: bool = False) -> dict[str, Any]:
    """Returns the summary of the contenders that finished."""
    environments: dict[str, Any] = {}
    for event in finished:
        algorithms = environments.setdefault(event.task.environment, {"algorithms": {}})["algorithms"]
        algorithms[event.contender.name] = _figures(event)
    for results in environments.values():
        results["verdicts"] = _verdicts(results["algorithms"], experiment.seeds)
    return {"interrupted": interrupted, "seeds": list(experiment.seeds), "environments": environments}


def _figures(event: runner.Finished) -> dict[str, Any]:
    returns = np.asarray(event.final_returns)
    return {
        "iqm": float(iqm(returns)),
        "ci95": [float(bound) for bound in iqm_interval(returns)],
        "mean": float(returns.mean()),
        "final_returns": event.final_returns,
        "diverged_seeds": event.diverged,
        "env_steps": event.env_steps,
        "compile_seconds": round(event.compile_seconds, 3),
        "run_seconds": round(event.run_seconds, 3),
        "steps_per_second": round(event.env_steps * len(returns) / event.run_seconds, 1),
    }


def _verdicts(algorithms: dict[str, Any], seeds: tuple[int, ...]) -> list[str]:
    """Returns in words whether the best is ahead of each other one; a diverged seed counts as the worst result."""
    returns = [
        np.where(np.isin(seeds, figures["diverged_seeds"]), np.nan, figures["final_returns"])
        for figures in algorithms.values()
    ]
    return verdicts(list(algorithms), returns)


def write_json(path: Path, content: Any) -> None:
    """Writes strict JSON (a number that is not finite becomes null) in one move: readers see the old file or the new."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(_strict(content), indent=2, allow_nan=False) + "\n")
    partial.replace(path)


def _strict(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _strict(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_strict(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def command_line() -> str:
    """Returns the command that started this process, as one would type it."""
    module = sys.modules["__main__"].__spec__
    name = f"python -m {module.name}" if module else f"python {sys.argv[0]}"
    return f"{name} {shlex.join(sys.argv[1:])}".strip()
