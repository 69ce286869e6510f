"""Baird's counterexample: bootstrapping, off-policy, with a weight for each feature, and all rewards 0."""

import jax.numpy as jnp
import numpy as np

import envs
from algos.linear import expected, semi_gradient_td, tdc
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import every_update, over_runs
from experiments.lab.definition.settings import BAIRD, BAIRD_BEGINS

STEPS, GAMMA = 1000, 0.99
KINDS = ("w1 to w6", "w7", "w8")


def divergence(runs: int = 200) -> Figure:
    """Returns figure 11.2: the weights of semi-gradient TD(0) step by step, and of dynamic programming sweep by sweep."""
    mean = model()
    learned = weights_of(semi_gradient_td, runs, learning_rate=0.01)
    w, swept = np.array(BAIRD_BEGINS["begin"]), []
    for _ in range(STEPS):
        w = expected.semi_gradient_sweep(mean, w, 0.01)
        swept.append(w)
    rows = [Row(f"{kind} after {STEPS:,} steps", f"sweeps {level:.1f}", values)
            for kind, values, level in zip(KINDS, grouped(learned[:, -1]).T, grouped(w))]  # fmt: skip
    curves = paired(KINDS, grouped(learned), grouped(np.array(swept)), runs, "sweeps")
    return Figure("Figure 11.2: Baird's counterexample, TD(0), alpha = 0.01", "steps, or sweeps", "weight",
                  curves, rows, (-20.0, 380.0))  # fmt: skip


def correction(runs: int = 200) -> Figure:
    """Returns figure 11.5: the weights and errors of TDC, sampled and on average."""
    mean = model()
    learned = weights_of(tdc, runs, learning_rate=0.005, beta=0.05)
    w, h, swept = np.array(BAIRD_BEGINS["begin"]), np.zeros(8), []
    for _ in range(STEPS):
        w, h = expected.tdc_sweep(mean, w, h, 0.005, 0.05)
        swept.append(w)
    sampled, swept = with_errors(mean, learned), with_errors(mean, np.array(swept))
    kinds = ("root of VE", "root of PBE", *KINDS)
    rows = [Row(f"{kind} after {STEPS:,} steps", f"sweeps {level:.4f}", values)
            for kind, values, level in zip(kinds, sampled[:, -1].T, swept[-1])]  # fmt: skip
    return Figure("Figure 11.5: Baird's counterexample, TDC, alpha = 0.005, beta = 0.05", "steps, or sweeps",
                  "weight, or error", paired(kinds, sampled, swept, runs, "expected"), rows, (-4.0, 11.0))  # fmt: skip


def weights_of(module, runs: int, **rates) -> np.ndarray:
    """Returns the weights after each step of each run, [runs, steps, 8]."""
    algorithm = module.make(envs.make("Baird"), module.Config(num_steps=1, **BAIRD, **BAIRD_BEGINS))
    hparams = module.HParams(gamma=GAMMA, **rates)
    return over_runs(lambda key: every_update(algorithm, hparams, key, STEPS, lambda state, _: state.params), runs)


def model() -> expected.Expected:
    """Returns what methods do on average: every state is as likely as any other."""
    env = envs.make("Baird")
    policy = np.tile(BAIRD["target"], (7, 1))
    return expected.expected(env.model, policy, observed(), np.full(7, 1 / 7), GAMMA)


def observed() -> np.ndarray:
    """Returns the features of the seven states, [7, 8]."""
    return np.asarray(envs.make("Baird").observe(jnp.arange(7)))


def grouped(w) -> np.ndarray:
    """Returns the weights [..., 8] as the mean of the first six, the seventh and the eighth, [..., 3]."""
    return np.stack([w[..., :6].mean(-1), w[..., 6], w[..., 7]], -1)


def with_errors(mean: expected.Expected, w) -> np.ndarray:
    """Returns the roots of the value error and of the projected Bellman error of weights [..., 8], and the weights, [..., 5]."""
    w = np.asarray(w, np.float64)
    value_error = np.sqrt(np.mean((w @ observed().T) ** 2, -1))
    pull = mean.b - w @ mean.A.T
    projected = np.einsum("...i,ij,...j->...", pull, np.linalg.pinv(mean.C, hermitian=True), pull)
    return np.concatenate([value_error[..., None], np.sqrt(np.maximum(projected, 0.0))[..., None], grouped(w)], -1)


def paired(kinds, sampled, swept, runs: int, other: str) -> list[Curve]:
    """Returns two curves of each kind: of the runs [runs, steps, kinds], and what is computed [steps, kinds], dashed."""
    x, curves = np.arange(1, STEPS + 1), []
    for place, kind in enumerate(kinds):
        curves.append(Curve(kind, x, sampled[..., place], False, place))
        curves.append(Curve(f"{kind}, {other}", x, np.tile(swept[:, place], (runs, 1)), True, place))
    return curves
