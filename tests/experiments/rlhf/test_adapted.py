"""Trained layers of a pretrained model, on the small file of `test_smollm2.py`."""

import functools
import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from experiments.rlhf import adapted, corpus, dense, opinions, pairs, reading, smollm2
from experiments.rlhf.settings import Sizes
from experiments.rlhf.stages import pretrained
from experiments.rlhf.stages.stage import Interrupted
from tests.experiments.rlhf import small_run
from tests.experiments.rlhf.test_smollm2 import WIDTH, small  # noqa: F401

TEXTS = ("the other one", "a the", "It's 12 o'clock", " the")


@pytest.fixture(scope="module")
def reader(small):  # noqa: F811
    """Gives the reader at the last layer, in float32."""
    return adapted.lower(smollm2.load(small, rounded=False))


def head_of(rng):
    return dense.Head(rng.normal(size=2 * WIDTH), rng.uniform(0.5, 2.0, 2 * WIDTH), rng.normal(size=2 * WIDTH))


def moved(learned, rng):
    """Returns the same with every number moved, B's zeros too."""
    return jax.tree.map(lambda x: x + 0.1 * jnp.asarray(rng.normal(size=x.shape), jnp.float32), learned)


def test_an_adapter_is_what_its_product_added_to_the_matrix_is(reader):
    rng, head = np.random.default_rng(0), head_of(np.random.default_rng(1))
    learned = moved(adapted.begin(reader, head, 1, 0).learned, rng)
    assert set(learned.adapters) == {"attention_0", "mlp_0"}
    added = {**reader.params}
    for part, matrices in learned.adapters.items():
        added[part] = {
            name: {"kernel": added[part][name]["kernel"] + own["narrow"] @ own["wide"]}
            for name, own in matrices.items()
        }
    nothing = learned.replace(adapters={})
    scores = adapted.scoring(reader, head)(learned, TEXTS)
    np.testing.assert_allclose(
        scores, adapted.scoring(reader._replace(params=added), head)(nothing, TEXTS), rtol=1e-3, atol=1e-3
    )
    assert np.ptp(scores - adapted.scoring(reader, head)(nothing, TEXTS)) > 0.01


def test_training_begins_at_the_head_on_the_model_as_it_is(reader):
    head = head_of(np.random.default_rng(0))
    whole = reader._replace(layers=(1, 0))
    features = smollm2.reading(whole)(TEXTS).features
    assert adapted.own_features(whole, features).shape == (len(TEXTS), 2 * WIDTH)
    scores = adapted.scoring(reader, head)(adapted.begin(reader, head, 1, 0).learned, TEXTS)
    np.testing.assert_allclose(scores, head.score(adapted.own_features(whole, features)), rtol=1e-3, atol=1e-3)


def test_the_loss_is_that_of_all_pairs_and_all_raters(reader):
    rng = np.random.default_rng(0)
    rated = corpus.read_ratings(corpus.HUMAN_SENTIMENT)
    said, part = opinions.of_ratings(rated), np.arange(4, 9)
    head = head_of(rng)
    blocks = adapted.blocks(reader, rated.texts, part, said, 2, 0)
    assert len(blocks.tokens) == 2  # all five in one block, in two orders
    learned = moved(adapted.begin(reader, head, 1, 0).learned, rng)
    scores = dict(zip(part, adapted.scoring(reader, head)(learned, [rated.texts[index] for index in part])))
    expected = []
    for one, other in itertools.permutations(part, 2):
        difference = scores[one] - scores[other]
        for first, second in itertools.product(rated.ratings[one], rated.ratings[other]):
            label = (np.sign(first - second) + 1.0) / 2.0
            nll = -label * np.log(expit(difference)) - (1.0 - label) * np.log(expit(-difference))
            expected.append(nll / len(rated.ratings[one]) / len(rated.ratings[other]))
    loss = jax.jit(functools.partial(adapted.loss, reader, head))
    for block in (adapted.Blocks(*one) for one in zip(*blocks)):
        np.testing.assert_allclose(loss(learned, reader.params, block), sum(expected) / 20.0, rtol=1e-3)


def read_in(reader, block):
    """Returns the texts of a block in their order, empty places as they are."""
    suffix = len(reader.tokeniser.encode(reader.suffix))
    rows = (block.tokens[row][block.mask[row] == 1 + place] for row, place in zip(block.row, block.number))
    return [reader.tokeniser.decode(row[1:-suffix]) for row in rows]


def test_every_block_has_the_labels_of_its_own_texts_and_an_epoch_every_text(reader):
    ratings = [np.array([number, 20]) for number in range(40)]
    texts = [f"the other number {number}" for number in range(40)]
    said = opinions.of_ratings(reading.Rated(tuple(texts), tuple(ratings)))
    blocks, seen = adapted.blocks(reader, texts, np.arange(5, 40), said, 1, 0), []
    assert len(blocks.tokens) > 1
    for block in (adapted.Blocks(*one) for one in zip(*blocks)):
        there = block.counted.any(axis=1)
        own = [texts.index(text) for text in np.array(read_in(reader, block))[there]]
        np.testing.assert_allclose(block.label[there][:, there], pairs.preferred([ratings[i] for i in own]))
        np.testing.assert_array_equal(block.counted[there][:, there], 1.0 - np.eye(len(own)))
        seen += own
    assert sorted(seen) == list(range(5, 40)) and seen != sorted(seen)


