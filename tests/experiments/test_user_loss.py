"""What a user's file says is understood, and what is wrong in it is said in one line with its place in that file."""

import dataclasses
import functools
import subprocess
import sys

import pytest

import envs
from algos import ppo
from experiments.lab.definition.contenders import own_loss
from experiments.lab.definition.experiment import Contender
from experiments.lab.outside.loss_trace import made
from experiments.lab.outside.user_files import neighbours
from experiments.lab.outside.user_loss import load_loss

START = """
import jax
import jax.numpy as jnp
import numpy as np
import flax.linen as nn
from flax import struct
from algos import a2c, dqn, pgql, ppo
from algos.core.losses import mean
"""
ON_POLICY = """
def new(params, apply, batch, hparams: a2c.HParams):
    policy, value = apply(params, batch.observation)
    loss = mean(-policy.log_prob(batch.action) * batch.advantage, batch.mask)
    {body}
    return {returned}
"""
GOOD = ON_POLICY.format(body="pass", returned="loss, {}")
SMALL = {"num_envs": 2, "num_steps": 2, "hidden_sizes": (4,)}


def written(folder, code, name="losses_of_mine.py"):
    path = folder / name
    path.write_text(START + code)
    return path


def update_traced(path, name="new"):
    """Does what every run does with a loss before it makes its folder."""
    contender = own_loss(f"{path}:{name}", "CartPole-v1", 10_000)
    config = dataclasses.replace(contender.config, **SMALL)
    return made(dataclasses.replace(contender, config=config), envs.make("CartPole-v1"))


def said(path, name="new"):
    """Returns the one line with which the loss is refused."""
    with pytest.raises(ValueError) as refused:
        update_traced(path, name)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def here(path):
    """Returns PATH:LINE of the line that ends in `# here`."""
    (line,) = (n for n, text in enumerate(path.read_text().splitlines(), 1) if text.endswith("# here"))
    return f"{path}:{line}: "


def body(line):
    return ON_POLICY.format(body=f"{line}  # here", returned="loss, {}")


def returned(what):
    return ON_POLICY.format(body="pass", returned=f"{what}  # here")


