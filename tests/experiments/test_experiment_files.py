"""The experiment files can be run as they are, imported, overridden and read back from a manifest."""

import importlib
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from algos.core.distributions import Categorical
from algos.core.types import Batch
from experiments import custom_loss, learning_rate_sweep
from experiments.lab.commands.options import Options
from experiments.lab.definition.overrides import overridden
from experiments.lab.definition.sweeps import selection
from experiments.lab.recording.manifest import read_experiment, write_manifest
from experiments.lab.running.checks import check
from experiments.lab.showing import plan

FILES = ("cartpole", "classic_control", "minatar", "custom_loss", "learning_rate_sweep")
GIBIBYTE = 2**30


@pytest.fixture(scope="module", params=FILES)
def module(request):
    return importlib.import_module(f"experiments.{request.param}")


def test_an_experiment_file_can_run_and_fits_a_small_machine(module):
    check(module.experiment)
    assert plan.memory(module.experiment) < 2 * GIBIBYTE


def test_an_experiment_file_says_its_question_and_its_command_and_is_short(module):
    assert "?\n" in module.__doc__ and f"\n    python -m {module.__name__}\n" in module.__doc__
    assert len(Path(module.__file__).read_text().splitlines()) <= 60


def test_schedules_end_with_the_budget_of_their_file(module):
    experiment = overridden(module.experiment, Options(steps=70_000))
    ends = {one.hparams.total_steps for task in experiment.tasks for one in task.contenders}
    assert ends == {70_000.0}


def test_an_experiment_file_is_read_back_from_its_manifest_as_it_was(module, tmp_path):
    write_manifest(tmp_path, module.experiment, "a command")
    assert read_experiment(tmp_path) == module.experiment


def test_the_sweep_picks_one_learning_rate_of_each_algorithm_and_compares_them():
    experiment = learning_rate_sweep.experiment
    results = {"CartPole-v1": {one.name: {"iqm": 1.0, "mean": 1.0, "final_values": [], "diverged_seeds": []}
                               for one in experiment.tasks[0].contenders}}  # fmt: skip
    chosen = selection.report_experiment(experiment, results).tasks[0].contenders
    assert [one.name.split()[0] for one in chosen] == ["ppo", "a2c"]


def test_the_custom_loss_is_the_surrogate_less_the_penalty_on_kl():
    generator = np.random.default_rng(0)
    old, new = generator.normal(size=(2, 6, 3))
    action, advantage, target, value = generator.integers(3, size=6), *generator.normal(size=(3, 6))
    log_old, log_new = special.log_softmax(old, axis=1), special.log_softmax(new, axis=1)
    ratio = np.exp(log_new - log_old)[np.arange(6), action]
    kl = special.rel_entr(np.exp(log_old), np.exp(log_new)).sum(axis=1)
    expected = np.mean(-(ratio * advantage - 2.5 * kl) + 0.5 * 0.5 * (value - target) ** 2)
    fields = dict.fromkeys(Batch.__dataclass_fields__)
    batch = Batch(**fields | {
        "action": jnp.asarray(action), "advantage": jnp.asarray(advantage), "value_target": jnp.asarray(target),
        "log_prob": jnp.asarray(log_old[np.arange(6), action]), "policy": Categorical(jnp.asarray(old)),
        "mask": jnp.ones(6),
    })  # fmt: skip
    hparams = custom_loss.HParams(penalty=2.5, value_coef=0.5)
    loss, _ = custom_loss.kl_penalised(None, lambda *_: (Categorical(jnp.asarray(new)), value), batch, hparams)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert jax.tree.leaves(loss)[0].shape == ()


def test_bad_input_to_an_experiment_file_is_one_line():
    command = [sys.executable, "-m", "experiments.custom_loss", "--set", "ppo-kl.penalty=much"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (2, "error: ppo-kl.penalty must be a number, not much\n")
