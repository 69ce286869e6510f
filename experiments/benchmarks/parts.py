"""Where the time of one update goes, on one core: `python -m experiments.benchmarks.parts`.

Each part of an update runs many times inside one compiled loop, so that calling the program costs next to nothing. What
a part leaves feeds its next run, or the compiler would compute it once and keep it. All of an algorithm's parts take
turns, so that a slow minute of the machine meets all of them, and the whole update is timed among them: what the parts
do not account for is printed as the rest.
"""

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import Any, NamedTuple

from experiments.lab.commands.cli import BadInput, count, run_command
from experiments.lab.machine import devices

if __name__ == "__main__":
    devices.start()  # before jax starts, and never for those who only import this file

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.experimental.compilation_cache import compilation_cache
from jax.flatten_util import ravel_pytree
from rich import box
from rich.console import Console
from rich.table import Table

import envs
from algos import a2c, dqn, ppo, reinforce, trpo
from algos.core import curvature, losses, on_policy, replay
from algos.core.distributions import epsilon_greedy
from algos.core.loop import advance, no_metrics
from algos.core.networks import QNetwork, actor_critic
from algos.core.optimize import adam, gradient_step, minibatch_epochs
from algos.core.returns import reward_to_go
from algos.core.rollout import rollout
from algos.core.types import Algorithm, ReplayBatch
from experiments.lab.machine import hardware
from experiments.lab.recording import manifest
from experiments.lab.running import programs

SLICE_SECONDS = 0.02  # how long one call of a part's loop lasts, about
TABLE_WIDTH = 100
WARM_UPDATES = 20  # before any timing, so that the policy is neither uniform nor finished
SMALL_GRADIENT = 1e-3  # of every parameter, where only the optimiser is timed
STORED_MINIBATCHES = 16  # that a timed update of DQN takes in turn


@dataclass(frozen=True)
class Args:
    """Print where the time of one update goes, and what compiling it takes, at each algorithm's default settings."""

    algos: tuple[str, ...] = ("reinforce", "a2c", "ppo", "trpo", "dqn")
    """Algorithms."""
    env: str = "CartPole-v1"
    """Environment id."""
    repeats: count("--repeats") = 20
    """How often each part's loop is timed; the median is printed."""


class Part(NamedTuple):
    """One piece of an update as the body of a loop, or as a loop that is compiled already."""

    name: str
    times: float  # in one update
    body: Callable | None  # (moving, fixed) -> (next moving, outputs); outputs are kept, or nothing would compute them
    moving: Any
    fixed: Any
    counted: bool = True  # False: it lies inside a part that is counted, or stands for comparison
    loop: Callable | None = None  # (runs, moving, fixed), compiled; None: to be made of the body


class Compilation(NamedTuple):
    """What it took to compile one program, alone and from nothing."""

    lower_seconds: float
    compile_seconds: float
    instructions: int


class Ready(NamedTuple):
    """An algorithm after a few updates, and what it was made from."""

    config: Any
    hparams: Any
    network: Any
    vector: envs.VectorEnv
    algorithm: Algorithm
    state: Any
    metrics: dict[str, jax.Array]  # means over the updates made
    whole_update: Part
    compilation: Compilation  # of the train program


def main(args: Args) -> int:
    """Prints a table for each algorithm and returns the exit status."""
    unknown = [name for name in args.algos if name not in PARTS]
    if unknown or not args.algos:
        raise BadInput(f"unknown algorithm {''.join(unknown[:1])!r}; choose from: {', '.join(PARTS)}")
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)  # a file is no terminal of 80 columns
    try:
        env = envs.make(args.env)
        for name in args.algos:
            PARTS[name][0].make(env)
    except ValueError as error:
        raise BadInput(error) from None
    console.print(machine_line(), highlight=False, soft_wrap=True)
    for name in args.algos:
        module, parts_of = PARTS[name]
        one = ready(module, env)
        parts = [one.whole_update, *parts_of(one)]
        microseconds = time_parts(parts, args.repeats)
        console.print(table(f"{name} on {env.name}", parts, microseconds, one.algorithm.steps_per_update))
        console.print(compile_line(one.compilation), "\n", highlight=False, soft_wrap=True)
    return 0


