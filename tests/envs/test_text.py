"""Language tasks as environments, on a model that is a few lines of its own."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos import a2c
from envs import text, vectorize


class Model(NamedTuple):
    vocabulary: int


PAD, END, LENGTH = 5, 4, 3
PROMPTS = np.array([[5, 0], [1, 4]], np.int32)  # the second has the end's token in it


def weighed(tokens, mask, answer_mask):
    """Returns sum over the answer of token * place, less a tenth of the prompt's sum."""
    xp = jnp if isinstance(tokens, jax.Array) else np
    answer = xp.sum(tokens[:, 2:] * answer_mask * xp.arange(1, LENGTH + 1), axis=1)
    return answer - 0.1 * xp.sum(tokens[:, :2] * mask[:, :2], axis=1)


FACTS = text.Text(5, PAD, END, PROMPTS, LENGTH, Model(5), {}, weighed)
ENV = text.env("weighed", FACTS)


def played(env, actions, seed=0):
    state, observation = env.reset(jax.random.key(seed))
    steps = []
    for action in actions:
        state, step = env.step(jax.random.key(1), state, jnp.int32(action))
        steps.append(step)
    return observation, steps


@pytest.mark.parametrize(("actions", "last"), [([2, 4], 1), ([4], 0), ([1, 0, 3], 2), ([0, 0, 4], 2)])
def test_the_reward_comes_once_with_the_end_or_the_last_token_of_the_budget(actions, last):
    seen = set()
    for seed in (0, 1, 2):
        observation, steps = played(ENV, actions, seed)
        prompt = observation[:2].tolist()
        seen.add(tuple(prompt))
        answer = sum(token * (place + 1) for place, token in enumerate(actions))
        expected = answer - 0.1 * sum(token for token in prompt if token != PAD)
        assert [bool(step.terminated) for step in steps] == [place == last for place in range(len(actions))]
        assert not any(bool(step.truncated) for step in steps)
        assert [float(step.reward) for step in steps[:-1]] == [0.0] * last
        assert float(steps[-1].reward) == pytest.approx(expected, abs=1e-6)
        assert steps[-1].reward.dtype == jnp.float32
        written = prompt + actions + [PAD] * (LENGTH - len(actions))
        assert steps[-1].observation.tolist() == written
    assert seen == {(5, 0), (1, 4)}


def test_a_reward_function_of_numpy_arrays_is_the_same_when_compiled_and_batched():
    calls = []

    def on_arrays(tokens, mask, answer_mask):
        assert all(type(x) is np.ndarray and x.ndim == 2 for x in (tokens, mask, answer_mask))
        calls.append(len(tokens))
        return weighed(tokens, mask, answer_mask).astype(np.float64)

    hosted = text.env("hosted", FACTS._replace(reward=text.on_host(on_arrays)))
    for env in (ENV, hosted):
        total = jax.jit(lambda env=env: jnp.stack([x.reward for x in played(env, [2, 4])[1]]))()
        np.testing.assert_allclose(total, [0.0, 10.0 - 0.1 * int(played(env, [])[0][1] == 4) * 5], atol=1e-6)
    vector = vectorize(hosted, 7)
    state = vector.reset(jax.random.key(2))
    step = jax.jit(vector.step)(state, jax.tree.map(lambda x: x[0], vector.draw(jax.random.key(3), 1)), jnp.full(7, 4))
    expected = weighed(
        np.asarray(step[1].observation), np.asarray(step[1].observation) != PAD, np.tile([1.0, 0, 0], (7, 1))
    )
    np.testing.assert_allclose(step[1].reward, expected, atol=1e-6)
    assert calls[-1] == 7


def test_any_algorithm_of_the_spine_runs_on_it_and_episodes_are_answers():
    algorithm = a2c.make(ENV, a2c.Config(num_envs=4, num_steps=9, hidden_sizes=(4,)))
    hparams = a2c.HParams()
    state, told = jax.jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams))(jax.random.key(0))
    assert told["episode_count"] >= 12 and told["episode_length_sum"] <= 36 and told["fault_count"] == 0
    assert ENV.max_steps == LENGTH and ENV.text is FACTS and ENV.observation_shape == (5,)
    assert np.isfinite(told["loss"])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"pad": 4}, "pad and end are one token, 4"),
        ({"end": 5, "pad": 6}, "end=5 must be a token of the vocabulary, 0 to 4"),
        ({"length": 0}, "length must be 1 or more, not 0"),
        ({"prompts": np.zeros((2, 2))}, r"prompts must be whole numbers \[N, P\], N of 1 or more, not float64"),
        ({"prompts": np.zeros((0, 2), int)}, "N of 1 or more"),
        ({"prompts": np.array([[0, 5]])}, "padded on the left, and each ends with a real token"),
        ({"prompts": np.array([[0, 5, 1]])}, "padded on the left"),
        ({"prompts": np.array([[5, 5]])}, "ends with a real token"),
        ({"prompts": np.array([[0, 7]])}, "a token outside the vocabulary, 0 to 4"),
        ({"reference": Model(9)}, "the reference has 9 tokens, the task 5"),
    ],
)
def test_facts_that_cannot_be_are_refused_in_one_line(facts, words):
    with pytest.raises(ValueError, match=words) as error:
        text.env("wrong", FACTS._replace(**facts))
    assert "\n" not in str(error.value)
