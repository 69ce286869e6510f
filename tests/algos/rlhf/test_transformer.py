"""The transformer: what a token may see, where it stands, its memory, its heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.rlhf import transformer
from algos.rlhf.attention import attention, positions, rotated, rotations, visible
from algos.rlhf.language_model import LanguageModel
from algos.rlhf.transformer import Config

VOCABULARY, PAD = 11, 0
SMALL = Config(VOCABULARY, width=16, layers=2, heads=4, key_value_heads=2)
LENGTHS, WIDTH = (3, 8, 5), 15


def compiled(config: Config) -> tuple[LanguageModel, dict]:
    """Returns the model with compiled functions, and parameters of which the value's are not 0."""
    model = transformer.make(config)
    params = jax.jit(model.init)(jax.random.key(0))
    params["value"]["kernel"] = jax.random.normal(jax.random.key(1), params["value"]["kernel"].shape)
    apply, step = jax.jit(model.apply), jax.jit(model.step)
    return model._replace(apply=apply, step=step, start=jax.jit(model.start, static_argnums=3)), params


@pytest.fixture(scope="module")
def small():
    return compiled(SMALL)


@pytest.fixture(scope="module")
def texts():
    """Texts of three lengths, without padding."""
    random = np.random.default_rng(0)
    return [random.integers(1, VOCABULARY, length) for length in LENGTHS]


def padded(texts, left: int, width: int):
    """Returns (tokens, mask) of width columns; the texts begin at column `left` at the latest, or end at the last."""
    tokens, mask = np.full((len(texts), width), PAD), np.zeros((len(texts), width), np.float32)
    for row, text in enumerate(texts):
        first = min(left, width - len(text))
        tokens[row, first : first + len(text)], mask[row, first : first + len(text)] = text, 1.0
    return jnp.asarray(tokens), jnp.asarray(mask)


def close(found, expected, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), found, expected)


def of_real_tokens(output, mask):
    """Returns each text's outputs at its tokens, in order: what padding must leave alone."""
    return [jax.tree.map(lambda x, row=row: x[row][np.asarray(mask[row]) > 0], output) for row in range(len(mask))]


def test_what_is_said_at_a_token_depends_on_no_later_token(small):
    model, params = small
    tokens = jax.random.randint(jax.random.key(2), (1, 8), 1, VOCABULARY)
    mask = jnp.ones((1, 8))
    before = model.apply(params, tokens, mask)
    for place in range(1, 8):
        after = model.apply(params, tokens.at[0, place].set(tokens[0, place] % (VOCABULARY - 1) + 1), mask)
        same = jax.tree.map(lambda a, b: np.all(a == b, axis=tuple(range(2, a.ndim)))[0], before, after)
        for part in same:
            assert np.all(part[:place]) and not np.any(part[place:])


@pytest.mark.parametrize("left", [1, 4, 99])
def test_padding_before_and_after_changes_nothing(small, texts, left):
    model, params = small
    tokens, mask = padded(texts, left, WIDTH)
    found = of_real_tokens(model.apply(params, tokens, mask), mask)
    tokens, mask = padded(texts, 0, WIDTH)
    close(found, of_real_tokens(model.apply(params, tokens, mask), mask))


def test_what_stands_in_the_padding_changes_nothing(small, texts):
    model, params = small
    tokens, mask = padded(texts, 3, WIDTH)
    noise = jax.random.randint(jax.random.key(3), tokens.shape, 0, VOCABULARY)
    other = model.apply(params, jnp.where(mask > 0, tokens, noise), mask)
    close(of_real_tokens(model.apply(params, tokens, mask), mask), of_real_tokens(other, mask), atol=0.0)


