"""The two files of a checkpoint's folder, as `algos/rlhf/pretrained.py` takes them: config.json and model.safetensors.

A large checkpoint comes in several files, which model.safetensors.index.json names. Needs the package safetensors.
"""

import importlib.util
import json
from pathlib import Path

from experiments.lab.commands.cli import BadInput

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"


def read(folder: Path):
    """Returns (settings, tensors by name) of the checkpoint in the folder. Raises BadInput for what is not there."""
    if importlib.util.find_spec("safetensors") is None:
        raise BadInput("reading a checkpoint needs a package that is not installed: pip install safetensors")
    import ml_dtypes  # noqa: F401  NumPy then knows bfloat16
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    settings = _json(folder / "config.json")
    parts = [ONE] if (folder / ONE).exists() else sorted(set(_json(folder / INDEX).get("weight_map", {}).values()))
    tensors = {}
    for part in parts:
        try:
            tensors |= load_file(folder / part)
        except (OSError, SafetensorError) as error:
            raise BadInput(f"{folder / part} cannot be read: {error}") from None
    return settings, tensors


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"a checkpoint's folder has config.json and {ONE}; there is no {path}") from None
    except ValueError as error:
        raise BadInput(f"{path} is no JSON: {error}") from None
    return found
