"""Saved policies: what is loaded acts as what was trained, and what cannot be loaded is said in one line."""

import dataclasses
from itertools import count

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import Discrete, Env, TimeStep
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.definition.sweeps.points import grid
from experiments.lab.recording import difference, policies, trees
from experiments.lab.recording.manifest import write_manifest
from experiments.lab.recording.run_folder import policy_file

SEEDS = (2, 5, 9)
STEPS = 100_000


def invented(environment: str, name: str, num_seeds: int = len(SEEDS)):
    """Returns (algorithm, train state [seeds, ...]) with random numbers in every leaf that acting reads."""
    made = contender(name, environment, STEPS)
    algorithm = made.make(envs.make(environment))
    state = jax.eval_shape(algorithm.init, jax.random.key(0), made.hparams)
    random = np.random.default_rng(0)

    def fill(leaf):
        return random.uniform(0.1, 1.0, (num_seeds, *leaf.shape)).astype(leaf.dtype) - 0.5 * (leaf.ndim == 2)

    parts = {
        part: jax.tree.map(fill, getattr(state, part)) for part in ("params", "normalizer") if hasattr(state, part)
    }
    return algorithm, state.replace(**parts)


def run_folder(folder, environment: str, names, fields=None):
    """Writes the manifest of a run of those algorithms."""
    contenders = tuple(contender(name, environment, STEPS) for name in names)
    experiment = Experiment((Task(environment, contenders, fields or {}),), SEEDS, STEPS)
    write_manifest(folder, experiment, "python -m experiments.compare")
    return folder


def observations(environment: str, number: int) -> np.ndarray:
    shape = envs.make(environment).observation_shape
    return np.random.default_rng(1).normal(size=(number, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("environment", "name"),
    [("CartPole-v1", "reinforce"), ("CartPole-v1", "dqn"), ("CartPole-v1", "pgql"), ("Pendulum-v1", "trpo")],
)
def test_a_loaded_policy_acts_bit_for_bit_as_the_trained_state_does(environment, name, tmp_path):
    algorithm, state = invented(environment, name)
    run_folder(tmp_path, environment, [name])
    policies.save(tmp_path, environment, name, SEEDS, policies.acting(state))
    key, actions = jax.random.key(0), []
    for row, seed in list(enumerate(SEEDS))[1:]:
        act = policies.load(tmp_path, environment, name, seed)
        parts = {part: jax.tree.map(lambda x, row=row: x[row], getattr(state, part)) for part in policies.acting(state)}
        alone = state.replace(**parts)
        for observation in observations(environment, 8):
            action = act(key, observation)
            assert np.array_equal(action, algorithm.act(alone, key, observation, False))
            assert np.array_equal(action, act(jax.random.key(1), observation))
            actions.append(np.asarray(action).ravel())
    assert len(np.unique(np.concatenate(actions))) > 1


def test_the_normaliser_that_was_saved_changes_what_a_policy_does(tmp_path):
    _, state = invented("Pendulum-v1", "trpo")
    run_folder(tmp_path, "Pendulum-v1", ["trpo"])
    observation, actions = observations("Pendulum-v1", 1)[0], []
    for shift in (0.0, 1.0):
        moments = state.normalizer.observation
        moved = state.normalizer.replace(observation=moments.replace(mean=moments.mean + shift))
        policies.save(tmp_path, "Pendulum-v1", "trpo", SEEDS, policies.acting(state.replace(normalizer=moved)))
        actions.append(policies.load(tmp_path, "Pendulum-v1", "trpo", 5)(jax.random.key(0), observation))
    assert not np.array_equal(*actions)


def test_a_file_names_its_arrays_by_their_place_and_leaves_no_other_file(tmp_path):
    _, state = invented("CartPole-v1", "ppo")
    path = policies.save(tmp_path, "CartPole-v1", "ppo", SEEDS, policies.acting(state))
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()] == [
        "policies/CartPole-v1/ppo.npz"
    ]
    with np.load(path) as file:
        assert file["seeds"].tolist() == list(SEEDS)
        params, name = state.params, ""
        while isinstance(params, dict):
            name, params = name + f"['{min(params)}']", params[min(params)]
        assert np.array_equal(file["['params']" + name], params)


