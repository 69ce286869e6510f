"""Renders trained policies of a run folder to a GIF: python -m experiments.watch DIR --algorithm ppo --seed 3"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import tyro

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, count, run_command, said, typed
from experiments.lab.machine import devices

MOST_PANELS = 20
MOST_COLUMNS = 5


@dataclass(frozen=True)
class Args:
    """Render trained policies of a run folder to a GIF, acting greedily; all panels begin in the same state.

    Several seeds, or several algorithms, are shown side by side. Nothing is trained and nothing is written over. Of Kuhn poker for
    two, and of games in which each chooses once among three actions, the GIF shows the strategies at every evaluation of the run.

    For example:
      python -m experiments.watch my_run --algorithm ppo --seed 0 3
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """The folder of a run, as experiments.compare writes it."""
    algorithm: Annotated[str | None, said("the one with the best IQM in summary.json", "NAME")] = None
    """The algorithm."""
    compare: Annotated[tuple[str, ...], said("none", "[NAME ...]")] = ()
    """Several algorithms side by side, in place of --algorithm."""
    environment: Annotated[str | None, said("the first of the run", "NAME")] = None
    """The environment."""
    seed: Annotated[tuple[str, ...], said("the first of the run", "[N ...]")] = ()
    """The seed, or several side by side."""
    episodes: count("--episodes") = 1
    """Episodes, one after the other."""
    max_frames: count("--max-frames") = 1000
    """The GIF ends after so many frames; each is one environment step."""
    out: Annotated[Path | None, said("DIR/watch-<environment>-<algorithms>-seed<seeds>.gif", "FILE")] = None
    """The GIF; must be new."""
    trust: bool = False
    """Run the code that the folder keeps, though another user or another machine made it."""


class Choice(NamedTuple):
    """What is shown."""

    task: Any  # the experiment's
    names: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def panels(self) -> list[tuple[str, int]]:
        """Name and seed of each panel, in order."""
        return [(name, seed) for name in self.names for seed in self.seeds]

    @property
    def environment(self) -> str:
        """What it is called."""
        return self.task.environment


def watch(args: Args) -> int:
    """Writes the GIF and returns the exit status. Raises BadInput."""
    devices.start()
    from experiments.lab.recording.files import file_name
    from experiments.lab.recording.run_folder import inside
    from experiments.lab.showing.drawing import drawing

    args = replace(args, folder=inside(args.folder))
    try:
        choice = chosen(args)
        strategies = learned(args.folder, choice)
        env = choice.task.make()
        own = choice.task.factory is not None or env.name != choice.environment  # registered under another name
        drawn = None if strategies else drawing(env, choice.task.fields, own)
    except ValueError as error:
        raise BadInput(error) from None
    label = "-".join([choice.environment, *choice.names, f"seed{'-'.join(map(str, choice.seeds))}"])
    path = args.out or args.folder / f"watch-{file_name(label, '=, ')}.gif"
    stopped = signals.unwinding("interrupted: no GIF was written")
    with signals.handled(stopped), new_file(path) as partial:
        if strategies:
            print(write_learning(partial, path, choice, strategies, args.max_frames))
            return 0
        episodes = play(args, choice)
        milliseconds = write(partial, choice, drawn, episodes)
    print(report(path, choice, episodes, milliseconds))
    return 0


def chosen(args: Args, fits: Callable[[Any], bool] = lambda task: True) -> Choice:
    """Returns what the arguments mean in the run folder; where they name no environment, the first whose task fits, or else
    the first. Raises BadInput; ValueError for a manifest that is wrong."""
    if not args.folder.is_dir():
        raise BadInput(f"there is no folder {args.folder}")
    from experiments.lab.recording import kept_code, manifest, policies

    kept_code.require_trust(args.folder, manifest.read_manifest(args.folder), args.trust)
    experiment = manifest.read_experiment(args.folder)
    there = policies.saved(args.folder, experiment)
    if not there:
        raise BadInput(f"{args.folder} has no saved policies")
    fitting = (task.environment for task in experiment.tasks if task.environment in there and fits(task))
    environment = args.environment or next(fitting, next(iter(there)))
    one_of([environment], list(there), "environment")
    if args.algorithm and args.compare:
        raise BadInput("name algorithms with --algorithm or with --compare, not with both")
    names = args.compare or (args.algorithm or best(args.folder, environment, there[environment]),)
    names = one_of(names, there[environment], f"policy on {environment} of")
    seeds = one_of(args.seed or (str(experiment.seeds[0]),), [str(seed) for seed in experiment.seeds], "seed")
    if len(names) * len(seeds) > MOST_PANELS:
        raise BadInput(f"{len(names)} algorithms and {len(seeds)} seeds are more than {MOST_PANELS} panels")
    task = next(task for task in experiment.tasks if task.environment == environment)
    return Choice(task, names, tuple(map(int, seeds)))


def one_of(words: Sequence[str], there: Sequence[str], what: str) -> tuple[str, ...]:
    """Returns the words. Raises BadInput for one that is not there, or that is named twice."""
    for word in words:
        if word not in there:
            raise BadInput(f"the run has no {what} {word}; it has: {', '.join(there)}")
    if len(set(words)) < len(words):
        raise BadInput(f"name each {what.split()[0]} once, not: {' '.join(words)}")
    return tuple(words)


