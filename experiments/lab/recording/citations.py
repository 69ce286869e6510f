"""The BibTeX of what a run used, from its manifest and references.bib."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs import gymnax_ids
from envs.mdp import problems

FILE = Path(__file__).with_name("references.bib")
ALWAYS = ("evenhand", "jax", "precipice")  # the code, what it is made of, and the method of comparison
SAME = {"ppo_kl": "ppo"}  # losses whose paper is an algorithm's
TABLES = ("algos.tabular.", "algos.linear.")
ON_PPO = ("ippo", "mappo", "mmd", "neurd", "entropy_annealed_ppo", "fictitious_self_play")
BUILT_ON = {"iql": "dqn", "nfsp": "dqn", "ia2c": "a2c", **dict.fromkeys(ON_PPO, "ppo")}  # learners of several agents


def references() -> dict[str, str]:
    """Returns the entries by their keys, in order."""
    entries = re.findall(r"^@\w+\{(\w+),\n.*?^\}", FILE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    texts = re.findall(r"^@\w+\{\w+,\n.*?^\}", FILE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(zip(entries, texts))


def of_run(manifest: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Returns (the entries of what the run used, in the order of the file; what no paper is known of)."""
    known, without = references(), []
    wanted = {*ALWAYS}
    for environment, task in manifest["environments"].items():
        wanted |= set(of_environment(environment, "factory" in task))
        if "factory" in task:
            without.append(environment)
        for name, settings in task["algorithms"].items():
            keys = [key for key in of_contender(settings) if key in known]
            wanted |= set(keys)
            if is_own(settings):
                without.append(name)
    return [text for key, text in known.items() if key in wanted], list(dict.fromkeys(without))


def of_environment(name: str, is_users: bool) -> Iterator[str]:
    """Yields the keys of an environment's papers."""
    if "/" in name:
        yield name.partition("/")[0]
    elif name in problems.IDS:
        yield "sutton"
    elif name in gymnax_ids.IDS and not is_users:
        yield "gymnax"
        if name.endswith("-MinAtar"):
            yield "minatar"


def of_contender(settings: dict[str, Any]) -> Iterator[str]:
    """Yields the keys of a contender's papers: of its algorithm with what its settings add, and of its loss."""
    algorithm, config = settings["algorithm"], settings["config"]
    if algorithm.startswith(TABLES):
        yield "sutton"
    name = algorithm.rpartition(".")[2] if algorithm.startswith("algos.") else ""
    name = "ippo" if name == "mappo" and config.get("centralised") is False else name
    yield "npg" if name == "trpo" and config.get("line_search") is False else name
    if name in BUILT_ON:
        yield BUILT_ON[name]
    if name == "exact_play":
        yield config["method"]
    if name in ("dqn", "iql"):
        yield from (key for key in ("double", "dueling") if config.get(key))
    where = (settings.get("loss") or "").partition(":")[0]
    if where.startswith("experiments.losses."):
        loss = where.rpartition(".")[2]
        yield SAME.get(loss, loss)


def is_own(settings: dict[str, Any]) -> bool:
    """Returns whether a user's own file makes the contender what it is."""
    return any(".py" in (settings.get(part) or "") for part in ("algorithm", "loss", "network"))