def ready(module: ModuleType, env: envs.Env) -> Ready:
    """Returns the algorithm at its default settings after WARM_UPDATES updates."""
    config = module.Config()
    if module is dqn:
        network = QNetwork(env.observation_shape, env.action.n, config.hidden_sizes, config.dueling)
    else:
        network = actor_critic(env, config.hidden_sizes)
    algorithm = module.make(env, config, network=network)
    state, sums, hparams = begin(algorithm, module.HParams())
    train, compilation = compile_train(algorithm, state, sums, hparams)

    def updates(runs, state, fixed):
        return train(state, *fixed, runs)

    whole_update = Part("whole update", 1, None, state, (sums, hparams), loop=updates)
    state, sums = updates(jnp.int32(WARM_UPDATES), state, (sums, hparams))
    whole_update = whole_update._replace(moving=state)
    state, sums, hparams = jax.tree.map(lambda x: x[0], (state, sums, hparams))
    metrics = {name: total / WARM_UPDATES for name, total in sums.total.items()}
    vector = envs.vectorize(env, config.num_envs)
    return Ready(config, hparams, network, vector, algorithm, state, metrics, whole_update, compilation)


def begin(algorithm: Algorithm, hparams):
    """Returns (state, sums of metrics, hparams) of one seed before the first update, leaves [1 seed, ...]."""

    def one_seed(seed, hparams):
        state = algorithm.init(jax.random.fold_in(jax.random.key(0), seed), hparams)
        return state, no_metrics(algorithm, state, hparams)

    seed = jnp.zeros(1, jnp.int32)
    hparams = programs.over_trials(hparams, seed)
    return *jax.jit(programs.over_block(one_seed, 1))(seed, hparams), hparams


def reinforce_parts(one: Ready) -> list[Part]:
    num_steps = one.algorithm.steps_per_update // one.config.num_envs
    collecting, batch = on_policy_parts(one, one.network.apply, one.state.params, num_steps)

    def targets(batch, reward, value):
        returns = reward_to_go(reward, batch.terminated, batch.truncated, one.hparams.gamma)
        mask = reinforce.unselected(batch.terminated | batch.truncated, one.vector.env.max_steps)
        return returns, mask, losses.normalize(returns - value, mask)

    def new_episodes(key, _):
        key, key_reset = jax.random.split(key)
        return key, one.vector.reset(key_reset)

    return [
        *collecting,
        Part("returns, mask and advantages", 1, tied(targets), still(batch.reward, batch.value), batch),
        *update_parts(one, reinforce.loss, jax.tree.map(lambda x: x[None], batch), 1),
        Part("new episodes", 1, new_episodes, one.state.key, None),
    ]


def a2c_parts(one: Ready) -> list[Part]:
    collecting, batch = on_policy_parts(one, one.network.apply, one.state.params, one.config.num_steps)
    return [*collecting, *update_parts(one, a2c.loss, jax.tree.map(lambda x: x[None], batch), 1)]


def ppo_parts(one: Ready) -> list[Part]:
    config = one.config
    collecting, batch = on_policy_parts(one, one.network.apply, one.state.params, config.num_steps)
    samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

    def loss(params, apply, minibatch, hparams):
        advantage = losses.normalize(minibatch.advantage, minibatch.mask)
        return ppo.loss(params, apply, minibatch.replace(advantage=advantage), hparams)

    return [*collecting, *epoch_parts(one, loss, samples, one.state.params, config.num_epochs, config.num_minibatches)]


def trpo_parts(one: Ready) -> list[Part]:
    config, apply, hparams = one.config, one.network.apply, one.hparams

    def apply_both(params, observation):
        return apply(params[0], observation)[0], apply(params[1], observation)[1]

    both = (one.state.params, one.state.value_params)
    collecting, batch = on_policy_parts(one, apply_both, both, config.num_steps)
    samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    samples = samples.replace(advantage=losses.normalize(samples.advantage, samples.mask))
    old, unravel = ravel_pytree(one.state.params)

    def policy_at(observation):
        return lambda flat: apply(unravel(flat), observation)[0]

    def surrogate(flat, samples):
        return trpo.loss(unravel(flat), apply, samples, hparams)[0]

    def gradient(samples, flat):
        return jax.grad(surrogate)(flat, samples)

    def product(form):
        def one_product(samples, flat, vector):
            some_states = policy_at(samples.observation[:: config.fisher_stride])
            return curvature.fisher_vector_product(some_states, flat, vector, form)

        return one_product

    def full_step(samples, flat, ascent):
        def damped_fisher(vector):
            return product(config.fisher_form)(samples, flat, vector) + hparams.damping * vector

        return curvature.trust_region_step(ascent, damped_fisher, hparams.max_kl, config.cg_iterations)

    def one_try(samples, flat, step):
        old_loss = surrogate(flat, samples)

        def acceptable(new):
            kl = curvature.mean_kl(policy_at(samples.observation), flat, new)
            return (surrogate(new, samples) <= old_loss) & (kl <= hparams.max_kl)

        return curvature.line_search(acceptable, flat, step, config.backtrack_factor, 1)

    ascent = -jax.jit(gradient)(samples, old)
    step, _ = jax.jit(full_step)(samples, old, ascent)
    tries = float(one.metrics["backtracks"]) + 2  # the accepted one, and once more for the metrics
    products = [
        Part(f"one F v, {form}", times, tied(product(form)), still(old, ascent), samples, False)
        for form in curvature.PRODUCTS
        for times in [config.cg_iterations + 1 if form == config.fisher_form else 0]
    ]
    return [
        *collecting,
        Part("surrogate gradient", 1, tied(gradient), still(old), samples),
        Part("conjugate gradients and step length", 1, tied(full_step), still(old, ascent), samples),
        *products,
        Part("line search, one try", tries, tied(one_try), still(old, step), samples),
        *epoch_parts(
            one, trpo.value_loss, samples, one.state.value_params, config.value_epochs, config.value_minibatches
        ),
    ]


