"""Where a report's numbers come from: settings beside their defaults, versions, machine, and what to be careful about."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from experiments.lab.judging.criterion import criterion_of
from experiments.lab.recording import pooling
from experiments.lab.recording.run_folder import (
    SETTINGS,
    SURROUNDINGS,
    Folder,
    Result,
    folder_labels,
    listed,
    without_places,
)

PAIRED = "Statistics that pair seeds"
WORST = (
    "Verdicts, profiles, P and steps to a score count them as worst; an IQM, its interval and a mean cannot be had with "
    "them, and curves stop where they begin."
)


def cautions(
    folders: Sequence[Folder], joined: dict[str, list[Result]], every: Sequence[Folder] | None = None
) -> list[str]:
    """Returns what a reader must know before believing the numbers, in sentences. every: as in `page.render`."""
    several = len(folders) > 1
    lines = [
        f"Seeds were added after looking: {pooling.in_words(folder)}. Verdicts count the looks and stay at 5% over all of them."
        for folder in folders
        if folder.manifest.get("looks")
    ]
    if every is not None and len(every) > len(folders):
        lines += [line for line in _differences(every) if not line.startswith(PAIRED)]
    for folder, label in zip(folders, folder_labels(folders)):
        if folder.summary.get("interrupted"):
            lines.append(f"The run{f' {label}' if several else ''} was interrupted before its end.")
        if len(folder.manifest["seeds"]) == 1:
            lines.append(f"One seed{f' in {label}' if several else ''}: it allows no interval and shows no difference.")
    for environment, results in joined.items():
        for result in results:
            if not result.figures:
                shown = "its curves are shown as far as they go" if len(result.curves) else "it left no curves"
                lines.append(f"{result.name} on {environment} did not finish: {shown}.")
    every = [(environment, each) for environment, results in joined.items() for each in results]
    faulty = [_in_seeds(environment, each, each.faulty) for environment, each in every if each.faulty]
    if faulty:
        lines.append(
            f"The environment gave rewards or observations that are not finite, for finite actions: {'; '.join(faulty)}. "
            "That is no fault of the algorithm or its settings."
        )
    diverged = [_in_seeds(environment, each, each.diverged) for environment, each in every if each.diverged]
    if diverged:
        lines.append(f"Diverged, with parameters or a return that are not finite: {'; '.join(diverged)}. {WORST}")
    return lines + (_differences(folders) if several else [])


def described_folders(folders: Sequence[Folder]) -> list[dict[str, Any]]:
    """Returns for each folder what it takes to run it again, as a label, a command and rows of (what, value)."""
    return [
        {"label": label, "command": folder.manifest.get("command", ""), "rows": _rows(folder.manifest)}
        for folder, label in zip(folders, folder_labels(folders))
    ]


def settings_of(result: Result) -> dict[str, Any]:
    """Returns a contender's settings: (field, value, default) of those changed or without default, the rest apart."""
    settings = result.settings
    known = _defaults(settings)
    every = [
        (field, _plain(value), known[group].get(field) if known else None)
        for group in ("config", "hparams")
        for field, value in settings.get(group, {}).items()
    ]
    changed = [row for row in every if row[1] != row[2]]
    return {
        "name": result.name,
        "rows": [
            (what, settings[what]) for what in ("algorithm", "loss", "network", "parent", "sweep") if settings.get(what)
        ],
        "has_defaults": known is not None,
        "changed": changed,
        "rest": [row for row in every if row not in changed],
    }


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Returns [0, 1, 2] as '3 seeds (0 to 2)'."""
    return f"{'one seed' if len(seeds) == 1 else f'{len(seeds)} seeds'} ({listed(seeds)})"


def _in_seeds(environment: str, result: Result, seeds: Sequence[int]) -> str:
    listed_seeds = ", ".join(map(str, seeds))
    return f"{result.name} on {environment} in {len(seeds)} of {len(result.seeds)} seeds (seed {listed_seeds})"


def _differences(folders: Sequence[Folder]) -> list[str]:
    lines, labels = [], folder_labels(folders)
    for what in (*SETTINGS, *SURROUNDINGS, "environment_fields"):
        values = [_value(what, folder, folders) for folder in folders]
        if all(value == values[0] for value in values):
            continue
        told = "; ".join(f"{label}: {_in_words(what, value, values)}" for label, value in zip(labels, values))
        lines.append(f"The folders differ in {what.replace('_', ' ')} ({told}).")
        if what == "seeds":
            lines.append(f"{PAIRED} are left out between contenders that ran under different ones.")
    return lines


def _value(what: str, folder: Folder, folders: Sequence[Folder]) -> Any:
    if what != "environment_fields":
        return folder.manifest.get(what)
    shared = set.intersection(*(set(each.manifest["environments"]) for each in folders))
    return {name: folder.manifest["environments"][name].get("fields", {}) for name in sorted(shared)}


def _in_words(what: str, value: Any, values: Sequence[Any]) -> str:
    """Returns one folder's value beside the others'; of versions and the like, only what is not the same in all."""
    if what == "seeds":
        return seeds_in_words(value)
    if all(isinstance(each, dict) for each in values):
        differing = [key for key in value if any(other.get(key) != value[key] for other in values)]
        return ", ".join(f"{key} {value[key]}" for key in differing) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rows(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    device = manifest.get("device", {})
    tasks = manifest["environments"].items()
    fields = {name: task["fields"] for name, task in tasks if task.get("fields")}
    factories = {name: task["factory"] for name, task in tasks if task.get("factory")}
    judges = {name: task["judge"] for name, task in tasks if task.get("judge")}
    rows = [
        ("date", manifest.get("date", "")),
        ("commit", _commit(manifest.get("git", {}))),
        *((f"commit of {place}", _commit(git)) for place, git in manifest.get("users_git", {}).items()),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items())),
        ("machine", f"{device.get('machine', 'unknown')}; {device.get('count', '?')} {device.get('platform', '')} devices"),
        ("flags", " ".join(f"{name}={value}" for name, value in manifest.get("flags", {}).items())),
        ("seeds", seeds_in_words(manifest["seeds"])),
        ("environment steps under each seed", f"{manifest['steps']:,}"),
        ("evaluations", _evaluations(manifest)),
        ("block width", str(manifest.get("width", "?"))),
        *((f"{name} is made by", factory) for name, factory in factories.items()),
        *((f"{name} is judged by", _judge(judge)) for name, judge in judges.items()),
        *((f"fields of {name}", ", ".join(f"{key}={value}" for key, value in each.items())) for name, each in fields.items()),
        *((f"SHA-256 of {path}", digest) for path, digest in manifest.get("sources", {}).items()),
        ("promise", manifest.get("promise", "")),
    ]  # fmt: skip
    return [row for row in rows if row[1]]


def _evaluations(manifest: dict[str, Any]) -> str:
    """Returns how many there were, and of how many episodes where no judge looks at what it likes."""
    of_episodes = any(not task.get("judge") for task in manifest["environments"].values())
    episodes = f", of {manifest.get('eval_episodes', '?')} episodes each" if of_episodes else ""
    return f"{manifest.get('evaluations', '?')}{episodes}"


def _judge(judge: dict[str, Any]) -> str:
    settings = "".join(f", {name}={value}" for name, value in judge["settings"].items())
    words = f"{criterion_of(judge).words}, {criterion_of(judge).direction}"
    return f"{words}: {without_places(judge['measure'])}{settings}"


def _commit(git: dict[str, Any]) -> str:
    state = {True: ", with changes that are in no commit", False: ", no changes"}.get(git.get("dirty"), "")
    return f"{git.get('commit') or 'unknown'}{state}"


def _defaults(settings: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Returns the algorithm's defaults; None for one that is not of this codebase: a report runs no strange code."""
    name = str(settings.get("algorithm"))
    if not name.startswith("algos."):
        return None
    try:
        algorithm = importlib.import_module(name)
    except ImportError:
        return None
    config, hparams = asdict(algorithm.Config()), vars(algorithm.HParams())
    return {"config": {field: _plain(value) for field, value in config.items()}, "hparams": hparams}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
