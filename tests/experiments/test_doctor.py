"""The loss doctor: wrong losses get their diagnosis at their line, and the algorithms' own pass."""

import re
from pathlib import Path

import jax
import pytest

from experiments.doctor import Args, doctor
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.examination import NOTE, OK, PROBLEM, examine
from experiments.lab.examination.case import prepare
from experiments.lab.examination.form import reads
from experiments.lab.outside.user_loss import UserLoss, load_loss

WRONG = Path(__file__).parent / "wrong_losses"

# (loss, level, what is said of it); the line is the one marked `# wrong`, or the function's first
DIAGNOSES = [
    ("on_policy.py:no_mask", PROBLEM, "the mask is not respected"),
    ("on_policy.py:divides_by_all_rows", PROBLEM, "divides by the number of rows"),
    ("on_policy.py:sums", NOTE, "a sum over samples"),
    ("on_policy.py:not_scalar", PROBLEM, r"must return a float scalar first, not float32 of shape \(26, 5\)"),
    ("on_policy.py:no_metrics", PROBLEM, r"must return \(scalar, dict of metrics\), not float32"),
    ("on_policy.py:metric_of_every_sample", PROBLEM, "must return scalar metrics, 'entropy' is"),
    ("on_policy.py:column_less_row", PROBLEM, "each pair of samples"),
    ("on_policy.py:sign_flipped", PROBLEM, r"points the other way: cosine -1\.00"),
    ("on_policy.py:value_moves_away", PROBLEM, "the value moves away"),
    ("on_policy.py:advantage_leaks", PROBLEM, "with value_coef = 0 the value still receives gradient"),
    ("on_policy.py:value_target_leaks", PROBLEM, "the target leaks"),
    ("on_policy.py:log_of_zero", PROBLEM, "is nan .*at a deterministic policy"),
    ("on_policy.py:no_variance", PROBLEM, "is nan where all targets and advantages are equal"),
    ("on_policy.py:overflows_far_away", PROBLEM, "is inf .*where the policy became deterministic"),
    ("on_policy.py:always_nan", PROBLEM, "the loss is nan$"),
    ("on_policy.py:infinite_slope", PROBLEM, "the gradient is nan$"),
    ("on_policy.py:python_if", PROBLEM, "compare refuses it: a Python if"),
    ("on_policy.py:unknown_field", PROBLEM, "no field 'advantages'; did you mean 'advantage'?"),
    ("on_policy.py:unknown_hyperparameter", PROBLEM, "HParams has no field 'penalty'"),
    ("on_policy.py:shapes_do_not_fit", PROBLEM, "the loss fails: .*[Ii]ncompatible shapes"),
    ("on_policy.py:raises", PROBLEM, "the loss fails: KeyError: 'log_probs'"),
    ("on_policy.py:greedy", PROBLEM, "the gradient is zero"),
    ("on_policy.py:weighs_by_position", PROBLEM, "depends on the order"),
    ("on_policy.py:uses_numpy", PROBLEM, "numpy is called on a traced array"),
    ("on_policy.py:takes_a_float", PROBLEM, r"float\(\)"),
    ("on_policy.py:forgets_its_hyperparameter", PROBLEM, "does not depend on its own hyperparameter 'penalty'"),
    ("on_policy.py:gradient_of_another", PROBLEM, "the gradient is not that of the value"),
    ("on_policy.py:normalises_itself", NOTE, "not a mean over samples"),
    ("replayed.py:target_leaks", PROBLEM, "the target leaks"),
    ("replayed.py:target_leaks_through_one_call", PROBLEM, "the target leaks"),
    ("replayed.py:climbs", PROBLEM, "points away from Q-learning's update: cosine -"),
    ("replayed.py:ignores_terminated", PROBLEM, "bootstraps where the episode terminated"),
    ("replayed.py:bootstraps_at_the_end_alone", PROBLEM, "bootstraps where the episode terminated"),
    ("moved_on.py:never_reads_log_prob", PROBLEM, "reads neither batch.log_prob nor batch.policy"),
    ("moved_on.py:max_for_min", PROBLEM, r"moved along it 1\.00: max for min\?"),
    ("moved_on.py:drives_away", PROBLEM, r"the loss drives it further: cosine -"),
    ("moved_on.py:clips_alone", NOTE, r"with the gradient of -E\[r A\], 0\.\d\d times as far"),
    ("moved_on.py:time_limit_is_an_end", NOTE, "not where a time limit cut the episode"),
    ("refused.py:metric_called_loss", PROBLEM, "names a metric 'loss', which is recorded already"),
    ("refused.py:metric_of_the_runner", PROBLEM, "names a metric 'evaluation_return'"),
    ("refused.py:metric_called_by_number", PROBLEM, "must name its metrics by strings, not 0"),
    ("refused.py:not_differentiable", PROBLEM, "compare refuses it: not_differentiable cannot be differentiated"),
    ("replayed.py:on_policy_field", PROBLEM, "ReplayBatch has no field 'value_target'"),
]


