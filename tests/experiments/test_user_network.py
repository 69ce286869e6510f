"""Networks of a user's own: named on the command line, fields read, and what is wrong said in words before anything
compiles."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos import a2c
from algos.core.networks import actor_critic
from experiments.compare import Args, experiment_of
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import families
from experiments.lab.definition.overrides import overridden
from experiments.lab.outside.calls import parsed, written
from experiments.lab.outside.loss_trace import made
from experiments.networks import torsos

DOCS = Path(__file__).parents[2] / "docs"
NETS = '''
import flax.linen as nn
import jax.numpy as jnp
from algos import ppo
from algos.core.distributions import Categorical, DiagonalGaussian
from algos.core.networks import actor_critic

def wide(env, size=9):
    return actor_critic(env, (size,))

def with_config(env, config, times=1):
    return actor_critic(env, tuple(times * size for size in config.hidden_sizes))

class Bare(nn.Module):
    num: int
    kind: str

    @nn.compact
    def __call__(self, x):
        y, v = nn.Dense(self.num)(x), nn.Dense(1)(x)
        given = {"q": y, "logits": (y, v[..., 0]), "swapped": (v[..., 0], Categorical(y)), "column": (Categorical(y), v),
                 "gaussian": (DiagonalGaussian(y, y), v[..., 0]), "policy": Categorical(y), "good": (Categorical(y), v[..., 0]),
                 "flat": (Categorical(y.reshape(-1, self.num)), v[..., 0])}
        return given[self.kind]

def bare(env, config, kind, num=2):
    return Bare(num, kind)

def nothing(env):
    actor_critic(env, (4,))

def crashes(env):
    return actor_critic(env, env.hidden)

def kl(params, apply, batch, hparams: ppo.HParams):
    return ppo.loss(params, apply, batch, hparams)
'''  # fmt: skip


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return path


def experiment(algos, network, **more):
    args = Args(algos=tuple(algos), network=tuple(network), **more)
    return overridden(experiment_of(args), args)


def contenders(algos, network, **more):
    return experiment(algos, network, **more).tasks[0].contenders


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a.py:f", {}),
        ("a.py:f()", {}),
        ("a.py:f(size=5, slip=0.1)", {"size": 5, "slip": 0.1}),
        ("a.py:f(sizes=[4,5], on=true, word=relu, no=None)", {"sizes": (4, 5), "on": True, "word": "relu", "no": None}),
    ],
)
def test_a_name_with_fields_is_read_and_written_so_that_it_is_read_again(text, fields):
    assert parsed(text) == ("a.py:f", fields)
    assert parsed(written("a.py:f", fields)) == ("a.py:f", fields)


@pytest.mark.parametrize(
    "text", ["f(5)", "f(size=", "f(size=5", "f(size=5, size=6)", "f(x=g())", "f(x={1})", "f(a=1)(b=2)"]
)
def test_what_cannot_be_read_is_one_line(text):
    with pytest.raises(ValueError, match="cannot be read; write NAME") as refused:
        parsed(text)
    assert "\n" not in str(refused.value)


def test_each_contender_runs_once_with_each_network_and_is_held_against_its_own_first(nets):
    found = contenders(("ppo", "a2c"), ("default", f"{nets}:wide", f"{nets}:wide(size=5)"))
    names = [(one.name, one.parent, one.network_fields) for one in found]
    of_ppo = [("ppo", "", {}), ("ppo wide", "ppo", {}), ("ppo wide(size=5)", "ppo", {"size": 5})]
    assert names == of_ppo + [(name.replace("ppo", "a2c"), p.replace("ppo", "a2c"), f) for name, p, f in of_ppo]
    assert len(families(experiment(("ppo",), (f"{nets}:wide", f"{nets}:wide(size=5)")).tasks[0])) == 2


def test_a_network_can_be_for_one_contender_alone_and_a_loss_with_it_is_held_against_its_algorithm_with_it(nets):
    found = contenders(("ppo", "a2c", f"{nets}:kl"), (f"{nets}:wide", "a2c=default"))
    assert [(one.name, one.parent) for one in found] == [("ppo wide", "ppo"), ("a2c", ""), ("kl wide", "ppo wide")]


def test_a_network_has_the_sizes_that_its_fields_and_the_configuration_say(nets):
    env = envs.make("CartPole-v1")
    found = contenders(
        ("a2c",), (f"{nets}:wide(size=5)", f"{nets}:with_config(times=2)"), set=("a2c.hidden_sizes=(3,)",)
    )
    for contender, size in zip(found, (5, 6)):
        state = jax.eval_shape(made(contender, env).init, jax.random.key(0), contender.hparams)
        assert state.params["params"]["actor"]["Dense_0"]["kernel"].shape == (4, size)


def refusal(nets, algo, text, env="CartPole-v1"):
    (contender,) = contenders((algo,), (f"{nets}:{text}",), env=(env,))
    with pytest.raises(ValueError) as refused:
        made(contender, envs.make(env))
    assert "\n" not in str(refused.value) and str(refused.value).startswith(f"{nets}:")
    assert "ShapeDtypeStruct" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("algo", "text", "said"),
    [
        ("ppo", "bare(kind='q')", "must give (policy, value), gives an array of shape [2, 3, 2]"),
        ("ppo", "bare(kind='policy')", "must give (policy, value), gives a Categorical"),
        ("ppo", "bare(kind='logits')", "policy that must be a distribution, on CartPole-v1 a Categorical of 2 from"),
        ("ppo", "bare(kind='swapped')", "value comes second"),
        ("ppo", "bare(kind='column')", "leave out its last axis, as value[..., 0]"),
        ("ppo", "bare(kind='gaussian')", "policy that must be a Categorical of 2 on CartPole-v1"),
        ("ppo", "bare(kind='good', num=3)", "with logits [2, 3, 3], should have [2, 3, 2]"),
        ("ppo", "bare(kind='flat')", "with logits [6, 2], should have [2, 3, 2]"),
        ("dqn", "bare(kind='good')", "must give Q [..., 2], or Quantiles, gives a tuple of 2"),
        ("dqn", "bare(kind='q', num=3)", "Q that for observations [2, 3, ...] must have shape [2, 3, 2] and has [2, 3, 3]"),
        ("ppo", "nothing", "must return a network with flax's init and apply, returns nothing"),
        ("ppo", "crashes", "AttributeError: 'Env' object has no attribute 'hidden'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_words_with_the_line(nets, algo, text, said):
    assert said in refusal(nets, algo, text)


def test_continuous_actions_ask_for_a_gaussian_of_their_size(nets):
    assert "DiagonalGaussian of 1 on Pendulum-v1" in refusal(nets, "ppo", "bare(kind='good')", "Pendulum-v1")


@pytest.mark.parametrize(
    ("algos", "text", "said"),
    [
        (
            ("ppo",),
            "{}:wide(sise=5)",
            "nets.py:8: wide: got an unexpected keyword argument 'sise'; its fields are: size",
        ),
        (("ppo",), "{}:bare", "missing a required argument: 'kind'"),
        (("ppo",), "dqn={}:wide", "there is no contender 'dqn'; choose from: ppo"),
        (("ppo",), "{}:narrow", "has no 'narrow'; it has: wide, with_config"),
        (("q_learning",), "{}:wide", "q_learning takes no network"),
    ],
)
def test_a_wrong_name_or_field_is_one_line_before_anything_is_made(nets, algos, text, said):
    with pytest.raises(BadInput) as refused:
        contenders(algos, (text.format(nets),), env=("FrozenLake-4x4" if algos == ("q_learning",) else "CartPole-v1",))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_the_page_shows_the_skeleton_and_its_error(tmp_path):
    page = (DOCS / "networks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert code.splitlines()[1:] == (DOCS / "skeletons" / "my_net.py").read_text().splitlines()[2:]
    (tmp_path / "my_net.py").write_text(code.replace("nn.Dense(1)(x)[..., 0]", "nn.Dense(1)(x)"))
    (contender,) = contenders(("ppo",), (f"{tmp_path / 'my_net.py'}:wide",))
    with pytest.raises(ValueError) as refused:
        made(contender, envs.make("CartPole-v1"))
    (shown,) = re.findall(r"^error: (.*)$", page, re.MULTILINE)
    assert str(refused.value) == f"{tmp_path}/{shown}"


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar"])
def test_the_gallery_with_its_defaults_is_the_algorithms_own_network(env):
    env = envs.make(env)
    config = a2c.Config(hidden_sizes=(5, 6))
    own, torso = actor_critic(env, config.hidden_sizes), torsos.actor_critic(env, config)
    generator = np.random.default_rng(0)
    observation = generator.normal(size=(4, *env.observation_shape)).astype(np.float32)
    shapes = jax.eval_shape(torso.init, jax.random.key(0), observation)
    params = jax.tree.map(lambda x: generator.normal(size=x.shape).astype(np.float32), shapes)
    as_own = jax.tree_util.tree_map_with_path(lambda path, x: (path, x), params)
    flat = {}
    for path, x in jax.tree.leaves(as_own, is_leaf=lambda x: isinstance(x, tuple) and len(x) == 2):
        keys = [key.key for key in path if key.key != "Tower_0"]
        flat.setdefault("/".join(keys), x)
    wanted = jax.eval_shape(own.init, jax.random.key(0), observation)
    mapped = jax.tree_util.tree_map_with_path(lambda path, _: flat["/".join(key.key for key in path)], wanted)
    wanted, given = jax.jit(own.apply)(mapped, observation), jax.jit(torso.apply)(params, observation)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), wanted, given)


def test_the_fields_of_the_gallery_change_what_they_say():
    env, config = envs.make("CartPole-v1"), a2c.Config(hidden_sizes=(5,))
    x = jnp.array([[0.3, -2.0, 0.5, 1.5]])

    def of(**fields):
        network = torsos.actor_critic(env, config, **fields)
        params = network.init(jax.random.key(0), x)
        return params["params"], network.apply(params, x)

    shared, _ = of(shared=True)
    assert set(shared) == {"torso", "policy", "value"}
    plain, (_, value) = of(layer_norm=True, activation="relu")
    before = np.asarray(x[0] @ plain["critic"]["Dense_0"]["kernel"] + plain["critic"]["Dense_0"]["bias"])
    features = np.maximum((before - before.mean()) / np.sqrt(before.var() + 1e-6), 0.0)
    by_hand = features @ plain["value"]["kernel"][:, 0] + plain["value"]["bias"][0]
    np.testing.assert_allclose(value[0], by_hand, rtol=1e-5)
    q = torsos.q_network(env, config, hidden_sizes=(7,))
    assert jax.eval_shape(q.init, jax.random.key(0), x)["params"]["Torso_0"]["Dense_0"]["kernel"].shape == (4, 7)
    with pytest.raises(ValueError, match="activation must be one of tanh, relu"):
        torsos.actor_critic(env, config, activation="reul")
