"""What differs between two run folders: settings and surroundings from the manifests, curves and parameters bit for bit."""

from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.lab.judging.criterion import Criterion, figure
from experiments.lab.judging.verdicts import verdict
from experiments.lab.recording import run_folder
from experiments.lab.recording.run_folder import SETTINGS, SURROUNDINGS, Folder, Result

WHERE, PLACE = ["environment", "algorithm"], ["seed", "env_steps", "metric"]
ABSENT = "-"
SPEED = ("device count", "flags NPROC", "flags JAX_COMPILATION_CACHE_DIR")  # surroundings that decide no bits


class Row(NamedTuple):
    """A setting that is not the same in both."""

    what: str
    first: str
    second: str


class Place(NamedTuple):
    """Where two curves part; the values as they are written, which is exact."""

    seed: int
    env_steps: int
    metric: str
    first: str
    second: str


class Bits(NamedTuple):
    """How one contender's curves and parameters compare."""

    environment: str
    name: str
    shared: int  # values that both curves have
    parted: Place | None  # the first place where both have a value, and not the same one
    only: tuple[int, int]  # values that the first folder alone has, and the second alone
    parameters: str  # "same", "differ under seeds 1, 2", "differ in form", or "" where one folder has none

    @property
    def same(self) -> bool:
        """Whether nothing that both have differs."""
        return self.parted is None and self.parameters in ("", "same")


class Score(NamedTuple):
    """One contender's final values in two folders; "" where it did not finish."""

    environment: str
    name: str
    first: str  # IQM and interval
    second: str
    verdict: str  # paired by the seeds that both have


