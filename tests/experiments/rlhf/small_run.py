"""A pipeline of the smallest size, on sentences made here: what the tests of the command share."""

import itertools
from pathlib import Path

import numpy as np

from experiments.lab.machine import devices
from experiments.lab.recording import book
from experiments.lab.running import runner
from experiments.rlhf import command, pipeline, settings

GOOD, BAD = ("good", "great", "fine", "lovely"), ("bad", "poor", "dull", "awful")
NOUNS = ("film", "plot", "cast", "score", "scene", "script")
SIZES = settings.Sizes(
    vocabulary=72, width=16, layers=1, length=6, row=32, rows=4, updates=12, looks=3, pairs=96, preferences=48,
    reward_length=10, reward_pairs=64, pairs_per_update=16, held_out=20, validation=10, reference_answers=64,
    judged_answers=16, evaluations=2, steps=48, seeds=2,
)  # fmt: skip
SET = ("rloo.num_prompts=2", "rloo.group=2")


def write_ratings(path: Path) -> Path:
    """Writes a rating file: what a sentence says decides its ratings but for some noise."""
    rng, lines = np.random.default_rng(0), ["id\tratings\ttext"]
    for number, (one, noun, other) in enumerate(itertools.product(GOOD + BAD, NOUNS, GOOD + BAD)):
        mean = sum(2 if word in GOOD else -2 for word in (one, other))
        ratings = ",".join(str(rating) for rating in mean + rng.integers(-1, 2, 4))
        lines.append(f"{number}\t{ratings}\tthe {one} {noun} is {other}.")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def lighten(patch) -> None:
    """Has runs of the same settings compile once, by a pytest.MonkeyPatch, and `--quick` be the smallest size."""
    patch.setattr(settings, "QUICK", SIZES)
    patch.setattr(devices, "count", lambda: 1)  # one lane: what calls back to the host is not found in a cache
    compile_programs, known = runner.compile_programs, {}

    def compiled(env, algorithm, hparams, lanes, *rest):
        key = type(hparams), len(lanes)
        if key not in known:
            known[key] = compile_programs(env, algorithm, hparams, lanes, *rest)
        return known[key]

    patch.setattr(runner, "compile_programs", compiled)


def arguments(out: Path, ratings: Path, **more) -> command.Args:
    """Returns the arguments of a run of RLOO alone."""
    return command.Args(**{"out": out, "data": ratings, "algos": ("rloo",), "quick": True, "set": SET, **more})


def stopping_after(patch, looks: int) -> None:
    """Has a signal ask to stop at so many looks, one look a chunk of one update."""
    left, real = [looks], book.asked_to_stop

    class Asked:
        def __enter__(self):
            self.real = real()
            self.real.__enter__()
            return self.stop

        def __exit__(self, *error):
            return self.real.__exit__(*error)

        def stop(self):
            left[0] -= 1
            return 2 if left[0] <= 0 else 0

    patch.setattr(book, "asked_to_stop", Asked)


def made_stages(folder: Path, texts) -> pipeline.Stages:
    """Returns the stages of the smallest size."""
    return pipeline.make_stages(folder, texts, SIZES, True)
