"""The returns that a run folder holds and ranks by, against its policies played in a plain Python loop."""

import jax
import killed_run
import numpy as np
import pytest

import envs
from experiments.lab.recording import policies, run_folder
from experiments.lab.running import launch
from experiments.lab.running.programs import BASE_SEED

TASK, SEEDS, EPISODES = killed_run.TASK, killed_run.EXPERIMENT.seeds, killed_run.EXPERIMENT.eval_episodes
POINT = killed_run.EXPERIMENT.evaluations  # the number of the last evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        killed_run.lighten(patch)
        assert launch.launch(killed_run.EXPERIMENT, path) == 0
    return run_folder.read(path)


def played(reset, step, act, key) -> list[float]:
    """Returns the returns of whole episodes under the keys that an evaluation uses."""
    key_reset, key_run = jax.random.split(key)
    returns = []
    for episode in range(EPISODES):
        state, observation = reset(jax.random.fold_in(key_reset, episode))
        rewards, ended = [], False
        while not ended:
            keys = jax.random.split(jax.random.fold_in(key_run, len(rewards)), (2, EPISODES))
            state, reached = step(keys[1, episode], state, act(keys[0, episode], observation))
            observation = reached.observation
            rewards.append(float(reached.reward))
            ended = bool(reached.terminated | reached.truncated)
        returns.append(sum(rewards))
    return returns


@pytest.mark.parametrize("name", [contender.name for contender in killed_run.CONTENDERS])
def test_the_final_return_of_every_seed_is_the_mean_over_whole_episodes_of_its_saved_policy(folder, name):
    env = envs.make(TASK.environment, **TASK.fields)
    reset, step, expected = jax.jit(env.reset), jax.jit(env.step), []
    for seed in SEEDS:
        act = jax.jit(policies.load(folder.path, TASK.environment, name, seed))
        _, key_eval = jax.random.split(jax.random.fold_in(jax.random.key(BASE_SEED), seed))
        expected.append(np.mean(played(reset, step, act, jax.random.fold_in(key_eval, POINT))))
    figures = folder.summary["environments"][TASK.environment]["algorithms"][name]
    assert len(set(expected)) > 1
    assert figures["final_values"] == expected
    curves = folder.curves[(folder.curves.algorithm == name) & (folder.curves.metric == "evaluation_return")]
    last = curves[curves.env_steps == figures["env_steps"]].set_index("seed").value
    assert [last[seed] for seed in SEEDS] == expected
    assert curves.groupby("seed").env_steps.max().eq(figures["env_steps"]).all()
