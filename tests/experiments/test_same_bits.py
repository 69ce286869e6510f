"""Row 8 of the proofs: a seed's bits do not depend on its company, the devices or where the run is cut."""

import gc
import re

import jax
import numpy as np
import pytest
from compiling import AS_COMMANDS

from envs import make
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.machine import devices, flags
from experiments.lab.recording import checkpoints
from experiments.lab.running import runner
from experiments.lab.running.lanes import Work

SMALL = {
    "reinforce": {"num_envs": 2, "hidden_sizes": (16,)},
    "a2c": {"num_envs": 3, "hidden_sizes": (16,)},
    "ppo": {"num_envs": 2, "num_steps": 16, "hidden_sizes": (16,)},
    "trpo": {"num_envs": 2, "num_steps": 32, "hidden_sizes": (16,)},
    "dqn": {"num_envs": 3, "warmup_steps": 60, "buffer_size": 200, "hidden_sizes": (16,)},
    "pgql": {"num_envs": 3, "warmup_steps": 60, "buffer_size": 200, "hidden_sizes": (16,)},
}
REPORTED = ("loss", "value_loss", "explained_variance")
LIMIT = 20  # of CartPole's episodes, so that REINFORCE's rollouts are short
STEPS = 800
compile_programs = runner.compile_programs
compiled = {}


@pytest.fixture(autouse=True)
def programs_are_compiled_once(monkeypatch):
    """Keeps compiled programs from run to run, as the compilation cache does: most of the time here is compiling."""

    def compile_once(env, algorithm, hparams, lanes, width, *rest):
        key = (algorithm.step.__module__, len(lanes), width)
        if key not in compiled:
            compiled[key] = compile_programs(env, algorithm, hparams, lanes, width, *rest)
        return compiled[key]

    monkeypatch.setattr(runner, "compile_programs", compile_once)
    ours = flags.options("cpu")
    monkeypatch.setattr(flags, "options", lambda platform="cpu": ours | AS_COMMANDS)  # else the width decides more bits


def events_of(name, seeds, width=1, restore=runner.nothing_saved):
    """Yields what happens in a short run."""
    algorithm, _ = ALGORITHMS[name]
    contender = Contender(name, algorithm, algorithm.Config(**SMALL[name]), algorithm.HParams(total_steps=STEPS))
    task = Task("CartPole-v1", (contender,), {"max_steps_in_episode": LIMIT})
    experiment = Experiment((task,), tuple(seeds), STEPS, evaluations=3, eval_episodes=4, width=width)
    return runner.run(experiment, restore=restore)


def outcome(name, seeds, width=1):
    """Returns ({(seed, env_steps, metric): value}, final parameters [seeds, ...]) of a short run."""
    return found(list(events_of(name, seeds, width)))


def found(events):
    return rows_of(events), events[-1].acting["params"]


def rows_of(events):
    return {row[:3]: row[3] for event in events if isinstance(event, runner.Evaluated) for row in event.rows}


def assert_same_seed(one, index_in_one, other, index_in_other, seed):
    """The seed's curve and final parameters are bitwise equal in two outcomes."""
    curve, params = one
    other_curve, other_params = other
    assert {key: value for key, value in curve.items() if key[0] == seed} == {
        key: value for key, value in other_curve.items() if key[0] == seed
    }
    for leaf, other_leaf in zip(jax.tree.leaves(params), jax.tree.leaves(other_params)):
        np.testing.assert_array_equal(leaf[index_in_one], other_leaf[index_in_other])


def on_cores(count, monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: count)


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_alone_has_the_bits_it_has_among_four_and_among_ten_and_on_one_two_or_four_cores(name, monkeypatch):
    on_cores(4, monkeypatch)
    ten_on_four = outcome(name, range(10))
    assert_same_seed(outcome(name, [3]), 0, ten_on_four, 3, seed=3)
    assert_same_seed(outcome(name, [7, 9, 3, 0]), 2, ten_on_four, 3, seed=3)
    for cores in (1, 2):
        on_cores(cores, monkeypatch)
        fewer = outcome(name, range(10))
        for seed in range(10):
            assert_same_seed(fewer, seed, ten_on_four, seed, seed)


def test_at_width_three_a_seed_has_the_same_bits_at_any_place_in_its_block():
    assert_same_seed(outcome("ppo", [3], width=3), 0, outcome("ppo", [5, 1, 2, 0, 3], width=3), 4, seed=3)


