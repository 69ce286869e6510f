"""A pipeline's folder used once more: run again from its pipeline.json, or its report made anew."""

import dataclasses
from pathlib import Path

from experiments import rerun as rerun_of_a_run
from experiments.lab.commands.cli import BadInput, typed
from experiments.lab.recording import run_folder
from experiments.lab.recording.manifest import read_experiment
from experiments.lab.recording.run_folder import OPTIMISATION
from experiments.lab.running.launch import to_resume
from experiments.rlhf import command, conclusion, pipeline, recorded, smollm2, task
from experiments.rlhf.stages.stage import read, whole


def rerun(folder: Path, out: Path | None, trust: bool) -> int:
    """Runs stages and optimisation again into a new folder, says whether every bit is the same and returns the exit status.
    Raises BadInput."""
    out = out or folder.parent / f"{folder.resolve().name}-rerun"
    args = recorded.arguments(command.Args(resume=folder, trust=trust))
    runs = rerun_of_a_run.with_curves(folder / OPTIMISATION)
    (only,) = to_resume(folder / OPTIMISATION, trust).tasks
    args = dataclasses.replace(args, out=out, resume=None, stages=None, reward=only.fields.get("reward", args.reward))
    status = command.rlhf(args)
    if status:
        print(f"the rerun was stopped; once it is resumed, compare with: {typed('diff')} {folder} {out}")
        return status
    same = [same_stage(stage.folder, out / pipeline.STAGES / stage.folder.name) for stage in finished(folder) if stage]
    same += [rerun_of_a_run.compared(run, out / run.relative_to(folder)) for run in runs]
    print(f"{'the same bit for bit' if all(same) else 'not the same'}: {folder} and {out}")
    return 0 if all(same) else 1


def same_stage(first: Path, second: Path) -> bool:
    """Prints and returns whether two stages made the same files."""
    one, other = read(first)["outputs"], read(second)["outputs"]
    apart = [name for name in one if one[name] != other.get(name)]
    print(f"stage {first.name}: {'the same files' if not apart else 'other files: ' + ', '.join(apart)}")
    return not apart


def concluded(folder: Path, trust: bool) -> int:
    """Writes summary, pictures and report of the pipeline anew and returns the exit status. Raises BadInput."""
    if not pipeline.begun(folder):
        raise BadInput(f"{folder} has no optimised policies yet; {command.go_on(folder)}")
    to_resume(folder / OPTIMISATION, trust)
    try:
        conclusion.write(folder, folder / OPTIMISATION, finished(folder), interrupted=False)
    except ValueError as error:
        raise BadInput(error) from None
    return 0


def finished(folder: Path) -> pipeline.Stages:
    """Returns the stages that the optimisation in the folder was begun with. Raises BadInput where one is not as it was."""
    try:
        (only,) = read_experiment(folder / OPTIMISATION).tasks
        names = {"judges": only.judge.settings["judges"], **only.fields}
        if only.judge.settings.get(
            smollm2.NAME
        ):  # no policy is made from it, so no field names it: it lies beside the judges
            names |= {smollm2.NAME: task.named(whole(Path(names["judges"][run_folder.STAGE]).parent / smollm2.NAME))}
        return pipeline.Stages(
            *(task.found(names[name]) if name in names else None for name in pipeline.Stages._fields)
        )
    except (ValueError, KeyError) as error:
        raise BadInput(f"{folder}: {error}") from None
