"""Contenders by name: algorithms, and losses of a user's own."""

import pytest

from algos import dqn, ppo
from experiments.lab.definition.contenders import contenders
from experiments.lab.definition.settings import contender

OWN = """
from flax import struct
from algos import dqn, ppo

@struct.dataclass
class HParams(ppo.HParams):
    mine: float = 3.0
    entropy_coef: float = 0.125

def own(params, apply, batch, hparams: HParams):
    return ppo.loss(params, apply, batch, hparams)

def ppo_again(params, apply, batch, hparams: ppo.HParams):
    return ppo.loss(params, apply, batch, hparams)

ppo_again.__name__ = "ppo"

def of_q(params, apply, batch, hparams: dqn.HParams):
    return dqn.loss(params, apply, batch, hparams)

def network(env, config):
    return None

of_q.network = network
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "own_losses.py"
    path.write_text(OWN)
    return path


def test_a_loss_takes_the_settings_of_the_algorithm_that_it_declares(path):
    parent, own = contenders(["ppo", f"{path}:own"], "CartPole-v1", 5_000)
    assert (own.name, own.parent, own.algorithm, own.config) == ("own", "ppo", ppo, parent.config)
    assert parent.hparams.learning_rate != ppo.HParams().learning_rate  # CartPole has its own
    assert own.hparams.learning_rate == parent.hparams.learning_rate
    assert own.hparams.total_steps == 5_000.0


def test_new_hyperparameters_and_those_declared_anew_have_the_defaults_of_the_users_class(path):
    (own,) = contenders([f"{path}:own"], "CartPole-v1", 5_000)
    assert contender("ppo", "CartPole-v1", 5_000).hparams.entropy_coef == 0.0
    assert (own.hparams.mine, own.hparams.entropy_coef) == (3.0, 0.125)


def test_the_network_of_a_loss_comes_with_it(path):
    (own,) = contenders([f"{path}:of_q"], "CartPole-v1", 5_000)
    assert own.algorithm is dqn and own.network.__name__ == "network"


def test_two_contenders_of_one_name_are_refused(path):
    with pytest.raises(ValueError, match="two contenders are called 'ppo'; rename the function"):
        contenders(["ppo", f"{path}:ppo_again"], "CartPole-v1", 5_000)


def test_a_loss_of_the_gallery_is_named_by_its_module():
    (spo,) = contenders(["experiments.losses.spo:spo"], "CartPole-v1", 5_000)
    assert (spo.name, spo.parent) == ("spo", "ppo")


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="unknown algorithm 'sac'; choose from: reinforce, a2c"):
        contenders(["sac"], "CartPole-v1", 5_000)
