"""What a run leaves and shows at its end: summary, pictures, report, tables and verdicts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment
from experiments.lab.definition.sweeps import selection
from experiments.lab.outside import loss_trace
from experiments.lab.recording import checkpoints, records, run_folder
from experiments.lab.recording.files import write_json
from experiments.lab.recording.manifest import read_manifest
from experiments.lab.showing import plots, screen
from experiments.lab.showing.report import page


def conclude(
    experiment: Experiment, folder: Path, results: records.Results, interrupted: bool, console: Console
) -> None:
    """Writes and shows what the run found."""
    summary = write_summary(experiment, folder, results, interrupted)
    if (folder / records.CURVES).exists():
        plots.draw_curves(folder, {task.environment: task.criterion for task in experiment.tasks})
    sweeps = summary.get("sweeps", {})
    for table, (environment, found) in zip(screen.results_tables(summary), summary["environments"].items()):
        # These seeds select: that the best point is ahead of the others under them says less than it seems to.
        swept = selection.selected({environment: sweeps[environment]}) if environment in sweeps else None
        console.print(table)
        lines = swept or [*found["verdicts"], *filter(None, [found["best_in_words"]])]
        console.print(screen.told(lines, console), "", sep="\n", highlight=False, soft_wrap=True)
        for name, figures in found["algorithms"].items():
            for line in not_finite(experiment, environment, name, figures):
                console.print(line, highlight=False, soft_wrap=True)
    try:
        page.write(folder)
    except run_folder.Unusable as error:
        console.print(f"no report.html: {error}", highlight=False, soft_wrap=True)
    files = sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))
    console.print("files:", *files, sep="\n  ", highlight=False, soft_wrap=True)


def not_finite(experiment: Experiment, environment: str, name: str, figures: dict[str, Any]) -> Iterator[str]:
    """Yields in words which seeds have no finite result: those whose environment is at fault apart from the others."""
    faulty = figures.get("faulty_seeds", [])
    if faulty:
        yield screen.faults_in_words(name, environment, faulty)
    diverged = ", ".join(str(seed) for seed in figures["diverged_seeds"] if seed not in faulty)
    if diverged:
        own = loss_trace.own_loss(experiment, environment, name)
        yield f"{name}: diverged (parameters or return not finite) under seeds {diverged}, so no IQM{own}"


def write_summary(experiment: Experiment, folder: Path, results: records.Results, interrupted: bool) -> dict[str, Any]:
    """Writes the summary, with what sweeps found as far as it is known, and their picture; returns the summary.

    A sweep that is not reported under fresh seeds yet counts as interrupted. Raises BadInput for a damaged report.
    """
    manifest = read_manifest(folder)
    summary = records.summarise(results, experiment, interrupted, manifest.get("looks"), manifest.get("margins"))
    if selection.has_sweeps(experiment):
        sweeps = selection.found(experiment, results, reported(experiment, folder, results))
        every = [sweep for of_environment in sweeps.values() for sweep in of_environment.values()]
        unreported = not all(sweep["report"] for sweep in every)
        summary = {**summary, "interrupted": interrupted or unreported, "sweeps": sweeps}
        if every:
            plots.draw_sensitivity(folder, sweeps)
    write_json(folder / "summary.json", summary)
    return summary


def reported(experiment: Experiment, folder: Path, results: records.Results) -> records.Results:
    """Returns the results of the best points' own run, as far as it is. Raises BadInput when it is damaged."""
    if not (folder / selection.BEST / checkpoints.PROGRESS).is_file():
        return {}
    try:
        chosen = selection.report_experiment(experiment, results)
        return checkpoints.read(folder / selection.BEST, chosen)["results"]
    except ValueError as error:
        raise BadInput(error) from None
