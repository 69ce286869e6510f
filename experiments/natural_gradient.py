"""Plain, natural and trust-region steps on one small policy, and what each costs: python -m experiments.natural_gradient

Three panels. Left: how much better the surrogate gets for the KL that a step moves, along the gradient and along the
natural gradient, with the step that TRPO takes. Middle: how fast conjugate gradients agree with the dense inverse.
Right: the time of one matrix-free product F v against building F, as the network grows.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from experiments.lab.commands.cli import run_command, said
from experiments.lab.machine import devices, hardware

SEED = 0
WARM_UPDATES = 3  # of TRPO, so that the policy is neither uniform nor finished
DAMPINGS = (0.1, 0.001)
STEPS = 25  # lengths tried along each direction
WIDTHS = (4, 16, 48, 128, 320, 1000)  # of two hidden layers: 10^2 to 10^6 parameters
STATES = 256  # of which F is the mean, in the timings
MEMORY_SHARE = 0.25  # of free memory that the dense matrix and its factors may take


@dataclass(frozen=True)
class Args:
    """Compare plain, natural and trust-region steps on a CartPole policy, and the cost of F v with that of F."""

    out: Annotated[Path | None, said("runs/<time>-natural-gradient", "DIR")] = None
    """The folder for natural_gradient.png and figures.json; must be new or empty."""


def main(args: Args) -> int:
    """Draws the figure and returns the exit status."""
    devices.start()
    from experiments.lab.recording import records
    from experiments.lab.recording.files import write_json

    folder = records.create_for(["natural-gradient"], args.out)
    print("a CartPole policy after", WARM_UPDATES, "updates: steps along the gradient and the natural gradient")
    figures = compare_steps()
    print("conjugate gradients against the dense inverse")
    figures["conjugate_gradient"] = compare_solves()
    print("time of F v and of F, growing the network")
    figures["cost"] = [cost(width) for width in WIDTHS]
    write_json(folder / "figures.json", figures)
    draw(figures, folder / "natural_gradient.png")
    print(json.dumps(figures["trust_region"], indent=2))
    print("files:", *sorted(map(str, folder.iterdir())), sep="\n  ")
    return 0


def policy_and_batch():
    """Returns (flat parameters, policy at the batch's states, surrogate), both functions of flat parameters."""
    import jax
    from jax.flatten_util import ravel_pytree

    import envs
    from algos import trpo
    from algos.core import losses, on_policy
    from algos.core.loop import advance, no_metrics
    from algos.core.networks import actor_critic

    env = envs.make("CartPole-v1")
    config, hparams = trpo.Config(hidden_sizes=(16,)), trpo.HParams()
    network = actor_critic(env, config.hidden_sizes)
    algorithm = trpo.make(env, config, network=network)
    vector = envs.vectorize(env, config.num_envs)

    def collect(key):
        state = algorithm.init(key, hparams)
        sums = no_metrics(algorithm, state, hparams)
        state, _ = advance(algorithm, state, hparams, sums, WARM_UPDATES)

        def apply(params, observation):
            return network.apply(params[0], observation)[0], network.apply(params[1], observation)[1]

        params = (state.params, state.value_params)
        _, batch, _ = on_policy.collect(
            vector, apply, params, state, state.key, config.num_steps, hparams.gamma, hparams.gae_lambda
        )
        return state.params, batch.replace(advantage=losses.normalize(batch.advantage, batch.mask))

    params, batch = jax.jit(collect)(jax.random.key(SEED))
    actor = {name: leaf for name, leaf in params["params"].items() if name in ("actor", "policy")}
    critic = {name: leaf for name, leaf in params["params"].items() if name not in actor}
    flat, unravel = ravel_pytree(actor)

    def apply(flat):
        return network.apply({"params": {**unravel(flat), **critic}}, batch.observation.reshape(-1, 4))

    samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

    def surrogate(flat):
        return -trpo.loss(flat, lambda flat, _: apply(flat), samples, hparams)[0]

    return flat, lambda flat: apply(flat)[0], surrogate


def compare_steps() -> dict:
    """Returns, for both directions, the KL and the improvement at steps of growing length, and TRPO's own step."""
    import jax
    import jax.numpy as jnp

    from algos import trpo
    from algos.core.curvature import fisher_vector_product, line_search, mean_kl, trust_region_step

    flat, policy, surrogate = policy_and_batch()
    hparams, config = trpo.HParams(), trpo.Config()
    gradient = jax.grad(surrogate)(flat)

    def outcome(step):
        return mean_kl(policy, flat, flat + step), surrogate(flat + step) - surrogate(flat)

    def damped(vector):
        return fisher_vector_product(policy, flat, vector) + hparams.damping * vector

    natural, _ = trust_region_step(gradient, damped, hparams.max_kl, config.cg_iterations)
    directions = {"gradient": gradient, "natural gradient": natural}
    lengths = jnp.geomspace(0.02, 2.0, STEPS)
    figures: dict = {"num_params": flat.size}
    for name, direction in directions.items():
        # length 1 is where the quadratic model of the KL says max_kl, for both directions alike
        unit = direction * jnp.sqrt(2.0 * hparams.max_kl / jnp.vdot(direction, damped(direction)))
        kl, improvement = jax.jit(jax.vmap(lambda length, unit=unit: outcome(length * unit)))(lengths)
        figures[name] = {"kl": kl.tolist(), "improvement": improvement.tolist()}

    def acceptable(new):
        kl, improvement = outcome(new - flat)
        return (improvement >= 0.0) & (kl <= hparams.max_kl)

    search = line_search(acceptable, flat, natural, config.backtrack_factor, config.backtracks)
    kl, improvement = outcome(search.params - flat)
    figures["trust_region"] = {
        "max_kl": hparams.max_kl,
        "kl": float(kl),
        "improvement": float(improvement),
        "accepted_fraction": float(search.fraction),
    }
    return figures


def compare_solves() -> dict:
    """Returns, for each damping, the relative error of conjugate gradients after 1, 2, ... iterations, in float64."""
    import jax
    import jax.numpy as jnp

    from algos.core.curvature import conjugate_gradient, exact_fisher, fisher_vector_product

    with jax.enable_x64(True):
        flat, policy, surrogate = policy_and_batch()
        flat = flat.astype(jnp.float64)
        gradient, fisher = jax.grad(surrogate)(flat), exact_fisher(policy, flat)
        errors = {}
        for damping in DAMPINGS:
            exact = jnp.linalg.solve(fisher + damping * jnp.eye(flat.size), gradient)

            def error(iterations, damping=damping, exact=exact):
                def product(vector):
                    return fisher_vector_product(policy, flat, vector) + damping * vector

                x, _, _ = conjugate_gradient(product, gradient, iterations, tolerance=0.0)
                return jnp.linalg.norm(x - exact) / jnp.linalg.norm(exact)

            errors[str(damping)] = [float(jax.jit(error)(iterations)) for iterations in range(1, 21)]
        return errors


def cost(width: int) -> dict:
    """Returns the seconds of one F v and of building F, for two hidden layers; None where F does not fit in memory."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from algos.core.curvature import exact_fisher, fisher_vector_product
    from algos.core.networks import ActorCritic
    from envs import Discrete

    key_params, key_states = jax.random.split(jax.random.key(SEED))
    states = jax.random.normal(key_states, (STATES, 8))
    network = ActorCritic((8,), Discrete(4), (width, width))
    params = network.init(key_params, states)["params"]
    actor = {name: params[name] for name in ("actor", "policy")}
    critic = {name: params[name] for name in ("critic", "value")}
    flat, unravel = ravel_pytree(actor)

    def policy(flat):
        return network.apply({"params": {**unravel(flat), **critic}}, states)[0]

    product = jax.jit(lambda vector: fisher_vector_product(policy, flat, vector))
    needed = 4 * flat.size * (flat.size + 2 * STATES * 4)
    fits = needed < MEMORY_SHARE * hardware.free_memory()
    return {
        "num_params": flat.size,
        "product_seconds": seconds(product, jnp.ones_like(flat)),
        "dense_seconds": seconds(jax.jit(lambda flat: exact_fisher(policy, flat)), flat) if fits else None,
        "dense_bytes": needed,
    }


def seconds(function, argument, at_least: float = 0.3) -> float:
    """Returns the shortest of several runs of a compiled function, after one to compile it."""
    import jax

    jax.block_until_ready(function(argument))
    times: list[float] = []
    while sum(times) < at_least:
        started = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - started)
    return min(times)


def draw(figures: dict, path: Path) -> None:
    """Draws the three panels."""
    from matplotlib.figure import Figure

    from experiments.lab.showing.lines import COLOURS, INK

    figure = Figure(figsize=(14, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for name, colour in zip(("gradient", "natural gradient"), COLOURS):
        left.plot(
            figures[name]["kl"], figures[name]["improvement"], color=colour, label=f"along the {name}", linewidth=1.8
        )
    trust = figures["trust_region"]
    left.plot(trust["kl"], trust["improvement"], "o", color=COLOURS[2], markersize=9, label="the step TRPO takes")
    left.axvline(trust["max_kl"], color=INK, linewidth=0.8, linestyle=":")
    left.annotate(" trust region", (trust["max_kl"], 0.0), xytext=(2, 4), textcoords="offset points", fontsize=9)
    left.set(xlabel="mean KL moved (nats)", ylabel="surrogate improvement")
    left.set_title("The same KL buys more along F⁻¹g", loc="left", fontsize=11)
    left.set_xlim(0.0, 3.0 * trust["max_kl"])
    for (damping, errors), colour in zip(figures["conjugate_gradient"].items(), COLOURS):
        middle.semilogy(range(1, len(errors) + 1), errors, "o-", color=colour, markersize=3, label=f"damping {damping}")
    middle.axvline(10, color=INK, linewidth=0.8, linestyle=":")
    middle.annotate(" TRPO stops here", (10, 1.0), fontsize=9)
    middle.set_xticks(range(0, 21, 5))
    middle.set(xlabel="CG iterations", ylabel="relative error of the step")
    middle.set_title(f"CG against the dense inverse, n = {figures['num_params']}", loc="left", fontsize=11)
    draw_cost(right, figures["cost"], COLOURS, INK)
    for panel in (left, middle, right):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=160)


def draw_cost(panel, rows: list[dict], colours, ink) -> None:
    """Draws the seconds of F v and of F against the number of parameters."""
    dense = [row for row in rows if row["dense_seconds"] is not None]
    lines = (
        (rows, "product_seconds", colours[1], "one product F v"),
        (dense, "dense_seconds", colours[0], "building F"),
    )
    for measured, name, colour, label in lines:
        x, y = [row["num_params"] for row in measured], [row[name] for row in measured]
        panel.loglog(x, y, "o-", color=colour, label=label)
    stopped = [row for row in rows if row["dense_seconds"] is None]
    if stopped:
        first = stopped[0]
        text = f"no memory for F:\n{first['num_params']:,} parameters\nneed {first['dense_bytes'] / 2**30:,.0f} GiB"
        panel.axvspan(first["num_params"], rows[-1]["num_params"], color=ink, alpha=0.06)
        place = (rows[-1]["num_params"], rows[0]["product_seconds"])
        panel.annotate(text, place, xytext=(-4, 0), textcoords="offset points", fontsize=9, ha="right")
    panel.set(xlabel="policy parameters", ylabel="seconds")
    panel.set_title("F v needs no F", loc="left", fontsize=11)


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.natural_gradient")