def dqn_parts(one: Ready) -> list[Part]:
    config, state, apply = one.config, one.state, one.network.apply

    def act(moving, params):
        environment, key = moving
        key, key_rollout = jax.random.split(key)

        def policy(params, observation):
            return epsilon_greedy(apply(params, observation), state.epsilon), None

        environment, *outputs = rollout(one.vector, policy, params, environment, key_rollout, config.num_steps)
        return (environment, key), outputs

    def add(memory, items):
        return replay.add(memory, items), ()

    def sample(key, memory):
        key, key_sample = jax.random.split(key)
        return key, replay.sample(memory, key_sample, (config.num_updates, config.batch_size))

    def update(moving, fixed):
        params, target_params, opt_state, made = moving
        stored, hparams = fixed
        minibatch = ReplayBatch(
            **vars(turn(stored, made)), mask=jnp.ones(config.batch_size), target_params=target_params
        )
        optimizer = adam(hparams.learning_rate, hparams.max_grad_norm)
        params, opt_state, metrics = gradient_step(optimizer, dqn.loss, params, opt_state, apply, minibatch, hparams)
        due = (made + 1) % config.target_interval == 0
        rate = hparams.target_rate
        moved = jax.tree.map(lambda t, p: jnp.where(due, rate * p + (1.0 - rate) * t, t), target_params, params)
        return (params, moved, opt_state, made + 1), metrics

    new = replay.sample(state.replay, state.key, (config.num_envs * config.num_steps,))
    stored = replay.sample(state.replay, state.key, (STORED_MINIBATCHES, config.batch_size))
    learner = (state.params, state.target_params, state.opt_state, jnp.int32(0))
    return [
        Part(f"acting, {config.num_steps} x {config.num_envs} environment steps", 1, act,
             (state.environment, state.key), state.params),
        Part("adding to the buffer", 1, add, state.replay, new),
        Part("sampling from the buffer", 1, sample, state.key, state.replay),
        Part("gradient, optimiser and target", config.num_updates, update, learner, (stored, one.hparams)),
        optimiser(one, state.params, one.hparams.learning_rate, config.num_updates),
    ]  # fmt: skip


# name: (module, what its update consists of)
PARTS: dict[str, tuple[ModuleType, Callable[[Ready], list[Part]]]] = {
    "reinforce": (reinforce, reinforce_parts),
    "a2c": (a2c, a2c_parts),
    "ppo": (ppo, ppo_parts),
    "trpo": (trpo, trpo_parts),
    "dqn": (dqn, dqn_parts),
}


def on_policy_parts(one: Ready, apply, params, num_steps: int):
    """Returns (the parts of collecting, a batch [T, B, ...])."""

    def collect(state, fixed):
        params, hparams = fixed
        key, key_rollout = jax.random.split(state.key)
        gae_lambda = getattr(hparams, "gae_lambda", 1.0)
        state, *outputs = on_policy.collect(
            one.vector, apply, params, state, key_rollout, num_steps, hparams.gamma, gae_lambda
        )
        return state.replace(key=key), outputs

    def act(moving, params):
        environment, key = moving
        key, key_rollout = jax.random.split(key)
        environment, *outputs = rollout(one.vector, apply, params, environment, key_rollout, num_steps)
        return (environment, key), outputs

    collecting = Part("collecting, values and advantages", 1, collect, one.state, (params, one.hparams))
    alone = Part("rollout alone", 1, act, (one.state.environment, one.state.key), params, False)
    _, (batch, _) = looped(collecting)(jnp.int32(1), collecting.moving, collecting.fixed)
    return [collecting, alone], batch