WRONG = {
    "a field that no batch has": (body("batch.advantages"), ["Batch has no field 'advantages'", "'advantage'?", "value_target"]),
    "a hyperparameter that there is not": (body("hparams.clip"), ["HParams has no field 'clip'", "entropy_coef", "gamma"]),
    "a method that no policy has": (body("policy.logprob(batch.action)"), ["Categorical has no field or method 'logprob'", "'log_prob'?", "kl"]),
    "an exception": (body("raise KeyError('mine')"), ["KeyError: 'mine'"]),
    "a Python if on arrays": (body("loss = loss if loss > 0.0 else -loss"), ["Python if", "jnp.where"]),
    "a Python if on a hyperparameter": (body("loss = loss if hparams.gamma else -loss"), ["hyperparameter", "jnp.where"]),
    "NumPy on arrays": (body("np.exp(value)"), ["numpy", "use jax.numpy"]),
    "float() of an array": (body("float(loss)"), ["float()", "leave it an array"]),
    "a count that is a hyperparameter": (body("range(hparams.gamma)"), ["TypeError"]),
    "an index that is an array": (body("[1, 2][batch.action[0, 0]]"), ["whole number"]),
    "shapes that do not fit": (body("value + jnp.ones(7)"), ["ncompatible shapes", "(2, 2)", "(7,)"]),
    "one value a sample": (returned("policy.entropy(), {}"), ["float scalar", "float32 of shape (2, 2)", "losses.mean"]),
    "a whole number": (returned("batch.action.sum(), {}"), ["float scalar", "int32 of shape ()"]),
    "no metrics": (returned("loss"), ["(scalar, dict of metrics)", "not float32 of shape ()"]),
    "a tuple too long": (returned("loss, {}, {}"), ["not a tuple of 3"]),
    "nothing": (returned("None"), ["not NoneType"]),
    "metrics that are a list": (returned("loss, [loss]"), ["a dict of metrics second, not list"]),
    "a metric of every sample": (returned("loss, {'v': value}"), ["'v' is float32 of shape (2, 2)", "losses.mean"]),
    "a metric that is a word": (returned("loss, {'v': 'good'}"), ["'v' is str"]),
    "a metric without a name": (returned("loss, {0: loss}"), ["strings, not 0"]),
    "a metric of the algorithm's": (returned("loss, {'gradient_norm': loss}"), ["'gradient_norm'", "already"]),
    "a metric of the rollout's": (returned("loss, {'episode_count': loss}"), ["'episode_count'", "already"]),
    "a metric of the evaluation's": (returned("loss, {'evaluation_return': loss}"), ["'evaluation_return'", "already"]),
    "a loss of Q on a pair": (
        "def new(params, apply, batch, hparams: dqn.HParams):\n"
        "    policy, value = apply(params, batch.observation)  # here\n    return mean(value, batch.mask), {}",
        ["too many values to unpack"],
    ),
    "a loop that has no gradient": (
        "def new(params, apply, batch, hparams: a2c.HParams):  # here\n"
        "    value = apply(params, batch.observation)[1].sum()\n"
        "    return jax.lax.while_loop(lambda x: x < 9.0, lambda x: 2.0 * x, value), {}",
        ["new cannot be differentiated", "ValueError"],
    ),
    "a network that fails": (
        GOOD + "def network(env, config):\n    return nn.Dense(env.action.number)  # here\nnew.network = network",
        ["Discrete", "number"],
    ),
    "a network that gives what the algorithm cannot use": (
        GOOD + "def network(env, config):  # here\n    return nn.Dense(3)\nnew.network = network",
        ["does not fit a2c"],
    ),
    "an exception at import": (GOOD + "1 / 0  # here", ["ZeroDivisionError"]),
    "a file that exits": (GOOD + "raise SystemExit('bye')  # here", ["SystemExit: bye"]),
    "a file that is no Python": (GOOD + "def broken(:  # here", ["SyntaxError"]),
    "a neighbour that is gone": (GOOD + "import my_parts_that_are_gone  # here", ["my_parts_that_are_gone"]),
    "too few arguments": ("def new(params, apply, batch):  # here\n    pass", ["(params, apply, batch, hparams)"]),
    "no annotation": ("def new(params, apply, batch, hparams):  # here\n    pass", ["annotate", "ppo.HParams", "dqn"]),
    "an annotation that is no class of hyperparameters": (
        "def new(params, apply, batch, hparams: float):  # here\n    pass",
        ["annotate"],
    ),
    "an annotation that cannot be read": (
        "def new(params, apply, batch, hparams: 'ppo.Hyper'):  # here\n    pass",
        ["cannot be read", "Hyper"],
    ),
    "a function made inside a function": (
        "def outer():\n    def inner(params, apply, batch, hparams: ppo.HParams):  # here\n        pass\n"
        "    return inner\nnew = outer()",
        ["made inside a function"],
    ),
    "a network that is a lambda": (
        GOOD + "new.network = lambda env, config: None  # here",
        ["a lambda", "at the top of a file"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_said_in_one_line_that_begins_with_the_users_file_and_line(fault, tmp_path):
    code, words = WRONG[fault]
    path = written(tmp_path, code)
    line = said(path)
    assert line.startswith(here(path)), line
    for word in words:
        assert word in line


HPARAMS = """
{decorator}
class HParams(a2c.HParams):  # here
    mine: {field}

def new(params, apply, batch, hparams: HParams):
    policy, value = apply(params, batch.observation)
    return mean(value * hparams.mine, batch.mask), {{}}
"""


@pytest.mark.parametrize(
    ("decorator", "field", "words"),
    [
        ("", "float = 0.1", ["@struct.dataclass"]),
        ("import dataclasses\n@dataclasses.dataclass(frozen=True)", "float = 0.1", ["@struct.dataclass"]),
        ("@struct.dataclass", "float = struct.field(default=0.1, pytree_node=False)", ["@struct.dataclass"]),
        ("@struct.dataclass", "str = 'huber'", ["HParams.mine must be a number, not 'huber'"]),
        ("@struct.dataclass", "bool = True", ["HParams.mine must be a number, not True", "0.0 is off"]),
        ("@struct.dataclass", "float = None", ["HParams.mine must be a number, not None"]),
    ],
)
def test_hyperparameters_that_would_not_be_traced_are_refused(decorator, field, words, tmp_path):
    path = written(tmp_path, HPARAMS.format(decorator=decorator, field=field))
    with pytest.raises(ValueError) as refused:
        load_loss(f"{path}:new")
    first = int(here(path).split(":")[-2])  # Python counts the decorator as the beginning
    assert any(str(refused.value).startswith(f"{path}:{number}: ") for number in (first, first - 1))
    for word in words:
        assert word in str(refused.value)


class Undecorated(ppo.HParams):
    mine: float = 0.1


def of_ppo(params, apply, batch, hparams: ppo.HParams):
    return ppo.loss(params, apply, batch, hparams)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hparams": Undecorated()}, "Undecorated must be decorated with flax's @struct.dataclass"),
        ({"loss": functools.partial(of_ppo)}, "of mine is no function but partial"),
        ({"loss": lambda *arguments: of_ppo(*arguments)}, "of mine is made inside a function or is a lambda"),
        ({"loss": eval("lambda *arguments: of_ppo(*arguments)")}, "of mine is in no file"),
    ],
)
def test_a_contender_of_an_experiment_file_is_held_to_the_same(change, words):
    contender = Contender("of mine", ppo, ppo.Config(), ppo.HParams(), of_ppo)
    with pytest.raises(ValueError, match=words):
        made(dataclasses.replace(contender, **change), envs.make("CartPole-v1"))


def test_an_error_inside_a_neighbour_is_placed_in_the_neighbour(tmp_path):
    near = written(tmp_path, "def part(batch):\n    return batch.reward_to_go  # here", "near_one.py")
    path = written(tmp_path, "from near_one import part\n" + body("part(batch)"))
    line = said(path)
    assert line.startswith(here(near)) and "Batch has no field 'reward_to_go'" in line


def test_an_error_in_a_part_of_ours_is_placed_where_the_user_calls_it(tmp_path):
    path = written(tmp_path, body("mean(value, jnp.ones(7))"))
    assert said(path).startswith(here(path))


@pytest.mark.parametrize("algorithm", ["reinforce", "a2c", "ppo", "trpo", "dqn", "pgql"])
def test_the_loss_of_every_algorithm_may_be_replaced_by_one_that_wraps_it(algorithm, tmp_path):
    code = f"""
from algos import {algorithm}
def new(params, apply, batch, hparams: {algorithm}.HParams):
    loss, metrics = {algorithm}.loss(params, apply, batch, hparams)
    return loss, {{**metrics, "twice": 2.0 * loss, "flag": loss > 0.0, "constant": 1.0}}
"""
    contender = own_loss(f"{written(tmp_path, code)}:new", "CartPole-v1", 10_000)
    assert contender.parent == algorithm
    made(contender, envs.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.py:new", ["no file", "nowhere.py"]),
        ("no.such.module:new", ["no.such.module", "FILE.py:FUNCTION"]),
        ("losses_of_mine.py:old", ["has no 'old'", "new"]),
        ("losses_of_mine.py:START", ["is no function but str"]),
        ("losses_of_mine.py", ["names no function", "FILE.py:FUNCTION"]),
        ("losses_of_mine.py:", ["names no function", "FILE.py:FUNCTION"]),
    ],
)
def test_a_name_that_means_no_loss_is_refused_in_one_line(name, words, tmp_path, monkeypatch):
    written(tmp_path, "START = ''\n" + GOOD)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as refused:
        load_loss(name)
    assert len(str(refused.value).splitlines()) == 1
    for word in words:
        assert word in str(refused.value)


