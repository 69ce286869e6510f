"""What holds for every algorithm: the bits do not depend on how a run is cut, keys are used once, hyperparameters can
be vmapped, imports flow one way. A new algorithm joins `ALGORITHMS`."""

import ast
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from flax import linen as nn

import algos.core
import envs
from algos import a2c, dqn, pgql, ppo, reinforce, trpo
from algos.core.loop import advance, no_metrics

SMALL_TRPO = {"num_envs": 2, "num_steps": 6, "value_epochs": 2, "value_minibatches": 2, "hidden_sizes": (4,)}

# name -> (module, a small configuration, a network that compiles quickly)
ALGORITHMS = {
    "reinforce": (reinforce, reinforce.Config(num_envs=2, hidden_sizes=(4,)), probes.Linear()),
    "a2c": (a2c, a2c.Config(num_envs=2, num_steps=6, hidden_sizes=(4,)), probes.Linear()),
    "ppo": (
        ppo,
        ppo.Config(num_envs=2, num_steps=6, num_epochs=2, num_minibatches=2, hidden_sizes=(4,)),
        probes.Linear(),
    ),
    "dqn": (
        dqn,
        dqn.Config(num_envs=2, num_updates=2, batch_size=16, warmup_steps=8, target_interval=3, hidden_sizes=(4,)),
        nn.Dense(2),
    ),
    "pgql": (
        pgql,
        pgql.Config(num_envs=2, num_steps=6, batch_size=16, buffer_size=40, warmup_steps=8, hidden_sizes=(4,)),
        probes.Linear(),
    ),
    "npg": (trpo, trpo.Config(line_search=False, **SMALL_TRPO), probes.Linear()),
    "trpo": (trpo, trpo.Config(**SMALL_TRPO), probes.Linear()),
}
WALK = probes.random_walk(3)
KEY = 3


def step_size(name, size):
    """Returns the hyperparameter that says how far the parameters move."""
    return {"max_kl" if ALGORITHMS[name][0] is trpo else "learning_rate": size}


every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
DAILY = (
    "ppo",
    "dqn",
    "trpo",
)  # what takes long to compile is asked of these every day, of the others by `pytest -m slow`
every_algorithm_in_time = pytest.mark.parametrize(
    "name", [name if name in DAILY else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS]
)


def algorithm_of(name, env=WALK):
    module, config, _ = ALGORITHMS[name]
    return module.make(env, config)


def quick_algorithm(name):
    module, config, network = ALGORITHMS[name]
    return module.make(WALK, config, network=network)


def hyperparameters(name, **fields):
    return ALGORITHMS[name][0].HParams(total_steps=1000.0, **fields)


@functools.cache
def compiled(name):
    """Returns a run's compiled parts: (key, hparams) -> (state, sums) and (state, hparams, sums, n) -> the same."""
    algorithm = quick_algorithm(name)

    def begin(key, hparams):
        state = algorithm.init(key, hparams)
        return state, no_metrics(algorithm, state, hparams)

    def go_on(state, hparams, sums, num_updates):
        return advance(algorithm, state, hparams, sums, num_updates)

    return probes.quick_jit(begin), probes.quick_jit(go_on)


def run(name, chunks, **fields):
    begin, go_on = compiled(name)
    hparams = hyperparameters(name, **fields)
    state, sums = begin(jax.random.key(KEY), hparams)
    for num_updates in chunks:
        state, sums = go_on(state, hparams, sums, num_updates)
    return state, sums


def raw(tree):
    """Returns the tree's leaves in NumPy, keys as their numbers."""

    def numbers(leaf):
        return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    return [numbers(leaf) for leaf in jax.tree.leaves(tree)]


@every_algorithm_in_time
def test_a_run_cut_into_chunks_has_the_bits_of_the_straight_run(name):
    straight, cut = run(name, [11]), run(name, [1, 3, 7])
    for one, other in zip(raw(straight), raw(cut), strict=True):
        np.testing.assert_array_equal(one, other)
    assert straight[0].update == 11
    shorter = run(name, [1, 3])
    assert any(np.any(x != y) for x, y in zip(raw(straight[0].params), raw(shorter[0].params)))


