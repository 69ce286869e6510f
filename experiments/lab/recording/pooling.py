"""Runs that differ in seeds alone, put together as the run of all their seeds would have been.

A seed's bits do not depend on the seeds beside it, so what is put together has the same bits as one run from the start: rows
of curves in the order in which one run writes them, figures from all seeds. Only times are sums, and the seconds of a row are
those of the run that made it.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.lab.judging.statistics import iqm, iqm_interval
from experiments.lab.recording.run_folder import SETTINGS, Folder, listed, without_places

FAULTS = "environment_faults"
ADDED = "added"  # in the manifest: by which commands seeds were added
Rows = list[list[str]]


def figures(parts: Sequence[dict[str, Any]], seeds: Sequence[Sequence[int]], wanted: Sequence[int]) -> dict[str, Any]:
    """Returns a contender's figures over all seeds, in the order `wanted`, from its figures in each part."""
    found = {seed: value for part, own in zip(parts, seeds) for seed, value in zip(own, part["final_values"])}
    values = np.asarray([found[seed] for seed in wanted], np.float64)
    seconds = sum(part["run_seconds"] for part in parts)
    return {
        "iqm": float(iqm(values)),
        "ci95": [float(bound) for bound in iqm_interval(values)],
        "mean": float(values.mean()),
        "final_values": values.tolist(),
        "diverged_seeds": _in_order(parts, "diverged_seeds", wanted),
        "faulty_seeds": _in_order(parts, "faulty_seeds", wanted),
        "env_steps": parts[0]["env_steps"],
        "compile_seconds": round(sum(part["compile_seconds"] for part in parts), 3),
        "run_seconds": round(seconds, 3),
        "steps_per_second": round(parts[0]["env_steps"] * len(values) / seconds, 1) if seconds else 0.0,
    }


