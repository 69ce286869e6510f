"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): a pretrained model's matrices stay, and what is trained is added to them.

    x W  becomes  x W + x A B,    A [inputs, rank] normal of deviation 1 / sqrt(inputs) at first, B [rank, outputs] 0

in every matrix of the attention and the MLP of some layers of `transformer.py`. At first the model is the one it was. Two
narrow products are added and no gradient of W is taken: an update is two thirds of one that trains W, and its moments small.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp


def drawn(key, params: Mapping[str, Any], layers: Iterable[int], rank: int) -> dict[str, Any]:
    """Returns adapters for these layers of the parameters, {part: {matrix: {"narrow": A, "wide": B}}}, float32."""
    parts = [f"{part}_{layer}" for layer in layers for part in ("attention", "mlp")]
    places = [(part, name) for part in parts for name in params[part]]
    found: dict[str, Any] = {part: {} for part in parts}
    for own, (part, name) in zip(jax.random.split(key, max(len(places), 1)), places):
        inputs, outputs = params[part][name]["kernel"].shape
        narrow = jax.random.normal(own, (inputs, rank)) * inputs**-0.5
        found[part][name] = {"narrow": narrow, "wide": jnp.zeros((rank, outputs))}
    return found


def joined(params: Mapping[str, Any], adapters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters with the adapters in their places, as `transformer.py` takes them."""
    changed = {
        part: {**params[part], **{name: {**params[part][name], **own} for name, own in matrices.items()}}
        for part, matrices in adapters.items()
    }
    return {**params, **changed}
