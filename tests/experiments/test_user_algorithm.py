"""Algorithms of a user's own, in whole files: what is wrong with one is a line before anything compiles."""

import dataclasses
import difflib
import re
import sys
from pathlib import Path

import pytest

import envs
from algos import a2c
from experiments.lab.definition.contenders import contenders, with_loss
from experiments.lab.outside.loss_trace import made
from experiments.lab.outside.user_files import load_module
from experiments.lab.outside.user_loss import load_loss

SKELETON = Path(__file__).parents[2] / "docs" / "skeletons" / "my_a2c.py"
CODE, LOSS = SKELETON.read_text(), SKELETON.with_name("my_loss.py").read_text()


def written(folder, code, name="mine.py"):
    (folder / name).write_text(code)
    return folder / name


def test_an_algorithm_in_a_file_is_called_as_the_file_at_its_defaults_with_schedules_that_end_with_the_budget(tmp_path):
    path = written(tmp_path, CODE)
    ours, own = contenders(["a2c", str(path)], "CartPole-v1", 5_000)
    assert (own.name, own.config.num_passes, own.config.num_steps, own.loss) == ("mine", 2, 16, None)
    assert own.hparams.total_steps == 5_000.0 and own.algorithm.__file__ == str(path)
    assert made(own, envs.make("CartPole-v1")).steps_per_update == 128
    without = written(
        tmp_path, CODE.replace("    total_steps: float = 500_000.0", "    horizon: float = 500_000.0"), "b.py"
    )
    (own,) = contenders([str(without)], "CartPole-v1", 5_000)
    assert own.hparams.horizon == 500_000.0


def changed(before, after):
    assert CODE.count(before) >= 1, before
    return CODE.replace(before, after)


