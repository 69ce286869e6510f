"""A stage's updates in parts: the same bits on one core as on several, and what no part reads is not sent to it."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lab.machine import devices
from experiments.rlhf.stages import training
from experiments.rlhf.stages.stage import Stage
from experiments.rlhf.stages.training import Course, Parted

PARTS, UPDATES = 3, 7


def course(data):
    def part(read, number):
        assert read["moments"] is None
        return {"gradient": jnp.tanh(jnp.asarray(data)[number] @ read["params"]).sum(axis=0)}

    def join(state, found):
        moments = 0.9 * state["moments"] + sum(one["gradient"] for one in found)
        return {"params": state["params"] - 0.01 * moments, "moments": moments}

    return Course(
        begin=lambda: {"params": jnp.ones(40), "moments": jnp.zeros(40)},
        step=Parted(PARTS, lambda state: {**state, "moments": None}, part, join),
        keep=lambda state: state["params"], look=lambda params, _: float(jnp.sum(params)),
        updates=UPDATES, looks=1, patience=0, unit="sum",
    )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(0).normal(size=(PARTS, 64, 40, 40)).astype(np.float32)


def test_updates_in_parts_are_the_loop_whatever_cores_there_are(data, tmp_path, monkeypatch):
    found = {}
    for lanes in (1, 2, 3):
        monkeypatch.setattr(devices, "count", lambda number=lanes: number)
        (tmp_path / str(lanes)).mkdir()
        found[lanes] = training.train(Stage(tmp_path / str(lanes), {}, {}), course(data)).best
    params, moments = np.ones(40), np.zeros(40)
    for _ in range(UPDATES):
        moments = 0.9 * moments + np.tanh(data.astype(np.float64) @ params).sum(axis=(0, 1))
        params = params - 0.01 * moments
    np.testing.assert_allclose(found[1], params, rtol=1e-3, atol=1e-3)
    for lanes in (2, 3):
        np.testing.assert_array_equal(found[lanes], found[1])