def epoch_parts(one: Ready, loss, samples, params, epochs: int, minibatches: int) -> list[Part]:
    """Returns the parts of shuffled minibatch epochs on the samples [N, ...]: as a whole, then what is inside."""
    learning_rate = learning_rate_of(one.hparams)

    def run(moving, fixed):
        params, opt_state, key = moving
        samples, hparams = fixed
        key, key_shuffle = jax.random.split(key)
        optimizer = adam(learning_rate, hparams.max_grad_norm)

        def update(carry, minibatch):
            params, opt_state, metrics = gradient_step(optimizer, loss, *carry, one.network.apply, minibatch, hparams)
            return (params, opt_state), metrics

        carry, metrics = minibatch_epochs(update, (params, opt_state), samples, key_shuffle, epochs, minibatches)
        return (*carry, key), metrics

    stacked = jax.tree.map(lambda x: x.reshape(minibatches, -1, *x.shape[1:]), samples)
    moving = (params, one.state.opt_state, one.state.key)
    inside = update_parts(one, loss, stacked, epochs * minibatches, params)
    whole = Part(f"{epochs} epochs of {minibatches} minibatches", 1, run, moving, (samples, one.hparams))
    return [whole, *(part._replace(counted=False) for part in inside)]


def update_parts(one: Ready, loss, minibatches, times: int, params=None) -> list[Part]:
    """Returns the parts of one gradient step; minibatches [M, ...] are taken in turn."""
    params = one.state.params if params is None else params
    learning_rate = learning_rate_of(one.hparams)

    def update(moving, fixed):
        params, opt_state, made = moving
        minibatches, hparams = fixed
        optimizer = adam(learning_rate, hparams.max_grad_norm)
        minibatch = turn(minibatches, made)
        params, opt_state, metrics = gradient_step(
            optimizer, loss, params, opt_state, one.network.apply, minibatch, hparams
        )
        return (params, opt_state, made + 1), metrics

    moving = (params, one.state.opt_state, jnp.int32(0))
    return [
        Part("gradient and optimiser", times, update, moving, (minibatches, one.hparams)),
        optimiser(one, params, learning_rate, times),
    ]


def optimiser(one: Ready, params, learning_rate, times: int) -> Part:
    """Returns the part that only moves the parameters, along a gradient that no run lets vanish: denormals are slow."""

    def move(moving, hparams):
        params, opt_state, gradient, nothing = moving
        updates, opt_state = adam(learning_rate, hparams.max_grad_norm).update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        gradient = jax.tree.map(lambda g, p: g + nothing * p, gradient, params)
        return (params, opt_state, gradient, nothing), ()

    gradient = jax.tree.map(lambda x: jnp.full_like(x, SMALL_GRADIENT), params)
    moving = (params, one.state.opt_state, gradient, jnp.float32(0.0))
    return Part("optimiser alone", times, move, moving, one.hparams, False)


def learning_rate_of(hparams):
    return hparams.value_learning_rate if isinstance(hparams, trpo.HParams) else hparams.learning_rate


def turn(minibatches, made):
    """Returns the minibatch whose turn it is."""
    count = jax.tree.leaves(minibatches)[0].shape[0]
    return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, made % count, keepdims=False), minibatches)


def still(*arrays):
    """Returns the arrays as what a tied body moves: to where they are, which only the run knows."""
    return jnp.float32(0.0), arrays


def tied(function: Callable) -> Callable:
    """Returns function(fixed, *arrays) as the body of a loop that the compiler cannot move out of it.

    The arrays stay what they are, but through 0.0 times an output: that it is 0.0 is known when it runs.
    """

    def body(moving, fixed):
        nothing, arrays = moving
        outputs = function(fixed, *arrays)
        some = sum(jnp.ravel(leaf)[0].astype(jnp.float32) for leaf in jax.tree.leaves(outputs))
        return (nothing, jax.tree.map(lambda x: x + nothing * some, arrays)), outputs

    return body


def looped(part: Part) -> Callable:
    """Returns (runs, moving, fixed) -> what the last of so many runs of the part leaves, as one program."""

    def run(runs, moving, fixed):
        shapes = jax.eval_shape(part.body, moving, fixed)[1]
        outputs = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return lax.fori_loop(0, runs, lambda _, carry: part.body(carry[0], fixed), (moving, outputs))

    return jax.jit(run)


def compiled(part: Part) -> Callable:
    return part.loop or looped(part).lower(jnp.int32(1), part.moving, part.fixed).compile()


