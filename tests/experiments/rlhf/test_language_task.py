"""The task and its judge, held against loops; what stages write and read back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos.rlhf import best_of_n, dpo, rloo, tokeniser
from envs.text import Text
from experiments.lab.recording import trees
from experiments.lab.running import programs
from experiments.lab.showing.drawing import texts
from experiments.rlhf import encoding, frontier, gold, kneser_ney, pairs, task, text_metrics, user_reward
from experiments.rlhf.reading import Rated
from experiments.rlhf.stages import comparisons, judges, supervised

ADDED, LENGTH, SETTINGS = 0.5, 5, {"vocabulary": 259, "width": 16, "layers": 1, "heads": 4}
TEXTS = ["a good film.", "bad", "so good, so good!", "not bad at all", "a dull plot"]
PIECES = tokeniser.in_bytes()
RATED = Rated(tuple(TEXTS), tuple(np.array(own) for own in ([2, 3], [-3, -2], [4, 3], [1, 1], [-2, -1])))


@pytest.fixture(scope="module")
def language():
    """The task on an untrained transformer, rewarded for length, and the judges of it."""
    model = supervised.model_from_nothing(SETTINGS)
    params = jax.jit(model.init)(jax.random.key(0))
    params = {**params, "embedding": params["embedding"].at[PIECES.end].multiply(60.0)}  # ends often, or seldom
    text = Text(
        vocabulary=259, pad=PIECES.pad, end=PIECES.end, prompts=np.full((1, 1), PIECES.begin, np.int32), length=LENGTH,
        reference=model, reference_params=params, reward=lambda tokens, mask, answer_mask: answer_mask.sum(axis=1),
    )  # fmt: skip
    judge = gold.fit(RATED, np.arange(len(TEXTS)))
    return envs.text.env("made", text), task.Judges(judge, kneser_ney.fit(TEXTS, 3), PIECES)


@pytest.fixture(scope="module")
def judged(language):
    """(policy's parameters) -> what the judge finds of 6 answers of a method whose choices add ADDED nats, and the answers."""
    env, who = language
    algorithm = rloo.make(env, rloo.Config(num_prompts=1, group=2))._replace(answer_kl=ADDED)
    state, prompts = algorithm.init(jax.random.key(1), rloo.HParams()), jnp.broadcast_to(env.text.prompts, (6, 1))

    @jax.jit
    def both(params):
        own, key = state.replace(params=params), jax.random.key(2)
        return task.measure(algorithm, env, own, key, {}, {}, 6), algorithm.answer(own, key, prompts)

    def found(params):
        measured, answers = both(params)
        return task.told(jax.device_get(measured), {}, {}, 6), answers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "load_judges", lambda *_: who)
        patch.setattr(task, "judged_prompts", lambda *_: env.text.prompts)
        assert "callback" not in str(jax.make_jaxpr(both)(env.text.reference_params))  # so that a cache finds it
        yield found


def kl_by_loops(env, params, answers):
    """Returns the sum over prefixes of sum_a pi log (pi / rho), [N], each prefix read by itself."""
    text, found = env.text, []
    apply = jax.jit(text.reference.apply)
    for row, real in zip(np.asarray(answers.tokens), np.asarray(answers.answer_mask)):
        total = 0.0
        for place in range(int(real.sum())):
            tokens, mask = np.full((1, 1 + LENGTH), text.pad), np.zeros((1, 1 + LENGTH), np.float32)
            tokens[0, : place + 1], mask[0, : place + 1] = row[: place + 1], 1.0
            logits = [
                np.asarray(apply(p, tokens, mask).logits[0, place], float) for p in (params, text.reference_params)
            ]
            log_pi, log_rho = (x - np.log(np.sum(np.exp(x - x.max()))) - x.max() for x in logits)
            total += float(np.sum(np.exp(log_pi) * (log_pi - log_rho)))
        found.append(total)
    return found


