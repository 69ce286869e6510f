"""The benchmark beside peers: its pure parts, and how it talks to processes. Nothing here needs a network or a peer."""

import io
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import envs
from algos.core.networks import actor_critic
from experiments.benchmarks import (
    accelerator,
    accelerator_bits,
    accelerator_checks,
    accelerator_speed,
    busy,
    gymnax_side,
    our_side,
    peers,
    sides,
)
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.machine import devices, flags

SIDE = """
import sys
def make_round(workload, num_seeds, steps):
    print("compiling")
    if workload == "broken":
        sys.exit(3)
    rounds = iter(range(1, 10))
    return lambda: num_seeds * steps * next(rounds)
def facts():
    return {"argument": sys.argv[2]}
"""


def test_sides_alternate_and_the_first_round_of_each_is_not_counted():
    met = []

    def trainer(name):
        return lambda: met.append(name) or float(len(met))

    seconds = peers.take_turns({"ours": trainer("ours"), "peer": trainer("peer")}, rounds=2)
    assert met == ["ours", "peer"] * 3
    assert seconds == {"ours": [3.0, 5.0], "peer": [4.0, 6.0]}


def test_the_table_has_medians_their_spread_and_how_many_times_as_fast_ours_is():
    table = peers.speed_table("ppo", {peers.OURS: [300.0, 9_000.0, 200.0], "peer": [150.0, 100.0, 4_000.0]})
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    assert "300 │ 200 to 9,000" in text.getvalue() and "1.00" in text.getvalue()
    assert "150 │ 100 to 4,000" in text.getvalue() and "2.00" in text.getvalue()


@pytest.mark.parametrize(
    "bad", [{"algos": ("sac",)}, {"algos": ()}, {"rounds": 0}, {"steps": 10_239}, {"seeds": (0,)}, {"seeds": ()}]
)
def test_what_cannot_be_benchmarked_is_refused_in_one_line_that_says_what_can(bad, monkeypatch):
    monkeypatch.setattr(peers, "measure", None)  # what is not refused makes no environments
    with pytest.raises(SystemExit, match="give ppo, dqn, trpo, minatar") as refusal:
        peers.main(**bad)
    assert "\n" not in str(refusal.value)


def test_beside_busy_processes_a_side_has_a_share_of_its_quiet_speed_and_they_end_with_the_measurement(monkeypatch):
    shown = busy.table({0: {"a": [2.0, 1.0, 4.0]}, 2: {"a": [4.0]}}, 1000)
    assert [list(column.cells) for column in shown.columns] == [["a"], ["500"], ["250 (50%)"]]
    started, real = [], subprocess.Popen
    monkeypatch.setattr(
        busy.subprocess, "Popen", lambda *words, **more: started.append(real(*words, **more)) or started[-1]
    )
    with busy.others(2):
        assert [process.poll() for process in started] == [None, None]
    assert [process.poll() for process in started] == [-9, -9]
    with pytest.raises(SystemExit, match="at least one seed"):
        busy.main(seeds=0)


def test_without_a_checkout_purejaxrl_has_no_row_and_one_line_says_so(capsys):
    assert peers.purejaxrl_side(None) == ()
    assert capsys.readouterr().out.count("\n") == 1


def test_a_folder_that_is_no_checkout_is_refused_and_a_checkout_gives_a_row(tmp_path):
    with pytest.raises(SystemExit, match="has no purejaxrl/ppo.py"):
        peers.purejaxrl_side(tmp_path)
    (tmp_path / "purejaxrl").mkdir()
    (tmp_path / "purejaxrl" / "ppo.py").touch()
    assert peers.purejaxrl_side(tmp_path)[0].arguments == (str(tmp_path),)


def test_a_side_that_trains_one_seed_is_measured_once_and_stands_in_every_table(monkeypatch, capsys):
    asked = []

    def measure(due, workload, num_seeds, *_):
        asked.append((num_seeds, [side.name for side in due]))
        return {side.name: [1.0] for side in due}, {side.name: {"torch": side.name} for side in due}

    monkeypatch.setattr(peers, "measure", measure)
    peers.main(algos=("trpo",), seeds=(1, 10))
    assert asked == [(1, ["ours", "sb3-contrib, one seed"]), (10, ["ours"])]
    assert capsys.readouterr().out.count("sb3-contrib, one seed: torch") == 2


