"""Pytrees of arrays as files: .npz, each leaf under its place as jax.tree_util.keystr writes it; the same tree, the same bytes.

A random key is kept as the integers that it is made of.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.lab.recording.files import write_whole


def named(tree: Any) -> dict[str, Any]:
    """Returns the leaves by their places."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def write(path: Path, tree: Any) -> None:
    """Writes the tree in one move: readers see the old file or the new."""
    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(_plain(leaf)) for name, leaf in named(tree).items()})
    write_whole(path, content.getvalue())


def read(path: Path, like: Any) -> Any:
    """Returns the tree of a file, shaped as `like`, whose leaves have a shape and a dtype. Raises ValueError, in one line,
    for a file that is none, or is of another tree."""
    arrays, expected = arrays_of(path), named(like)
    odd = sorted(arrays.keys() ^ expected.keys())
    if odd:
        raise ValueError(f"{path} does not fit: it {'lacks' if odd[0] in expected else 'has'} {odd[0]}")
    leaves = [_as(arrays[name], leaf, f"{path} does not fit: {name}") for name, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a file by their names. Raises ValueError, in one line, for one that cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as(array: np.ndarray, like: Any, told: str) -> Any:
    plain = jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like
    if (array.shape, array.dtype) != (np.shape(plain), plain.dtype):
        raise ValueError(f"{told} is {array.dtype} {array.shape}, not {plain.dtype} {np.shape(plain)}")
    return jax.random.wrap_key_data(array) if _is_key(like) else array


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
