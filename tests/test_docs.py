"""What docs/losses.md says is true."""

import dataclasses
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import envs
from algos.core import losses
from algos.core.distributions import Categorical, DiagonalGaussian
from algos.core.types import Batch, ReplayBatch
from algos.pgql import Batches
from experiments.lab.definition.contenders import own_loss
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.outside.loss_trace import made
from experiments.lab.outside.user_loss import load_loss

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "losses.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SMALL = {"num_envs": 3, "num_steps": 40, "num_minibatches": 5, "value_minibatches": 1, "batch_size": 7}
SMALL |= {"warmup_steps": 30, "buffer_size": 200, "hidden_sizes": (4,)}


def table(heading, title):
    """Returns the rows below the first line that begins so, of the table with this title in its first column."""
    part = TEXT[TEXT.index(heading) :]
    lines = part[part.index(f"| {title} |") :].splitlines()
    rows = lines[2 : next(n for n, line in enumerate([*lines, ""]) if not line.startswith("|"))]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" |")] for row in rows]


LAYOUTS = {(name, *kind.split(".")): size for name, kind, size in table("## What a batch holds", "algorithm")}
FIELDS = {"Batch": table("### Batch\n", "field"), "ReplayBatch": table("### ReplayBatch", "field")}


def given(name, environment):
    """Returns (environment, Config, params, batch) of a loss of that algorithm, arrays as their shapes and dtypes."""
    module, _ = ALGORITHMS[name]
    config = module.Config(**{field: x for field, x in SMALL.items() if field in module.Config.__dataclass_fields__})
    env, calls = envs.make(environment, max_steps_in_episode=20), []

    def loss(params, apply, batch, hparams):
        calls.append(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (params, batch)))
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params)), {}

    algorithm, hparams = module.make(env, config, loss=loss), module.HParams()
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hparams)
    jax.eval_shape(algorithm.step, state, hparams)
    return env, config, *calls[0]


def parts(batch):
    """Returns {(kind, *place): batch} of the batches that a batch is made of."""
    if isinstance(batch, Batches):
        return {("Batches", field): getattr(batch, field) for field in vars(batch)}
    return {(type(batch).__name__,): batch}


def size_of(text, config):
    """Returns the leading axes that a cell such as [num_steps * num_envs] means."""
    return tuple(eval(text, {"__builtins__": {}}, vars(config)))


@pytest.mark.parametrize(
    ("name", "environment"),
    [(name, "CartPole-v1") for name in ALGORITHMS if name != "npg"]
    + [("ppo", "Pendulum-v1"), ("ppo", "Breakout-MinAtar"), ("dqn", "Breakout-MinAtar")],
)
def test_every_field_of_every_batch_is_listed_with_the_shape_and_dtype_that_the_algorithm_gives(name, environment):
    env, config, params, batch = given(name, environment)
    discrete = isinstance(env.action, envs.Discrete)
    observed = jax.eval_shape(env.reset, jax.random.key(0))[1].dtype
    action = () if discrete else env.action.shape
    for place, part in parts(batch).items():
        leading = size_of(LAYOUTS[(name, *place)], config)
        rows = FIELDS[type(part).__name__]
        assert [row[0] for row in rows] == [field.name for field in dataclasses.fields(part)]
        for field, shape, dtype, meaning in rows:
            value = getattr(part, field)
            if "None with one agent" in meaning:
                assert value is None
                continue
            if shape == "as `params":
                assert jax.tree.map(lambda x: (x.shape, x.dtype), value) == jax.tree.map(
                    lambda x: (x.shape, x.dtype), params
                )
                continue
            expected = {"[N]": (), "[N, *observation]": env.observation_shape, "[N, *action]": action}
            if shape == "of `[N]":
                kind = Categorical if discrete else DiagonalGaussian
                own = (env.action.n,) if discrete else env.action.shape
                assert type(value) is kind
                assert {(leaf.shape, leaf.dtype.name) for leaf in jax.tree.leaves(value)} == {(leading + own, dtype)}
                continue
            assert value.shape == leading + expected[shape], field
            word = dtype.rpartition(": ")[2] if not discrete else dtype.partition(",")[0]
            assert value.dtype == (observed if dtype == "the environment's" else jnp.dtype(word)), field


def test_every_kind_of_batch_is_listed_with_its_fields():
    for kind in (Batch, ReplayBatch, Batches):
        listed = [row[0] for row in table(f"### {kind.__name__}\n", "field")]
        assert listed == [field.name for field in dataclasses.fields(kind)]
    for field, kind, _ in table("### Batches\n", "field"):
        assert Batches.__annotations__[field].__name__ == kind


def test_every_algorithm_has_its_layout():
    assert {row[0] for row in table("## What a batch holds", "algorithm")} == {
        name for name, (_, makes_it) in ALGORITHMS.items() if not makes_it
    }


@pytest.mark.parametrize("kind", [Categorical, DiagonalGaussian])
def test_every_method_of_a_policy_is_listed_with_its_arguments(kind):
    listed = {cell.partition("(")[0]: cell for cell, _, _ in table("### Policies", "method")}
    methods = {name: x for name, x in vars(kind).items() if inspect.isfunction(x) and not name.startswith("_")}
    methods.pop("replace")
    assert set(listed) - {"log_probs"} == set(methods) - {"log_probs"}
    for name, method in methods.items():
        assert listed[name] == f"{name}({', '.join(list(inspect.signature(method).parameters)[1:])})"


def test_every_part_is_listed_once():
    listed = re.findall(r"`(\w+)`", TEXT[TEXT.index("| what | functions |") : TEXT.index("Returns and targets are in")])
    there = [name for name, x in vars(losses).items() if inspect.isfunction(x) and x.__module__ == losses.__name__]
    assert sorted(listed) == sorted(there)


def test_every_loss_from_a_paper_is_listed_under_its_algorithm():
    listed = {reference: algorithm for reference, algorithm, *_ in table("## Losses from papers", "loss")}
    files = {path.stem for path in (ROOT / "experiments" / "losses").glob("[!_]*.py")}
    assert {reference.split(":")[0].rpartition(".")[2] for reference in listed} == files
    for reference, algorithm in listed.items():
        assert load_loss(reference).algorithm == algorithm


def written(folder, code):
    (folder / "my_losses.py").write_text(code)
    return own_loss(f"{folder / 'my_losses.py'}:kl_penalised", "CartPole-v1", 10_000)


def test_the_example_learns_with_its_hyperparameter_and_its_network(tmp_path):
    contender = written(tmp_path, "\n".join(CODE))
    config = dataclasses.replace(contender.config, num_envs=2, num_steps=4, num_minibatches=1, num_epochs=1)
    contender = dataclasses.replace(contender, config=dataclasses.replace(config, hidden_sizes=(4,)))
    algorithm = made(contender, envs.make("CartPole-v1"))
    assert contender.hparams.penalty == 3.0

    def trained(hparams):
        state = algorithm.init(jax.random.key(0), hparams)
        return algorithm.step(algorithm.step(state, hparams)[0], hparams)[0].params["params"]

    params = jax.jit(trained)(contender.hparams)
    assert params["log_temperature"] != 0.0
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params))


def test_an_error_looks_as_shown(tmp_path):
    contender = written(tmp_path, CODE[0].replace("batch.advantage ", "batch.advantages "))
    with pytest.raises(ValueError) as refused:
        made(contender, envs.make("CartPole-v1"))
    (shown,) = re.findall(r"^error: (.*)$", TEXT, re.MULTILINE)
    assert str(refused.value) == f"{tmp_path}/{shown}"
