"""manifest.json: an experiment as plain data, written so that it can be read back and run again."""

import dataclasses
import importlib
import inspect
import json
import math
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from experiments.lab.commands import signals
from experiments.lab.commands.cli import CONSOLE
from experiments.lab.definition import blocks
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.judging.judges import Judge
from experiments.lab.machine import devices, flags, hardware
from experiments.lab.outside import user_algorithm, user_files
from experiments.lab.outside.loss_errors import error_text
from experiments.lab.recording import commits
from experiments.lab.recording.files import sha256, write_json
from experiments.lab.recording.kept_code import CODE, kept_name, made_by
from experiments.lab.recording.run_folder import STAGE, is_stage, without_places

PACKAGES = ("evenhand", "jax", "jaxlib", "flax", "optax", "chex", "gymnax", "numpy", "scipy")


def write_manifest(folder: Path, experiment: Experiment, command: str, margins: dict[str, float] | None = None) -> None:
    """Writes what it takes to run the experiment again, and keeps a copy of users' own files. margins: what was named before
    there were results."""
    sources = user_sources(experiment)
    for path in sources:
        kept = folder / CODE / kept_name(path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
    manifest = {
        "command": command,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **relative(describe(experiment), folder),
        **({"margins": margins} if margins else {}),
        "promise": promise(experiment),
        "blocks": blocks_of(experiment),
        "sources": {str(path): sha256(path) for path in sources},
        "users_git": commits.of_files([*sources, *commits.experiment_file()]),
        **surroundings(),
    }
    for task in experiment.tasks:
        manifest["environments"][task.environment] |= agents_of(task)
    write_json(folder / "manifest.json", {**manifest, "made_by": made_by(folder, manifest)})


def blocks_of(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Returns how many trials of each contender are computed together, and why, where the width leaves that open: at
    width 1 on a CPU."""
    if experiment.width != 1 or not devices.on_cpu():
        return {}
    return {
        task.environment: {
            one.name: {"trials": one.block or 1, "why": blocks.why(experiment, task, one)} for one in task.contenders
        }
        for task in experiment.tasks
    }


def agents_of(task: Task) -> dict[str, Any]:
    """Returns how many agents a task has and whose rewards they are given; nothing where there is one."""
    env = task.make()
    if env.agents is None:
        return {}
    return {"agents": {"number": env.agents, "reward_convention": env.reward_convention}}


def surroundings() -> dict[str, Any]:
    """Returns what decides bits and speed beside the settings: versions, commit, device and flags of this process."""
    return {
        "versions": {"python": platform.python_version(), **versions()},
        "git": commits.of_this_code(),
        "device": device(),
        "flags": flags.in_force(devices.platform()),
    }


def describe(experiment: Experiment) -> dict[str, Any]:
    """Returns everything that decides the numbers of a run, as plain data that `read_experiment` reads back."""
    return {
        "seeds": list(experiment.seeds),
        "steps": experiment.steps,
        "evaluations": experiment.evaluations,
        "eval_episodes": experiment.eval_episodes,
        "width": experiment.width,
        "environments": {
            task.environment: {
                "fields": task.fields,
                **({"factory": reference(task.factory)} if task.factory else {}),
                **({"judge": describe_judge(task.judge)} if task.judge else {}),
                "algorithms": {contender.name: describe_contender(contender) for contender in task.contenders},
            }
            for task in experiment.tasks
        },
    }


def describe_contender(contender: Contender) -> dict[str, Any]:
    """Returns a contender's settings as plain data."""
    return {
        "algorithm": module_reference(contender.algorithm),
        "config": dataclasses.asdict(contender.config),
        "hparams": {name: _written(float(value)) for name, value in vars(contender.hparams).items()},
        "hparams_class": reference(type(contender.hparams)),
        "loss": reference(contender.loss) if contender.loss else own_loss(contender.algorithm),
        "network": reference(contender.network) if contender.network else None,
        **({"network_fields": contender.network_fields} if contender.network_fields else {}),
        "parent": contender.parent,
        "sweep": contender.sweep,
    }


def describe_judge(judge: Judge) -> dict[str, Any]:
    """Returns how a task is judged, as plain data."""
    content = {**judge.criterion._asdict(), "measure": reference(judge.measure), "settings": judge.settings}
    return content | ({"on_host": reference(judge.on_host)} if judge.on_host else {})


def _judge(content: dict[str, Any], folder: Path) -> Judge:
    functions = {name: _load(content[name], folder) for name in ("measure", "on_host") if name in content}
    return Judge(**content | functions | {"settings": placed(content["settings"], folder)})


def own_loss(algorithm: ModuleType) -> str | None:
    """Returns the reference of an algorithm's own loss; None where it has none, as one that learns a table."""
    return reference(algorithm.loss) if hasattr(algorithm, "loss") else None


def _written(value: float) -> float | str:
    """Returns a number as JSON can hold it: one that is not finite as a word that `float` reads back."""
    return value if math.isfinite(value) else str(value)


def promise(experiment: Experiment) -> str:
    """Returns in words what the bits of a seed depend on."""
    among = "" if experiment.width == 1 else f", the blocks of {experiment.width} trials vmapped together"
    promised = (
        f"one seed's bits depend on the settings{among}, the versions, XLA's flags and the kind of processor alone"
    )
    if not flags.portable_here():
        return promised
    return f"{promised}; --portable asks that the kind be no matter, and docs/hardware.md says on which that was seen"


def reference(function: Callable) -> str:
    """Returns MODULE:NAME of a function or class of an installed module, FILE.py:NAME of one in a user's own file."""
    module = inspect.getmodule(function)
    if module.__name__ == "__main__" and module.__spec__ is not None:
        return f"{module.__spec__.name}:{function.__qualname__}"
    if user_files.is_own(module):
        return f"{Path(module.__file__).resolve()}:{function.__qualname__}"
    return f"{module.__name__}:{function.__qualname__}"


def module_reference(module: ModuleType) -> str:
    """Returns the name of an installed module, the path of one that is a user's own file."""
    return str(Path(module.__file__).resolve()) if user_files.is_own(module) else module.__name__


def user_sources(experiment: Experiment) -> list[Path]:
    """Returns the users' own files that the experiment's functions and classes come from, and those that they import."""
    contenders = [contender for task in experiment.tasks for contender in task.contenders]
    parts = [part for one in contenders for part in (one.loss, one.network, type(one.hparams))]
    parts += [task.factory for task in experiment.tasks]
    parts += [part for task in experiment.tasks if task.judge for part in (task.judge.measure, task.judge.on_host)]
    files = {reference(part).rpartition(":")[0] for part in parts if part is not None}
    files |= {module_reference(one.algorithm) for one in contenders}
    files |= {value.rpartition(":")[0] for task in experiment.tasks for value in task.fields.values() if _is_own(value)}
    own = {Path(file) for file in files if file.endswith(".py")}
    return sorted(own.union(*map(user_files.neighbours, own)))


def _is_own(value: Any) -> bool:
    """Returns whether a field of a task names a function in a user's own file."""
    return isinstance(value, str) and ".py:" in value


def _fields(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Returns a task's fields with users' functions found in the folder's own copies, and stages where they lie from it."""
    return {
        name: _kept(value, folder) if _is_own(value) else _tuples(placed(value, folder))
        for name, value in fields.items()
    }


def relative(content: Any, folder: Path) -> Any:
    """Returns settings with the stages that they name by their paths from the folder: both may be moved together."""
    return _with_stages(content, lambda path: Path(os.path.relpath(path, folder.resolve())).as_posix())


def placed(content: Any, folder: Path) -> Any:
    """Returns settings with the stages that they name by their whole paths, as `relative` wrote them from the folder."""
    return _with_stages(content, lambda path: str((folder / path).resolve()))


def _with_stages(content: Any, path_of: Callable[[str], str]) -> Any:
    if is_stage(content):
        return {**content, STAGE: path_of(content[STAGE])}
    if isinstance(content, dict):
        return {key: _with_stages(value, path_of) for key, value in content.items()}
    return content


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _kept(name: str, folder: Path) -> str:
    where, _, function = name.rpartition(":")
    return f"{(folder / CODE / kept_name(Path(where))).resolve()}:{function}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a run folder. Raises ValueError, in one line, when there is none that can be read."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise ValueError(f"{folder} is no run folder: it has no manifest.json")
    try:
        manifest = json.loads(path.read_bytes())
        for name in ("environments", "sources"):
            if not isinstance(manifest[name], dict):
                raise ValueError(f"{name} is no table")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error_text(error)}") from None
    return manifest


def read_experiment(folder: Path) -> Experiment:
    """Returns the experiment that a run folder's manifest describes; users' functions come from its own copies.

    Raises ValueError, in one line, when the manifest cannot be read or what it names is no longer there.
    """
    manifest = read_manifest(folder)
    try:
        return Experiment(
            tasks=tuple(
                Task(
                    environment,
                    tuple(
                        _contender(name, settings, folder, _block(manifest, environment, name))
                        for name, settings in task["algorithms"].items()
                    ),
                    _fields(task["fields"], folder),
                    _load(task["factory"], folder) if "factory" in task else None,
                    _judge(task["judge"], folder) if "judge" in task else None,
                )
                for environment, task in manifest["environments"].items()
            ),
            seeds=tuple(manifest["seeds"]),
            **{name: manifest[name] for name in ("steps", "evaluations", "eval_episodes", "width")},
        )
    except (KeyError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(f"{folder / 'manifest.json'} does not fit this version: {error_text(error)}") from None


def _block(manifest: dict[str, Any], environment: str, name: str) -> int | None:
    trials = manifest.get("blocks", {}).get(environment, {}).get(name, {}).get("trials", 1)
    return trials if trials > 1 else None


def _contender(name: str, settings: dict[str, Any], folder: Path, block: int | None) -> Contender:
    name_of = settings["algorithm"]
    algorithm = _load_algorithm(name_of, folder) if name_of.endswith(".py") else importlib.import_module(name_of)
    config = {key: tuple(value) if isinstance(value, list) else value for key, value in settings["config"].items()}
    replaced = without_places(settings["loss"]) != without_places(own_loss(algorithm))
    return Contender(
        name=name,
        algorithm=algorithm,
        config=algorithm.Config(**config),
        hparams=_load(settings["hparams_class"], folder)(**{k: float(v) for k, v in settings["hparams"].items()}),
        loss=_load(settings["loss"], folder) if replaced else None,
        network=_load(settings["network"], folder) if settings["network"] else None,
        network_fields={name: _tuples(value) for name, value in settings.get("network_fields", {}).items()},
        parent=settings["parent"],
        sweep=settings["sweep"],
        block=block,
    )


def _load_algorithm(path: str, folder: Path) -> ModuleType:
    module = user_files.load_module(folder / CODE / kept_name(Path(path)))
    user_algorithm.check(module)
    return module


def _load(name: str, folder: Path) -> Any:
    where, _, function = name.rpartition(":")
    if "<" in function:
        raise ValueError(f"{name} is made inside a function and cannot be found again; put it at the top of a file")
    if not where.endswith(".py"):
        return user_files.load(name)
    return user_files.load_from(folder / CODE / kept_name(Path(where)), function)


def versions() -> dict[str, str]:
    """Returns the installed version of each package that decides results."""
    return {name: metadata.version(name) for name in PACKAGES if any(metadata.distributions(name=name))}


def device() -> dict[str, Any]:
    """Returns what the run computes on; of a CPU, the cores are counted."""
    first = jax.devices()[0]
    return {
        "platform": first.platform,
        "kind": first.device_kind,
        "count": devices.count(),
        "machine": hardware.processor(),
    }


def command_line() -> str:
    """Returns the command that started this process, as one would type it."""
    if signals.interactive():
        return "(in a notebook or a console)"
    module = sys.modules["__main__"].__spec__
    if sys.argv[0].startswith(f"{CONSOLE} "):
        name = sys.argv[0]
    else:
        name = f"python -m {module.name}" if module else f"python {sys.argv[0]}"
    return f"{name} {shlex.join(sys.argv[1:])}".strip()
