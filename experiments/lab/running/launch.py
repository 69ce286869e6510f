"""Launches an experiment: checks it, shows it, records it, and keeps what is finished whatever happens."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, spell_out, typed
from experiments.lab.definition.blocks import with_width
from experiments.lab.definition.experiment import Experiment
from experiments.lab.definition.sweeps import selection
from experiments.lab.machine import devices, flags
from experiments.lab.recording import checkpoints, difference, records
from experiments.lab.recording import tensorboard as event_files
from experiments.lab.recording.book import Book, Stopped, asked_to_stop, patience
from experiments.lab.recording.files import require_text
from experiments.lab.recording.kept_code import require_trust
from experiments.lab.recording.manifest import (
    command_line,
    read_experiment,
    read_manifest,
    surroundings,
    write_manifest,
)
from experiments.lab.recording.run_folder import PIPELINE
from experiments.lab.running import runner
from experiments.lab.running.checks import check, check_numbers, check_sources
from experiments.lab.running.conclusion import conclude, write_summary
from experiments.lab.showing import screen
from experiments.lab.showing.plan import announcement, wrapped
from experiments.lab.showing.report import page

MORE_SEEDS = "more-seeds"  # the folder, in a run's, of seeds that are being added


def launch(
    experiment: Experiment,
    folder: Path | None = None,
    tensorboard: bool = False,
    margins: dict[str, float] | None = None,
) -> int:
    """Runs the experiment into a new folder and returns the exit status: 0, or 128 and the signal that ended it early.

    folder: None for runs/<time>-<environments>. margins: of environments, differences too small to matter.
    Raises BadInput before anything compiles when the experiment cannot run or the folder cannot be written.
    """
    spell_out()
    experiment = prepared(experiment)
    try:
        event_files.check(tensorboard)
        check(experiment)
        folder = records.create(folder, [task.environment for task in experiment.tasks])
    except ValueError as error:
        raise BadInput(error) from None
    with held(folder):
        write_manifest(folder, experiment, command_line(), margins)
        event_files.start(folder, tensorboard)
        checkpoints.commit(folder, experiment, {})
        return complete(experiment, folder, {}, None)


def prepared(experiment: Experiment, trials: str | None = None) -> Experiment:
    """Returns the experiment with its width decided, after XLA's flags are set. Raises BadInput for numbers that cannot
    be: of seeds, steps and the like."""
    try:
        check_numbers(experiment)
    except ValueError as error:
        raise BadInput(error) from None
    devices.start()
    return with_width(experiment, trials)


def to_resume(folder: Path, trust: bool = False) -> Experiment:
    """Returns the experiment of the run in the folder, XLA's flags set as they were then, unless the user set them, who
    cannot make a portable run another.

    Raises BadInput when its files are not as they were written, or are another's without `trust` in them.
    """
    try:
        check_sources(folder)
        manifest = read_manifest(folder)
        require_trust(folder, manifest, trust)
        if not flags.beside_ours(os.environ.get("XLA_FLAGS", "")):
            os.environ |= {"XLA_FLAGS": flags.of(manifest), **flags.restored(manifest)}
        devices.start(flags.is_portable(flags.of(manifest)))
        return read_experiment(folder)
    except ValueError as error:
        raise BadInput(error) from None


def resume(experiment: Experiment, folder: Path, part: bool = False) -> int:
    """Goes on with the run in the folder from where it was saved last, and returns the exit status as `launch` does.

    part: the run is a part of another one, and its end is not shown.

    Raises BadInput before anything compiles when it cannot go on with the same bits.
    """
    devices.start()
    with held(folder):
        try:
            require_text(folder)
            progress = checkpoints.read(folder, experiment)
            event_files.check(event_files.started(folder))
            check(experiment)
            records.cut_curves(folder, progress["curves_bytes"])
            event_files.rewrite(folder)
            changed = difference.surroundings(read_manifest(folder), surroundings())
        except ValueError as error:
            raise BadInput(error) from None
        for row in difference.deciding(changed):
            print(f"not as it was, so that bits may differ: {row.what}: {row.first} then, {row.second} now")
        return complete(experiment, folder, progress["results"], progress["checkpoint"], part)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes out of the folder. Raises BadInput when one has it, and when it cannot be written to."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise BadInput(f"another process is running {folder}") from None
    except OSError as error:
        begun = (folder / checkpoints.PROGRESS).is_file()
        rest = f"what was saved before is whole: go on with {resuming(folder)}" if begun else "nothing was run"
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}; {rest}") from None


def complete(
    experiment: Experiment, folder: Path, results: records.Results, saved: dict | None, part: bool = False
) -> int:
    """Trains what `results` lack, from the checkpoint `saved` on, and returns the exit status."""
    at_once = signals.at_once(f"interrupted at once: what was saved before is kept; go on with {resuming(folder)}")
    with signals.handled(at_once):
        status = _complete(experiment, folder, results, saved, at_once, part)
        return status or report_best(experiment, folder, results)


def _complete(
    experiment: Experiment,
    folder: Path,
    results: records.Results,
    saved: dict | None,
    at_once: signals.Handler,
    part: bool,
) -> int:
    console = Console()
    console.print(wrapped(announcement(experiment), console.width), highlight=False, soft_wrap=True)
    finished = {(environment, name) for environment, algorithms in results.items() for name in algorithms}
    wanted = {(task.environment, contender.name) for task in experiment.tasks for contender in task.contenders}
    if finished >= wanted:
        console.print("finished before: nothing is left to train", highlight=False)

    def restore(task, family, blocks):
        here = saved is not None and (task.environment, family[0].name) == (
            saved["environment"],
            saved["contenders"][0],
        )
        try:
            return checkpoints.restore(folder, saved, blocks) if here else None
        except checkpoints.Changed as error:
            raise BadInput(error) from None

    with asked_to_stop() as signal_number:
        book, waiting = Book(folder, experiment, results, signal_number), patience(signal_number, at_once)
        try:
            for event in screen.shown(runner.run(experiment, finished, restore, waiting), experiment, console):
                book.record(event)
        except Stopped:
            pass  # the signal's number says the rest
    # A signal that came after the last update stopped nothing, unless there is a sweep to report.
    lacking = wanted - {(env, name) for env, found in results.items() for name in found}
    stopped = signal_number() if lacking or selection.has_sweeps(experiment) else 0
    if stopped:
        console.print(
            f"interrupted: what is done is kept; go on with {resuming(folder)}", highlight=False, soft_wrap=True
        )
    if part:
        write_summary(experiment, folder, results, bool(stopped))
    else:
        conclude(experiment, folder, results, bool(stopped), console)
    return 128 + stopped if stopped else 0


def report_best(experiment: Experiment, folder: Path, results: records.Results) -> int:
    """Runs the best point of each sweep again, under fresh seeds, in a run folder inside the folder, or goes on with
    that run; returns the exit status. Nothing to do where nothing is swept."""
    if not selection.has_sweeps(experiment):
        return 0
    console, chosen, best = Console(), selection.report_experiment(experiment, results), folder / selection.BEST
    if not (best / checkpoints.PROGRESS).is_file():
        best.mkdir(exist_ok=True)
        write_manifest(best, chosen, command_line(), read_manifest(folder).get("margins"))
        checkpoints.commit(best, chosen, {})
        event_files.start(best, event_files.started(folder))
    console.print(f"the best points again, under seeds that did not select them, in {best}", highlight=False)
    status = resume(chosen, best)
    summary = write_summary(experiment, folder, results, bool(status))
    page.write(folder)
    if not status:
        lines = selection.concluded(summary["sweeps"])
        console.print(screen.told(lines, console), highlight=False, soft_wrap=True)
    return status


def resuming(folder: Path) -> str:
    """Returns the command that goes on with the run: with the sweep, for the run inside it that reports on it; with the
    pipeline that this run is a part of."""
    if (folder.parent / PIPELINE).is_file():
        return f"{typed(json.loads((folder.parent / PIPELINE).read_bytes())['command'])} --resume {folder.parent}"
    inside = folder.name in (selection.BEST, MORE_SEEDS) and (folder.parent / checkpoints.PROGRESS).is_file()
    return f"{typed('compare')} --resume {folder.parent if inside else folder}"