def time_parts(parts: Sequence[Part], repeats: int) -> list[float]:
    """Returns the microseconds of one run of each part: medians over `repeats` rounds, in which the parts take turns."""
    with ThreadPoolExecutor() as pool:  # XLA compiles outside Python's lock
        loops = list(pool.map(compiled, parts))

    def seconds(index: int, runs: int) -> float:
        started = time.perf_counter()
        jax.block_until_ready(loops[index](jnp.int32(runs), parts[index].moving, parts[index].fixed))
        return time.perf_counter() - started

    runs = [enough_runs(lambda runs, index=index: seconds(index, runs)) for index in range(len(parts))]
    rounds = [[seconds(index, runs[index]) / runs[index] for index in range(len(parts))] for _ in range(repeats)]
    return [1e6 * statistics.median(times) for times in zip(*rounds)]


def enough_runs(seconds: Callable[[int], float]) -> int:
    """Returns how many runs take about SLICE_SECONDS, at least 1. seconds: (runs) -> how long they took."""
    runs = 1
    seconds(runs)
    while (taken := seconds(runs)) < SLICE_SECONDS / 2:
        runs *= 2
    return max(1, round(runs * SLICE_SECONDS / taken))


def compile_train(algorithm: Algorithm, state, sums, hparams) -> tuple[Callable, Compilation]:
    """Returns the program that an experiment trains one seed with, and what compiling it took, alone and from nothing.

    The program gives its state up in an experiment; here it does not, so that every timing begins at the same one.
    """

    def train(state, sums, hparams, num_updates):
        return advance(algorithm, state, hparams, sums, num_updates)

    train = programs.over_block(train, 1, shared=3)
    with no_stored_programs():
        started = time.perf_counter()
        lowered = jax.jit(train).lower(state, sums, hparams, jnp.int32(1))
        lower_seconds = time.perf_counter() - started
        compiled = lowered.compile()
        compile_seconds = time.perf_counter() - started - lower_seconds
    return compiled, Compilation(lower_seconds, compile_seconds, count_instructions(compiled.as_text()))


@contextmanager
def no_stored_programs() -> Iterator[None]:
    """Forgets what was traced and compiled before, and keeps the cache of compiled programs out of use meanwhile."""
    was_enabled = jax.config.jax_enable_compilation_cache
    jax.clear_caches()
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # jax asks only once whether there is a cache
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", was_enabled)
        compilation_cache.reset_cache()


def count_instructions(hlo: str) -> int:
    """Returns how many instructions an HLO module's text has, those inside fusions included."""
    return len(re.findall(r"^\s+(?:ROOT )?%?[\w.\-]+ = ", hlo, re.MULTILINE))


def table(title: str, parts: Sequence[Part], microseconds: Sequence[float], steps_per_update: int) -> Table:
    """Returns the parts' times as a table. The first part is the whole update; parts not counted are indented."""
    result = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    result.add_column("part", no_wrap=True)
    for heading in ("µs each", "times", "µs an update", "share", "µs a step"):
        result.add_column(heading, justify="right", no_wrap=True)
    whole, *inner = microseconds
    for part, each in zip(parts[1:], inner):
        name = part.name if part.counted else f"[dim]  {part.name}[/]"
        cells = [f"{each:,.1f}", f"{part.times:.3g}", *row(each * part.times, whole, steps_per_update)]
        result.add_row(name, *(cells if part.times else cells[:1]))
    left = rest(parts, microseconds)
    result.add_row("rest", "", "", *row(left, whole, steps_per_update), end_section=True)
    result.add_row("whole update", f"{whole:,.1f}", "1", *row(whole, whole, steps_per_update))
    return result


def row(each_update: float, whole: float, steps_per_update: int) -> tuple[str, str, str]:
    return f"{each_update:,.1f}", f"{each_update / whole:.1%}", f"{each_update / steps_per_update:.3f}"


def rest(parts: Sequence[Part], microseconds: Sequence[float]) -> float:
    """Returns what the whole update, the first part, takes beyond the counted ones; less than 0 where they take more."""
    counted = [part.times * each for part, each in zip(parts[1:], microseconds[1:]) if part.counted]
    return microseconds[0] - sum(counted)


def compile_line(compilation: Compilation) -> str:
    lower, compiling, instructions = compilation
    return (
        f"train program, nothing stored: traced and lowered in {lower:.2f} s, compiled in {compiling:.2f} s, "
        f"{instructions:,} HLO instructions after optimisation"
    )


def machine_line() -> str:
    """Returns what the numbers belong to: processor, versions, flags and date."""
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions().items())
    return f"{hardware.processor()}, 1 of {hardware.cores()} cores, {date.today()}\n{versions}"


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.benchmarks.parts")
