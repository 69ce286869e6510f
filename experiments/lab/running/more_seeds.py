"""More seeds for a run that is there: the missing ones are run in a folder inside it, then put together with it.

The folder is then, bit for bit, that of a run with all of them from the start; its manifest says which seeds each look at it
added, and verdicts count the looks. Whenever the process is killed, `--resume` goes on: what is put together is written
aside, whole, before anything of the run is replaced.
"""

import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.lab.commands.cli import BadInput
from experiments.lab.definition import blocks
from experiments.lab.definition.experiment import Experiment
from experiments.lab.definition.sweeps import selection
from experiments.lab.recording import checkpoints, pooling, run_folder
from experiments.lab.recording import tensorboard as event_files
from experiments.lab.recording.files import write_json, write_whole
from experiments.lab.recording.manifest import command_line, read_experiment, read_manifest, write_manifest
from experiments.lab.recording.trees import arrays_of
from experiments.lab.running.conclusion import conclude
from experiments.lab.running.launch import MORE_SEEDS as MORE
from experiments.lab.running.launch import held, resume, resuming, to_resume

TOGETHER, READY = "together", "ready.json"  # a folder of what is put together, and the file that says it is whole


def begun(folder: Path) -> bool:
    """Returns whether seeds are being added to the run in the folder."""
    return (folder / MORE / checkpoints.PROGRESS).is_file()


def resume_with(folder: Path, seeds: Sequence[int] | None, trust: bool = False) -> int:
    """Goes on with the run, then runs the seeds that it lacks (None: those that were begun), and returns the exit status.

    Raises BadInput for seeds that leave out some that the run has, and for a run with a sweep.
    """
    if (folder / MORE / TOGETHER / READY).is_file():
        to_resume(folder, trust)  # asks for the trust that it needs
        with held(folder):
            replaced(folder)
        if seeds is None:
            return concluded(folder, trust)
    experiment = to_resume(folder, trust)
    missing = to_add(experiment, folder, seeds)
    status = resume(experiment, folder)
    if status or not missing:
        return status
    inner = folder / MORE
    more = read_experiment(inner) if begun(folder) else blocks.anew(dataclasses.replace(experiment, seeds=missing))
    with held(folder):
        if not begun(folder):
            shutil.rmtree(inner, ignore_errors=True)
            inner.mkdir()
            write_manifest(inner, more, command_line())
            checkpoints.commit(inner, more, {})
        told = run_folder.listed(missing)
        Console().print(f"adding seeds {told}; then all are put together in {folder}", highlight=False)
        status = resume(more, inner, part=True)
        if status:
            return status
        put_together(folder, experiment, more)
        replaced(folder)
    return concluded(folder, trust)


def to_add(experiment: Experiment, folder: Path, seeds: Sequence[int] | None) -> tuple[int, ...]:
    """Returns the seeds that are to be run. Raises BadInput."""
    there = tuple(read_manifest(folder / MORE)["seeds"]) if begun(folder) else ()
    if seeds is None:
        return there
    if selection.has_sweeps(experiment):
        raise BadInput(
            "a sweep's best point is chosen by its seeds, and more of them could choose another: run it anew"
        )
    lost = [seed for seed in experiment.seeds if seed not in set(seeds)]
    if lost:
        raise BadInput(
            f"{folder} has the seeds {run_folder.listed(experiment.seeds)}: name them too, as --seeds 24 or --seeds 0..23; "
            f"not named: {run_folder.listed(lost)}"
        )
    missing = tuple(sorted(set(seeds) - set(experiment.seeds)))
    if there and missing != there:
        raise BadInput(f"seeds {run_folder.listed(there)} are being added: go on with {resuming(folder)} first")
    return missing


def put_together(folder: Path, experiment: Experiment, more: Experiment) -> None:
    """Writes aside what the run's files are to be."""
    inner, aside = folder / MORE, folder / MORE / TOGETHER
    wanted = tuple(sorted((*experiment.seeds, *more.seeds)))
    progress = [checkpoints.read(folder, experiment), checkpoints.read(inner, more)]
    texts = [run_folder.whole_lines(place / run_folder.CURVES) for place in (folder, inner)]
    seeds = [experiment.seeds, more.seeds]
    aside.mkdir(exist_ok=True)
    write_whole(aside / run_folder.CURVES, pooling.curves(texts, wanted).encode())
    for environment, name in run_folder.contenders(run_folder.read(folder)):
        paths = [run_folder.policy_file(place, environment, name) for place in (folder, inner, aside)]
        arrays = pooling.policies([arrays_of(path) for path in paths[:2]], wanted)
        paths[2].parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_whole(paths[2], content.getvalue())
    manifest = read_manifest(folder)
    added = {
        "seeds": list(more.seeds),
        "command": command_line(),
        "date": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}",
    }
    manifest |= {
        "seeds": list(wanted),
        "looks": pooling.looks_after(manifest, more.seeds),
        pooling.ADDED: [*manifest.get(pooling.ADDED, []), added],
    }
    write_json(aside / "manifest.json", manifest)
    results = pooling.results([each["results"] for each in progress], seeds, wanted)
    write_json(aside / READY, results)


def replaced(folder: Path) -> None:
    """Replaces the run's files by those that were put together, which may be done again, and deletes what made them."""
    aside = folder / MORE / TOGETHER
    for path in sorted(aside.rglob("*")):
        if path.is_file() and path.name != READY:
            place = folder / path.relative_to(aside)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, path.read_bytes())
    results = json.loads((aside / READY).read_bytes())
    checkpoints.commit(folder, to_resume(folder, trust=True), results)
    event_files.rewrite(folder)
    shutil.rmtree(folder / MORE)


def concluded(folder: Path, trust: bool) -> int:
    """Writes and shows what the run found with all its seeds."""
    experiment = to_resume(folder, trust)
    with held(folder):
        results = checkpoints.read(folder, experiment)["results"]
        conclude(experiment, folder, results, False, Console())
    return 0