def test_the_judge_sums_the_exact_divergence_at_each_prefix_and_asks_the_judges_of_the_texts(language, judged):
    env, who = language
    moved = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(3), x.shape), env.text.reference_params)
    found, answers = judged(moved)
    np.testing.assert_allclose(found["kl_to_reference"] - ADDED, kl_by_loops(env, moved, answers), rtol=2e-4)
    assert np.mean(found["kl_to_reference"]) > ADDED + 0.1 and 0.0 < np.mean(found["end_share"]) < 1.0
    texts = [PIECES.decode(row) for row in np.asarray(answers.tokens)[:, 1:].tolist()]
    ended = [PIECES.end in row for row in np.asarray(answers.tokens)[:, 1:].tolist()]
    np.testing.assert_allclose(found["gold_reward"], who.gold.score(texts), rtol=1e-5)
    np.testing.assert_array_equal(found["characters"], [len(text) for text in texts])
    np.testing.assert_array_equal(found["end_share"], ended)
    np.testing.assert_array_equal(found["proxy_reward"], answers.answer_mask.sum(axis=1))
    assert "tokens" not in found
    np.testing.assert_allclose(found["fluency"], text_metrics.fluency(who.fluency, texts, np.array(ended)), rtol=1e-5)


def test_the_reference_is_at_divergence_0(language, judged):
    found, _ = judged(language[0].text.reference_params)
    np.testing.assert_allclose(found["kl_to_reference"], np.float32(ADDED), rtol=2e-6)  # rounding of two programs


def test_best_of_n_answers_with_the_best_of_n_and_says_what_that_may_cost(language):
    env, _ = language
    algorithm = best_of_n.make(env, best_of_n.Config(num_prompts=1, n=4))
    assert algorithm.answer_kl == pytest.approx(np.log(4) - 3 / 4)
    state = algorithm.init(jax.random.key(1), best_of_n.HParams())
    key, prompts = jax.random.key(2), jnp.broadcast_to(env.text.prompts, (6, 1))
    answered, drawn = jax.jit(
        lambda state: (
            algorithm.answer(state, key, prompts),
            best_of_n.draw(env.text, env.text.reference, state.params, key, prompts, 4, 1.0),
        )
    )(state)
    lengths = np.asarray(drawn[2]).reshape(6, 4)  # of all answers: what they are rewarded for
    assert answered.tokens.shape == (6, 1 + LENGTH) and np.ptp(lengths) > 0
    np.testing.assert_array_equal(np.asarray(answered.answer_mask).sum(axis=1), lengths.max(axis=1))


def test_dpo_learns_from_the_preferences_of_its_task(language):
    env, _ = language
    with pytest.raises(ValueError, match="made has no preferences to learn from"):
        dpo.make(env)
    asked = encoding.prompts(PIECES, ["", "?", "why"], 2)
    rows = encoding.rows(PIECES, ["ab", "c", "def"], LENGTH, asked)
    others = encoding.rows(PIECES, ["x", "y", "z"], LENGTH, asked)
    label = np.array([1.0, 0.5, 0.0, 1.0], np.float32)  # a fourth, of which there are no rows
    drawn = pairs.Pairs(np.array([0, 0, 0, 0]), np.array([1, 1, 1, 1]), label, 1 / 4)
    preferred = comparisons.preferred(comparisons.Compared(drawn, rows, others))
    told = [encoding.texts_of(PIECES, side.tokens[:, 3:]) for side in (preferred.chosen, preferred.rejected)]
    assert told == [["ab", "z"], ["x", "def"]]  # a tie is no preference
    np.testing.assert_array_equal(preferred.chosen_mask.sum(axis=1), [3, 2])
    np.testing.assert_array_equal(preferred.chosen.tokens[:, :3], asked[[0, 2]])
    env = env._replace(text=env.text._replace(preferences=preferred, prompts=asked[:1]))
    given = dpo.make(env, dpo.Config(batch_size=2), pairs=preferred)
    own = dpo.make(env, dpo.Config(batch_size=2))
    params = [jax.jit(x.step)(x.init(jax.random.key(0), dpo.HParams()), dpo.HParams())[0].params for x in (given, own)]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_texts_are_rows_that_are_cut_where_answers_are():
    rows = encoding.rows(PIECES, ["abc", "abcdefgh"], LENGTH)
    assert rows.tokens.shape == (2, 1 + LENGTH) and rows.tokens[0].tolist().count(PIECES.end) == 1
    assert encoding.texts_of(PIECES, rows.tokens) == ["abc", "abcde"]
    np.testing.assert_array_equal(rows.mask, [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])