# The whole examination, of which one of a kind is enough for every day.
LONG = {
    "divides_by_all_rows", "value_moves_away", "advantage_leaks", "value_target_leaks", "log_of_zero", "infinite_slope",
    "always_nan", "forgets_its_hyperparameter", "gradient_of_another", "normalises_itself",
    "target_leaks_through_one_call", "no_mask", "climbs", "sums", "bootstraps_at_the_end_alone",
    "metric_called_by_number", "max_for_min", "drives_away", "clips_alone", "time_limit_is_an_end", "metric_of_every_sample", "no_metrics",
}  # fmt: skip


def slow_if(condition, *values):
    """Returns the values as one case of a test, slow on the condition."""
    return pytest.param(*values, id=values[0], marks=[pytest.mark.slow] if condition else [])


@pytest.fixture(autouse=True)
def little_compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def line_at_fault(user):
    """Returns the line marked as wrong in the function, or the function's first."""
    lines = Path(user.path).read_text().splitlines()
    body = lines[user.line :]
    end = next((i for i, text in enumerate(body) if text and not text.startswith(" ")), len(body))
    marked = [i for i, text in enumerate(body[:end], user.line + 1) if text.endswith("# wrong")]
    return marked[0] if marked else user.line


@pytest.mark.parametrize("reference, level, said", [slow_if(row[0].split(":")[1] in LONG, *row) for row in DIAGNOSES])
def test_a_wrong_loss_gets_its_diagnosis_at_its_line(reference, level, said):
    user = load_loss(str(WRONG / reference))
    findings = examine(user)
    right = [each for each in findings if each.level == level and re.search(said, each.text)]
    assert right, findings
    assert right[0].line == line_at_fault(user)
    problems = [each for each in findings if each.level == PROBLEM]
    assert level == NOTE or len(problems) <= 2, problems
    assert all("\n" not in each.text for each in findings)


@pytest.mark.parametrize("name", [slow_if(name not in ("ppo", "dqn"), name) for name in ALGORITHMS if name != "npg"])
def test_the_loss_of_every_algorithm_passes(name):
    module = ALGORITHMS[name][0]
    user = UserLoss(module.loss, name, module.HParams, None, Path(module.__file__), 1)
    findings = examine(user)
    assert not [each for each in findings if each.level == PROBLEM]
    said = "\n".join(each.text for each in findings if each.level == OK)
    assert "respects the mask" in said
    assert "no gradient flows through next_observation" in said
    assert ("it equals the policy gradient" in said) == (name != "dqn")
    assert ("moved against the advantage: cosine 1.00" in said) == (name in ("trpo", "ppo"))
    assert ("bootstraps, and not where the episode terminated" in said) == (name in ("dqn", "pgql"))
    assert not any("which" in each.text for each in findings)
    assert ("continuous actions" in said) == (name in ("reinforce", "a2c", "trpo", "ppo"))


GALLERY = (
    "spo", "ppo_kl", "dpo_drift", "importance_weighted", "munchausen", "quantile", "conservative", "entropy_reinforce",
)  # fmt: skip


def test_which_fields_of_the_batch_the_parent_reads_and_a_loss_does_not_is_said_with_what_they_are():
    user = load_loss(str(WRONG / "replayed.py:ignores_terminated"))
    said = [each.text for each in reads(prepare(user, "CartPole-v1")) if each.level == NOTE]
    why = "where the episode ended for good and nothing follows"
    assert said == [f"does not depend on batch.terminated ({why}), which dqn's own loss does"]


@pytest.mark.slow
@pytest.mark.parametrize("name", GALLERY)
def test_every_loss_of_the_gallery_passes(name):
    findings = examine(load_loss(f"experiments.losses.{name}:{name}"))
    assert not [each for each in findings if each.level == PROBLEM]


def test_a_multiplier_among_the_parameters_is_no_gradient_of_the_policy_or_the_value():
    findings = examine(load_loss("experiments.losses.ppo_kl:ppo_kl"))
    said = [each.text for each in findings]
    assert not [each for each in findings if each.level == PROBLEM]
    assert "at the old policy it equals the policy gradient" in said
    assert "the value moves towards value_target: cosine 1.00" in said


def test_the_command_prints_a_line_a_finding_and_its_status_says_whether_there_is_a_problem(capsys):
    assert doctor(Args(str(WRONG / "on_policy.py:unknown_field"))) == 1
    problem, verdict = capsys.readouterr().out.splitlines()
    assert re.match(r"problem +.*on_policy\.py:\d+: the loss fails: Batch has no field 'advantages'", problem)
    assert verdict == "unknown_field, a loss of ppo: 1 to mend"
    assert doctor(Args(str(WRONG / "on_policy.py:sums"))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"ok", "note"}
    assert lines[-1] == "sums, a loss of a2c: no problem found"


def test_a_loss_that_cannot_be_had_is_bad_input_in_one_line():
    for reference in ("nowhere.py:spo", str(WRONG / "on_policy.py:nothing"), "spo"):
        with pytest.raises(BadInput) as error:
            doctor(Args(reference))
        assert "\n" not in str(error.value)
