"""A small experiment for runs that are cut short: an on-policy algorithm at two settings, and one with a replay buffer.

As a command, `python killed_run.py DIR`: runs it into DIR, or goes on with it, saving a checkpoint after every chunk of
one update, and drawing nothing at its end.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from algos import a2c, dqn
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.recording import book, checkpoints, policies, records
from experiments.lab.running import conclusion, launch, runner

STEPS = 120
A2C = a2c.Config(num_envs=2, num_steps=8, hidden_sizes=(4,))
DQN = dqn.Config(num_envs=2, num_steps=4, warmup_steps=20, buffer_size=60, batch_size=8, hidden_sizes=(4,))
CONTENDERS = (
    Contender("a2c", a2c, A2C, a2c.HParams(total_steps=float(STEPS))),
    Contender("slow a2c", a2c, A2C, a2c.HParams(total_steps=float(STEPS), learning_rate=1e-4)),
    Contender("dqn", dqn, DQN, dqn.HParams(total_steps=float(STEPS))),
)
TASK = Task("CartPole-v1", CONTENDERS, {"max_steps_in_episode": 20})
EXPERIMENT = Experiment((TASK,), seeds=(0, 1, 2), steps=STEPS, evaluations=3, eval_episodes=2, width=1)

# moment: (module, function, before or after it)
MOMENTS = {
    "append": (records, "append_curves", "after"),  # curves written, nothing committed
    "save": (checkpoints, "save", "after"),  # a checkpoint written, nothing names it
    "write": (checkpoints, "write_json", "before"),
    "commit": (checkpoints, "write_json", "after"),  # committed, the checkpoint before not deleted
    "policies": (policies, "save", "after"),  # a contender's policies written, its family not committed
}


def at(moment: str, end) -> None:
    """Calls `end` at the moment, NAME:TIMES: at the second save, for save:2."""
    name, times = moment.split(":")
    module, function, when = MOMENTS[name]
    real, left = getattr(module, function), [int(times)]

    def ending(*arguments, **options):
        left[0] -= 1
        if left[0] == 0 and when == "before":
            end()
        result = real(*arguments, **options)
        if left[0] == 0 and when == "after":
            end()
        return result

    setattr(module, function, ending)


def lighten(patch) -> None:
    """Has programs compiled once, and no pictures and no report drawn, by a pytest.MonkeyPatch."""
    patch.setattr(runner, "compile_programs", remembering(runner.compile_programs))
    patch.setattr(conclusion.plots, "draw_curves", lambda *_: None)
    patch.setattr(conclusion.page, "write", lambda folder: None)


def go(folder: Path) -> int:
    """Runs the experiment into the folder, or goes on with it, and returns the exit status."""
    if (folder / checkpoints.PROGRESS).exists():
        return launch.resume(launch.to_resume(folder), folder)
    return launch.launch(EXPERIMENT, folder)


def remembering(compile_programs):
    """Returns `compile_programs` as it is, but each algorithm is compiled once however many runs a test module makes."""
    known = {}

    def compiled(env, algorithm, hparams, lanes, *rest):
        key = type(hparams), len(lanes)
        if key not in known:
            known[key] = compile_programs(env, algorithm, hparams, lanes, *rest)
        return known[key]

    return compiled


def without_seconds(path: Path) -> list[bytes]:
    """Returns the lines of a run's curves without their last column, the time."""
    header, *rows = path.read_bytes().splitlines()
    assert header.endswith(b",value,seconds") and all(
        re.fullmatch(rb"\d+\.\d{3}", row.rpartition(b",")[2]) for row in rows
    )
    return [header, *(row.rpartition(b",")[0] for row in rows)]


def outcome(folder: Path) -> dict[str, object]:
    """Returns everything that a run found: the bytes of its curves but for their seconds, its parameters, and its returns."""
    found = {"curves": without_seconds(folder / records.CURVES)}
    for path in sorted((folder / "policies").rglob("*.npz")):
        with np.load(path) as file:
            found |= {f"{path.name} {name}": file[name].tobytes() for name in file.files}
    summary = json.loads((folder / "summary.json").read_text())
    assert not summary["interrupted"]
    for environment, results in summary["environments"].items():
        for name, figures in results["algorithms"].items():
            found[f"{environment} {name}"] = (figures["final_values"], figures["iqm"], figures["ci95"])
        found[f"{environment} verdicts"] = results["verdicts"]
    return found


if __name__ == "__main__":
    book.CHECKPOINT_SECONDS = runner.CHUNK_SECONDS = 0.0
    conclusion.plots.draw_curves = conclusion.page.write = lambda *_: None
    raise SystemExit(go(Path(sys.argv[1])))