def test_a_prompt_is_padded_on_the_left_and_loses_its_beginning_first():
    asked = encoding.prompts(PIECES, ["abc", "", "z"], 2)
    begin, pad, one = PIECES.begin, PIECES.pad, PIECES.encode
    np.testing.assert_array_equal(asked, [[begin, *one("bc")], [pad, pad, begin], [pad, begin, *one("z")]])
    found = encoding.rows(PIECES, ["a", "b", "c"], LENGTH, asked)
    np.testing.assert_array_equal(found.answers[:, 0], [*one("a"), *one("b"), *one("c")])
    np.testing.assert_array_equal(found.mask.sum(axis=1), [5, 3, 4])
    np.testing.assert_array_equal(found.answer_mask.sum(axis=1), [2, 2, 2])


def test_judges_read_back_say_what_they_said(tmp_path):
    model, other = gold.fit(RATED, np.arange(len(TEXTS))), kneser_ney.fit(TEXTS, 4)
    judges.write_linear(tmp_path / "gold.npz", model)
    judges.write_kneser_ney(tmp_path / "fluency.npz", other)
    unseen = [*TEXTS, "a bad, bad film", "\u00e9t\u00e9"]
    np.testing.assert_array_equal(judges.read_linear(tmp_path / "gold.npz").score(unseen), model.score(unseen))
    read = judges.read_kneser_ney(tmp_path / "fluency.npz")
    np.testing.assert_array_equal(kneser_ney.log_prob(read, unseen), kneser_ney.log_prob(other, unseen))


def test_a_tree_read_back_is_the_same_and_another_is_refused_by_name(tmp_path):
    tree = {"key": jax.random.key(5), "x": [jnp.arange(3.0), np.int32(2)]}
    trees.write(tmp_path / "tree.npz", tree)
    first = (tmp_path / "tree.npz").read_bytes()
    read = trees.read(tmp_path / "tree.npz", jax.eval_shape(lambda: tree))
    assert jax.random.bits(read["key"]) == jax.random.bits(tree["key"])
    np.testing.assert_array_equal(read["x"][0], tree["x"][0])
    trees.write(tmp_path / "tree.npz", tree)
    assert (tmp_path / "tree.npz").read_bytes() == first
    with pytest.raises(ValueError, match=r"does not fit: it lacks \['y'\]"):
        trees.read(tmp_path / "tree.npz", {**tree, "y": np.zeros(2)})
    with pytest.raises(ValueError, match=r"\['x'\]\[0\] is float32 \(3,\), not float32 \(4,\)"):
        trees.read(tmp_path / "tree.npz", {**tree, "x": [jnp.arange(4.0), np.int32(2)]})


def test_a_users_reward_is_of_texts_or_of_tokens(tmp_path):
    file = tmp_path / "rewards_of_mine.py"
    file.write_text(
        "import numpy as np\n"
        "def short(texts):\n    return [-len(text) for text in texts]\n"
        "def quick(tokens, mask):\n    return -mask.sum(axis=1)\n"
        "def slow(tokens, mask):\n    return np.array([-float(np.asarray(row).sum()) for row in mask])\n"
        "def whole(texts):\n    return 1.0\n"
        "def broken(texts):\n    return [1 / 0 for _ in texts]\n"
        "def other(text):\n    return 1.0\n"
    )
    rows = encoding.rows(PIECES, ["abc", "d"], LENGTH)
    given = [jnp.asarray(x) for x in rows]
    for name, expected in (("short", [-3.0, -1.0]), ("quick", [-4.0, -2.0]), ("slow", [-4.0, -2.0])):
        reward = user_reward.of_answers(f"{file}:{name}", PIECES, LENGTH)
        np.testing.assert_array_equal(jax.jit(reward)(*given), expected)
    callbacks = [
        "pure_callback" in str(jax.make_jaxpr(user_reward.of_answers(f"{file}:{name}", PIECES, LENGTH))(*given))
        for name in ("short", "quick", "slow")
    ]
    assert callbacks == [True, False, True]
    for name, said in (("whole", "one finite number a text"), ("broken", "division by zero"), ("other", "no reward")):
        with pytest.raises(ValueError, match=said):
            user_reward.checked(f"{file}:{name}")