@pytest.fixture
def started(tmp_path):
    """Gives a peer's process that answers with made-up seconds."""
    (tmp_path / "side.py").write_text(SIDE)
    command = (sys.executable, "-I", str(sides.HERE / "serve.py"), str(tmp_path / "side.py"), "told")
    with ExitStack() as stack:
        yield sides.start(stack, command, os.environ)


def test_a_process_says_its_facts_and_answers_a_repeated_job_without_preparing_it_anew(started):
    assert started.facts == {"argument": "told"}
    assert [sides.one_round(started, ("ppo", 2, 10)) for _ in range(2)] == [20.0, 40.0]


def test_a_process_that_ends_is_an_error_with_its_status(started):
    with pytest.raises(RuntimeError, match="ended with status 3"):
        sides.one_round(started, ("broken", 1, 1))


def test_the_users_flags_reach_no_side_and_a_sides_own_hold_for_more_than_one_seed(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--user")
    plain = sides.Side("peer", "peer_side.py", ("ppo",), flags="--its-own")
    assert "XLA_FLAGS" not in sides.environment(plain, 1)
    assert sides.environment(plain, 2)["XLA_FLAGS"] == "--its-own"
    ours = sides.Side("peer", "peer_side.py", ("ppo",), our_flags=True)
    assert "xla_force_host_platform_device_count=1 --xla_cpu" in sides.environment(ours, 1)["XLA_FLAGS"]


def test_a_peer_is_put_by_pip_into_its_own_environment(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    python.chmod(0o755)
    assert sides.install(tmp_path, ("rejax==0.1.3", "gymnax<1")) == python
    assert (tmp_path / "said").read_text() == "-m pip install --quiet rejax==0.1.3 gymnax<1\n"


def test_every_workload_has_settings_sides_and_a_multiple_of_whole_updates():
    for workload in [name for names in peers.WORKLOADS.values() for name in names]:
        assert workload in peers.SETTINGS
        files = [side.file for side in peers.SIDES if workload in side.workloads]
        assert files[0] == "our_side.py" and len(files) > 1
        assert all((Path(sides.HERE) / file).exists() for file in files)
        _, config, _ = our_side.settings(workload, peers.STEPS_MULTIPLE)
        assert peers.STEPS_MULTIPLE % (getattr(config, "num_envs", 1) * config.num_steps) == 0


def test_the_environment_that_ours_is_evaluated_on_ends_at_its_first_step():
    env = our_side.over_at_once(envs.make("Catch-bsuite"))
    state, _ = env.reset(jax.random.key(0))
    assert env.step(jax.random.key(1), state, 1)[1].terminated


def test_the_usual_network_is_the_function_that_ours_is():
    env = envs.make("Breakout-MinAtar")
    ours, usual = actor_critic(env, (8,)), gymnax_side.usual_network(env, (8,))
    observation = jax.random.bernoulli(jax.random.key(0), 0.3, (2, 3, *env.observation_shape))
    params = ours.init(jax.random.key(1), observation)["params"]
    theirs = {"policy": params["policy"], "value": params["value"]}
    for index, tower in enumerate(("actor", "critic")):
        kernel, bias = params[tower]["Conv"]["kernel"], params[tower]["Conv"]["bias"]
        theirs[f"Conv_{index}"] = {"kernel": kernel.reshape(3, 3, -1, bias.size), "bias": bias}
        theirs[f"Dense_{index}"] = params[tower]["Dense_0"]
    (policy, value), (their_policy, their_value) = (
        network.apply({"params": chosen}, observation) for network, chosen in ((ours, params), (usual, theirs))
    )
    np.testing.assert_allclose(their_policy.logits, policy.logits, atol=1e-5)
    np.testing.assert_allclose(their_value, value, atol=1e-5)


def test_gymnaxs_own_step_shows_the_observation_reached_before_the_reset_and_counts_whole_episodes():
    vector = gymnax_side.gymnax_vector(envs.make("Catch-bsuite"), 3)

    @jax.jit
    def run(key):
        start = vector.reset(key)

        def one_step(state, _):
            state, reached, episode = vector.step(state, None, jnp.ones(3, jnp.int32))
            return state, (state.observation, reached, episode)

        return jax.lax.scan(one_step, start, None, 20)[1]

    observation, reached, episode = jax.device_get(run(jax.random.key(0)))
    ends = np.zeros((20, 3), bool)
    ends[8::9] = True  # the ball falls nine rows
    np.testing.assert_array_equal(episode.ended, ends)
    assert (episode.length[ends] == 9).all() and (np.abs(episode.episode_return[ends]) == 1.0).all()
    assert (observation[ends][:, 0].sum(1) == 1).all()  # a new ball, in the top row
    assert (reached.observation[ends][:, 0].sum(1) == 0).all()
    np.testing.assert_array_equal(observation[~ends], reached.observation[~ends])
    assert (observation[8] != observation[17]).any()  # each reset has randomness of its own


SHORT = accelerator_speed.Setting("q_learning", "FrozenLake-4x4", 2, (1, 3), num_steps=8)


def test_the_accelerators_benchmark_writes_every_row_of_its_three_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(accelerator_checks, "CHECKS", accelerator_checks.CHECKS[:4] + accelerator_checks.CHECKS[5:-1])
    monkeypatch.setattr(accelerator_speed, "QUICK_SETTINGS", (SHORT,))
    monkeypatch.setattr(devices, "cores", lambda: 1)  # blocks one after another, as on an accelerator
    monkeypatch.setattr(accelerator_bits, "compiled", lambda *_: (None, None))  # the slow test trains
    monkeypatch.setattr(accelerator_bits, "outcome", lambda programs, hparams, seeds, *_: np.array(seeds))
    monkeypatch.setattr(accelerator_bits, "digest", lambda *_: "ours")
    monkeypatch.setattr(accelerator_bits, "digest_of_another_process", lambda *_: "another")
    assert accelerator.main(accelerator.Args(algos=("a2c",), quick=True, out=tmp_path / "rows.json")) == 1
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    checks, (bits, process), speeds = ([row for row in rows if row["section"] == name] for name in accelerator.SECTIONS)
    assert len(checks) == 10 and all(row["right"] and row["error"] <= row["tolerance"] for row in checks)
    assert bits["right"] and bits["twice"] and bits["alone"] and bits["elsewhere"] and bits["cut"]
    assert process["right"] is False
    assert [(row["seeds"], row["blocks"]) for row in speeds] == [(1, 1), (3, 2)]
    for row in speeds:
        steps = row["seeds"] * row["updates"] * 8
        assert row["steps_per_second"] == pytest.approx(steps / row["steady_seconds"])
        assert row["slowest"] <= row["steps_per_second"] <= row["fastest"] and row["program_bytes"] > 0
    assert "a2c, in another process" in capsys.readouterr().out


@pytest.mark.slow
def test_every_row_of_the_accelerators_benchmark_is_right_on_a_cpu(tmp_path):
    assert accelerator.main(accelerator.Args(quick=True, out=tmp_path / "rows.json")) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows) == 12 + 7 + 1 + 2 and not any("failed" in row for row in rows)


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (
            "returns",
            "gae",
            lambda r, e, t, v, n, g, _: accelerator_checks.returns.lambda_returns(r, e, t, n, g, 0.9) - v,
        ),
        ("curvature", "conjugate_gradient", lambda product, b, most: (b, 0.0, 0)),
        ("replay", "add", lambda memory, items: memory.replace(data=memory.data.at[:7].set(items))),
    ],
)
def test_what_a_device_computes_wrongly_fails_its_check(module, name, wrong, monkeypatch):
    check = next(check for check in accelerator_checks.CHECKS if check.error.__name__ == f"{name}_error"
                 or name == "add" and check.error is accelerator_checks.replay_error)  # fmt: skip
    assert accelerator_checks.measured(check)["right"]
    monkeypatch.setattr(getattr(accelerator_checks, module), name, wrong)
    assert not accelerator_checks.measured(check)["right"]