@every_algorithm
def test_sums_over_a_run_are_the_sums_of_single_steps(name):
    _, one = run(name, [1])
    _, two = run(name, [2])
    begin, go_on = compiled(name)
    hparams = hyperparameters(name)
    state, zeros = begin(jax.random.key(KEY), hparams)
    state, first = go_on(state, hparams, zeros, 1)
    _, second = go_on(state, hparams, zeros, 1)
    one, two, first, second = (sums.total for sums in (one, two, first, second))
    assert set(one) >= {"loss", "episode_count", "episode_return_sum", "episode_length_sum"}
    for metric in two:
        both = max(first[metric], second[metric]) if metric.endswith("_max") else first[metric] + second[metric]
        np.testing.assert_array_equal(one[metric], first[metric])
        np.testing.assert_allclose(two[metric], both, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if ALGORITHMS[name][0] is not trpo])
@pytest.mark.parametrize("updates", [40, 1_200_000_000])
def test_schedules_end_with_the_budget_the_warm_up_in_it_and_however_many_steps_it_has(name, updates):
    begin, go_on = compiled(name)
    algorithm = quick_algorithm(name)
    budget = algorithm.steps_in_init + updates * algorithm.steps_per_update
    assert updates == 40 or budget > 2**31
    hparams = hyperparameters(name, anneal=1.0).replace(total_steps=float(budget))
    state, zeros = begin(jax.random.key(KEY), hparams)

    def after(share):
        there = state.replace(update=jnp.int32(round(share * updates)))
        return go_on(there, hparams, zeros, 1)

    def moved(share):
        return max(np.abs(x - y).max() for x, y in zip(raw(after(share)[0].params), raw(state.params)))

    assert 0.0 < moved(0.9) < 0.5 * moved(0.0)
    assert moved(1.0) == 0.0
    if name == "dqn":
        epsilon = hparams.epsilon_start + 0.5 * (hparams.epsilon_end - hparams.epsilon_start)
        halfway = (0.25 * budget - algorithm.steps_in_init) / (budget - algorithm.steps_in_init)
        np.testing.assert_allclose(after(halfway)[1].total["epsilon"], epsilon, rtol=0.03)


@every_algorithm_in_time
def test_jit_equals_no_jit_to_rounding(name):
    algorithm, hparams = quick_algorithm(name), hyperparameters(name)
    jitted = run(name, [1])
    with jax.disable_jit():
        state = algorithm.init(jax.random.key(KEY), hparams)
        state, metrics = algorithm.step(state, hparams)
    assert set(metrics) == set(jitted[1].total)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), jitted[1].total, metrics)
    before = run(name, [])[0].params
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), jitted[0].params, state.params)
    moved = [np.abs(x - y).max() for x, y in zip(raw(before), raw(state.params))]
    assert max(moved) > 1e-4


def init_and_two_steps(algorithm, hparams):
    """Returns the function of a key that begins a run and makes two updates."""

    def run(key):
        state, _ = algorithm.step(algorithm.init(key, hparams), hparams)
        return algorithm.step(state, hparams)

    return run


def check_keys(function):
    """Raises KeyReuseError when `function` of a key uses a key twice. Tracing is enough, nothing runs."""
    with jax.debug_key_reuse(True):
        jax.jit(function).lower(jax.random.key(0))


def keeping_its_key(algorithm):
    def step(state, hparams):
        after, metrics = algorithm.step(state, hparams)
        return after.replace(key=state.key), metrics

    return algorithm._replace(step=step)


@every_algorithm
def test_no_key_is_used_twice(name):
    check_keys(init_and_two_steps(algorithm_of(name), hyperparameters(name)))


@every_algorithm
def test_a_step_that_keeps_its_key_is_seen_to_use_it_twice(name):
    with pytest.raises(jax.errors.KeyReuseError):
        check_keys(init_and_two_steps(keeping_its_key(algorithm_of(name)), hyperparameters(name)))


def test_an_environment_that_uses_its_key_twice_is_seen():
    def step(key, state, action):
        state, reached = WALK.step(key, state, action)
        return state, reached.__class__(
            reached.observation, jax.random.normal(key), reached.terminated, reached.truncated
        )

    with pytest.raises(jax.errors.KeyReuseError):
        check_keys(init_and_two_steps(algorithm_of("a2c", WALK._replace(step=step)), hyperparameters("a2c")))


@every_algorithm
def test_states_built_with_different_hyperparameters_have_one_structure(name):
    module = ALGORITHMS[name][0]
    algorithm = algorithm_of(name)
    one, other = (
        init_and_two_steps(algorithm, module.HParams(**fields))
        for fields in ({}, {**step_size(name, 0.5), "gamma": 0.5, "max_grad_norm": 0.0, "total_steps": 7.0})
    )
    shapes = [jax.eval_shape(run, jax.random.key(0)) for run in (one, other)]
    assert jax.tree.structure(shapes[0]) == jax.tree.structure(shapes[1])
    assert shapes[0] == shapes[1]
    begun = jax.eval_shape(lambda key: algorithm.init(key, module.HParams()), jax.random.key(0))
    assert jax.tree.structure(begun) == jax.tree.structure(shapes[0][0])
    assert begun == shapes[0][0]