def settings(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    """Returns in what the settings of two manifests differ; of users' own files, the bytes count and not the place."""
    return _rows(_settings(first), _settings(second))


def surroundings(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    """Returns in what versions, commit, device and flags differ, of two manifests or what `manifest.surroundings` says."""
    return _rows(*({name: each.get(name, {}) for name in SURROUNDINGS} for each in (first, second)))


def deciding(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows of surroundings that bits may depend on."""
    return [row for row in rows if row.what not in SPEED]


def bits(first: Path, second: Path) -> list[Bits]:
    """Returns how the curves and the parameters of every contender that either folder has compare, bit for bit."""
    one, other = _curves(first), _curves(second)
    parameters = _parameters(first, second)
    names = [*one, *(name for name in other if name not in one)]
    nothing = pd.DataFrame(columns=[*PLACE, "value"]).astype({"seed": int, "env_steps": int})
    return [
        Bits(*name, *_compared(one.get(name, nothing), other.get(name, nothing)), parameters.get(name, ""))
        for name in names
    ]


def scores(first: Folder, second: Folder) -> list[Score]:
    """Returns the results side by side of every contender that has finished in either folder."""
    labels = run_folder.folder_labels([first, second])
    one, other = (_results(folder) for folder in (first, second))
    found = []
    for environment, name in [*one, *(name for name in other if name not in one)]:
        pair = one.get((environment, name)), other.get((environment, name))
        if any(result and result.figures for result in pair):
            line = _paired([f"{label}/{name}" for label in labels], *pair) if all(pair) else ""
            found.append(Score(environment, name, _score(pair[0]), _score(pair[1]), line))
    return found


def in_words(bits: Bits, labels: Sequence[str]) -> str:
    """Returns how a contender's curves and parameters compare, in words."""
    place = bits.parted
    if not bits.shared:
        curves = "no values of curves in common"
    elif place is None:
        curves = f"curves the same, {bits.shared:,} values"
    else:
        curves = (
            f"curves differ, first at seed {place.seed}, {place.env_steps:,} steps, {place.metric}: "
            f"{place.first} in {labels[0]}, {place.second} in {labels[1]}"
        )
    alone = [f"{count:,} more in {label}" for count, label in zip(bits.only, labels) if count]
    parameters = {"same": "parameters the same", "": "no parameters to compare"}
    return "; ".join([curves, *alone, parameters.get(bits.parameters, f"parameters {bits.parameters}")])


def _settings(manifest: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {name: manifest.get(name) for name in SETTINGS}
    for environment, task in manifest["environments"].items():
        content[environment] = {"fields": task.get("fields", {}), "contenders": " ".join(task["algorithms"])}
        content[environment]["factory"] = run_folder.without_places(task.get("factory"))
        content[environment]["judge"] = run_folder.without_places(task.get("judge", Criterion()._asdict()))
        for name, contender in task["algorithms"].items():
            content[f"{environment} {name}"] = run_folder.without_places(contender)
    return content | {"users' own files": sorted(digest[:12] for digest in manifest.get("sources", {}).values())}


def _rows(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    one, other = dict(_flat(first)), dict(_flat(second))
    names = [*one, *(name for name in other if name not in one)]
    rows = [Row(name, one.get(name, ABSENT), other.get(name, ABSENT)) for name in names]
    return [row for row in rows if row.first != row.second]


def _flat(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(content, dict):
        yield name, str(content)
        return
    for key, value in content.items():
        yield from _flat(value, f"{name} {key}" if name else str(key))


def _curves(folder: Path) -> dict[tuple[str, str], pd.DataFrame]:
    """Returns each contender's rows, values as text: `repr` of a float is its bits. A line cut short is left out."""
    lines = run_folder.whole_lines(folder / run_folder.CURVES)
    if not lines:
        return {}
    rows = pd.read_csv(StringIO(lines), dtype=str, keep_default_na=False)
    rows = rows.astype({"seed": int, "env_steps": int}).drop_duplicates([*WHERE, *PLACE], keep="last")
    rows = rows[[*WHERE, *PLACE, "value"]]  # seconds are of the machine: they are no bits of a seed
    return {name: group.drop(columns=WHERE) for name, group in rows.groupby(WHERE, sort=False)}


def _compared(first: pd.DataFrame, second: pd.DataFrame) -> tuple[int, Place | None, tuple[int, int]]:
    both = first.merge(second, on=PLACE, suffixes=("_first", "_second"))
    parted = both[both.value_first != both.value_second].sort_values(["env_steps", "seed"], kind="stable")
    place = None
    if len(parted):
        seed, env_steps, *rest = parted[[*PLACE, "value_first", "value_second"]].iloc[0]
        place = Place(int(seed), int(env_steps), *rest)
    return len(both), place, (len(first) - len(both), len(second) - len(both))


def _parameters(first: Path, second: Path) -> dict[tuple[str, str], str]:
    """Returns how the policies that both folders have compare, by environment and contender. Raises ValueError."""
    found = {}
    for name in run_folder.contenders(run_folder.read(first)):
        path, twin = (run_folder.policy_file(folder, *name) for folder in (first, second))
        if path.is_file() and twin.is_file():
            found[name] = _same_arrays(_arrays(path), _arrays(twin))
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy and zipfile raise what they like for a damaged file
        raise ValueError(f"{path} cannot be read: {error}") from None


def _same_arrays(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> str:
    forms = [{name: (array.shape, array.dtype) for name, array in arrays.items()} for arrays in (first, second)]
    if forms[0] != forms[1] or first["seeds"].tolist() != second["seeds"].tolist():
        return "differ in form"
    differing = [
        str(seed)
        for index, seed in enumerate(first["seeds"])
        if any(first[name][index].tobytes() != second[name][index].tobytes() for name in first)
    ]
    return f"differ under seeds {', '.join(differing)}" if differing else "same"


def _results(folder: Folder) -> dict[tuple[str, str], Result]:
    return {(env, one.name): one for env, results in run_folder.join([folder]).items() for one in results}


def _score(result: Result | None) -> str:
    if result is None or not result.figures:
        return ""
    iqm, (low, high) = result.figures["iqm"], result.figures["ci95"]
    if iqm is None:
        return "not finite"
    return figure(iqm) if low is None or high is None else f"{figure(iqm)} [{figure(low)}, {figure(high)}]"


def _paired(names: list[str], first: Result, second: Result) -> str:
    """Returns the verdict over the seeds that both have; "" where there is none, or one of them did not finish."""
    if not (first.figures and second.figures):
        return ""
    common = [seed for seed in first.seeds if seed in second.seeds]
    if not common:
        return f"{names[0]} against {names[1]}: no seed in common"
    if first.criterion != second.criterion:
        ranks = " and by ".join(f"{one.criterion.words} ({one.criterion.direction})" for one in (first, second))
        return f"{names[0]} against {names[1]}: not compared, ranked by {ranks}"
    scores = [result.scores[[result.seeds.index(seed) for seed in common]] for result in (first, second)]
    return verdict(*names, *scores)
