"""The command that shows policies: the right panels and frames, and one line for what cannot be shown."""

import errno
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image, ImageColor

import envs
from experiments import watch
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.recording import policies
from experiments.lab.recording.files import write_json
from experiments.lab.recording.manifest import write_manifest
from experiments.lab.showing.drawing import DRAWINGS, shapes, side_by_side

SEEDS = (3, 5, 7)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of ppo and reinforce on CartPole-v1 with invented parameters, and of ppo on a bandit."""
    folder = tmp_path_factory.mktemp("run")
    cart = tuple(contender(name, "CartPole-v1", 1000) for name in ("ppo", "reinforce", "a2c"))
    bandit = (contender("ppo", "SimpleBandit-bsuite", 1000),)
    experiment = Experiment((Task("CartPole-v1", cart), Task("SimpleBandit-bsuite", bandit)), SEEDS, 1000)
    write_manifest(folder, experiment, "python -m experiments.compare")
    for environment, made in (*(("CartPole-v1", each) for each in cart[:2]), ("SimpleBandit-bsuite", bandit[0])):
        state = jax.eval_shape(made.make(envs.make(environment)).init, jax.random.key(0), made.hparams)
        random = np.random.default_rng(1)
        parts = jax.tree.map(lambda x, r=random: r.normal(size=(3, *x.shape)), policies.acting(state))
        parts = jax.tree.map(np.float32, parts)
        policies.save(folder, environment, made.name, SEEDS, parts)
    algorithms = {"ppo": {"iqm": 10.0}, "reinforce": {"iqm": 20.0}}
    write_json(folder / "summary.json", {"environments": {"CartPole-v1": {"algorithms": algorithms}}})
    return folder


@pytest.fixture(autouse=True)
def settings_of_this_process(monkeypatch):
    """The command's settings of XLA come too late here."""
    monkeypatch.setattr(watch.devices, "start", lambda: None)


def played(capsys, **arguments) -> tuple[Image.Image, list[str]]:
    """Returns the GIF that the command writes and the lines it prints."""
    assert watch.watch(watch.Args(**arguments)) == 0
    lines = capsys.readouterr().out.splitlines()
    return Image.open(lines[0].split(".gif:")[0] + ".gif"), lines


def test_seeds_are_shown_side_by_side_until_the_last_has_ended(run_folder, tmp_path, capsys):
    image, lines = played(capsys, folder=run_folder, algorithm="ppo", seed=("3", "5", "7"), out=tmp_path / "a.gif")
    assert [line.split(":")[0] for line in lines[1:]] == ["ppo, seed 3", "ppo, seed 5", "ppo, seed 7"]
    returns = [int(line.split("return ")[1]) for line in lines[1:]]
    assert image.n_frames == max(returns) + 1 and f"{image.n_frames} frames" in lines[0]
    assert len(set(returns)) > 1  # the policies differ
    orange = np.all(np.asarray(image.convert("RGB")) == ImageColor.getrgb(shapes.ORANGE), axis=-1)
    columns = np.flatnonzero(orange.any(axis=0))
    assert (np.diff(columns) > 50).sum() + 1 == 3  # poles
    durations = []
    for index in range(image.n_frames):
        image.seek(index)
        durations.append(image.info["duration"])
    assert durations == [20] * max(returns) + [1000]
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_all_panels_begin_in_one_state_and_an_ended_one_keeps_its_last(run_folder):
    args = watch.Args(run_folder, compare=("ppo", "reinforce"), seed=("3", "7"), episodes=2)
    choice = watch.chosen(args)
    episodes = watch.play(args, choice)
    assert len(episodes) == 2 and [len(panels) for panels in episodes] == [4, 4]
    firsts = [[panel.observations[0].tolist() for panel in panels] for panels in episodes]
    assert all(first == panels[0] for panels in firsts for first in panels) and firsts[0][0] != firsts[1][0]
    shortest = min(episodes[0], key=lambda panel: len(panel.states))
    assert side_by_side.state_at(shortest, 10_000)[0] is shortest.states[-1]
    assert side_by_side.state_at(shortest, 1)[0] is shortest.states[1]
    assert side_by_side.note(shortest, 1) == "return 1"
    assert side_by_side.note(shortest, 10_000) == f"return {len(shortest.rewards)}, ended"