def best(folder: Path, environment: str, names: Sequence[str]) -> str:
    """Returns the name with the best IQM in summary.json; the first where it says nothing of any."""
    from experiments.lab.judging.criterion import criterion_of

    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        found = summary["environments"][environment]
        figures, criterion = found["algorithms"], criterion_of(found)
    except (OSError, ValueError, KeyError):
        return names[0]
    iqms = {name: figures[name]["iqm"] for name in names if figures.get(name, {}).get("iqm") is not None}
    scored = {name: criterion.score(iqm) for name, iqm in iqms.items()}
    return max(scored, key=scored.get, default=names[0])


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yields where to write what becomes `path` at the end. Raises BadInput when that exists or cannot be written."""
    if path.suffix.lower() != ".gif":
        raise BadInput(f"--out must end in .gif, not {path}")
    if path.exists():
        raise BadInput(f"{path} exists; name another file with --out, nothing is ever written over")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.touch()
        yield partial
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if partial.is_file():
            partial.unlink()


def play(args: Args, choice: Choice) -> list[list[Any]]:
    """Returns [episode][panel]: what each policy does, all from the same state, within the number of frames."""
    import jax

    from experiments.lab.recording import policies
    from experiments.lab.showing.drawing.side_by_side import length

    env = choice.task.make()
    try:
        acts = [policies.load(args.folder, choice.environment, *panel) for panel in choice.panels]
    except ValueError as error:
        raise BadInput(error) from None
    players = [policies.player(env, act) for act in acts]
    episodes, frames = [], args.max_frames
    for number in range(args.episodes):
        if frames < 1:
            break
        key = jax.random.fold_in(jax.random.key(0), number)
        episodes.append([play_one(key, frames - 1) for play_one in players])
        frames -= length(episodes[-1])
    return episodes


def write(path: Path, choice: Choice, drawn, episodes) -> list[int]:
    """Writes the GIF and returns how long each frame is shown, milliseconds."""
    from PIL import Image

    from experiments.lab.showing.drawing import film, side_by_side

    one_row = 1 in (len(choice.names), len(choice.seeds))
    columns = min(len(choice.panels), MOST_COLUMNS) if one_row else len(choice.seeds)
    titles = [f"{name}, seed {seed}" for name, seed in choice.panels]
    milliseconds = side_by_side.durations(episodes, drawn.milliseconds)

    def frames():
        return side_by_side.frames(choice.environment, titles, columns, drawn.scene, episodes)

    is_picture = isinstance(drawn.scene(*side_by_side.state_at(episodes[0][0], 0)), Image.Image)
    colours = film.palette_of(frames(), len(milliseconds)) if is_picture else None
    film.write_gif(path, frames(), milliseconds, colours)
    return milliseconds


def learned(folder: Path, choice: Choice) -> list[dict[str, Any]]:
    """Returns what each panel's contender plays at every evaluation, where the game is one of which that is shown; else []."""
    from experiments.lab.recording.run_folder import read
    from experiments.lab.showing.strategies import kind, recorded

    if choice.task.criterion.metric != "nash_conv":
        return []
    curves = read(folder).curves
    curves = curves[curves.environment == choice.environment]
    played = [recorded(curves[(curves.algorithm == name) & (curves.seed == seed)]) for name, seed in choice.panels]
    shown = [rows and kind(next(iter(rows.values())).columns) for rows in played]
    return played if all(shown) else []


def write_learning(partial: Path, path: Path, choice: Choice, played: list[dict[str, Any]], most: int) -> str:
    """Writes the GIF of strategies, the first `most` frames, and returns in words what it shows."""
    from itertools import islice

    from experiments.lab.showing.drawing import film, mixtures

    titles = [f"{name}, seed {seed}" for name, seed in choice.panels]
    columns = min(len(titles), MOST_COLUMNS) if 1 in (len(choice.names), len(choice.seeds)) else len(choice.seeds)
    frames = list(islice(mixtures.frames(choice.environment, titles, columns, played), most))
    film.write_gif(partial, frames, mixtures.durations(len(frames)), film.palette_of(frames, len(frames)))
    notes = (f"{title}: {mixtures.note(rows)}" for title, rows in zip(titles, played))
    return "\n".join([f"{path}: {len(frames)} frames", *notes])


def report(path: Path, choice: Choice, episodes, milliseconds: Sequence[int]) -> str:
    """Returns in words where the GIF is, how long it is and what returns it shows."""
    from experiments.lab.showing.drawing.side_by_side import number_of

    lines = [f"{path}: {len(milliseconds)} frames, {sum(milliseconds) / 1000:.1f} seconds"]
    for index, (name, seed) in enumerate(choice.panels):
        shown = [panels[index] for panels in episodes]
        returns = [f"{number_of(panel.rewards.sum())}{'' if panel.ended else ' so far'}" for panel in shown]
        lines.append(f"{name}, seed {seed}: return {', '.join(returns)}")
    return "\n".join(lines)


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, watch, typed("watch"))


if __name__ == "__main__":
    main()
