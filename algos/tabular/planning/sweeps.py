"""Backups of all states until the error is certainly small: the loop of value iteration and of iterative evaluation."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from algos.tabular import bellman

AT_ONCE = 1e9  # outcomes that one compiled loop goes through, some seconds: then the host sees a signal
STATES = "states"


def until(loop, tables: bellman.Tables, gamma: float, tolerance: float, most: int, devices=None, first=None):
    """Returns (value [S], iterations): the loop called from `first`, or V = 0, until it is done, or for `most` iterations.

    loop: (tables, value, gamma, tolerance, iterations) -> (value, iterations made, done), pure; on the value's way through
    it `everywhere` is what brings together the shares of the states that several `devices` compute.
    """
    states = tables.reward.shape[0]
    at_once = max(1, int(AT_ONCE / tables.onward.size))
    tables, program = placed(loop, tables, devices)
    more = tables.reward.shape[0] - states
    value = np.zeros(states) if first is None else first
    value, made, done = np.pad(value, (0, more)).astype(tables.onward.dtype), 0, False
    while made < most and not done:
        value, now, done = program(tables, value, gamma, tolerance, min(at_once, most - made))
        made += int(now)
    return value[:states], made


def synchronous(tables, value, gamma, tolerance, most, everywhere=lambda x: x):
    """V <- T V, until the certified bound is the tolerance or what is left is rounding."""

    def unfinished(carry):
        _, made, done = carry
        return ~done & (made < most)

    def sweep(carry):
        value, made, _ = carry
        new = everywhere(bellman.backup(tables, value, gamma))
        return new, made + 1, enough(tables, value, new, gamma, tolerance)

    return lax.while_loop(unfinished, sweep, (value, 0, False))


def gauss_seidel(tables, value, gamma, tolerance, most, everywhere=lambda x: x):
    """V(s) <- (T V)(s) for one state after another, each from the newest values (S&B section 4.4: in place)."""
    states = value.shape[0]

    def unfinished(carry):
        _, made, done = carry
        return ~done & (made < most)

    def renew(state, value):
        rows = tables.replace(
            **{
                name: lax.dynamic_slice_in_dim(getattr(tables, name), state, 1)
                for name in ("successor", "onward", "reward")
            }
        )
        return lax.dynamic_update_slice(value, bellman.backup(rows, value, gamma), (state,))

    def sweep(carry):
        value, made, _ = carry
        value = lax.fori_loop(0, states, renew, value)
        return value, made + 1, enough(tables, value, bellman.backup(tables, value, gamma), gamma, tolerance)

    return lax.while_loop(unfinished, sweep, (value, 0, False))


def enough(tables, value, new, gamma, tolerance):
    """Returns whether new = T value is certain to the tolerance (without a discount: changes by no more than it), or as
    certain as rounding lets it be."""
    _, bound = bellman.error_bound(tables, value, new, gamma)
    change = jnp.max(jnp.abs(new - value))
    certain = jnp.where(jnp.isfinite(bound), bound <= tolerance, change <= tolerance)
    return certain | (change <= bellman.rounding(tables, value)) | ~jnp.isfinite(change)


def placed(loop, tables: bellman.Tables, devices):
    """Returns (tables, compiled loop) on the default device, or with the states shared out over several."""
    if devices is None or len(devices) == 1:
        return tables, _compiled(loop)
    mesh = Mesh(np.asarray(devices), (STATES,))
    more = -tables.reward.shape[0] % len(devices)  # copies of the last state, to fill up
    filled = {
        name: np.pad(array, [(0, more)] + [(0, 0)] * (array.ndim - 1), "edge")
        for name in ("successor", "onward", "reward")
        for array in [getattr(tables, name)]
    }
    tables = jax.device_put(tables.replace(**filled), jax.tree.map(lambda x: NamedSharding(mesh, _share(x)), tables))
    return tables, _shared(loop, mesh)


def _share(array) -> P:
    """Returns how the devices hold an array: a share of its states each, or all of a scalar."""
    return P(STATES) if np.ndim(array) else P()


@lru_cache
def _compiled(loop):
    return jax.jit(loop)


@lru_cache
def _shared(loop, mesh: Mesh):
    """Returns the compiled loop on tables whose states are shared out: each device backs up its own, then all are told."""
    parts = bellman.Tables(P(STATES), P(STATES), P(STATES), P(), P(), P())
    everywhere = partial(lax.all_gather, axis_name=STATES, tiled=True)
    share = jax.shard_map(
        partial(loop, everywhere=everywhere), mesh=mesh, in_specs=(parts, P(), P(), P(), P()), out_specs=P(),
        check_vma=False,
    )  # fmt: skip
    return jax.jit(share)