def test_the_optimum_and_the_slope_are_those_of_gaussian_rewards():
    rng = np.random.default_rng(0)
    proxy = rng.standard_normal(200_000)
    judge = 0.3 * (0.6 * proxy + 0.8 * rng.standard_normal(200_000)) - 1.0
    for point in frontier.optima(proxy, judge)[::5]:
        if point["kl"] < 1.5:  # exp(r / beta) moves a Gaussian's mean by 1 / beta, which costs 1 / (2 beta^2)
            assert point["kl"] == pytest.approx(0.5 * (point["beta"] / proxy.std()) ** -2, rel=0.1, abs=0.005)
            assert point["gold_gain"] == pytest.approx(0.18 * np.sqrt(2 * point["kl"]), rel=0.1, abs=0.005)
    found = frontier.slope(proxy, judge)
    assert found["correlation"] == pytest.approx(0.6, abs=0.01)
    assert found["gold_gain_per_root_two_kl"] == pytest.approx(0.18, abs=0.003)
    shifts = np.tile(
        [-3.0, 0.0, 5.0, 9.0], 50_000
    )  # of four prompts, answered in turn: a policy cannot choose among them
    assert frontier.slope(proxy + shifts, judge + shifts, 4)["correlation"] == pytest.approx(0.6, abs=0.01)
    one, four = (
        frontier.optima(proxy[:4096], judge[:4096], 4),
        frontier.optima((proxy + shifts)[:4096], judge[:4096], 4),
    )
    kl, gains = ([point[name] for point in four] for name in ("kl", "proxy_gain"))
    known = ([point[name] for point in one] for name in ("kl", "proxy_gain"))
    np.testing.assert_allclose(np.interp([0.2, 0.5, 1.0], kl, gains), np.interp([0.2, 0.5, 1.0], *known), rtol=0.02)
    best = {point["n"]: point for point in frontier.best_of(proxy[:4096], judge[:4096])}
    assert best[2]["proxy_gain"] == pytest.approx(1 / np.sqrt(np.pi), abs=0.05) and best[1][
        "gold_gain"
    ] == pytest.approx(0.0, abs=1e-9)
    assert max(best) == 128


def test_a_program_is_given_what_it_closes_over_and_is_one_for_all_references(language):
    text, rows = language[0].text, encoding.rows(PIECES, ["ab", "c"], LENGTH)

    def lowered(scale):
        params = jax.tree.map(lambda x: scale * x, text.reference_params)
        read = functools.partial(text.reference.apply, params)
        called, constants = programs.with_constants_apart(lambda *given: read(*given).logits, rows[:2])
        return jax.jit(called).lower(constants, *rows[:2]).as_text(), constants

    (one, first), (other, second) = lowered(1.0), lowered(2.0)
    assert one == other and sum(x.size for x in first) >= 259 * 16  # the embedding's, at least
    assert any(not np.array_equal(x, y) for x, y in zip(first, second))
    matrix = jnp.arange(6.0).reshape(2, 3)
    called, constants = programs.with_constants_apart(
        lambda x, y: {"sum": y + matrix @ x["a"]}, ({"a": jnp.ones(3)}, 1.0)
    )
    found = jax.jit(called)([2.0 * x for x in constants], {"a": jnp.arange(3.0)}, 0.5)
    np.testing.assert_array_equal(found["sum"], 0.5 + 2.0 * np.arange(6.0).reshape(2, 3) @ np.arange(3.0))


def test_a_text_is_drawn_as_words_prompt_and_answer_as_far_as_it_is_written(language):
    text = language[0].text._replace(decode=PIECES.decode)
    row = encoding.rows(PIECES, ["ok"], LENGTH, encoding.prompts(PIECES, ["well?"], 5)).tokens[0]
    row[-3:] = text.pad
    shown = [(each.text, each.colour) for each in texts.so_far(text, None, row).shapes if hasattr(each, "text")]
    assert shown == [("well?", texts.BLUE), ("ok", texts.INK)]
    (prompt, _), (answer, _) = (
        (each.text, each.colour) for each in texts.so_far(text._replace(decode=None), None, row).shapes[1:]
    )
    assert answer == " ".join(str(token) for token in PIECES.encode("ok"))
