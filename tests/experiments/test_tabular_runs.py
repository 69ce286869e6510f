"""Tables are trained by the lab as networks are: the same promise of bits, the same manifest, the same folder."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.lab.definition.contenders import contenders
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import TABULAR, contender
from experiments.lab.machine import devices
from experiments.lab.recording import checkpoints, manifest, policies
from experiments.lab.running import checks, runner

STEPS, LAKE = 900, "FrozenLake-4x4"
compile_programs = runner.compile_programs
compiled = {}


@pytest.fixture(autouse=True)
def programs_are_compiled_once(monkeypatch):
    def compile_once(env, algorithm, hparams, lanes, width, *rest):
        key = len(lanes), width
        if key not in compiled:
            compiled[key] = compile_programs(env, algorithm, hparams, lanes, width, *rest)
        return compiled[key]

    monkeypatch.setattr(runner, "compile_programs", compile_once)


def experiment(seeds):
    one = contender("q_learning", LAKE, STEPS)
    one = dataclasses.replace(one, config=dataclasses.replace(one.config, num_steps=50))
    return Experiment((Task(LAKE, (one,)),), tuple(seeds), STEPS, evaluations=3, eval_episodes=4, width=1)


def outcome(seeds, restore=runner.nothing_saved):
    events = list(runner.run(experiment(seeds), restore=restore))
    return {row[:3]: row[3] for event in events if isinstance(event, runner.Evaluated) for row in event.rows}, events[
        -1
    ]


def on_devices(count, monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: count)


def test_a_seed_has_the_same_bits_alone_and_among_others_on_one_device_and_on_two(monkeypatch):
    on_devices(2, monkeypatch)
    curves, finished = outcome(range(5))
    on_devices(1, monkeypatch)
    alone, one = outcome([3])
    np.testing.assert_array_equal(one.acting["params"][0], finished.acting["params"][3])
    assert alone == {key: value for key, value in curves.items() if key[0] == 3}
    assert np.any(finished.acting["params"][3] != finished.acting["params"][2])


def test_a_run_that_goes_on_from_a_checkpoint_has_the_bits_of_one_never_cut(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 0.0)
    on_devices(1, monkeypatch)
    for event in runner.run(experiment([4, 1])):
        if isinstance(event, runner.Progress) and event.share > 0.5:
            saved = checkpoints.save(tmp_path, event.task, event.family, event.position)
            break
    _, again = outcome([4, 1], restore=lambda _, __, groups: checkpoints.restore(tmp_path, saved, groups))
    np.testing.assert_array_equal(again.acting["params"], outcome([4, 1])[1].acting["params"])


def test_a_saved_table_acts_greedily_when_it_is_read_back(tmp_path):
    (one,) = experiment([0]).tasks[0].contenders
    manifest.write_manifest(tmp_path, experiment([0]), "")
    table = np.random.default_rng(0).normal(size=(1, 16, 4)).astype(np.float32)
    policies.save(tmp_path, LAKE, one.name, [0], {"params": table})
    act = policies.load(tmp_path, LAKE, one.name, 0)
    assert [int(act(jax.random.key(0), x)) for x in np.eye(16)[:3]] == table[0].argmax(1)[:3].tolist()


def test_every_tabular_setting_comes_back_from_the_manifest_and_makes_an_algorithm(tmp_path):
    names = tuple(TABULAR)
    tasks = tuple(Task(where, contenders(names, where, 10_000)) for where in (LAKE, "CliffWalking"))
    every = Experiment(tasks, (0, 1), 10_000, width=2)
    manifest.write_manifest(tmp_path, every, "python -m experiments.compare")
    assert manifest.read_experiment(tmp_path) == every
    assert manifest.read_manifest(tmp_path)["environments"][LAKE]["algorithms"]["sarsa"]["loss"] is None
    checks.check(every)


def test_a_table_for_what_has_no_finite_model_is_refused_before_anything_compiles():
    one = Experiment((Task("CartPole-v1", contenders(["sarsa"], "CartPole-v1", 5000)),), (0,), 5000)
    with pytest.raises(ValueError, match="sarsa learns a table: CartPole-v1 is no finite model"):
        checks.check(one)