WRONG = {
    "no make": (changed("def make(", "def built("), "has no make: an algorithm is a file with Config, HParams, loss and make"),
    "no Config and no HParams": ("x = 1", "has no Config and no HParams and no make"),
    "a Config that can change": (changed("@dataclass(frozen=True)", "@dataclass"), "Config must be @dataclass(frozen=True)"),
    "a Config that is no dataclass": (changed("@dataclass(frozen=True)\n", ""), "Config must be a dataclass"),
    "a hyperparameter that is a word": (changed("gamma: float = 0.99", "gamma: str = 'x'"), "HParams.gamma must be a number"),
    "HParams that are not traced": (changed("@struct.dataclass", "@dataclass"), "decorated with flax's @struct.dataclass"),
    "an error in Python": (changed("explained = losses", "explained = loses"), "name 'loses' is not defined"),
    "no Python": ("def make(:", "SyntaxError"),
    "another thing than an algorithm": (
        changed("return on_policy.algorithm(init, step, network, steps_per_update)", "return init, step"),
        "make must return an algos.core.types.Algorithm, returns a tuple",
    ),
    "no episodes": (changed("**episode_metrics(episodes), ", ""), "step's metrics lack episode_count, episode_return_sum"),
    "a metric of many numbers": (changed('"explained_variance": explained', '"value": batch.value'), "'value' must be a scalar"),
    "a metric that is the runner's": (changed('"explained_variance"', '"training_return"'), "which is recorded already"),
    "a state that changes its type": (changed("update=state.update + 1", "update=state.update + 1.0"), "it must stay as it is"),
    "a step that returns the state alone": (changed("return state, {**metrics", "return {**metrics"), "step must return (state"),
    "steps that are no number": (changed("network, steps_per_update)", "network, 0)"), "steps_per_update must be a whole"),
    "a configuration that cannot be": (changed("num_passes: int = 2", "num_passes: int = 0"), "num_passes must be a positive"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_said_in_one_line_that_begins_with_the_users_file(fault, tmp_path):
    code, said = WRONG[fault]
    path = written(tmp_path, code)
    with pytest.raises(ValueError) as refused:
        (contender,) = contenders([str(path)], "CartPole-v1", 5_000)
        made(contender, envs.make("CartPole-v1"))
    line = str(refused.value)
    assert line.startswith(str(path)) and said in line and "\n" not in line, line


def test_a_network_of_another_kind_is_said_with_the_algorithms_file(tmp_path):
    path = written(tmp_path, changed("network = network or actor_critic(env, config.hidden_sizes)", "network = 3"))
    (contender,) = contenders([str(path)], "CartPole-v1", 5_000)
    with pytest.raises(ValueError, match=f"{path}.*'int' object has no attribute 'init'"):
        made(contender, envs.make("CartPole-v1"))


def test_a_file_called_as_one_of_ours_beside_it_is_refused(tmp_path):
    path = written(tmp_path, CODE, "a2c.py")
    with pytest.raises(ValueError, match="two contenders are called 'a2c'; rename the function or the file"):
        contenders(["a2c", str(path)], "CartPole-v1", 5_000)


NETS = """import flax.linen as nn
from algos.core.networks import actor_critic

def q(env):
    return nn.Dense(2)

def too_many(env):
    return actor_critic(env._replace(action=type(env.action)(3)), (4,))
"""


@pytest.fixture
def beside(tmp_path):
    """Writes the skeletons of an algorithm and of a loss for it, changed as asked, as a file and its neighbour."""
    names = []

    def write(number, loss=LOSS, code=CODE):
        names.append(f"algorithm{number}_of_mine")
        path = written(tmp_path, code, f"{names[-1]}.py")
        return path, written(tmp_path, loss.replace("my_a2c", names[-1]), f"loss{number}.py")

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_a_loss_of_ones_own_algorithm_is_that_algorithm_with_it_and_is_held_against_it(beside):
    path, loss = beside(1)
    own, other = contenders([str(path), f"{loss}:clipped"], "CartPole-v1", 5_000)
    assert (other.name, other.parent) == ("clipped", own.name) and other.loss.__name__ == "clipped"
    assert other.algorithm.__file__ == own.algorithm.__file__ and dataclasses.asdict(
        other.config
    ) == dataclasses.asdict(own.config)
    assert vars(other.hparams) == vars(own.hparams) | {"clip": 0.2} and own.hparams.total_steps == 5_000.0
    made(other, envs.make("CartPole-v1"))
    slow = dataclasses.replace(own, hparams=own.hparams.replace(learning_rate=0.5))
    assert with_loss(slow, other.loss).hparams.learning_rate == 0.5  # the same file, though a module more
    with pytest.raises(ValueError, match="clipped is a loss for algorithm1_of_mine, and a2c is another algorithm"):
        with_loss(contenders(["a2c"], "CartPole-v1", 5_000)[0], other.loss)


def test_a_loss_in_the_algorithms_own_file_is_a_contender_beside_it(tmp_path):
    path = written(tmp_path, CODE + "\n\ndef twice(params, apply, batch, hparams: HParams):\n    total, metrics = loss(params, apply, batch, hparams)\n    return 2.0 * total, metrics\n")  # fmt: skip
    own, other = contenders([str(path), f"{path}:twice"], "CartPole-v1", 5_000)
    assert (other.name, other.parent, other.algorithm) == ("twice", "mine", own.algorithm)
    made(other, envs.make("CartPole-v1"))


def test_what_is_wrong_is_blamed_on_the_loss_the_network_or_the_algorithm_that_it_is_in(beside, tmp_path):
    env = envs.make("CartPole-v1")

    def said(loss_path, network=None):
        (one,) = contenders([f"{loss_path}:clipped"], "CartPole-v1", 5_000)
        with pytest.raises(ValueError) as refused:
            made(dataclasses.replace(one, network=network), env)
        return str(refused.value)

    _, wrong_loss = beside(2, LOSS.replace("batch.value_target", "batch.target"))
    line = 1 + LOSS.splitlines().index("    loss += hparams.value_coef * squared(value - batch.value_target)")
    assert said(wrong_loss).startswith(f"{wrong_loss}:{line}: Batch has no field 'target'")
    algorithm, of_wrong = beside(3, code=WRONG["no episodes"][0])
    assert said(of_wrong).startswith(f"{algorithm}: step's metrics lack episode_count")
    nets = written(tmp_path, NETS, "nets.py")
    _, sound = beside(4)
    told = said(sound, load_module(nets).q)
    assert told.startswith(f"{nets}:4: what this network gives does not fit algorithm4_of_mine"), told
    told = said(sound, load_module(nets).too_many)
    assert told.startswith(f"{nets}:7: ") and "with logits [2, 3, 3], should have [2, 3, 2]" in told, told


def test_a_file_that_is_no_algorithm_is_none_that_a_loss_could_be_for(beside):
    _, path = beside(5, code=CODE.replace("def make(", "def built("))
    with pytest.raises(
        ValueError, match="clipped does not say which algorithm it is for.*or a file of yours beside it"
    ):
        load_loss(f"{path}:clipped")


def test_the_page_shows_the_skeleton_of_a_loss():
    page = (SKELETON.parents[1] / "algorithms.md").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown.splitlines()[1:] == LOSS.splitlines()[2:]


def test_the_skeleton_is_a2c_with_what_the_page_says_changed_and_errors_look_as_shown(tmp_path):
    page = (SKELETON.parents[1] / "algorithms.md").read_text()
    ours = Path(a2c.__file__).read_text().splitlines()
    lines = difflib.unified_diff(ours, CODE.splitlines(), "algos/a2c.py", "my_a2c.py", lineterm="", n=0)
    told = "\n".join(line for line in lines if not line.startswith("@@"))
    shown = re.findall(r"^error: my_a2c.py(.*)$", page, re.MULTILINE)
    assert len(shown) == 3
    for fault, line in zip(("no make", "no episodes", "a state that changes its type"), shown):
        path = written(tmp_path, WRONG[fault][0], f"{fault.replace(' ', '_')}.py")
        with pytest.raises(ValueError) as refused:
            (contender,) = contenders([str(path)], "CartPole-v1", 5_000)
            made(contender, envs.make("CartPole-v1"))
        assert str(refused.value) == f"{path}{line}"
    assert f"```diff\n{told}\n```" in page, told