@pytest.mark.parametrize(
    "form", [{}, {"positions": "learned", "longest": 20, "norm": "layer", "mlp": "gelu", "bias": True}]
)
def test_the_memory_gives_what_a_full_pass_gives_after_prompts_of_unlike_lengths(small, texts, form):
    model, params = compiled(Config(**vars(SMALL) | form)) if form else small
    prompts, prompt_mask = padded(texts, 99, 9)
    answers = jax.random.randint(jax.random.key(4), (3, 6), 1, VOCABULARY)
    full = model.apply(
        params, jnp.concatenate([prompts, answers], axis=1), jnp.concatenate([prompt_mask, jnp.ones((3, 6))], axis=1)
    )
    memory, output = model.start(params, prompts, prompt_mask, 6)
    for place in range(6):
        close(output, jax.tree.map(lambda x, place=place: x[:, 8 + place], full))
        memory, output = model.step(params, memory, answers[:, place])
    close(output, jax.tree.map(lambda x: x[:, -1], full))


def test_packed_texts_are_read_as_if_alone(small, texts):
    model, params = small
    tokens, mask = (
        jnp.concatenate([jnp.asarray(text) for text in texts])[None],
        np.repeat([1.0, 2.0, 3.0], LENGTHS)[None],
    )
    packed = model.apply(params, tokens, jnp.asarray(mask))
    separate = of_real_tokens(model.apply(params, *padded(texts, 0, WIDTH)), padded(texts, 0, WIDTH)[1])
    for number, alone in enumerate(separate):
        close(jax.tree.map(lambda x, n=number: x[0][mask[0] == n + 1], packed), alone)


def test_positions_count_the_real_tokens_of_a_text():
    masks = [[0, 0, 1, 1, 1, 0], [1, 1, 0, 1, 1, 0], [1, 1, 2, 2, 2, 3], [0, 1, 2, 2, 0, 0]]
    expected = [[0, 1, 2], [0, 1, 2, 3], [0, 1, 0, 1, 2, 0], [0, 0, 1]]
    found = positions(jnp.array(masks, jnp.float32))
    for row, mask, places in zip(found, masks, expected):
        assert row[np.array(mask) > 0].tolist() == places
        assert np.all(row >= 0)


def test_a_token_sees_the_real_tokens_of_its_text_up_to_itself():
    masks = np.random.default_rng(0).integers(0, 3, (5, 7))
    found = visible(jnp.asarray(np.sort(masks), jnp.float32))
    for row, mask in zip(found, np.sort(masks)):
        for a in range(7):
            for b in range(7):
                assert row[a, b] == (b <= a and mask[a] == mask[b] and mask[b] > 0)


def test_rotary_positions_turn_pairs_as_complex_numbers_do():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 8)).astype(np.float32)
    place = np.array([[0, 1, 2, 3, 4], [0, 0, 7, 8, 9]])
    pairs = x[..., :4] + 1j * x[..., 4:]
    for i in range(4):
        pairs[..., i] *= np.exp(1j * place[:, :, None] * 100.0 ** (-2 * i / 8))
    expected = np.concatenate([pairs.real, pairs.imag], axis=-1)
    np.testing.assert_allclose(rotated(x, rotations(jnp.asarray(place), 8, 100.0)), expected, atol=1e-5)


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_attention_is_that_of_jax(shared):
    keys = jax.random.split(jax.random.key(0), 3)
    query, key, value = (jax.random.normal(k, (3, 6, n, 8)) for k, n in zip(keys, (4, shared, shared)))
    sees = visible(jnp.array([[1.0] * 6, [0, 0, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2]]))
    expected = jax.nn.dot_product_attention(query, key, value, mask=sees[:, None])
    real = np.any(sees, axis=2)
    read = attention(query, key.swapaxes(1, 2), value.swapaxes(1, 2), sees)
    np.testing.assert_allclose(read[real], expected[real], atol=1e-6)


def test_the_gradient_is_finite_where_padding_sees_nothing(small, texts):
    model, params = small
    tokens, mask = padded(texts, 4, WIDTH)
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(model.apply(params, tokens, mask).score * mask)))(params)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