def results(
    parts: Sequence[dict[str, dict[str, Any]]], seeds: Sequence[Sequence[int]], wanted: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Returns the figures of every contender on every environment, from those of each part."""
    return {
        environment: {name: figures([part[environment][name] for part in parts], seeds, wanted) for name in contenders}
        for environment, contenders in parts[0].items()
    }


def curves(texts: Sequence[str], wanted: Sequence[int]) -> str:
    """Returns the text of curves.csv of all seeds from the texts of the parts, its rows in the order of one run.

    One evaluation of one contender is: each judged metric under every seed; then of each seed its training metrics; then
    the faults of the environment. Judged are the metrics before training, at the first evaluation.
    """
    parts = [_evaluations(text) for text in texts]
    place = {str(seed): number for number, seed in enumerate(wanted)}
    judged: dict[tuple[str, str], list[str]] = {}
    content = io.StringIO(newline="")
    writer = csv.writer(content)
    columns = min((text.partition("\n")[0].strip().split(",") for text in texts), key=len)  # some may tell no seconds
    writer.writerow(columns)
    for key in parts[0]:
        rows = [row[: len(columns)] for part in parts for row in part[key]]
        metrics = judged.setdefault(key[:2], list(dict.fromkeys(row[4] for row in rows if row[4] != FAULTS)))
        order = {metric: number for number, metric in enumerate(metrics)}

        def at(row: list[str], order=order) -> tuple[int, int, int]:
            if row[4] in order:
                return 0, order[row[4]], place[row[2]]
            return (2 if row[4] == FAULTS else 1), place[row[2]], 0

        writer.writerows(sorted(rows, key=at))
    return content.getvalue()


def policies(parts: Sequence[dict[str, np.ndarray]], wanted: Sequence[int]) -> dict[str, np.ndarray]:
    """Returns the arrays of a contender's policies under all seeds, [seeds, ...], from those of each part."""
    seeds = np.concatenate([part["seeds"] for part in parts]).tolist()
    rows = [seeds.index(seed) for seed in wanted]
    return {name: np.concatenate([part[name] for part in parts])[rows] for name in parts[0]}


def looks_after(manifest: dict[str, Any], added: Sequence[int]) -> list[list[int]]:
    """Returns the seeds that each look at a run added, with one more look."""
    return [*(manifest.get("looks") or [manifest["seeds"]]), list(added)]


def pooled(folders: Sequence[Folder]) -> list[Folder]:
    """Returns the folders, those that differ in seeds alone as one, in the place of the first. They are finished, and no
    seed is in two; a look was had at each."""
    groups: list[list[Folder]] = []
    for folder in folders:
        fitting = (group for group in groups if all(_fit(folder, other) for other in group))
        group = next(fitting, None)
        groups.append([folder]) if group is None else group.append(folder)
    return [group[0] if len(group) == 1 else _as_one(group) for group in groups]


def _as_one(group: Sequence[Folder]) -> Folder:
    seeds = [folder.manifest["seeds"] for folder in group]
    wanted, manifest = sorted(sum(seeds, [])), {**group[0].manifest}
    looks = manifest.get("looks") or [manifest["seeds"]]
    for folder in group[1:]:
        looks = [*looks, *(folder.manifest.get("looks") or [folder.manifest["seeds"]])]
    manifest |= {"seeds": wanted, "looks": looks}
    parts = [{name: found["algorithms"] for name, found in folder.summary["environments"].items()} for folder in group]
    environments = {
        name: {
            **group[0].summary["environments"][name],
            "algorithms": {
                one: _told([part[name][one] for part in parts]) | found for one, found in algorithms.items()
            },
            "verdicts": None,
        }
        for name, algorithms in results([_with_nan(part) for part in parts], seeds, wanted).items()
    }
    summary = {**group[0].summary, "seeds": wanted, "environments": environments}
    path = Path(" + ".join(folder.path.resolve().name for folder in group))
    return Folder(
        path, manifest, _with_none(summary), pd.concat([folder.curves for folder in group], ignore_index=True)
    )


def _told(parts: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Returns whose settings a contender had, where all parts say the same; else nothing."""
    told = {part.get("settings") for part in parts}
    return {"settings": told.pop()} if len(told) == 1 and None not in told else {}


def _fit(folder: Folder, other: Folder) -> bool:
    if any(one.summary.get("interrupted", True) or one.summary.get("sweeps") for one in (folder, other)):
        return False
    overlap = set(folder.manifest["seeds"]) & set(other.manifest["seeds"])
    return not overlap and _settings(folder.manifest) == _settings(other.manifest)


def _settings(manifest: dict[str, Any]) -> Any:
    plain = {name: manifest.get(name) for name in SETTINGS if name != "seeds"}
    sources = sorted(manifest.get("sources", {}).values())
    return plain, without_places(manifest["environments"]), sources


def in_words(folder: Folder) -> str:
    """Returns '10 (0 to 9), then 10 (10 to 19)' of the seeds that each look at a run added."""
    return ", then ".join(f"{len(seeds)} ({listed(seeds)})" for seeds in folder.manifest["looks"])


def _in_order(parts: Sequence[dict[str, Any]], name: str, wanted: Sequence[int]) -> list[int]:
    found = {seed for part in parts for seed in part.get(name, [])}
    return [seed for seed in wanted if seed in found]


def _evaluations(text: str) -> dict[tuple[str, str, str], Rows]:
    """Returns the rows by (environment, contender, steps), in order."""
    found: dict[tuple[str, str, str], Rows] = {}
    for row in _data(text):
        found.setdefault((row[0], row[1], row[3]), []).append(row)
    return found


def _data(text: str) -> Iterator[list[str]]:
    rows = csv.reader(io.StringIO(text, newline=""))
    next(rows, None)
    return rows


def _with_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _with_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_nan(value) for value in content]
    return float("nan") if content is None else content


def _with_none(content: Any) -> Any:
    """Returns the content as JSON gives it back: None for what is not finite."""
    if isinstance(content, dict):
        return {key: _with_none(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_none(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
