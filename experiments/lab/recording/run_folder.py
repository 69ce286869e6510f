"""What run folders say, read back: one folder, or several whose contenders are joined."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.lab.judging.criterion import Criterion, criterion_of
from experiments.lab.judging.looks import rows_of
from experiments.lab.recording.files import file_name

CURVES = "curves.csv"
COLUMNS = ["environment", "algorithm", "seed", "env_steps", "metric", "value", "seconds"]
KEY, BEFORE = COLUMNS[:5], COLUMNS[:6]  # of a row; what folders of earlier versions have, that tell no seconds
SETTINGS = ("seeds", "steps", "evaluations", "eval_episodes", "width")  # of a manifest, beside its contenders
STAGE, MARK = "stage", "mark"
PIPELINE = "pipeline.json"  # of a folder that a run is one part of: its `command` goes on with the whole
OPTIMISATION = "optimisation"  # that run's own folder
SURROUNDINGS = ("versions", "git", "device", "flags")  # what decides bits and speed beside the settings
TYPES = (str, str, int, int, str, float, float)
FIGURES = ("iqm", "ci95", "mean", "diverged_seeds", "env_steps", "compile_seconds", "run_seconds", "steps_per_second")


class Unusable(ValueError):
    """A folder that is no run's or is damaged, or a file that cannot be written: the user's to put right, in one line."""


@dataclass(frozen=True)
class Folder:
    """One run folder. An unfinished run may lack contenders in its summary, or have no summary or no curves yet."""

    path: Path
    manifest: dict[str, Any]
    summary: dict[str, Any]  # {} where no contender finished
    curves: pd.DataFrame


@dataclass(frozen=True)
class Result:
    """One contender on one environment."""

    name: str  # as shown
    parent: str | None  # the shown name of the contender whose loss it replaces
    folder: Folder
    settings: dict[str, Any]  # from the manifest
    figures: dict[str, Any] | None  # from the summary; None: it did not finish
    curves: pd.DataFrame  # its rows of curves.csv
    criterion: Criterion

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.folder.manifest["seeds"])

    @property
    def looks(self) -> list[np.ndarray]:
        """The rows of the scores that each look at the run had."""
        return rows_of(self.folder.manifest.get("looks"), self.seeds)

    @property
    def diverged(self) -> list[int]:
        return self.figures["diverged_seeds"] if self.figures else []

    @property
    def faulty(self) -> list[int]:
        """The seeds under which the environment gave what is not finite; folders of older versions do not say."""
        return self.figures.get("faulty_seeds", []) if self.figures else []

    @property
    def earned(self) -> np.ndarray:
        """The final value of each seed as measured, NaN where it is not finite, [seeds]."""
        return np.array(self.figures["final_values"], np.float64)

    @property
    def scores(self) -> np.ndarray:
        """The final score of each seed, of which more is better; NaN where it diverged, whatever was measured, [seeds]."""
        return self.criterion.score(with_divergence(self.earned, self.seeds, self.diverged))

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """The ranking metric of each seed (row) at each number of steps (column) where every seed has one."""
        rows = self.curves[self.curves.metric == self.criterion.metric]
        counted = rows.groupby("env_steps").seed.transform("nunique")
        rows = rows[counted == len(self.seeds)]
        return rows.pivot(index="seed", columns="env_steps", values="value").reindex(self.seeds)

    @cached_property
    def seconds(self) -> pd.Series:
        """The seconds until each number of steps of `evaluations`, of all seeds: the sum over the looks, each of which ran its
        seeds side by side; NaN where the folder tells none."""
        rows = self.curves[self.curves.metric == self.criterion.metric]
        told = rows.pivot(index="seed", columns="env_steps", values="seconds").reindex(self.seeds)
        first = [seeds[0] for seeds in self.folder.manifest.get("looks") or [self.seeds]]
        return told.loc[first, self.evaluations.columns].sum(skipna=False)


def header_of(path: Path) -> list[str]:
    """Returns the columns that a run's curves have, or are to have where there are none yet."""
    first = path.open(encoding="utf-8").readline() if path.exists() else ""
    return first.strip().split(",") if first.endswith("\n") else COLUMNS


def inside(path: Path) -> Path:
    """Returns the run folder itself, where the path is of a pipeline that it is a part of."""
    return path / OPTIMISATION if (path / PIPELINE).is_file() else path


def read(path: Path) -> Folder:
    """Returns what the folder holds. Raises Unusable, in one line, where there is no run or one that is damaged."""
    if not path.is_dir():
        raise Unusable(f"{path} is not a folder; name the folder of a run")
    if not (path / "manifest.json").is_file():
        raise Unusable(f"{path} has no manifest.json; name the folder of a run")
    manifest = _read_json(path / "manifest.json")
    summary = _read_json(path / "summary.json") if (path / "summary.json").exists() else {}
    try:
        _rename(summary)
        _check(manifest, summary)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unusable(f"{path} is damaged: its manifest.json and summary.json do not agree ({error!r})") from None
    return Folder(path, manifest, summary, _read_curves(path / CURVES))


def policy_file(folder: Path, environment: str, name: str) -> Path:
    """Returns where a contender's policies lie."""
    return folder / "policies" / file_name(environment) / f"{file_name(name)}.npz"