def test_neighbours_are_the_files_of_its_own_folder_that_a_file_imports_and_those_they_import(tmp_path):
    (tmp_path / "pack").mkdir()
    for name in ("near.py", "far.py", "late.py", "idle.py", "pack/__init__.py", "pack/inner.py", "algos.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "near.py").write_text("import far")
    (tmp_path / "far.py").write_text("import near")
    path = written(tmp_path, "import near, json\nfrom pack.inner import *\ndef f():\n    import late")
    found = [str(file.relative_to(tmp_path)) for file in neighbours(path)]
    assert found == ["far.py", "late.py", "near.py", "pack/__init__.py", "pack/inner.py"]


def test_two_files_whose_neighbours_have_one_name_are_not_mixed_up(tmp_path):
    for folder, number in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(f"NUMBER = {number}")
        written(tmp_path / folder, f"from same_name import NUMBER\n{GOOD}")
    load_loss(f"{tmp_path}/one/losses_of_mine.py:new")
    with pytest.raises(ValueError, match="same_name.py, and another file of that name is loaded: .*one/same_name.py"):
        load_loss(f"{tmp_path}/two/losses_of_mine.py:new")


def test_loading_leaves_no_bytecode_beside_the_users_files(tmp_path):
    (tmp_path / "quiet_one.py").write_text("")
    load_loss(f"{written(tmp_path, 'import quiet_one' + chr(10) + GOOD)}:new")
    assert {path.name for path in tmp_path.iterdir()} == {"quiet_one.py", "losses_of_mine.py"}


def test_the_command_prints_that_line_alone_and_makes_no_run_folder(tmp_path):
    path = written(tmp_path, body("batch.advantages"))
    command = [sys.executable, "-m", "experiments.compare", "--algos", "a2c", f"{path}:new", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {here(path)}Batch has no field 'advantages'")
    assert not done.stdout and not (tmp_path / "run").exists()
