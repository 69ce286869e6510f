"""What the command line changes of an experiment."""

import dataclasses

import pytest

from experiments.lab.commands.cli import BadInput
from experiments.lab.commands.options import Options
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.overrides import overridden
from experiments.lab.definition.settings import contender
from experiments.lab.definition.sweeps.points import grid

STEPS = 100_000


def task(environment, *names):
    return Task(environment, tuple(contender(name, environment, STEPS) for name in names))


TWO_TASKS = (task("CartPole-v1", "ppo", "dqn", "reinforce"), task("Pendulum-v1", "ppo", "trpo"))


def changed(tasks=TWO_TASKS, **options):
    return overridden(Experiment(tasks, (3, 4, 5), STEPS), Options(**options))


def settings(experiment, field):
    """Returns the values of a setting by (environment, contender)."""
    return {
        (task.environment, one.name): getattr(one.hparams, field, getattr(one.config, field, None))
        for task in experiment.tasks
        for one in task.contenders
    }


def test_no_option_changes_nothing():
    assert changed() == Experiment(TWO_TASKS, (3, 4, 5), STEPS)


def test_seeds_count_from_zero_and_numbers_replace_those_of_the_experiment():
    experiment = changed(seeds=2, evaluations=7, eval_episodes=9, width=3)
    assert experiment == Experiment(TWO_TASKS, (0, 1), STEPS, 7, 9, 3)


def test_a_budget_moves_the_schedules_that_ended_with_the_old_one_and_no_other():
    first = TWO_TASKS[0].contenders[0]
    own = dataclasses.replace(first, name="own", hparams=first.hparams.replace(total_steps=7e6))
    experiment = changed((dataclasses.replace(TWO_TASKS[0], contenders=(first, own)),), steps=5_000)
    assert experiment.steps == 5_000
    assert settings(experiment, "total_steps") == {("CartPole-v1", "ppo"): 5_000.0, ("CartPole-v1", "own"): 7e6}


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("ppo.learning_rate=1e-3", "learning_rate", 0.001),
        ("ppo.clip=1", "clip", 1.0),
        ("ppo.num_envs=1e1", "num_envs", 10),
        ("ppo.num_epochs=7", "num_epochs", 7),
        ("ppo.hidden_sizes=(32,16)", "hidden_sizes", (32, 16)),
        ("ppo.hidden_sizes=32,16", "hidden_sizes", (32, 16)),
        ("ppo.hidden_sizes=32", "hidden_sizes", (32,)),
        ("ppo.normalize_advantage=false", "normalize_advantage", False),
        ("ppo.normalize_observation=True", "normalize_observation", True),
    ],
)
def test_a_setting_reaches_the_contender_of_that_name_on_every_environment_and_no_other(setting, field, value):
    before, after = settings(changed(), field), settings(changed(set=(setting,)), field)
    for where in before:
        assert after[where] == (value if where[1] == "ppo" else before[where])
        assert type(after[where]) is type(before[where])


def test_a_setting_may_be_nothing_where_its_type_says_so():
    experiment = changed(set=("reinforce.num_steps=600",))
    assert settings(experiment, "num_steps")["CartPole-v1", "reinforce"] == 600
    experiment = overridden(experiment, Options(set=("reinforce.num_steps=none",)))
    assert settings(experiment, "num_steps")["CartPole-v1", "reinforce"] is None


def test_a_word_is_taken_where_the_setting_is_a_word():
    experiment = changed(set=("trpo.fisher_form=kl-hessian",))
    assert settings(experiment, "fisher_form")["Pendulum-v1", "trpo"] == "kl-hessian"


def test_all_stands_for_every_contender_that_has_the_setting():
    after = settings(changed(set=("all.learning_rate=0.5",)), "learning_rate")
    assert after["CartPole-v1", "dqn"] == after["Pendulum-v1", "ppo"] == 0.5
    assert after["Pendulum-v1", "trpo"] is None  # it has no such setting


def test_the_last_of_two_settings_counts():
    assert settings(changed(set=("ppo.clip=0.3", "all.clip=0.4")), "clip")["CartPole-v1", "ppo"] == 0.4