def join(folders: Sequence[Folder]) -> dict[str, list[Result]]:
    """Returns the contenders of all folders by environment, in the order of the folders.

    A name that two folders use on one environment is shown as folder/name. Two folders with one name are shown as paths.
    Raises Unusable where folders rank the same environment by different metrics, or pay its agents by unlike conventions.
    """
    labels = folder_labels(folders)
    uses = Counter((env, name) for folder in folders for env, name in contenders(folder))
    clashing = {name for (_, name), count in uses.items() if count > 1}
    joined: dict[str, list[Result]] = {}
    for folder, label in zip(folders, labels):
        shown = {name: f"{label}/{name}" if name in clashing else name for _, name in contenders(folder)}
        for environment, name in contenders(folder):
            settings = folder.manifest["environments"][environment]["algorithms"][name]
            finished = folder.summary.get("environments", {}).get(environment, {}).get("algorithms", {})
            rows = folder.curves[(folder.curves.environment == environment) & (folder.curves.algorithm == name)]
            parent = shown.get(settings.get("parent"))
            ranks = criterion_of(folder.manifest["environments"][environment].get("judge", {}))
            result = Result(shown[name], parent, folder, settings, finished.get(name), rows, ranks)
            joined.setdefault(environment, []).append(result)
    for environment, results in joined.items():
        words = [f"{one.criterion.words} ({one.criterion.direction})" for one in results]
        if len(set(words)) > 1:
            raise Unusable(f"{environment} is ranked by {' and by '.join(dict.fromkeys(words))}: not to be compared")
        paid = [one.folder.manifest["environments"][environment].get("agents") for one in results]
        paid = [f"{one['number']} agents, {one['reward_convention']} rewards" if one else "one agent" for one in paid]
        if len(set(paid)) > 1:
            raise Unusable(f"{environment} has {' and '.join(dict.fromkeys(paid))}: not to be compared")
    return joined


def folder_labels(folders: Sequence[Folder]) -> list[str]:
    """Returns a name for each folder: its own, or its path where two have the same."""
    names = [folder.path.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder.path) for folder in folders]


def contenders(folder: Folder) -> list[tuple[str, str]]:
    """Returns (environment, name) of each contender of the run."""
    environments = folder.manifest["environments"]
    return [(environment, name) for environment, task in environments.items() for name in task["algorithms"]]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Unusable(f"{path} is damaged: no JSON ({error})") from None
    if not isinstance(content, dict):
        raise Unusable(f"{path} is damaged: not a JSON object")
    return content


def whole_lines(path: Path) -> str:
    """Returns the text of curves.csv without a last line that a kill cut short; "" where there is none."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text[: text.rfind("\n") + 1]


def listed(seeds: Sequence[int]) -> str:
    """Returns '0 to 9', or the seeds one by one where they are not two or more that follow each other."""
    in_a_row = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if in_a_row else ", ".join(map(str, seeds))


def without_places(content: Any) -> Any:
    """Returns settings with functions of users' files by their names alone, and stages by their marks: a run folder has
    copies, and may be moved."""
    if is_stage(content):
        return content[MARK]
    if isinstance(content, dict):
        return {key: without_places(value) for key, value in content.items()}
    if isinstance(content, str) and ".py:" in content:
        return content.rpartition(":")[2]
    if isinstance(content, str) and content.endswith(".py"):  # an algorithm's whole file
        return Path(content).name
    return content


def is_stage(content: Any) -> bool:
    """Returns whether a setting names what another run made: a folder, and the hash of what must be in it."""
    return isinstance(content, dict) and content.keys() == {STAGE, MARK}


def with_divergence(returns: Sequence[float], seeds: Sequence[int], diverged: Sequence[int]) -> np.ndarray:
    """Returns the final value of each seed, NaN where it diverged or is not finite, [seeds]."""
    return np.where(np.isin(seeds, diverged), np.nan, np.asarray(returns, np.float64))


def _read_curves(path: Path) -> pd.DataFrame:
    """Returns the rows of curves.csv; of a row that was written again, the last."""
    try:
        lines = whole_lines(path) or f"{','.join(COLUMNS)}\n"
        rows = pd.read_csv(StringIO(lines), dtype=dict(zip(COLUMNS, TYPES)))
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Unusable(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    if list(rows.columns) not in (COLUMNS, BEFORE):
        raise Unusable(f"{path} is damaged: its columns must be {', '.join(COLUMNS)}")
    return rows.reindex(columns=COLUMNS).drop_duplicates(KEY, keep="last")


def _rename(summary: dict[str, Any]) -> None:
    """Gives what earlier versions called final returns its name."""
    for results in summary.get("environments", {}).values():
        for figures in results["algorithms"].values():
            if "final_returns" in figures:
                figures["final_values"] = figures.pop("final_returns")


def _check(manifest: dict[str, Any], summary: dict[str, Any]) -> None:
    if not manifest["seeds"] or not manifest["environments"]:
        raise ValueError("no seeds or no environments")
    int(manifest["steps"])
    algorithms = {name: set(task["algorithms"]) for name, task in manifest["environments"].items()}
    for environment, results in summary.get("environments", {}).items():
        list(results["verdicts"])
        for name, figures in results["algorithms"].items():
            if name not in algorithms[environment]:
                raise KeyError(name)
            if len(figures["final_values"]) != len(manifest["seeds"]):
                raise ValueError(f"{name} has {len(figures['final_values'])} final values")
            for figure in FIGURES:
                figures[figure]
