"""The doctor on algorithms and networks of a user's own: what is planted is found, and ours and the skeletons pass."""

import re
from pathlib import Path

import jax
import pytest

import envs
from experiments.doctor import Args, doctor
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.examination import NOTE, OK, PROBLEM, algorithm, tasks
from experiments.lab.examination.network import examine_network
from experiments.lab.outside.user_files import load_from, load_module

SKELETONS = Path(__file__).parents[2] / "docs" / "skeletons"
CODE = (SKELETONS / "my_a2c.py").read_text()
ENDS = """
def all_one_end(env):
    def step(key, state, action):
        state, reached = env.step(key, state, action)
        over = reached.terminated | reached.truncated
        return state, reached.replace(ENDED=over, GOES_ON=over & False)

    return env._replace(step=step)
"""


@pytest.fixture(autouse=True)
def little_compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def changed(*pairs):
    code = CODE
    for before, after in pairs:
        assert code.count(before) == 1, before
        code = code.replace(before, after)
    return code


def with_ends(ended, goes_on):
    own = ENDS.replace("ENDED", ended).replace("GOES_ON", goes_on)
    return changed(
        ("\n\ndef make(", f"\n{own}\n\ndef make("), ("vectorize(env, config", "vectorize(all_one_end(env), config")
    )


# what is planted: (the file, level, what is said)
EARLY = {
    "no make": (changed(("def make(", "def built(")), PROBLEM, "compare refuses it: has no make"),
    "a name that there is not": (changed(("explained = losses.", "explained = loses.")), PROBLEM, "name 'loses' is not defined"),
    "a key that is kept": (changed((", key=key, update", ", update")), PROBLEM, "a key is used twice"),
    "chance from Python": (
        changed(("import jax\nfrom flax", "import random\nimport jax\nfrom flax"), ("hparams.gamma, hparams", "hparams.gamma * random.random(), hparams")),
        PROBLEM, "made twice it does not do the same",
    ),
}  # fmt: skip
UPDATES = {
    "a learning rate of its own": (changed(("adam(learning_rate,", "adam(1e-3,")), PROBLEM, "with learning_rate = 0 the parameters move"),
    "a key of its own": (changed(("hparams.max_grad_norm, network=network), key, config", "hparams.max_grad_norm), jax.random.key(0), config")), PROBLEM, "two seeds give the same"),
    "another order of keys": (changed(("hparams.max_grad_norm, network=network), key, config", "hparams.max_grad_norm), jax.random.fold_in(key, 1), config")), NOTE, "meets other initial states"),
    "parameters that stay": (changed(("state.replace(params=params, ", "state.replace(")), PROBLEM, "leave the parameters as they are"),
    "a hyperparameter that is idle": (changed(("    entropy_coef: float = 0.0\n", "    entropy_coef: float = 0.0\n    bonus: float = 0.1\n")), NOTE, "nothing depends on HParams.bonus"),
    "a metric without a number": (changed(('"explained_variance": explained', '"explained_variance": explained / 0.0 - explained / 0.0')), PROBLEM, "explained_variance is nan"),
}  # fmt: skip
LEARNS = {
    "steps of one environment": (changed(("steps_per_update = config.num_envs * config.num_steps", "steps_per_update = config.num_steps")), PROBLEM, "episode_count 130, episode_length_sum 130, episode_return_sum 130, and steps_per_update 26"),
    "returns that are not told": (changed(("**episode_metrics(episodes), ", '**episode_metrics(episodes), "episode_return_sum": 0.0 * explained, ')), PROBLEM, "episode_return_sum 0, and steps_per_update 130"),
    "another sign": (changed(("total = policy_loss", "total = -policy_loss")), PROBLEM, r"does not learn .* it acts \[1, 0\]"),
    "a time limit as an end": (with_ends("terminated", "truncated"), NOTE, r"V is (1\.|0\.9)\d* where the time limit cuts every step"),
    "an end as a time limit": (with_ends("truncated", "terminated"), PROBLEM, "bootstraps where the episode terminated: V is"),
}  # fmt: skip


def slow_unless(daily, *values):
    """Returns the values as one case of a test, slow unless it is asked every day."""
    return pytest.param(*values, marks=[] if daily else [pytest.mark.slow])


def told(findings, level):
    return [each.text for each in findings if each.level == level]


def case(path):
    """Returns what the checks take: the contender, small, its algorithm and the environment."""
    env = envs.make("CartPole-v1", max_steps_in_episode=algorithm.TIME_LIMIT)
    contender = algorithm.chosen(load_module(path), env)
    return contender, contender.make(env), env


def written(folder, code):
    (folder / "mine.py").write_text(code)
    return folder / "mine.py"


@pytest.mark.parametrize("fault", [slow_unless(name in ("no make", "a key that is kept"), name) for name in EARLY])
def test_what_stops_the_examination_of_an_algorithm_is_said_in_one_line(fault, tmp_path):
    code, level, said = EARLY[fault]
    path = written(tmp_path, code)
    try:
        findings = algorithm.examine_algorithm(load_module(path))
    except ValueError as error:  # of a file that cannot be loaded
        pytest.fail(str(error))
    (found,) = told(findings, PROBLEM)
    assert said in found and "\n" not in found and str(path) not in found


@pytest.mark.parametrize("fault", [pytest.param(name, marks=pytest.mark.slow) for name in UPDATES])
def test_what_two_updates_show_is_said(fault, tmp_path):
    code, level, said = UPDATES[fault]
    contender, made, env = case(written(tmp_path, code))
    findings = algorithm.reads(made, contender.hparams) + algorithm.updates(made, contender.hparams, env)
    (found,) = told(findings, level)
    assert said in found and len(told(findings, PROBLEM)) == (level == PROBLEM), findings


