"""Supervised training against loops in NumPy, and on texts whose entropy is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bigrams import bigrams

from algos.rlhf import epochs, supervised, transformer
from algos.rlhf.supervised import Config, HParams, bits_per_character, learning_rate, pack

PAD, BEGIN, END = 0, 1, 2
nll = jax.jit(supervised.nll)


def random_texts(number=30, seed=0):
    random = np.random.default_rng(seed)
    return [[BEGIN, *random.integers(3, 9, random.integers(0, 9)), END] for _ in range(number)]


def test_the_likelihood_counts_every_token_of_a_text_but_its_first_in_a_loop():
    texts = random_texts()
    tokens, mask = pack(texts, 16, PAD)
    table = jax.random.normal(jax.random.key(0), (9, 9))
    found, counted = nll(table[tokens], jnp.asarray(tokens), jnp.asarray(mask))
    log_p = np.asarray(table, np.float64)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    expected = -sum(log_p[a, b] for text in texts for a, b in zip(text, text[1:]))
    assert counted.sum() == sum(len(text) - 1 for text in texts)
    np.testing.assert_allclose(jnp.sum(found * counted), expected, rtol=1e-5)


def test_padding_changes_no_likelihood():
    texts = random_texts(6)
    totals = []
    for width, left in ((10, 0), (14, 3)):
        tokens, mask = np.zeros((6, width), int), np.zeros((6, width))
        for row, text in enumerate(texts):
            tokens[row, left : left + len(text)], mask[row, left : left + len(text)] = text, 1.0
        found, counted = nll(jnp.arange(81.0).reshape(9, 9)[tokens] / 7, jnp.asarray(tokens), jnp.asarray(mask))
        totals.append((found * counted).sum(axis=1))
    np.testing.assert_allclose(*totals, rtol=1e-6)


def test_packing_keeps_every_text_whole_and_numbers_it():
    texts = random_texts()
    tokens, mask = pack(texts, 16, PAD)
    found = [
        tokens[row][mask[row] == number].tolist()
        for row in range(len(tokens))
        for number in range(1, int(mask[row].max()) + 1)
    ]
    assert sorted(found) == sorted([int(i) for i in text] for text in texts)
    assert np.all(tokens[mask == 0] == PAD) and len(tokens) < 0.7 * len(texts)
    assert all(np.all(np.diff(row[row > 0]) >= 0) for row in mask)


def test_a_text_longer_than_a_row_loses_its_end():
    tokens, mask = pack([[BEGIN, 3, 4, 5, END], [BEGIN, END]], 3, PAD)
    assert tokens.tolist() == [[BEGIN, 3, 4], [BEGIN, END, PAD]] and mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_bits_per_character_of_a_uniform_model_are_the_bits_of_its_tokens():
    # Two characters to a token, 8 tokens to choose from, and the end: 5 tokens of 3 bits for 8 characters.
    assert bits_per_character(5 * np.log(8.0), 8) == pytest.approx(15 / 8)


def test_an_epoch_meets_every_row_once_and_the_next_in_another_order():
    met = [epochs.rows(jax.random.key(0), update, 12, 4).tolist() for update in range(6)]
    assert sorted(sum(met[:3], [])) == sorted(sum(met[3:], [])) == list(range(12)) and met[:3] != met[3:]
    assert met[0] != epochs.rows(jax.random.key(1), 0, 12, 4).tolist()
    assert (
        len(set(epochs.rows(jax.random.key(0), 1, 11, 5).tolist() + epochs.rows(jax.random.key(0), 0, 11, 5).tolist()))
        == 10
    )


def test_the_learning_rate_is_optaxs_after_its_warm_up():
    hparams = HParams(learning_rate=0.3, warm_up=5.0, total_updates=20.0)
    rates = [float(learning_rate(hparams, update)) for update in range(25)]
    np.testing.assert_allclose(rates[:5], 0.3 * np.arange(1, 6) / 5, rtol=1e-6)
    schedule = optax.cosine_decay_schedule(0.3, 15)
    np.testing.assert_allclose(rates[5:], [schedule(update) for update in range(20)], atol=1e-7)


@pytest.fixture(scope="module")
def chain():
    """Texts of a Markov chain, and their exact entropy: the nats that the best model needs for each of its tokens."""
    random = np.random.default_rng(0)
    follows = random.dirichlet(np.ones(4), size=5)  # after begin, a, b, c: one of a, b, c, end

    def text():
        tokens, state = [BEGIN], 0
        while tokens[-1] != END:
            state = random.choice(4, p=follows[state]) + 1
            tokens.append(END if state == 4 else state + 2)
        return tokens

    texts = [text() for _ in range(2000)]
    number = {BEGIN: 0, 3: 1, 4: 2, 5: 3}
    place = {3: 0, 4: 1, 5: 2, END: 3}
    exact = -sum(np.log(follows[number[a], place[b]]) for t in texts for a, b in zip(t, t[1:]))
    return texts, exact / sum(len(t) - 1 for t in texts)


def trainer(training, updates):
    """Returns the compiled training: (seed, hparams) -> (first state, last state, metrics)."""

    def run(key, hparams):
        begun = training.init(key, hparams)
        return begun, *jax.lax.scan(lambda state, _: training.step(state, hparams), begun, None, length=updates)

    compiled = jax.jit(run)
    return lambda seed, hparams: compiled(jax.random.key(seed), hparams)


def with_dropout_ignored(model):
    return model._replace(apply=lambda params, tokens, mask, dropout=None: model.apply(params, tokens, mask))


def test_training_finds_the_entropy_of_a_markov_chain(chain):
    texts, entropy = chain
    tokens, mask = pack(texts, 24, PAD)
    model = with_dropout_ignored(bigrams(6))
    training = supervised.make(model, tokens, mask, Config(rows=64))
    hparams = HParams(learning_rate=0.1, warm_up=5.0, total_updates=300.0, weight_decay=0.0, average=0.0)
    _, state, metrics = trainer(training, 300)(0, hparams)
    found, counted = nll(model.apply(state.params, tokens, mask).logits, jnp.asarray(tokens), jnp.asarray(mask))
    reached = float(jnp.sum(found * counted) / jnp.sum(counted))
    assert entropy - 0.01 < reached < entropy + 0.003
    assert metrics["loss"][0] > 1.2 * entropy


@pytest.fixture(scope="module")
def small(chain):
    tokens, mask = pack(chain[0][:400], 24, PAD)
    model = transformer.make(transformer.Config(6, width=16, layers=1, heads=2))
    return trainer(supervised.make(model, tokens, mask, Config(rows=16)), 60)


def test_a_transformer_learns_and_its_average_follows(small):
    hparams = HParams(learning_rate=1e-2, warm_up=5.0, total_updates=60.0, average=0.9)
    begun, state, metrics = small(0, hparams)
    assert np.mean(metrics["loss"][-10:]) < 0.8 * metrics["loss"][0]
    apart = optax.tree.norm(jax.tree.map(jnp.subtract, state.params, state.average))
    assert 0.0 < apart < 0.2 * optax.tree.norm(state.params)
    # The heads that other stages train are as they were drawn, whatever decays: the value 0, the score of its deviation.
    for head in ("value", "score"):
        np.testing.assert_array_equal(begun.params[head]["kernel"], state.params[head]["kernel"])


def test_two_seeds_train_differently_and_one_the_same(small):
    hparams = HParams(total_updates=60.0)
    (_, one, _), (_, same, _), (_, other, _) = (small(seed, hparams) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(same.params)))
    assert np.any(one.params["embedding"] != other.params["embedding"])


def test_an_average_of_0_is_the_parameters_and_the_average_forgets_where_it_began():
    assert [float(supervised.averaged(0.99, update)) for update in (0, 10)] == [0.0, 0.5]
    assert supervised.averaged(0.0, 1000) == 0.0 and supervised.averaged(0.99, 1e6) == pytest.approx(0.99)


def test_parts_add_up_to_the_whole_however_unlike_their_targets_are(chain):
    """Rows of 2 and of 20 targets: a mean of the parts' means would weigh them alike."""
    texts = [text for text in chain[0] if len(text) in (3, 4)][:8] + [text for text in chain[0] if len(text) > 15][:8]
    tokens, mask = (np.zeros((16, 24), dtype) for dtype in (np.int32, np.float32))
    for row, text in enumerate(texts):
        tokens[row, : len(text[:24])], mask[row, : len(text[:24])] = text[:24], 1.0
    model, hparams = with_dropout_ignored(bigrams(6)), HParams()
    whole, halves = (supervised.make(model, tokens, mask, Config(16, parts)) for parts in (1, 4))
    begun = whole.init(jax.random.key(0), hparams)
    one, four = (jax.jit(training.step)(begun, hparams) for training in (whole, halves))
    counts = np.asarray(supervised.counted(jnp.asarray(mask)))
    found, _ = nll(model.apply(begun.params, tokens, mask).logits, jnp.asarray(tokens), jnp.asarray(mask))
    mean_nll = np.sum(np.asarray(found, np.float64) * counts) / counts.sum()
    for metrics in (one[1], four[1]):
        np.testing.assert_allclose(metrics["loss"], mean_nll, rtol=1e-5)
    np.testing.assert_allclose(four[1]["gradient_norm"], one[1]["gradient_norm"], rtol=1e-5)


def test_parts_have_their_own_dropout(chain):
    """The same row twice, in two parts: one key for both would drop the same."""
    tokens, mask = (np.tile(x[:1], (2, 1)) for x in pack(chain[0][:50], 24, PAD))
    model = transformer.make(transformer.Config(6, width=16, layers=1, heads=2))
    training, hparams = supervised.make(model, tokens, mask, Config(2, 2)), HParams(dropout=0.5)
    begun = training.init(jax.random.key(0), hparams)
    part = jax.jit(training.part)
    assert part(begun, hparams, 0).loss != part(begun, hparams, 1).loss


@pytest.mark.parametrize(
    "config, told", [(Config(rows=9), "rows=9 is more than the 3 rows"), (Config(3, 2), "parts=2 does")]
)
def test_more_rows_than_there_are_or_uneven_parts_are_refused(config, told):
    with pytest.raises(ValueError, match=told):
        supervised.make(bigrams(6), np.zeros((3, 4)), np.ones((3, 4)), config)