def test_a_panel_shows_the_policy_it_names(run_folder):
    args = watch.Args(run_folder, compare=("reinforce", "ppo"), seed=("7", "3"))
    choice = watch.chosen(args)
    assert choice.panels == [("reinforce", 7), ("reinforce", 3), ("ppo", 7), ("ppo", 3)]
    (panels,) = watch.play(args, choice)
    key = jax.random.fold_in(jax.random.key(0), 0)
    for (name, seed), panel in zip(choice.panels, panels):
        act = policies.load(run_folder, "CartPole-v1", name, seed)
        alone = policies.player(envs.make("CartPole-v1"), act)(key, 1000)
        assert np.array_equal(alone.observations, panel.observations)


@pytest.mark.parametrize(
    ("value", "words"), [(500.0, "500"), (-162.934, "-162.93"), (-0.0001, "0"), (0.5, "0.50"), (100.0, "100")]
)
def test_a_return_is_written_with_two_decimals_or_none(value, words):
    assert side_by_side.number_of(value) == words


def test_the_gif_ends_at_the_frames_allowed(run_folder, tmp_path, capsys):
    path = tmp_path / "a.gif"
    image, lines = played(capsys, folder=run_folder, algorithm="ppo", episodes=3, max_frames=4, out=path)
    assert image.n_frames == 4 and lines[1] == "ppo, seed 3: return 3 so far"


def test_by_default_the_best_algorithm_acts_under_the_first_seed_in_the_first_environment(run_folder, capsys):
    image, lines = played(capsys, folder=run_folder, max_frames=2)
    path = run_folder / "watch-CartPole-v1-reinforce-seed3.gif"
    assert lines[0].startswith(f"{path}:") and image.n_frames == 2
    with pytest.raises(BadInput, match="exists; name another file with --out"):
        watch.watch(watch.Args(run_folder))
    path.unlink()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "dqn"}, ["dqn", "ppo, reinforce"]),
        ({"algorithm": "a2c"}, ["a2c", "ppo, reinforce"]),
        ({"compare": ("ppo", "sac")}, ["sac", "ppo, reinforce"]),
        ({"compare": ("ppo", "ppo")}, ["once", "ppo ppo"]),
        ({"compare": ("ppo", "reinforce"), "algorithm": "ppo"}, ["--algorithm", "--compare"]),
        ({"seed": ("4",)}, ["seed 4", "3, 5, 7"]),
        ({"seed": ("three",)}, ["seed three", "3, 5, 7"]),
        ({"seed": ("3", "3")}, ["once", "3 3"]),
        ({"environment": "Acrobot-v1"}, ["Acrobot-v1", "CartPole-v1, SimpleBandit-bsuite"]),
        ({"environment": "SimpleBandit-bsuite"}, ["cannot be drawn", *DRAWINGS]),
        ({"out": "x.mp4"}, ["x.mp4", ".gif"]),
        ({"out": "missing/x.gif"}, ["cannot write", "missing/x.gif"]),
    ],
)
def test_bad_input_gets_one_line_that_says_what_there_is(arguments, words, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "out" in arguments:
        arguments = {"out": watch.Path(arguments["out"])}
    with pytest.raises(BadInput) as caught:
        watch.watch(watch.Args(run_folder, **arguments))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_or_without_policies_gets_one_line(tmp_path, run_folder):
    for folder, words in ((tmp_path / "none", "no folder"), (tmp_path, "manifest.json")):
        with pytest.raises(BadInput, match=words):
            watch.watch(watch.Args(folder))
    (tmp_path / "manifest.json").write_bytes((run_folder / "manifest.json").read_bytes())
    with pytest.raises(BadInput, match="no saved policies"):
        watch.watch(watch.Args(tmp_path))


def test_a_disk_that_is_full_gets_one_line_and_keeps_no_part_of_the_gif(tmp_path):
    with (
        pytest.raises(BadInput, match="cannot write .*x.gif: No space left"),
        watch.new_file(tmp_path / "x.gif") as file,
    ):
        file.write_bytes(b"GIF")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_more_panels_than_can_be_seen_are_refused(run_folder, monkeypatch):
    monkeypatch.setattr(watch, "MOST_PANELS", 5)
    with pytest.raises(BadInput, match="2 algorithms and 3 seeds are more than 5 panels"):
        watch.chosen(watch.Args(run_folder, compare=("ppo", "reinforce"), seed=("3", "5", "7")))


def test_help_names_the_options_and_imports_no_jax():
    script = "import experiments.watch, sys; assert 'jax' not in sys.modules and 'PIL' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    done = subprocess.run([sys.executable, "-m", "experiments.watch", "--help"], capture_output=True, text=True)
    for option in ("DIR", "--algorithm", "--compare", "--environment", "--seed", "--episodes", "--out"):
        assert option in done.stdout