@every_algorithm_in_time
def test_a_vmapped_step_size_gives_what_each_gives_alone(name):
    sizes = (0.0, 1e-3, 1e-2)
    algorithm = quick_algorithm(name)

    def two_updates(size):
        hparams = hyperparameters(name, **step_size(name, size))
        return init_and_two_steps(algorithm, hparams)(jax.random.key(KEY))[0].params

    together = probes.quick_jit(jax.vmap(two_updates))(jnp.array(sizes))
    alone = [run(name, [2], **step_size(name, size))[0].params for size in sizes]
    for place, params in enumerate(alone):
        for one, other in zip(raw(params), raw(together), strict=True):
            np.testing.assert_allclose(one, other[place], rtol=1e-4, atol=1e-5)
    begun = run(name, [])[0].params
    moved = [max(np.abs(x - y).max() for x, y in zip(raw(params), raw(begun))) for params in alone]
    assert moved[0] == 0.0 and 0.0 < 2 * moved[1] < moved[2]


def test_under_one_seed_all_algorithms_meet_the_same_initial_states():
    def first_states(name):
        algorithm, hparams = algorithm_of(name), hyperparameters(name)
        return jax.vmap(lambda seed: algorithm.init(jax.random.key(seed), hparams).environment)(jnp.arange(3))

    # those with a warm-up have left their initial states when `init` returns: their own tests look for them
    names = [name for name in ALGORITHMS if not algorithm_of(name).steps_in_init]
    states = {name: raw(probes.quick_jit(first_states, static_argnums=0)(name)) for name in names}
    for name in names:
        for one, other in zip(states["a2c"], states[name], strict=True):
            np.testing.assert_array_equal(one, other)
    places = np.asarray(jax.vmap(WALK.reset)(jax.random.split(jax.random.key(0), 6))[1])
    met = [leaf for leaf in states["a2c"] if leaf.shape == (3, 2, *WALK.observation_shape)]
    assert met and all(len(np.unique(leaf.reshape(6, -1), axis=0)) == len(places) for leaf in met)


def imported(source: str) -> set[str]:
    """Returns the packages that a file imports; "." for one relative to itself."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else node.module.split(".")[0])
    return names


def called(source: str) -> set[str]:
    """Returns the last part of the name of everything that a file calls, or decorates with."""
    nodes = list(ast.walk(ast.parse(source)))
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    functions += [decorator for node in nodes for decorator in getattr(node, "decorator_list", [])]
    return {getattr(function, "attr", getattr(function, "id", None)) for function in functions}


def sources(package) -> dict[str, str]:
    paths = sorted(Path(package.__file__).parent.rglob("*.py"))
    return {str(path): path.read_text() for path in paths}


def test_imports_flow_one_way():
    algos_files, envs_files = sources(algos), sources(envs)
    assert len(algos_files) > 10 and len(envs_files) > 3
    for path, source in {**algos_files, **envs_files}.items():
        assert not imported(source) & {"experiments", "."}, path
    for path, source in envs_files.items():
        assert "algos" not in imported(source), path
    sample = "import experiments.lab\ndef f():\n    from algos.core import loop\n    from . import x"
    assert imported(sample) == {"experiments", "algos", "."}


def test_the_parts_are_made_of_no_algorithm():
    for path, source in sources(algos.core).items():
        told = [node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
        assert all(module.startswith("algos.core") for module in told if module.startswith("algos")), path
    assert len(sources(algos.core)) > 10


def test_algorithms_compile_print_and_read_nothing():
    clock_and_files = {"time", "datetime", "os", "pathlib", "io", "logging", "random"}
    for path, source in sources(algos).items():
        host = (
            {"jit"} if "planning" in str(path) else set()
        )  # planners are called by a host, and compile what they loop over
        assert not (called(source) - host) & {"jit", "print", "open", "input", "io_callback", "callback"}, path
        in_memory = {"io"} if path.endswith("tokeniser.py") else set()  # what it has learned is written into memory
        assert not imported(source) & (clock_and_files - in_memory), path
    sample = "@jax.jit\ndef f(x):\n    jax.debug.print(x)\n    return open(x)"
    assert called(sample) == {"jit", "print", "open"}
