"""The examination of environments: every fault is one line in plain words at its line, and sound ones pass."""

import re
from pathlib import Path

import jax
import pytest

import envs
from experiments.compare import Args, experiment_of
from experiments.doctor import Args as DoctorArgs
from experiments.doctor import doctor
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Task
from experiments.lab.examination import NOTE, OK, PROBLEM
from experiments.lab.examination.environment import examine_environment
from experiments.lab.outside.env_trace import checked
from experiments.lab.outside.user_env import load_factory
from experiments.lab.running.checks import check
from experiments.lab.showing.plan import announcement

WRONG = Path(__file__).with_name("wrong_envs.py")

# name of the function that makes it: what is said
FORM = {
    "step_without_a_key": r"step must take \(key, state, action\)",
    "reset_without_a_key": r"reset must take \(key\)",
    "observation_of_two_dtypes": "the observation is float32 after reset and bool after step",
    "bounds_that_are_one_number": r"observation_bounds must be \(low, high\) of shape \(2,\), low below",
    "no_env": r"must return an envs\.Env, returns 2 values",
    "no_steps": "max_steps must be a whole number above 0, is 0",
    "half_a_step": r"max_steps must be a whole number above 0, is 20\.5",
    "list_of_sizes": r"observation_shape must be a tuple of whole numbers, as \(4,\), is \[2\]",
    "number_of_actions": r"action must be envs\.Discrete or envs\.Box, is a int",
    "box_upside_down": "Box needs low < high, both of one shape",
    "bounds_of_another_shape": r"observation_bounds must be \(low, high\) of shape \(2,\)",
    "factory_fails": "TypeError: object of type 'NoneType' has no len",
    "reset_the_other_way_round": r"reset returns \(observation, state\), must return \(state, observation\)",
    "reset_gives_one_array": r"reset must return \(state, observation\), returns float32 of shape \(2,\)",
    "reset_gives_three": r"reset must return \(state, observation\), returns 3 values",
    "five_values": r"step must return \(state, TimeStep\(.*\)\), returns 5 values",
    "time_step_first": r"step must return \(state, TimeStep\(.*\)\), returns 2 values",
    "observation_smaller_than_declared": r"the observation has shape \(1,\), and observation_shape=\(2,\) says",
    "observation_changes_its_shape": r"the observation has shape \(1,\), and observation_shape=\(2,\) says",
    "observation_of_integers": r"the observation is int32, must be float32 \(by \.astype\(jnp\.float32\)\), bool, or uint8",
    "observation_in_a_dict": "the observation must be one array, is a dict",
    "reward_in_an_array": r"the reward must be a scalar, has shape \(1,\)",
    "reward_missing": "the reward must be a number, is a NoneType",
    "terminated_as_integer": r"terminated must be one bool, .*is int32 of shape \(\)",
    "truncated_as_float": "truncated must be one bool, .*is a float",
    "terminated_in_an_array": r"terminated must be one bool, .*is bool of shape \(1,\)",
    "python_if": "a Python if, .* use jnp.where",
    "state_becomes_float": r"state\['place'\] is int32 of shape \(\) after reset and float32 of shape \(\) after step",
    "state_grows": r"state is float32 of shape \(1,\) after reset and float32 of shape \(2,\) after step",
    "state_of_another_kind": r"the state is PyTreeDef\(\*\) after reset and PyTreeDef\(\(\*, \*\)\) after step",
    "word_in_the_state": r"state\['phase'\] must be an array or a number, is a str",
    "reward_by_a_function_of_two": "TypeError: .*add",
    "unknown_name": "NameError: name 'speed' is not defined",
    "counts_in_python": "called twice with the same arguments it does not do the same: something in Python changes",
    "chance_from_python": "called twice with the same arguments it does not do the same",
    "chance_from_numpy": "called twice with the same arguments it does not do the same",
    "goal_kept_in_python": "an array of an earlier call is used, that Python kept",
}
RUNS = {
    "nan_reward": (PROBLEM, "the reward is nan at step 7 of an episode, after action 1$"),
    "infinite_observation": (PROBLEM, r"the observation is not finite: \[inf inf\] at step 4 of an episode"),
    "nan_at_the_beginning": (PROBLEM, "reset gives an observation that is not finite"),
    "bounds_that_are_not_true": (PROBLEM, r"observation\[0\] is 6 after a step, and observation_bounds says 0 to 5"),
    "breaks_at_the_largest_action": (PROBLEM, r"the reward is -inf at step 1 of an episode, after action \[5\.\]"),
    "fails_at_run_time": (PROBLEM, "fails when it runs: .*"),
    "chance_at_run_time": (PROBLEM, "played again under the same key, reached differs"),
    "endless_and_without_a_limit": (NOTE, r"no episode ended within [\d,]+ steps, and max_steps is 1,000,000,000"),
    "endless": (NOTE, "an episode goes on beyond max_steps=20: it is cut there, as truncated"),
}


