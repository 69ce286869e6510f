"""A checkpoint's folder is read, in one file or in several, and what is not there is one line."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from experiments.lab.commands.cli import BadInput
from experiments.rlhf.pretrained import INDEX, ONE, read

TENSORS = {"a.weight": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b.weight": np.ones(2, np.float32)}
SETTINGS = {"model_type": "llama"}


def written(folder, parts):
    (folder / "config.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    for name, tensors in parts.items():
        save_file(tensors, folder / name)
    return folder


def same(found):
    settings, tensors = found
    assert settings == SETTINGS and tensors.keys() == TENSORS.keys()
    assert all(np.array_equal(tensors[name], x) for name, x in TENSORS.items())


def test_one_file_is_read(tmp_path):
    same(read(written(tmp_path, {ONE: TENSORS})))


def test_several_files_are_read_by_their_index(tmp_path):
    parts = {f"model-{i}.safetensors": {name: x} for i, (name, x) in enumerate(TENSORS.items())}
    written(tmp_path, parts)
    names = {name: part for part, tensors in parts.items() for name in tensors}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": names}), encoding="utf-8")
    same(read(tmp_path))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "config.json").unlink(), "there is no .*config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "is no JSON"),
        (lambda folder: (folder / ONE).unlink(), f"there is no .*{INDEX}"),
        (lambda folder: (folder / ONE).write_bytes(b"12345678short"), "cannot be read"),
    ],
    ids=["no settings", "no JSON", "no tensors", "no safetensors"],
)
def test_what_is_not_there_is_one_line(tmp_path, spoil, message):
    written(tmp_path, {ONE: TENSORS})
    spoil(tmp_path)
    with pytest.raises(BadInput, match=message) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