def test_any_names_of_contenders_give_files_of_their_own_inside_the_folder(tmp_path):
    names = ["ppo-0.5", "ppo/0.5", "ppo_0.5", "ppo%2F0.5", "../ppo", "..", "my_losses.py:spo", "ppo 1e-3"]
    names += [f"ppo {'é' * 200} learning_rate={rate}" for rate in (0.1, 0.2)]  # a file's name has 255 bytes at most
    paths = [policies.save(tmp_path, "CartPole-v1", name, SEEDS, {"params": np.zeros((3, 1))}) for name in names]
    assert {path.parent for path in paths} == {tmp_path / "policies" / "CartPole-v1"}
    assert len(set(paths)) == len(names) and all(path.is_file() for path in paths)
    assert policy_file(tmp_path, "..", "ppo").resolve().parents[1] == (tmp_path / "policies").resolve()
    assert max(len(path.name) for path in paths) < 143 - len(".partial")  # of an encrypted home


def test_long_names_lose_nothing_to_readers_of_the_folder(tmp_path):
    ppo = contender("ppo", "CartPole-v1", 1000)
    swept = (
        "learning_rate",
        "gamma",
        "gae_lambda",
        "clip",
        "value_clip",
        "value_coef",
        "entropy_coef",
        "max_grad_norm",
    )
    points = grid(ppo, **{field: (0.123456, 0.654321) for field in swept})[:2]
    experiment = Experiment((Task("CartPole-v1", points),), SEEDS, 1000)
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        write_manifest(folder, experiment, "")
        for shift, point in enumerate(points):
            _, state = invented("CartPole-v1", "ppo")
            parts = jax.tree.map(lambda x, by=shift: x + by, policies.acting(state))
            policies.save(folder, "CartPole-v1", point.name, SEEDS, parts)
        rows = [f"CartPole-v1,{point.name},2,0,evaluation_return,1.0\n" for point in points]
        (folder / "curves.csv").write_text("environment,algorithm,seed,env_steps,metric,value\n" + "".join(rows))
    names = [point.name for point in points]
    assert min(map(len, names)) > 150
    assert policies.saved(tmp_path / "one", experiment) == {"CartPole-v1": names}
    observation = observations("CartPole-v1", 1)[0]
    for name in names:
        policies.load(tmp_path / "one", "CartPole-v1", name, 5)(jax.random.key(0), observation)
    assert {bits.name: bits.parameters for bits in difference.bits(*folders)} == dict.fromkeys(names, "same")


def broken_folder(folder, fault: str):
    """Returns a run folder with ppo on CartPole-v1 that has the fault."""
    _, state = invented("CartPole-v1", "ppo")
    parts = policies.acting(state)
    if fault == "not finite":
        jax.tree.leaves(parts["params"])[0][1] = np.nan
    if fault == "leaf missing":
        del parts["normalizer"]
        parts["params"] = {"params": dict(list(parts["params"]["params"].items())[1:])}
    if fault == "other shape":
        parts = jax.tree.map(lambda x: x[..., None], parts)
    path = policies.save(run_folder(folder, "CartPole-v1", ["ppo"]), "CartPole-v1", "ppo", SEEDS, parts)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if fault == "empty":
        path.write_bytes(b"")
    if fault == "altered":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    if fault == "absent":
        path.unlink()
    return folder


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut", ["ppo.npz", "cannot be read"]),
        ("empty", ["ppo.npz", "cannot be read"]),
        ("altered", ["ppo.npz", "cannot be read"]),
        ("absent", ["no saved policies", "ppo.npz"]),
        ("not finite", ["diverged", "seed 5"]),
        ("leaf missing", ["does not fit ppo", "differs"]),
        ("other shape", ["does not fit ppo", "differs"]),
    ],
)
def test_a_policy_that_cannot_be_used_gets_one_line(fault, words, tmp_path):
    with pytest.raises(ValueError) as caught:
        policies.load(broken_folder(tmp_path, fault), "CartPole-v1", "ppo", 5)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "name", "seed", "there"),
    [
        ("CartPole-v1", "sac", 5, "ppo on CartPole-v1"),
        ("Acrobot-v1", "ppo", 5, "ppo on CartPole-v1"),
        ("CartPole-v1", "ppo", 3, "2, 5, 9"),
    ],
)
def test_what_was_not_trained_gets_a_list_of_what_was(environment, name, seed, there, tmp_path):
    with pytest.raises(ValueError, match=there):
        policies.load(broken_folder(tmp_path, "none"), environment, name, seed)


