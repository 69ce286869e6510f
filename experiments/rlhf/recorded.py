"""What a pipeline's folder says it was asked for, pipeline.json, with copies of the files that it learns from: it may be moved."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

from experiments.lab.commands.cli import BadInput, typed
from experiments.lab.recording.files import sha256, write_json
from experiments.lab.recording.run_folder import PIPELINE
from experiments.rlhf.command import COMMAND, Args

COPIED, COPIES = ("data", "preferences", "texts"), "data"  # files that are read, and the folder of their copies
ANEW = ("out", "resume", "trust")  # options that decide no bit
OTHER = "name another folder with --out"


def write(out: Path, args: Args) -> None:
    """Writes what the run was asked for, where the folder does not say it yet."""
    if (out / PIPELINE).is_file():
        return
    asked = described(out, args)
    for name in COPIED:
        if asked[name]:
            (out / COPIES).mkdir(exist_ok=True)
            shutil.copyfile(getattr(args, name), out / asked[name]["file"])
    write_json(out / PIPELINE, {"command": COMMAND, "arguments": asked})


def require_same(out: Path, args: Args) -> None:
    """Raises BadInput where the folder was begun with something else."""
    before = {"portable": Args.portable, **read(out)}  # folders of before there was a choice say nothing of it
    for name, value in described(out, args).items():
        if _what(before.get(name)) != _what(value):
            raise BadInput(f"{out} was begun with --{name}={_shown(before.get(name))}, not {_shown(value)}: {OTHER}")


def arguments(args: Args) -> Args:
    """Returns the arguments of the run that is to go on. Raises BadInput for other options beside --resume and --trust."""
    if dataclasses.replace(args, resume=None, trust=False) != Args():
        raise BadInput("--resume takes no other option but --trust: the settings of a run are in its folder")
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in read(args.resume).items()}
    for name in COPIED:
        found[name] = args.resume / found[name]["file"] if found[name] else None
    if found["stages"] is not None:
        found["stages"] = args.resume / found["stages"]
    try:
        return Args(**found, out=args.resume, trust=args.trust)
    except TypeError as error:
        raise BadInput(f"{args.resume / PIPELINE} does not fit this version: {error}") from None


def described(out: Path, args: Args) -> dict[str, Any]:
    """Returns the arguments that decide what is computed, as JSON has them; files by their bytes and where their copies lie,
    stages by their path from the folder."""
    values = {name: value for name, value in vars(args).items() if name not in ANEW}
    for name in COPIED:
        values[name] = _file(name, values[name]) if values[name] else None
    if args.stages:
        values["stages"] = Path(os.path.relpath(args.stages, out)).as_posix()
    if args.reward and args.reward.partition(":")[0].endswith(".py"):
        where, _, function = args.reward.rpartition(":")
        values["reward"] = f"{Path(where).resolve()}:{function}"
    return json.loads(json.dumps(values))


def read(folder: Path) -> dict[str, Any]:
    """Returns the arguments in the folder's pipeline.json. Raises BadInput, in one line, where there are none."""
    path = folder / PIPELINE
    try:
        found = json.loads(path.read_bytes())
        if found["command"] != COMMAND:
            raise ValueError
        return dict(found["arguments"])
    except FileNotFoundError:
        raise BadInput(f"{folder} is no folder of {typed(COMMAND)}: it has no {path.name}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{path} cannot be read: run the pipeline anew in another folder") from None


def _file(name: str, path: Path) -> dict[str, str]:
    if not path.is_file():
        raise BadInput(f"cannot read {path}: there is no such file")
    return {"file": f"{COPIES}/{name}{path.suffix}", "sha256": sha256(path), "from": path.name}


def _what(value: Any) -> Any:
    return value["sha256"] if isinstance(value, dict) else value


def _shown(value: Any) -> Any:
    return f"{value['from']} ({value['sha256'][:8]})" if isinstance(value, dict) else value