def task(name):
    return Task(name, (), factory=load_factory(f"{WRONG}:{name}"))


def line_at_fault(name):
    """Returns the line marked as wrong in the function, or the function's first."""
    lines = WRONG.read_text().splitlines()
    first = lines.index(f"def {name}():")
    end = next((i for i in range(first + 1, len(lines)) if lines[i] and not lines[i].startswith(" ")), len(lines))
    marked = [i for i in range(first, end) if lines[i].endswith("# wrong")]
    (own,) = marked or [next(i for i in range(first, end) if lines[i].strip().startswith("return"))]
    return own + 1


@pytest.fixture
def little_compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("name", FORM)
def test_a_fault_of_form_is_one_line_with_the_users_file_before_anything_compiles(name, monkeypatch):
    monkeypatch.setattr(jax, "jit", None)
    with pytest.raises(ValueError) as refused:
        checked(task(name))
    text = str(refused.value)
    assert "\n" not in text and text.startswith(f"{WRONG}:{line_at_fault(name)}: "), text
    assert re.search(FORM[name], text), text


@pytest.mark.parametrize("name", RUNS)
def test_a_fault_that_shows_when_it_runs_is_one_line_with_the_users_file(name, little_compiled_quickly):
    findings = examine_environment(task(name))
    level, said = RUNS[name]
    (found,) = [each for each in findings if each.level != OK]
    assert found.level == level and "\n" not in found.text
    assert found.text.startswith(f"{WRONG}:{line_at_fault(name)}: ") and re.search(said, found.text), found.text


def test_a_sound_environment_passes_and_its_command_says_so(little_compiled_quickly, capsys, monkeypatch):
    monkeypatch.setattr("experiments.doctor.devices.start", lambda: None)
    assert doctor(DoctorArgs(f"{WRONG}:sound")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "sound, an environment: no problem found"
    assert doctor(DoctorArgs(f"{WRONG}:python_if")) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "python_if, an environment: 1 to mend"
    with pytest.raises(BadInput, match="unknown environment 'CartPole'"):
        doctor(DoctorArgs("CartPole"))


def test_arguments_that_an_environment_lacks_are_asked_for_by_the_doctor():
    with pytest.raises(
        BadInput, match=r'wrong_envs\.py:\d+: sized\(steps\) is no loss.*wrong_envs\.py:sized\(steps=\.\.\.\)"'
    ):
        doctor(DoctorArgs(f"{WRONG}:sized"))


def test_a_plan_says_where_an_evaluation_may_take_for_ever():
    said = "  an episode may take 1,000,000,000 steps, and an evaluation plays 32 to their end"
    for name, there in (("endless_and_without_a_limit", True), ("endless", False)):
        experiment = experiment_of(Args(env=(f"{WRONG}:{name}",), algos=("a2c",)))
        assert (said in announcement(experiment)) == there


DAILY = ("CartPole-v1", "Pendulum-v1")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in DAILY else pytest.mark.slow) for n in envs.ids()])
def test_every_built_in_environment_passes(name, little_compiled_quickly):
    findings = examine_environment(Task(name, ()))
    assert [each.level for each in findings] == [OK, OK], findings


@pytest.mark.parametrize(
    "name, said",
    [
        ("step", r"wrong_envs\.py:\d+: step\(key, state, action\) must make an environment without arguments"),
        ("MEMORY", "MEMORY is no function but dict"),
        ("nothing", "has no 'nothing'; it has: .*sound"),
    ],
)
def test_what_makes_no_environment_is_one_line(name, said):
    with pytest.raises(BadInput, match=said):
        experiment_of(Args(env=(f"{WRONG}:{name}",), algos=("ppo",)))


def test_the_form_is_checked_before_a_run():
    experiment = experiment_of(Args(env=(f"{WRONG}:sound", f"{WRONG}:five_values"), algos=("a2c",)))
    assert [task.environment for task in experiment.tasks] == ["sound", "five_values"]
    with pytest.raises(ValueError, match="step must return"):
        check(experiment)


def test_a_registered_environment_is_checked_too(monkeypatch):
    monkeypatch.setattr(envs, "_registered", {"Mine": load_factory(f"{WRONG}:five_values")})
    with pytest.raises(ValueError, match="^Mine: step must return"):
        checked(Task("Mine", ()))