def test_an_episode_is_the_one_that_gymnasium_plays_from_the_same_state():
    env = envs.make("CartPole-v1")
    episode = policies.player(env, lambda key, observation: jnp.int32(1))(jax.random.key(3), 1000)
    other = gymnasium.make("CartPole-v1").unwrapped
    other.reset()
    other.state = episode.observations[0].astype(np.float64)
    for step in count(1):
        observation, _, ended, _, _ = other.step(1)
        np.testing.assert_allclose(episode.observations[step], observation, rtol=1e-4, atol=1e-5)
        assert episode.states[step].x == episode.observations[step][0]
        if ended:
            break
    assert episode.ended and episode.rewards.tolist() == [1.0] * step
    assert len(episode.states) == len(episode.observations) == step + 1


def test_an_episode_that_is_cut_has_not_ended():
    play = policies.player(envs.make("CartPole-v1"), lambda key, observation: jnp.int32(1))
    assert len(play(jax.random.key(3), 4).rewards) == 4 and not play(jax.random.key(3), 4).ended
    assert len(play(jax.random.key(3), 0).states) == 1


def test_the_key_alone_decides_where_two_policies_begin():
    env = envs.make("Pendulum-v1")
    one, other = (policies.player(env, lambda key, observation, u=u: jnp.full(1, u)) for u in (-9.0, 2.0))
    first, second = one(jax.random.key(1), 3), other(jax.random.key(1), 3)
    assert np.array_equal(first.observations[0], second.observations[0])
    assert not np.array_equal(first.observations[1], second.observations[1])
    assert not np.array_equal(first.observations[0], one(jax.random.key(2), 1).observations[0])


def test_an_action_beyond_its_bounds_is_played_as_the_nearest_within_them():
    env = envs.make("Swimmer-misc")  # velocities grow by 0.05 of the action, which it does not clip itself
    episode = policies.player(env, lambda key, observation: jnp.array([9.0, -0.5]))(jax.random.key(0), 1)
    np.testing.assert_allclose(episode.states[1].xy_vel, [0.05, -0.025], rtol=1e-6)


def test_an_action_is_played_in_units_of_its_bounds():
    env = envs.make("PointRobot-misc")  # moves by its action, which lies within 0.1
    episode = policies.player(env, lambda key, observation: jnp.array([0.5, -9.0]))(jax.random.key(0), 1)
    np.testing.assert_allclose(episode.states[1].pos - episode.states[0].pos, [0.05, -0.1], rtol=1e-6)


def test_a_contender_with_other_settings_does_not_take_the_policy():
    _, state = invented("CartPole-v1", "ppo")
    row = {name: leaf[0] for name, leaf in trees.named(policies.acting(state)).items()}
    made = contender("ppo", "CartPole-v1", STEPS)
    wider = dataclasses.replace(made, config=dataclasses.replace(made.config, hidden_sizes=(65, 64)))
    policies.rebuild(made, envs.make("CartPole-v1"), row)
    with pytest.raises(ValueError, match="does not fit"):
        policies.rebuild(wider, envs.make("CartPole-v1"), row)


def test_arrays_are_found_by_their_names_in_whatever_order_they_lie():
    _, state = invented("CartPole-v1", "dqn")
    row = {name: leaf[0] for name, leaf in trees.named(policies.acting(state)).items()}
    made, env = contender("dqn", "CartPole-v1", STEPS), envs.make("CartPole-v1")
    found = [policies.rebuild(made, env, dict(arrays)) for arrays in (row.items(), reversed(row.items()))]
    one, other = (
        [algorithm.act(state, jax.random.key(0), x, False) for x in observations("CartPole-v1", 8)]
        for algorithm, state in found
    )
    assert np.array_equal(one, other)


def test_an_episode_ends_at_the_limit_also_where_the_environment_never_ends_it():
    def step(key, state, action):
        return state, TimeStep(jnp.zeros(1), 1.0, False, False)

    env = Env("endless", lambda key: (jnp.int32(0), jnp.zeros(1)), step, (1,), Discrete(2), 4)
    episode = policies.player(env, lambda key, observation: jnp.int32(0))(jax.random.key(0), 1000)
    assert len(episode.rewards) == 4 and episode.ended