@pytest.mark.parametrize("broken", ["twice", "alone", "elsewhere", "cut", "seeds differ", None])
def test_a_seed_whose_bits_change_is_told_by_how(broken, monkeypatch):
    calls = []

    def outcome(programs, hparams, seeds, cuts=(4,)):
        calls.append(seeds)
        found = np.asarray(seeds, np.float32)[:, None] + np.zeros(2, np.float32)
        case = {
            "twice": len(calls) == 2,
            "alone": len(set(seeds)) == 1,
            "elsewhere": seeds[0] > seeds[-1],
            "cut": len(cuts) > 1,
        }
        if broken == "seeds differ":
            return np.zeros_like(found)
        return np.nextafter(found, np.float32(99.0)) if case.get(broken) else found

    monkeypatch.setattr(accelerator_bits, "compiled", lambda *_: (None, None))
    monkeypatch.setattr(accelerator_bits, "outcome", outcome)
    row = accelerator_bits.measured("ppo", 4, {})
    told = [name for name in ("twice", "alone", "elsewhere", "cut", "seeds differ") if not row[name]]
    assert told == ([broken] if broken else []) and row["right"] == (broken is None)


def test_a_row_that_cannot_be_made_says_why_and_the_others_are_made(tmp_path, monkeypatch, capsys):
    def out_of_memory():
        raise RuntimeError("RESOURCE_EXHAUSTED: 99 GB\nmore")

    checks = accelerator_checks.CHECKS
    monkeypatch.setattr(accelerator_checks, "CHECKS", (checks[0]._replace(error=out_of_memory), checks[3]))
    args = accelerator.Args(sections=("checks",), quick=True, out=tmp_path / "rows.json")
    assert accelerator.main(args) == 1
    failed, made = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert failed["failed"] == "RuntimeError: RESOURCE_EXHAUSTED: 99 GB" and made["right"]