@pytest.mark.parametrize("fault", [pytest.param(name, marks=pytest.mark.slow) for name in LEARNS])
def test_what_an_algorithm_does_not_learn_or_count_is_said(fault, tmp_path):
    code, level, said = LEARNS[fault]
    findings = tasks.learns(case(written(tmp_path, code))[0])
    (found,) = told(findings, level)
    assert re.search(said, found), findings


@pytest.mark.slow
def test_the_skeleton_passes_and_the_command_says_so(capsys):
    assert doctor(Args(str(SKELETONS / "my_a2c.py"))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "my_a2c, an algorithm: no problem found"
    text = "\n".join(lines)
    for said in (
        "takes discrete and continuous",
        "every key is used once",
        "the same initial states",
        "alone and vmapped",
    ):
        assert said in text, text
    assert "counts its 130 steps" in text
    assert re.search(r"V is (1\.0|0\.9)\d where it terminates \(1 is right\) and (5\.0|4\.9)\d where it is cut", text)
    assert "its loss: respects the mask" in text and {line.split()[0] for line in lines[:-1]} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "npg"])
def test_every_algorithm_of_ours_passes(name):
    findings = algorithm.examine_algorithm(ALGORITHMS[name][0])
    assert not told(findings, PROBLEM)
    assert any("its loss: respects the mask" in text for text in told(findings, OK))


@pytest.mark.slow
def test_a_loss_of_an_algorithm_of_ones_own_is_examined_with_its_batch_and_not_exactly(capsys):
    loss = f"{SKELETONS / 'my_loss.py'}:clipped"
    assert doctor(Args(loss)) == 0
    text = capsys.readouterr().out
    assert "clipped, a loss of my_a2c: no problem found" in text and "respects the mask" in text
    assert doctor(Args(loss, exact=True)) == 0
    assert "not examined exactly: how my_a2c, your own algorithm, makes its batch" in capsys.readouterr().out


NETS = '''
import flax.linen as nn
import jax.numpy as jnp

from algos.core.distributions import Categorical
from algos.core.networks import actor_critic

class Net(nn.Module):
    num: int
    kind: str

    @nn.compact
    def __call__(self, x):
        if self.kind == "conv":
            x = nn.relu(nn.Conv(4, (3, 3))(x)).reshape(*x.shape[:-3], -1)
        if self.kind == "batch":
            x = x - x.mean(0)
        if self.kind == "blind":
            x = 0.0 * x
        if self.kind == "idle":
            nn.Dense(3)(x)
        if self.kind == "log":
            x = jnp.log(x)
        if self.kind == "large":
            x = jnp.exp(x)
        y = nn.Dense(self.num)(x)
        return y if self.kind == "q" else (Categorical(y), nn.Dense(1)(x)[..., 0])

def net(env, kind="plain", more=0):
    return Net(env.action.n + more, kind)

def own(env, config):
    return actor_critic(env, config.hidden_sizes)
'''  # fmt: skip


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return path


@pytest.mark.parametrize(
    ("fields", "level", "said"),
    [slow_unless(row[1] == PROBLEM and "blind" not in str(row), *row) for row in [
        ({}, NOTE, "not on Pendulum-v1: Box has no field"),
        ({"kind": "q"}, OK, "gives Q on CartPole-v1: for dqn"),
        ({"kind": "q", "more": 1}, PROBLEM, r"does not fit dqn: it gives Q that .* must have shape \[2, 3, 2\]"),
        ({"more": 1}, PROBLEM, r"does not fit a2c: .*with logits \[2, 3, 3\]"),
        ({"kind": "conv"}, OK, r"gives \(policy, value\) on Breakout-MinAtar: for reinforce, a2c, npg, trpo, ppo, pgql"),
        ({"kind": "batch"}, PROBLEM, "depends on the others in the batch"),
        ({"kind": "blind"}, PROBLEM, "gives the same for every observation"),
        ({"kind": "idle"}, NOTE, r"no gradient reaches \['params'\]\['Dense_0'\]\['bias'\]"),
        ({"kind": "log"}, PROBLEM, "gives nan for observations of a standard normal"),
        ({"kind": "large"}, NOTE, "gives (inf|nan) for observations 10,000 times as large"),
    ]],
)  # fmt: skip
def test_what_a_network_does_is_said(nets, fields, level, said):
    findings = examine_network(load_from(nets, "net"), fields)
    found = [each for each in findings if each.level == level and re.search(said, each.text)]
    assert found and len(told(findings, PROBLEM)) == (level == PROBLEM), findings
    assert all("\n" not in each.text and str(nets) not in each.text for each in findings)


def test_the_networks_command_names_it_with_its_fields_and_refuses_what_is_for_losses(nets, capsys):
    assert doctor(Args(f"{nets}:net(kind=batch)")) == 1
    *_, problem, verdict = capsys.readouterr().out.splitlines()
    assert re.match(rf"problem +{re.escape(str(nets))}:\d+: what it gives", problem)
    assert verdict == "net(kind=batch), a network: 1 to mend"
    assert doctor(Args(f"{nets}:own")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 4 and "of the entropy of an even one" in lines[3]
    for what, said in ((f"{nets}:net(sort=1)", "its fields are: kind, more"), (f"{nets}:none", "has no 'none'")):
        with pytest.raises(BadInput, match=said):
            doctor(Args(what))
    for what in (f"{nets}:net", str(SKELETONS / "my_a2c.py")):
        with pytest.raises(BadInput, match="--exact is for a loss"):
            doctor(Args(what, exact=True))
