"""Trained policies of a run folder, policies/<environment>/<contender>.npz: what acting reads, of every seed.

Each array is [seeds, ...] and named by its place in {"params": ..., "normalizer": ...}, as jax.tree_util.keystr writes
it; `seeds` says which row is whose.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from algos.core.types import Algorithm
from envs import Env
from envs.vector import own_ends
from experiments.lab.definition.experiment import Contender, Experiment
from experiments.lab.recording import trees
from experiments.lab.recording.files import write_whole
from experiments.lab.recording.manifest import read_experiment
from experiments.lab.recording.run_folder import policy_file

SEEDS = "seeds"
ACTING = ("params", "normalizer")  # the fields of a train state that a greedy action depends on
Act = Callable[[jax.Array, jax.Array], jax.Array]  # (key, observation) -> action, in the policy's units


class Episode(NamedTuple):
    """T steps: T + 1 states and observations, T rewards, and whether the episode ended with them."""

    states: list[Any]
    observations: list[np.ndarray]
    rewards: np.ndarray
    ended: bool


def acting(state) -> dict[str, Any]:
    """Returns the part of a train state that acting reads: its parameters, and its normaliser where it has one."""
    return {name: getattr(state, name) for name in ACTING if hasattr(state, name)}


def save(folder: Path, environment: str, name: str, seeds: Sequence[int], policies: dict[str, Any]) -> Path:
    """Writes one contender's policies, `acting` of train states with leaves [seeds, ...], and returns the path.

    In one move: readers see the old file or the new.
    """
    path = policy_file(folder, environment, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez(content, **{SEEDS: np.asarray(seeds, np.int64)}, **trees.named(policies))
    write_whole(path, content.getvalue())
    return path


def saved(folder: Path, experiment: Experiment) -> dict[str, list[str]]:
    """Returns the contenders with saved policies for each environment that has any."""
    found = {
        task.environment: [
            contender.name
            for contender in task.contenders
            if policy_file(folder, task.environment, contender.name).is_file()
        ]
        for task in experiment.tasks
    }
    return {environment: names for environment, names in found.items() if names}


def load(folder: Path, environment: str, name: str, seed: int) -> Act:
    """Returns (key, observation) -> the greedy action of the policy trained under the seed. Raises ValueError as `trained`."""
    algorithm, state, _ = trained(folder, environment, name, seed)

    def act(key, observation):
        return algorithm.act(state, key, observation, False)

    return act


def trained(folder: Path, environment: str, name: str, seed: int) -> tuple[Algorithm, Any, Contender]:
    """Returns the algorithm, what was kept of its state under the seed (shapes stand for the rest), and the contender.

    Raises ValueError, saying what there is, for what was not trained, and for a file that cannot be read or does not
    fit the contender.
    """
    experiment = read_experiment(folder)
    contenders = {(task.environment, each.name): (task, each) for task in experiment.tasks for each in task.contenders}
    if (environment, name) not in contenders:
        there = ", ".join(f"{contender} on {where}" for where, contender in contenders)
        raise ValueError(f"{folder} has no {name} on {environment}; it has: {there}")
    task, contender = contenders[environment, name]
    arrays = _read(policy_file(folder, environment, name))
    seeds = arrays.pop(SEEDS).tolist()
    if seed not in seeds:
        raise ValueError(f"{name} has no seed {seed} on {environment}; its seeds are: {', '.join(map(str, seeds))}")
    row = {leaf: array[seeds.index(seed)] for leaf, array in arrays.items()}
    diverged = [leaf for leaf, value in row.items() if leaf.startswith("['params']") and not np.isfinite(value).all()]
    if diverged:
        raise ValueError(f"{name} diverged under seed {seed}: its parameters are not finite")
    return *rebuild(contender, task.make(), row), contender


def rebuild(contender: Contender, env: Env, arrays: dict[str, np.ndarray]) -> tuple[Algorithm, Any]:
    """Returns the algorithm and its state with the arrays of one seed, by name. Raises ValueError where they do not fit."""
    algorithm = contender.make(env)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), contender.hparams)
    parts = acting(state)
    expected = {leaf: (value.shape, value.dtype) for leaf, value in trees.named(parts).items()}
    given = {leaf: (value.shape, value.dtype) for leaf, value in arrays.items()}
    if given != expected:
        odd = min(leaf for leaf in expected.keys() | given.keys() if expected.get(leaf) != given.get(leaf))
        raise ValueError(f"the saved policy does not fit {contender.name} as the manifest describes it: {odd} differs")
    leaves = [jax.numpy.asarray(arrays[leaf]) for leaf in expected]
    return algorithm, state.replace(**jax.tree.unflatten(jax.tree.structure(parts), leaves))


def player(env: Env, act: Act) -> Callable[[jax.Array, int], Episode]:
    """Returns (key, max_steps) -> one episode of the policy. The key alone decides what the environment does.

    With agents each acts by itself, a step's reward is the mean over them, and the episode ends when all have.
    """

    def chosen(key, observation):
        if env.agents is None:
            return act(key, observation)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jax.numpy.arange(env.agents))
        return jax.vmap(act)(keys, observation)

    @jax.jit
    def step(key, state, observation, gone):
        key_act, key_step = jax.random.split(key)
        state, reached = env.step(key_step, state, env.action.to_environment(chosen(key_act, observation)))
        return (state, reached, gone) if env.agents is None else (state, *own_ends(env, reached, gone, False))

    reset = jax.jit(env.reset)

    def play(key, max_steps: int) -> Episode:
        key_reset, key_steps = jax.random.split(key)
        state, observation = reset(key_reset)
        states, observations, rewards = [jax.device_get(state)], [np.asarray(observation)], []
        ended, gone = False, np.zeros(env.agents or 0, bool)
        while not ended and len(rewards) < max_steps:
            state, reached, gone = step(jax.random.fold_in(key_steps, len(rewards)), state, observation, gone)
            observation = reached.observation
            states.append(jax.device_get(state))
            observations.append(np.asarray(observation))
            rewards.append(float(np.mean(reached.reward)))
            over = bool(np.all(gone)) if env.agents else bool(reached.terminated | reached.truncated)
            ended = over or len(rewards) >= env.max_steps
        return Episode(states, observations, np.array(rewards), ended)

    return play


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            arrays = {leaf: file[leaf] for leaf in file.files}
    except FileNotFoundError:
        raise ValueError(f"there are no saved policies at {path}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if SEEDS not in arrays:
        raise ValueError(f"{path} cannot be read: it does not say which seeds it has")
    return arrays
