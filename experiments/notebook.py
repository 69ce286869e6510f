"""Everything that the commands do, for a notebook or a script: comparisons as tables, policies that act and are drawn.

    from experiments.notebook import compare
    found = compare("CartPole-v1", ["ppo", "a2c"], seeds=5, steps=50_000)
    found.scores, found.verdicts

Import it before jax is used: the flags that a run wants are read when jax starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from experiments.lab.commands.cli import BadInput
from experiments.lab.machine import devices

devices.prepare()

SCORES = ("iqm", "mean", "env_steps", "run_seconds", "steps_per_second")  # columns beside the bounds of the interval


@dataclass(frozen=True)
class Found:
    """What a run found, read from its folder."""

    folder: Path

    @property
    def scores(self):
        """A pandas.DataFrame: a row a contender and environment, with IQM, 95% interval, mean, steps and seconds."""
        import pandas as pd

        rows = [
            {
                "environment": environment,
                "algorithm": name,
                **{column: figures[column] for column in SCORES},
                **dict(zip(("low", "high"), figures["ci95"])),
            }
            for environment, found in self._summary["environments"].items()
            for name, figures in found["algorithms"].items()
        ]
        columns = ["environment", "algorithm", "iqm", "low", "high", *SCORES[1:]]
        return pd.DataFrame(rows, columns=columns).set_index(["environment", "algorithm"])

    @property
    def finals(self):
        """A pandas.DataFrame: the final value of every seed, [seeds, (environment, contender)]."""
        import pandas as pd

        columns = {
            (environment, name): figures["final_values"]
            for environment, found in self._summary["environments"].items()
            for name, figures in found["algorithms"].items()
        }
        finals = pd.DataFrame(columns, index=pd.Index(self._summary["seeds"], name="seed"), dtype=float)
        return finals.rename_axis(columns=["environment", "algorithm"])

    @property
    def curves(self):
        """A pandas.DataFrame, as curves.csv: environment, algorithm, seed, env_steps, metric, value, seconds."""
        return self._read.curves

    def at_same_steps(self, metric: str | None = None, points: int | None = None):
        """Returns a pandas.DataFrame of a metric, by default what ranks, [env_steps, (environment, algorithm, seed)].

        Contenders make whole updates and are evaluated after slightly different numbers of steps: here each has values at the
        same ones, interpolated linearly between its two evaluations around, never beyond them. points: how many, by default
        as many as there are evaluations. Raises BadInput.
        """
        from experiments.lab.recording.same_steps import at_same_steps

        try:
            return at_same_steps(self._read, metric, points)
        except ValueError as error:
            raise BadInput(error) from None

    @property
    def verdicts(self) -> list[str]:
        """Who is ahead of whom, in words."""
        return [line for found in self._summary["environments"].values() for line in found["verdicts"]]

    @property
    def could_be_best(self) -> dict[str, list[str]]:
        """The contenders that none is shown to be better than, by environment: the best is among them, 5% of the time not."""
        return {name: found["could_be_best"] for name, found in self._summary["environments"].items()}

    @property
    def report(self) -> Path:
        """The file of the report."""
        return self.folder / "report.html"

    def policy(self, algorithm: str | None = None, seed: int | None = None, environment: str | None = None) -> "Policy":
        """Returns what was learned; by default by the best contender under the first seed. Raises BadInput."""
        return load(self.folder, algorithm, seed, environment)

    def more_seeds(self, seeds: int | range) -> "Found":
        """Runs the seeds that the run lacks, and returns what it found with all of them. Raises BadInput."""
        from experiments.lab.commands.cli import seeds_of
        from experiments.lab.running.more_seeds import resume_with

        resume_with(self.folder, seeds_of(seeds))
        return self

    @property
    def _read(self):
        from experiments.lab.recording import run_folder

        return run_folder.read(self.folder)

    @property
    def _summary(self) -> dict[str, Any]:
        summary = self._read.summary
        if not summary:
            raise BadInput(f"no contender of {self.folder} has finished: go on with resume({str(self.folder)!r})")
        return summary


@dataclass(frozen=True)
class Policy:
    """What one contender learned under one seed: it acts, plays and is drawn."""

    folder: Path
    environment: str
    algorithm: str
    seed: int
    env: Any  # envs.Env
    function: Any  # (key, observation) -> action in the policy's units

    def act(self, observation):
        """Returns the greedy action for one observation, an array or a list, as the environment takes it. Raises BadInput."""
        import jax
        import numpy as np

        expected = jax.eval_shape(self.env.reset, jax.random.key(0))[1]
        told = f"{self.env.name} shows numbers of shape {expected.shape}"
        try:
            observation = np.asarray(observation, expected.dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadInput(f"{told}: {error}") from None
        if observation.shape != expected.shape:
            raise BadInput(f"{told}, not {observation.shape}")
        chosen = self.function(jax.random.key(0), jax.numpy.asarray(observation))
        return self.env.action.to_environment(chosen)

    def play(self, seed: int = 0, max_steps: int | None = None):
        """Returns an episode: states and observations [T + 1], rewards [T], whether it ended. The seed decides its chance.
        Raises BadInput for max_steps below 1."""
        import jax

        from experiments.lab.recording.policies import player

        steps = self.env.max_steps if max_steps is None else max_steps
        if steps < 1:
            raise BadInput(f"max_steps must be 1 or more, not {steps}")
        return player(self.env, self.function)(jax.random.key(seed), steps)

    def draw(self, out: str | Path | None = None, episodes: int = 1, max_frames: int = 1000) -> Path:
        """Writes a GIF and returns its path; by default a new file in the run folder, numbered where there are others. Raises
        BadInput where `out` exists."""
        from experiments import watch

        name = f"watch-{self.environment}-{self.algorithm}-seed{self.seed}".replace("/", "-")
        path = _free(self.folder / f"{name}.gif") if out is None else Path(out)
        watch.watch(
            watch.Args(
                self.folder,
                self.algorithm,
                environment=self.environment,
                seed=(str(self.seed),),
                episodes=episodes,
                max_frames=max_frames,
                out=path,
            )
        )
        return path


def compare(env: str | Sequence[str], algos: str | Sequence[str], out: str | Path | None = None, **options) -> Found:
    """Runs the comparison as the command does and returns what it found; Ctrl-C keeps what is done.

    options: as `python -m experiments.compare --help` lists them: seeds, steps, set, network, sweep, evaluations... Several
    environments, algorithms or settings are lists. Raises BadInput, in one line, for what cannot be.
    """
    from experiments import compare as command
    from experiments.lab.recording.records import create_for

    lists = {
        name: _many(options.pop(name)) for name in ("set", "network", "sweep", "only", "margin") if name in options
    }
    names = _many(env)
    try:
        args = command.Args(env=names, algos=_many(algos), **lists, **options)
    except TypeError as error:
        raise BadInput(str(error).replace("Args.__init__() ", "compare ")) from None
    if args.resume is not None:
        raise BadInput("a run is resumed by resume(folder)")
    folder = create_for([name.rpartition("/")[2] for name in names], None if out is None else Path(out))
    try:
        command.compare(_in(args, folder))
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    return Found(folder)


def train(algorithm: str, env: str = "CartPole-v1", seed: int = 0, **options) -> Policy:
    """Trains one algorithm under one seed and returns what it learned; options as of `compare`. Raises BadInput."""
    if not hasattr(seed, "__index__") or seed < 0:  # NumPy's whole numbers have one too
        raise BadInput(f"seed must be a whole number of 0 or more, not {seed!r}")
    found = compare(env, algorithm, seeds=range(seed, seed + 1), **options)
    return found.policy(seed=seed)


def resume(folder: str | Path, trust: bool = False) -> Found:
    """Goes on with the run in the folder and returns what it found. Raises BadInput."""
    from experiments import compare as command

    command.compare(command.Args(resume=Path(folder), trust=trust))
    return Found(Path(folder))


def read(folder: str | Path) -> Found:
    """Returns what the run in the folder found; nothing is run. Raises BadInput where there is none."""
    found = Found(Path(folder))
    try:
        _ = found.curves
    except ValueError as error:
        raise BadInput(error) from None
    return found


def load(
    folder: str | Path,
    algorithm: str | None = None,
    seed: int | None = None,
    environment: str | None = None,
    trust: bool = False,
) -> Policy:
    """Returns what a contender of the run learned; by default the best one, under the first seed, on the first environment.

    Raises BadInput, in one line that says what there is, for what was not trained.
    """
    from experiments import watch
    from experiments.lab.recording import policies

    devices.start()
    seeds = () if seed is None else (str(seed),)
    folder = Path(folder)
    try:
        choice = watch.chosen(watch.Args(folder, algorithm, environment=environment, seed=seeds, trust=trust))
        ((name, chosen),) = choice.panels
        function = policies.load(folder, choice.environment, name, chosen)
        return Policy(folder, choice.environment, name, chosen, choice.task.make(), function)
    except ValueError as error:
        raise BadInput(error) from None


def _free(path: Path) -> Path:
    """Returns the path, or the first of name-2, name-3... that does not exist."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return path if not path.exists() else next(other for other in others if not other.exists())


def _many(given: str | float | Sequence[str]) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, str | float | int) else tuple(given)


def _in(args: Any, folder: Path) -> Any:
    from dataclasses import replace

    return replace(args, out=folder)
