"""Sampling against all answers enumerated, and against full passes of the transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bigrams import bigrams, probabilities
from scipy import stats

from algos.rlhf import transformer
from algos.rlhf.sampling import first_greatest, log_probs, sample

PAD, END, LENGTH = 5, 1, 3
MANY = 20_000
MODEL = bigrams(4)
PARAMS = MODEL.init(jax.random.key(0))


@pytest.fixture(scope="module")
def drawn():
    return jax.jit(
        lambda key, temperature, prompts: sample(
            MODEL, PARAMS, key, prompts, length=LENGTH, end=END, pad=PAD, temperature=temperature
        )
    )


def test_the_greatest_is_the_first_among_equals():
    x = np.array([[1.0, 3.0, 3.0, -np.inf], [-np.inf] * 4, [2.0, -1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]], np.float32)
    found = first_greatest(jnp.asarray(x))
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, np.argmax(x, axis=1))


@pytest.fixture(scope="module")
def language():
    """A transformer, its parameters and its compiled sampler."""
    config = transformer.Config(7, width=16, layers=2, heads=2, never=(0,))
    model = transformer.make(config)
    params = jax.tree.map(lambda x: 3.0 * x, model.init(jax.random.key(0)))
    params["value"]["kernel"] = jnp.full((16, 1), 0.1)

    draw = jax.jit(
        lambda key, prompts, temperature: sample(
            model, params, key, prompts, length=6, end=1, pad=0, temperature=temperature
        )
    )
    return model, params, lambda key, prompts, temperature=1.0: draw(key, prompts, temperature)


PROMPTS = jnp.array([[0, 0, 2, 3], [2, 3, 4, 5], [0, 2, 6, 2], [0, 0, 0, 2], [0, 2, 2, 2]])


def answers_of(found):
    return [
        tuple(row[: int(size)].tolist()) for row, size in zip(found.tokens[:, -LENGTH:], found.answer_mask.sum(axis=1))
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_answers_come_with_their_probabilities_at_the_temperature(drawn, temperature):
    found = drawn(jax.random.key(1), temperature, jnp.full((MANY, 1), 2))
    expected = probabilities(PARAMS["logits"], 2, END, LENGTH, temperature)
    answers = answers_of(found)
    counts = np.array([answers.count(answer) for answer in expected])
    assert counts.sum() == MANY
    often = np.array(list(expected.values())) * MANY
    assert stats.chisquare(counts, often * MANY / often.sum()).pvalue > 1e-3
    exact = np.log([expected[answer] for answer in answers])
    np.testing.assert_allclose(found.log_prob.sum(axis=1), exact, atol=1e-4)


def test_after_the_end_token_there_is_padding_and_the_end_token_counts(drawn):
    found = jax.tree.map(np.asarray, drawn(jax.random.key(1), 1.0, jnp.full((200, 1), 2)))
    for row in range(200):
        text = found.tokens[row, 1:].tolist()
        size = text.index(END) + 1 if END in text else LENGTH
        assert text[size:] == [PAD] * (LENGTH - size) and PAD not in text[:size]
        assert found.answer_mask[row].tolist() == [1.0] * size + [0.0] * (LENGTH - size)
        assert np.all(found.log_prob[row, :size] < 0.0)
        assert not np.any(found.log_prob[row, size:]) and not np.any(found.value[row, size:])
        before = [2, *text[: size - 1]]
        np.testing.assert_array_equal(found.value[row, :size], PARAMS["value"][np.array(before)])
    np.testing.assert_array_equal(found.mask, np.concatenate([np.ones((200, 1)), found.answer_mask], axis=1))
    assert {1, 2, 3} == set(found.answer_mask.sum(axis=1).astype(int).tolist())


def test_a_full_pass_gives_the_log_probabilities_and_values_of_the_sampler(language):
    model, params, draw = language
    found = draw(jax.random.key(2), PROMPTS, 0.7)
    policy, value = jax.jit(lambda: log_probs(model, params, found.tokens, found.mask, 6, 0.7))()
    real = np.asarray(found.answer_mask) > 0
    assert 0.5 < real.mean() < 1.0  # some answers end early, so that there is something to see
    np.testing.assert_allclose(policy.log_prob(found.tokens[:, -6:])[real], found.log_prob[real], atol=1e-5)
    np.testing.assert_allclose(value[real], found.value[real], atol=1e-5)


def test_greedy_is_the_argmax_of_full_passes(language):
    model, params, draw = language
    found = draw(jax.random.key(2), PROMPTS, 0.0)
    apply = jax.jit(model.apply)
    tokens, mask = np.concatenate([PROMPTS, np.zeros((5, 6), int)], axis=1), np.zeros((5, 10), np.float32)
    mask[:, :4] = np.asarray(PROMPTS) != 0
    alive = np.ones(5, bool)
    for column in range(4, 10):
        best = np.argmax(apply(params, tokens, mask).logits[:, column - 1], axis=1)
        tokens[:, column], mask[:, column] = np.where(alive, best, 0), alive
        alive &= best != 1
    np.testing.assert_array_equal(found.tokens, tokens)
    np.testing.assert_array_equal(draw(jax.random.key(3), PROMPTS, 0.0).tokens, tokens)


def test_a_rows_answer_is_the_same_bits_whatever_its_neighbours_and_however_many(language):
    _, _, draw = language
    all_five = draw(jax.random.key(4), PROMPTS)
    others = draw(jax.random.key(4), PROMPTS.at[2:].set(PROMPTS[1]))
    two = draw(jax.random.key(4), PROMPTS[:2])
    for other in (others, two):
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:2], b[:2]), all_five, other)


def test_a_row_alone_is_its_row_among_others_to_rounding(language):
    _, _, draw = language
    together, alone = draw(jax.random.key(4), PROMPTS), draw(jax.random.key(4), PROMPTS[:1])
    np.testing.assert_array_equal(together.tokens[:1], alone.tokens)
    np.testing.assert_allclose(together.log_prob[:1], alone.log_prob, atol=1e-5)


def test_rows_keys_and_seeds_draw_differently_and_one_key_the_same(language):
    _, _, draw = language
    same_prompt = jnp.broadcast_to(PROMPTS[1], (5, 4))
    first, again, other = (draw(jax.random.key(seed), same_prompt).tokens for seed in (5, 5, 6))
    assert np.all(first == again) and np.mean(np.any(first != other, axis=1)) > 0.5
    assert len({tuple(row.tolist()) for row in first}) > 3


def test_an_answer_may_be_one_token_long():
    one = jax.jit(lambda: sample(MODEL, PARAMS, jax.random.key(0), jnp.full((9, 1), 2), length=1, end=END, pad=PAD))()
    assert one.tokens.shape == (9, 2) and np.all(one.answer_mask == 1.0)