@pytest.fixture
def half_a_minute_a_row(monkeypatch):
    """Gives the benchmark a clock that moves by 30 seconds with each row, and the sections of the rows begun."""
    begun, add = [], accelerator.add
    monkeypatch.setattr(accelerator.time, "perf_counter", lambda: 30.0 * len(begun))
    monkeypatch.setattr(
        accelerator, "add", lambda report, section, *more: (begun.append(section), add(report, section, *more))
    )
    return begun


def test_when_the_budget_is_spent_no_row_is_begun_and_what_is_there_is_written(tmp_path, half_a_minute_a_row, capsys):
    args = accelerator.Args(sections=("checks",), quick=True, budget=40, out=tmp_path / "rows.json")
    assert accelerator.main(args) == 0
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == 2
    assert "rows left out after 40 seconds, --budget: 10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(1000, "checks checks bits bits speed speed"), (100, "checks bits speed speed")]
    + [(150, "checks checks bits speed speed bits")],
)
def test_a_section_that_takes_too_long_waits_until_the_next_ones_have_had_their_share(
    budget, expected, monkeypatch, half_a_minute_a_row
):
    def makers(section, args, quick):
        return [partial(dict, what=section, seeds=1)] * 2

    monkeypatch.setattr(accelerator, "makers", makers)
    accelerator.main(accelerator.Args(quick=True, budget=budget))
    assert half_a_minute_a_row == expected.split()


@pytest.mark.parametrize(
    "bad", [{"sections": ("speeds",)}, {"algos": ("sac",)}, {"algos": ()}, {"purejaxrl": Path("/nowhere")}]
)
def test_what_the_accelerators_benchmark_cannot_do_is_refused(bad):
    with pytest.raises(BadInput):
        accelerator.main(accelerator.Args(**bad))


def test_every_speed_has_settings_that_its_algorithm_takes_and_every_algorithm_has_its_bits_compared():
    assert set(accelerator.ALGORITHMS) == set(ALGORITHMS)
    for setting in accelerator_speed.SETTINGS:
        module, _ = ALGORITHMS[setting.algorithm]
        algorithm = module.make(envs.make(setting.environment), accelerator_speed.algorithm_config(setting))
        assert algorithm.steps_per_update >= (setting.num_envs or 1)


def test_a_lever_holds_while_programs_are_compiled_and_no_longer(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/x")
    with accelerator_speed.levers(accelerator_speed.NOT_DETERMINISTIC, "tensorfloat32"):
        assert flags.options("gpu") == {"xla_gpu_deterministic_ops": False} and flags.precision() == "tensorfloat32"
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=/x"
    assert flags.options("gpu") == flags.GPU_OPTIONS and flags.precision() == "float32"


def test_the_fastest_width_of_each_training_is_named_and_how_many_times_as_fast_it_is():
    def row(what, seeds, width, speed):
        return {"what": what, "seeds": seeds, "width": width, "steps_per_second": speed}

    rows = [row("ppo", 1, 1, 300.0), row("ppo", 1, 32, 100.0), row("ppo", 64, 32, 900.0), {"what": "dqn", "width": 3}]
    assert accelerator.best_widths(rows) == ["ppo, seeds 1: width 1 is fastest, times 3.00 of 32"]