def test_a_seed_of_ppo_learns_the_same_bits_and_has_the_same_returns_at_width_one_and_at_width_three():
    """But for the last bits of REPORTED, of which nothing is learned: XLA adds up a loss in an order of its own."""
    alone, among_three = (
        ({key: value for key, value in curve.items() if key[2] not in REPORTED}, params)
        for curve, params in (outcome("ppo", [3]), outcome("ppo", [5, 3, 1], width=3))
    )
    assert_same_seed(alone, 0, among_three, 1, seed=3)


def test_where_the_host_cuts_the_run_changes_no_bit(monkeypatch):
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 0.0)
    one_update_at_a_time = outcome("ppo", [0])
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 1e9)
    assert_same_seed(one_update_at_a_time, 0, outcome("ppo", [0]), 0, seed=0)


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_which_core_computes_a_block_changes_no_bit_though_each_is_taken_by_another_at_every_piece(name, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 0.0)
    on_cores(2, monkeypatch)
    kept, moves = outcome(name, [4, 1, 0]), []

    def anothers(work, lane):
        free = [block for block in range(len(work.home)) if work.left(block) and block not in work.in_hand.values()]
        chosen = max(free, key=lambda block: work.home[block] != lane, default=None)
        moves.append(chosen is not None and work.home[chosen] != lane)
        return chosen

    monkeypatch.setattr(Work, "_choice", anothers)
    moved = outcome(name, [4, 1, 0])
    assert sum(moves) > 10
    for index, seed in enumerate([4, 1, 0]):
        assert_same_seed(kept, index, moved, index, seed)


def test_different_seeds_have_different_bits():
    _, params = outcome("ppo", [0, 1])
    assert any(np.any(leaf[0] != leaf[1]) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("name", SMALL)
def test_a_run_that_goes_on_from_a_checkpoint_on_fewer_cores_has_the_bits_of_one_never_cut(name, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 0.0)
    on_cores(2, monkeypatch)
    before, saved = [], None
    for event in events_of(name, [4, 1, 0]):
        before.append(event)
        if isinstance(event, runner.Progress) and event.share > 0.5:
            saved = checkpoints.save(tmp_path, event.task, event.family, event.position) | {"run_seconds": 1000.0}
            break
    on_cores(1, monkeypatch)
    after = list(events_of(name, [4, 1, 0], restore=lambda _, __, blocks: checkpoints.restore(tmp_path, saved, blocks)))
    whole = outcome(name, [4, 1, 0])
    assert 1000.0 < after[-1].run_seconds < 1600.0
    assert 0 < len(rows_of(before)) < len(whole[0])
    for index, seed in enumerate([4, 1, 0]):
        assert_same_seed((rows_of(before) | found(after)[0], found(after)[1]), index, whole, index, seed)


def test_no_compiled_program_calls_lapack():
    for name in SMALL:
        outcome(name, [0])
    texts = [program.as_text() for lanes in compiled.values() for program in lanes[0] if program]
    assert {module for module, _, _ in compiled} == {f"algos.{name}" for name in SMALL}
    assert not any(re.search("custom-call.*lapack", text) for text in texts)


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_training_overwrites_its_state_so_that_more_seeds_need_memory_for_their_states_alone(name):
    outcome(name, [0])
    programs = next(lanes[0] for (module, _, _), lanes in compiled.items() if module == f"algos.{name}")
    contender = next(events_of(name, [0])).family[0]
    state = jax.eval_shape(contender.make(make("CartPole-v1")).init, jax.random.key(0), contender.hparams)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert programs.advance.memory_analysis().alias_size_in_bytes >= size


def test_ten_seeds_of_ppo_keep_no_more_than_1_3_times_their_states_alive():
    before, most = alive(), 0
    for event in events_of("ppo", range(10)):
        if isinstance(event, runner.Progress):
            states = sum(leaf.nbytes for leaf in jax.tree.leaves(event.position.blocks))
            most = max(most, (alive() - before) / states)
    assert 0.9 < most < 1.3


def alive() -> int:
    """Returns the bytes of the arrays that the process holds on to."""
    gc.collect()
    return sum(array.nbytes for device in devices.lanes(10) for array in device.client.live_arrays())