def test_the_value_is_0_at_first_and_the_score_of_the_deviation_asked_for():
    model = transformer.make(Config(VOCABULARY, width=512, layers=1, heads=1, hidden=8))
    init = jax.jit(model.init)
    kernels = jnp.concatenate([init(jax.random.key(seed))["score"]["kernel"] for seed in range(8)])
    params = init(jax.random.key(0))
    output = jax.jit(model.apply)(params, jnp.ones((1, 4), jnp.int32), jnp.ones((1, 4)))
    assert not np.any(output.value) and not np.any(params["score"]["bias"]) and np.all(output.score != 0.0)
    # 4096 normal numbers: their deviation is known to 1.1%, and 4 times that is allowed.
    assert np.std(kernels) == pytest.approx(513**-0.5, rel=0.045)


def test_what_never_follows_has_probability_0():
    model, params = compiled(Config(**vars(SMALL) | {"never": (0, 3)}))
    probability = jax.nn.softmax(model.apply(params, jnp.ones((1, 4), jnp.int32), jnp.ones((1, 4))).logits)
    assert not np.any(probability[..., [0, 3]]) and np.all(np.delete(probability, [0, 3], axis=-1) > 0.0)


def test_dropout_drops_the_share_it_is_given_and_keeps_the_mean():
    x, rate = jnp.ones((1000, 64)), 0.3
    dropped, _ = transformer._dropped(x, (jax.random.key(0), rate))
    used = round(rate * 256) / 256
    kept = np.asarray(dropped) > 0.0
    assert abs(np.mean(~kept) - used) < 4 * np.sqrt(used * (1 - used) / x.size)
    np.testing.assert_allclose(dropped[kept], 1 / (1 - used), rtol=1e-6)
    # Units that share a random word are no more alike than others.
    assert abs(np.corrcoef(kept[:, ::4].ravel(), kept[:, 1::4].ravel())[0, 1]) < 4 / np.sqrt(kept.size / 4)


def test_a_rate_that_rounds_to_1_leaves_some_units():
    dropped, _ = transformer._dropped(jnp.ones((1000, 64)), (jax.random.key(0), 0.999))
    assert np.all(np.isfinite(dropped)) and np.mean(np.asarray(dropped) > 0.0) == pytest.approx(1 / 256, rel=0.3)


def test_rows_that_learned_positions_do_not_reach_are_refused():
    config = transformer.Config(8, width=8, layers=1, heads=2, positions="learned", longest=6)
    model = transformer.make(config)
    params = jax.eval_shape(model.init, jax.random.key(0))
    tokens, mask = jnp.zeros((1, 7), jnp.int32), jnp.ones((1, 7))
    with pytest.raises(ValueError, match="rows of 7 tokens are longer than the learned positions reach, longest=6"):
        jax.eval_shape(model.apply, params, tokens, mask)
    with pytest.raises(ValueError, match="rows of 7 tokens"):
        jax.eval_shape(lambda *given: model.start(*given, room=3), params, tokens[:, :4], mask[:, :4])
    jax.eval_shape(model.apply, params, tokens[:, :6], mask[:, :6])


def test_dropout_is_there_only_where_it_is_asked_for(small):
    model, params = small
    tokens, mask = jnp.arange(8)[None], jnp.ones((1, 8))
    read = jax.jit(lambda key, rate: transformer.make(SMALL).apply(params, tokens, mask, dropout=(key, rate)).logits)
    plain = model.apply(params, tokens, mask).logits
    close(read(jax.random.key(0), 0.0), plain, atol=1e-6)
    with_dropout = read(jax.random.key(0), 0.5)
    assert np.all(with_dropout == read(jax.random.key(0), 0.5)) and np.any(with_dropout != read(jax.random.key(1), 0.5))
    assert np.any(np.abs(with_dropout - plain) > 1e-3)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"width": 18}, "multiple of 4 . heads = 16"),
        ({"key_value_heads": 3}, "must divide heads=4"),
        ({"mlp": "relu"}, "swiglu, gelu, got 'relu'"),
        ({"positions": "learned"}, "need it"),
        ({"longest": 9}, "need it"),
        ({"layers": 0}, "layers must be a positive integer"),
        ({"never": (11,)}, "0 to 10"),
    ],
)
def test_an_impossible_transformer_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        transformer.make(Config(**vars(SMALL) | fields))
