"""What the doctor says of expected gradients: of the losses here as docs/losses.md has it, and of wrong ones."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from test_docs import table

from experiments.doctor import Args, doctor
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.examination.case import OK, PROBLEM
from experiments.lab.examination.exact import examine_exact
from experiments.lab.examination.exact.fields import backup, best_q
from experiments.lab.examination.exact.models import EPISODES, models
from experiments.lab.outside.user_loss import UserLoss, load_loss

WRONG = Path(__file__).parent / "wrong_losses"
# what a cell of the page holds, of the findings' lines
POLICY_CELLS = (
    r"at gamma = 1 (?:its expected gradient is )?((?:grad J|cosine).*)",
    r"at gamma = 0.5 .*?(cosine .*)",
    r"natural gradient at gamma = 1: (.*)",
    r"one episode: bias (.*), deviation",
    r"one episode: bias .*, deviation (.*), in lengths",
    r"with its own (.*)",
    r"critic of 0: cosine with grad J at gamma = 1 (.*)",
)
VALUE_CELLS = (r"its expected update is (.*)", r"(another direction .*)"), (r"(at Q\* .*)",)


@pytest.fixture(autouse=True)
def little_compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def user_of(name):
    """Returns an algorithm's own loss, or the one that a reference names."""
    if ":" in name:
        return load_loss(name)
    module = ALGORITHMS[name][0]
    return UserLoss(module.loss, name, module.HParams, None, Path(module.__file__), 1)


def cell(findings, patterns):
    """Returns what the first line that fits says; nothing where none does."""
    found = (re.search(pattern, each.text) for pattern in patterns for each in findings)
    said = next((match[1] for match in found if match), "–")
    return said.replace(" at gamma = 1", "").replace("cosine with grad J ", "")


def row_of(name, findings):
    """Returns the loss's row in docs/losses.md."""
    kinds = VALUE_CELLS if user_of(name).algorithm == "dqn" else [(pattern,) for pattern in POLICY_CELLS]
    return [name, *(cell(findings, patterns) for patterns in kinds)]


LISTED = {
    row[0]: row for title in ("at gamma = 1", "its expected update") for row in table(f"| loss | {title} |", "loss")
}
DAILY = ("a2c", "dqn")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in DAILY else [pytest.mark.slow]) for n in LISTED])
def test_the_page_says_of_a_loss_what_the_doctor_finds(name):
    findings = examine_exact(user_of(name))
    assert not [each for each in findings if each.level == PROBLEM]
    assert row_of(name, findings) == LISTED[name]
    said = [each.text for each in findings if each.level == OK]
    if name != "dqn" and ":" not in name:
        assert "at gamma = 1 its expected gradient is grad J to 1e-6" in said
        assert any("leaves out gamma^t: it is the gradient of no objective" in each.text for each in findings)
    assert ("at Q* its expected update vanishes" in said) == (name == "dqn")
    assert ("at eta = 1 its expected update vanishes where Q~ = Q*" in said) == (name == "pgql")


def test_every_loss_here_has_its_row():
    files = (Path(__file__).parents[2] / "experiments" / "losses").glob("[!_]*.py")
    gallery = {f"experiments.losses.{path.stem}:{path.stem}" for path in files}
    assert set(LISTED) == {name for name, (_, makes_it) in ALGORITHMS.items() if not makes_it} | gallery


DIAGNOSES = {
    "on_policy.py:sign_flipped": r"points away from grad J: cosine -1\.000 at gamma = 1: check the sign",
    "exact.py:ratio_inverted": r"points away from grad J: cosine -1\.000 at gamma = 1: check the sign",
    "exact.py:baseline_of_the_action": r"is not grad J: .* it still moves the policy, .* A baseline",
    "on_policy.py:advantage_leaks": r"with value_coef = 0 too: an advantage made of it without lax\.stop_gradient",
    "on_policy.py:no_mask": "the mask is not respected",
    "on_policy.py:value_moves_away": r"the value moves away from V of the policy: cosine -1\.000",
    "replayed.py:climbs": r"points away from Bellman's: cosine -1\.000",
    "replayed.py:target_leaks": "the target leaks",
    "replayed.py:ignores_terminated": "bootstraps where the episode terminated",
    "on_policy.py:always_nan": "its expected gradient is not finite",
    "replayed.py:on_policy_field": "ReplayBatch has no field 'value_target'",
}
LONG = ("on_policy.py:value_moves_away", "replayed.py:target_leaks", "replayed.py:ignores_terminated")


@pytest.mark.parametrize(
    "reference", [pytest.param(each, marks=[pytest.mark.slow] if each in LONG else []) for each in DIAGNOSES]
)
def test_a_wrong_loss_is_told_by_its_expected_gradient(reference):
    problems = [each for each in examine_exact(load_loss(str(WRONG / reference))) if each.level == PROBLEM]
    assert len(problems) == 1 and re.search(DIAGNOSES[reference], problems[0].text), problems
    assert problems[0].line


@pytest.mark.slow
def test_a_loss_that_weighs_by_gamma_to_the_t_has_grad_J():
    said = [each.text for each in examine_exact(load_loss(str(WRONG / "exact.py:weighs_by_gamma_t")))]
    assert "at gamma = 0.5 its expected gradient is grad J, gamma^t and all" in said


@pytest.mark.slow
def test_a_sum_that_is_no_mean_has_the_direction_alone():
    said = [each.text for each in examine_exact(load_loss(str(WRONG / "on_policy.py:divides_by_all_rows")))]
    assert any("its length depends on the model, 0.771, 0.875, 0.711 times" in each for each in said)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_a_model_holds_every_episode_as_often_as_it_comes(model):
    assert model.all.chance.size == EPISODES and model.all.counts[0].all()
    assert model.each.chance.sum() == pytest.approx(1.0, abs=1e-15)
    assert model.each.counts.sum(0) @ model.each.chance == pytest.approx(model.all.counts.sum(0).mean())
    for state in np.unique(model.all.state[model.all.counts]):
        taken = model.all.action[model.all.counts & (model.all.state == state)]
        assert [(taken == a).mean() for a in range(2)] == list(model.probs[state])


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_Q_star_is_its_own_backup(model):
    q = best_q(model, 0.5)
    np.testing.assert_allclose(backup(model, q.max(1), 0.5), q, atol=1e-15)


def test_the_command_says_which_models_and_refuses_what_is_no_loss(capsys):
    assert doctor(Args(str(WRONG / "replayed.py:climbs"), exact=True)) == 1
    first, problem, verdict = capsys.readouterr().out.splitlines()
    assert first.startswith("ok      on three enumerated models, ice, corridor and garnet")
    assert re.match(r"problem .*replayed\.py:\d+: its expected update points away", problem)
    assert verdict == "climbs, a loss of dqn: 1 to mend"
    with pytest.raises(BadInput, match="--exact is for a loss"):
        doctor(Args("CartPole-v1", exact=True))