def test_the_name_of_a_sweep_stands_for_its_points():
    points = grid(TWO_TASKS[0].contenders[0], learning_rate=(1e-3, 1e-2))
    tasks = (Task("CartPole-v1", (*points, TWO_TASKS[0].contenders[1])),)
    assert settings(changed(tasks, set=("ppo.gamma=0.5",)), "gamma") == {
        ("CartPole-v1", "ppo learning_rate=0.001"): 0.5,
        ("CartPole-v1", "ppo learning_rate=0.01"): 0.5,
        ("CartPole-v1", "dqn"): 0.99,
    }
    assert changed(tasks, only=("ppo",)).tasks[0].contenders == points
    assert changed(tasks, only=(points[1].name,)).tasks[0].contenders == points[1:]
    with pytest.raises(BadInput, match="the experiment sweeps learning_rate of ppo"):
        changed(tasks, set=("ppo.learning_rate=0.5",))


def test_only_keeps_a_name_wherever_it_is_and_leaves_out_an_environment_without_it():
    kept = changed(only=("trpo", "dqn")).tasks
    assert [(task.environment, [one.name for one in task.contenders]) for task in kept] == [
        ("CartPole-v1", ["dqn"]),
        ("Pendulum-v1", ["trpo"]),
    ]
    assert [task.environment for task in changed(only=("trpo",)).tasks] == ["Pendulum-v1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"set": ("ppo.learning_rat=1",)}, "ppo has no setting 'learning_rat'; ppo has: learning_rate, .*num_envs"),
        ({"set": ("all.nothing=1",)}, "no contender has setting 'nothing'"),
        ({"set": ("ppo.replace=1",)}, "ppo has no setting 'replace'"),
        ({"set": ("all.replace=1",)}, "no contender has setting 'replace'"),
        ({"set": ("pppo.clip=1",)}, "no contender 'pppo'; choose from: ppo, dqn, reinforce, trpo, all"),
        ({"set": ("learning_rate=1",)}, "is no setting; write CONTENDER.FIELD=VALUE"),
        ({"set": ("ppo.clip",)}, "is no setting; write CONTENDER.FIELD=VALUE"),
        ({"set": ("ppo.clip=",)}, "is no setting; write CONTENDER.FIELD=VALUE"),
        ({"set": (".clip=1",)}, "is no setting; write CONTENDER.FIELD=VALUE"),
        ({"set": ("ppo.clip=fast",)}, "ppo.clip must be a number, not fast"),
        ({"set": ("ppo.clip=nan",)}, "ppo.clip must be a number, not nan"),
        ({"set": ("ppo.clip=1e999",)}, "ppo.clip must be a number, not 1e999"),
        ({"set": ("ppo.clip=true",)}, "ppo.clip must be a number, not true"),
        ({"set": ("ppo.num_envs=2.5",)}, "ppo.num_envs must be a whole number, not 2.5"),
        ({"set": ("ppo.num_envs=none",)}, "ppo.num_envs must be a whole number, not none"),
        ({"set": ("ppo.num_envs=true",)}, "ppo.num_envs must be a whole number, not true"),
        ({"set": ("ppo.normalize_advantage=1",)}, "must be true or false, not 1"),
        ({"set": ("ppo.hidden_sizes=wide",)}, r"must be whole numbers, as in \(64,64\), not wide"),
        ({"set": ("ppo.hidden_sizes=(1.5,2)",)}, "must be whole numbers"),
        ({"set": ("ppo.hidden_sizes=()",)}, "must be whole numbers"),
        ({"set": ("reinforce.num_steps=few",)}, "must be a whole number or none, not few"),
        ({"only": ("ddqn",)}, "--only ddqn: there is no such contender; choose from: ppo, dqn, reinforce, trpo"),
        ({"width": 2, "trials": "map"}, "give one of --trials, --width"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(options, said):
    with pytest.raises(BadInput, match=said) as error:
        changed(**options)
    assert "\n" not in str(error.value)