def test_of_preferences_partners_alone_are_compared_and_stay_together(reader):
    texts = [f"the other number {number}" for number in range(100)]
    blocks = adapted.blocks(reader, texts, np.arange(20, 100), opinions.of_preferences(), 1, 0)
    assert len(blocks.tokens) > 2 and blocks.counted.sum() >= 80 - 2 * len(blocks.tokens)
    for block in (adapted.Blocks(*one) for one in zip(*blocks)):
        own = read_in(reader, block)
        for one, other in np.argwhere(block.counted):
            first, second = texts.index(own[one]), texts.index(own[other])
            assert first // 2 == second // 2 and first != second
            assert block.label[one, other] == (first % 2 == 0)


def test_what_is_to_be_expected_of_a_pair_is_the_mean_over_raters():
    ratings = [np.array([1, 2, 2]), np.array([2, 3]), np.array([-1])]
    label = pairs.preferred(ratings)
    assert label[0, 1] == pytest.approx((0 + 2 * 0.5) / 6) and label[1, 0] == pytest.approx(1.0 - label[0, 1])
    assert label[0, 2] == 1.0 and label[2, 1] == 0.0


@pytest.fixture
def sentences(small, tmp_path, monkeypatch):  # noqa: F811
    """Gives the sizes and texts of a stage that is soon made."""
    monkeypatch.setattr(smollm2, "file", lambda: small)
    monkeypatch.setattr(pretrained, "PAIRS", 500)
    monkeypatch.setattr(pretrained, "LOOKS", 1)
    monkeypatch.setattr(adapted, "LEARNING_RATE", 3e-3)
    sizes = small_run.SIZES
    return sizes, corpus.read(sizes, small_run.write_ratings(tmp_path / "ratings.tsv"))


@pytest.mark.slow
def test_the_stage_trains_layers_and_one_that_was_killed_has_the_same_bits(sentences, tmp_path, monkeypatch):
    sizes, texts = sentences
    sizes = Sizes(**{**vars(sizes), "smollm2_layers": 1, "smollm2_epochs": 4})
    whole = pretrained.stage(tmp_path / "whole", texts, sizes)
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == [
        "adapted.npz", "head.npz", "read.npz", "stage.json", "words.npz",
    ]  # fmt: skip
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        small_run.stopping_after(patch, 3)
        pretrained.stage(tmp_path / "killed", texts, sizes)
    assert (tmp_path / "killed" / "checkpoint.npz").exists()
    monkeypatch.setattr(smollm2, "reading", None)  # what was read is not read again
    again = pretrained.stage(tmp_path / "killed", texts, sizes)
    assert again.mark == whole.mark
    assert {**again.figures, "seconds": 0} == {**whole.figures, "seconds": 0}
    held_out = texts.split.held_out
    rewards = np.array(pretrained.scorer(tmp_path / "killed")(texts.of(held_out)))
    assert texts.opinions.accuracy(held_out, rewards) == pytest.approx(again.figures["pair_accuracy"], abs=0.01)
    assert again.figures["layers"]["pair_accuracy"] > again.figures["frozen"]["pair_accuracy"]


class Ordered:
    """People of whom each prefers the higher of numbers: a score's accuracy is how many pairs it orders as they lie."""

    @staticmethod
    def accuracy(part, scores):
        return np.mean([scores[one] < scores[other] for one, other in itertools.combinations(range(len(part)), 2)])


def test_the_share_of_words_is_the_one_that_orders_validation_pairs_best():
    split = SimpleNamespace(validation=np.arange(4), held_out=np.arange(2))
    layers, words = np.array([0.0, 10.0, 5.0, 30.0]), np.array([0.0, 0.01, 0.02, 0.01])
    found = pretrained.figures_of(
        Ordered, split, {"validation": (layers, words), "held_out": (np.array([1.0, 2.0]), np.array([0.0, -9.0]))}
    )
    summed = pretrained.Sum(**found["sum"])
    assert summed.share == 0.25  # the least of those tried with which the second falls behind the third
    np.testing.assert_allclose(summed.of(layers, words), 0.75 * layers / np.std(layers) + 0.25 * words / np.std(words))
    assert found["validation_pair_accuracy"] == 1.0 > found["layers"]["validation_pair_accuracy"] == 5 / 6
    of_held_out = [one["pair_accuracy"] for one in (found, found["layers"], found["words"])]
    assert of_held_out == [0.0, 1.0, 0.0]


def test_without_layers_to_train_there_is_the_head_alone(sentences, tmp_path):
    sizes, texts = sentences
    done = pretrained.stage(tmp_path / "stage", texts, Sizes(**{**vars(sizes), "smollm2_layers": 0}))
    assert not (tmp_path / "stage" / "adapted.npz").exists() and "frozen" not in done.figures
