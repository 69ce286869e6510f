"""What is collected and what it is made into: rewards, masks, advantages, whitening and averages, against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from listed import listed, quick_jit, token_log_probs

from algos.rlhf import advantages, averages, grpo, ppo, rloo, whitening
from algos.rlhf.experience import collect, draw_prompts, reader
from algos.rlhf.types import Sequence

TASK = listed(4, 3, prompts=2)
PLAIN = ppo.Config()
MOVED = TASK.env.text.reference.init(jax.random.key(9))


@functools.cache
def collecting(number, reward=None, config=PLAIN, prompts=None):
    """Returns the compiled function (params, key, hparams) -> (batch, metrics); one program for all tests that can share."""
    text = TASK.env.text
    text = text._replace(reward=reward or text.reward, prompts=text.prompts if prompts is None else np.array(prompts))

    def collects(params, key, hparams):
        key_prompts, key_sample = jax.random.split(key)
        prompts = draw_prompts(text, key_prompts, number, 1)
        return collect(text, text.reference, params, key_sample, prompts, config, hparams)

    return quick_jit(collects)


def collected(params=MOVED, key=0, reward=None, config=PLAIN, prompts=None, number=256, **fields):
    return collecting(number, reward, config, prompts)(params, jax.random.key(key), ppo.HParams(**fields))


@pytest.fixture(scope="module")
def batch():
    """Returns answers of all lengths, rewarded and charged for divergence."""
    params = {**MOVED, "value": jax.random.normal(jax.random.key(3), MOVED["value"].shape)}
    return jax.device_get(collected(params=params, kl_coef=0.3)[0])


def rows(batch):
    """Returns each answer's fields as lists of its real tokens."""
    for row in range(len(batch.mask)):
        size = int(batch.mask[row].sum())
        yield row, size, *(np.asarray(x[row, :size], np.float64) for x in (batch.reward, batch.value))


def test_log_probabilities_of_policy_and_reference_are_the_tables_at_the_same_temperature():
    for temperature in (1.0, 0.7):
        batch, told = collected(temperature=temperature)
        here = np.asarray(batch.observation.tokens[:, 1]) == 0
        codes = {tuple(tokens): row for row, tokens in enumerate(TASK.tokens)}
        found = [codes[tuple(row)] for row in np.asarray(batch.action)]
        for params, log_prob in ((MOVED, batch.log_prob), (TASK.env.text.reference_params, batch.reference_log_prob)):
            expected = token_log_probs(TASK, params, temperature)[found]
            np.testing.assert_allclose(np.asarray(log_prob)[here], expected[here], atol=1e-5)
        assert here.any() and not here.all() and told["sampler_gap_max"] < 1e-5


def test_divergence_and_ratio_are_exactly_nothing_before_anything_is_learned():
    for temperature in (1.0, 0.7):
        batch, told = collected(params=TASK.env.text.reference_params, temperature=temperature)
        assert told["kl"] == told["kl_exact"] == 0.0 and told["sampler_gap_max"] < 1e-6
        np.testing.assert_array_equal(batch.log_prob, batch.reference_log_prob)
    _, told = collected(temperature=0.7)
    assert told["kl"] != 0.0 and told["kl_exact"] > 0.05


def test_the_divergence_is_a_sum_over_tokens_and_a_mean_over_answers():
    batch, told = collected()
    mask = np.asarray(batch.mask)
    by_answer = ((np.asarray(batch.log_prob) - np.asarray(batch.reference_log_prob)) * mask).sum(1)
    assert told["kl"] == pytest.approx(by_answer.mean(), rel=1e-5)
    assert told["kl_exact"] == pytest.approx(by_answer.mean(), abs=4 * float(by_answer.std()) / 16)
    assert told["answer_length"] == mask.sum(1).mean() and 1.0 < told["answer_length"] < 3.0
    ended = (np.asarray(batch.action) == 3).any(1)
    assert told["end_rate"] == pytest.approx(ended.mean()) and 0.0 < ended.mean() < 1.0
    probs = np.exp(np.asarray(batch.policy.log_probs(), np.float64))
    assert told["answer_entropy"] == pytest.approx(-(probs * np.log(probs)).sum(-1)[mask > 0].mean(), rel=1e-4)


def test_the_score_stands_once_on_the_last_token_and_each_token_pays_its_own_divergence(batch):
    scored = TASK.env.text.reward(batch.observation.tokens, batch.observation.mask, batch.mask)
    for row, size, reward, _ in rows(batch):
        paid = -0.3 * np.asarray(batch.log_prob[row, :size] - batch.reference_log_prob[row, :size])
        paid[-1] += scored[row]
        np.testing.assert_allclose(reward, paid, atol=1e-6)
        assert np.all(batch.reward[row, size:] == 0.0)
        assert np.asarray(batch.terminated[row]).tolist() == [place == size - 1 for place in range(3)]
        tokens = np.asarray(batch.action[row, :size])
        assert tokens[-1] == 3 or size == 3  # the budget is an end as well: nothing is bootstrapped there
        assert np.all(tokens[:-1] != 3) and np.all(batch.action[row, size:] == 4)


def test_generalised_advantages_are_the_loops_and_nothing_is_beyond_the_end(batch):
    hparams = ppo.HParams(gamma=0.9, gae_lambda=0.8)
    found, target = jax.device_get(compiled(advantages.gae)(batch, hparams))
    for row, size, reward, value in rows(batch):
        following = np.append(value[1:], 0.0)
        delta = reward + 0.9 * following - value
        expected = [sum(0.72 ** (k - t) * delta[k] for k in range(t, size)) for t in range(size)]
        np.testing.assert_allclose(found[row, :size], expected, atol=1e-5)
        np.testing.assert_allclose(target[row, :size], expected + value, atol=1e-5)
        assert np.all(found[row, size:] == 0.0) and np.all(target[row, size:] == 0.0)
    whole, _ = compiled(advantages.gae)(batch, hparams.replace(gamma=1.0, gae_lambda=1.0))
    less_value, to_come = jax.device_get(compiled(advantages.baseline)(batch, hparams))
    np.testing.assert_allclose(whole, less_value, atol=1e-5)
    for row, size, reward, value in rows(batch):
        np.testing.assert_allclose(to_come[row, :size], np.cumsum(reward[::-1])[::-1], atol=1e-5)
        np.testing.assert_allclose(less_value[row, :size] + value, to_come[row, :size], atol=1e-5)


def test_advantages_of_groups_are_the_loops(batch):
    whole = np.array([reward.sum() for _, _, reward, _ in rows(batch)])
    functions = (advantages.leave_one_out, advantages.group_centred, advantages.group_normalised)
    found = [np.asarray(compiled(function)(batch, ppo.HParams())[0]) for function in functions]
    for row, size, _, _ in rows(batch):
        first = row // 4 * 4
        group = whole[first : first + 4]
        centred = whole[row] - group.mean()
        others = np.delete(group, row - first)
        expected = (whole[row] - others.mean(), centred, centred / np.sqrt(np.mean((group - group.mean()) ** 2)))
        for advantage, value in zip(found, expected):
            np.testing.assert_allclose(advantage[row, :size], value, atol=1e-4)
            assert np.all(advantage[row, size:] == 0.0)
    same = batch.replace(reward=jnp.where(batch.terminated, 0.3, 0.0))
    assert np.all(compiled(advantages.group_normalised)(same, ppo.HParams())[0] == 0.0)


@functools.cache
def compiled(function, group=4):
    """Returns the advantages' function of (batch, hparams)."""
    return quick_jit(lambda batch, hparams: function(batch, hparams, group))


def test_a_group_of_one_is_refused_where_it_is_compared(batch):
    for function in (advantages.leave_one_out, advantages.group_normalised, advantages.group_centred):
        with pytest.raises(ValueError, match=f"{function.__name__} compares .* group must be 2 or more, not 1"):
            function(batch, None, 1)
    for module in (rloo, grpo):
        with pytest.raises(ValueError, match="compares the answers to one prompt: group must be 2 or more, not 1"):
            module.make(TASK.env, module.Config(group=1))


def test_prompts_of_a_group_are_one_and_do_not_depend_on_how_many_there_are():
    few, many = (draw_prompts(TASK.env.text, jax.random.key(4), number, 3) for number in (5, 40))
    np.testing.assert_array_equal(few, many[:15])
    grouped = np.asarray(many).reshape(40, 3, -1)
    assert np.all(grouped == grouped[:, :1]) and set(grouped[:, 0, 1]) == {0, 1}
    other = draw_prompts(TASK.env.text, jax.random.key(5), 40, 3)
    assert np.any(other != many)


def test_junk_beyond_the_end_changes_nothing(batch):
    """Values, rewards and log-probabilities there are what a network makes of padding: here they are wild."""
    gone = batch.mask == 0
    assert gone.any()
    wild = {
        field: jnp.where(gone, junk, getattr(batch, field))
        for field, junk in (("log_prob", 50.0), ("reference_log_prob", -70.0), ("value", 1e6), ("next_value", -1e6))
    }
    junk = batch.replace(action=jnp.where(gone, 1, batch.action), **wild)
    hparams = ppo.HParams()
    for function in (advantages.gae, advantages.baseline, advantages.leave_one_out):
        for one, other in zip(compiled(function)(batch, hparams), compiled(function)(junk, hparams)):
            np.testing.assert_array_equal(one, other)
    apply = reader(TASK.env.text.reference, 3, 1.0)

    def losses(batch):
        weight = averages.weights(batch.mask, "answer")
        ready = batch.replace(advantage=batch.mask * 0.7, value_target=batch.mask, weight=weight)
        return [module.loss(MOVED, apply, ready, module.HParams()) for module in (ppo, rloo, grpo)]

    one, other = quick_jit(losses)(batch), quick_jit(losses)(junk)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.isfinite(x) and x == y


def test_a_score_of_0_3_stays_0_3_and_whole_numbers_are_taken():
    batch, told = collected(reward=a_third, kl_coef=0.0)
    assert batch.reward.dtype == jnp.float32 and told["score"] == pytest.approx(0.3)
    assert np.asarray(batch.reward.sum(1)).tolist() == [np.float32(0.3)] * 256
    shapes = jax.eval_shape(collecting(8, lambda tokens, *_: tokens[:, 0]), MOVED, jax.random.key(0), ppo.HParams())
    assert shapes[0].reward.dtype == shapes[1]["score"].dtype == jnp.float32
    with pytest.raises(ValueError, match=r"one number an answer, \[8\], not \[8, 1\]"):
        collected(reward=lambda tokens, *_: jnp.zeros((len(tokens), 1)), number=8)


def a_third(tokens, mask, answer_mask):
    return jnp.full(len(tokens), 0.3)


def test_a_missing_end_is_looked_for_in_the_answer_alone_and_replaces_the_score():
    config = ppo.Config(needs_end=True)
    batch, told = collected(reward=a_third, config=config, prompts=((3, 0),), kl_coef=0.0, missing_end_score=-1.0)
    ended = (np.asarray(batch.action) == 3).any(1)
    assert 0 < ended.sum() < 256
    expected = np.where(ended, np.float32(0.3), -1.0)
    np.testing.assert_array_equal(np.asarray(batch.reward).sum(1), expected)
    assert told["score"] == pytest.approx(expected.mean(), rel=1e-5)


def test_whitening_divides_by_the_populations_deviation_and_pays_nothing_for_length(batch):
    x = np.asarray(batch.reward)
    real = x[np.asarray(batch.mask) > 0]
    deviation = np.sqrt(np.mean((real - real.mean()) ** 2))
    found = whitening.scaled(batch.reward, batch.mask)
    np.testing.assert_allclose(found, x / deviation, rtol=1e-5)
    some = np.array([[0.0, 0.0, 3.0], [0.0, 1.0, 9.0]]), np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    scaled = np.asarray(whitening.scaled(*map(jnp.asarray, some)))  # a token without a reward has none afterwards, so
    assert (
        scaled[0, 0] == scaled[0, 1] == scaled[1, 0] == 0.0 and scaled[0, 2] > 0.0 == scaled[1, 2]
    )  # length pays nothing
    assert np.abs(np.asarray(found).sum(1) * deviation - x.sum(1)).max() < 1e-5
    alike = jnp.full((2, 3), 0.3)
    np.testing.assert_array_equal(whitening.scaled(alike, jnp.ones((2, 3))), alike)


def test_rewards_and_advantages_are_whitened_over_the_whole_batch_before_it_is_cut():
    def sums(params, apply, batch, hparams):
        told = {"count": jnp.sum(batch.mask)}
        for name, x in (("reward", batch.value_target), ("advantage", batch.advantage)):
            told |= {f"{name}_sum": jnp.sum(x), f"{name}_squares": jnp.sum(x**2)}
        return jnp.sum(params["value"]) * 0.0, told

    def advantage(batch, hparams, group):
        return 3.0 * batch.reward**2, batch.reward

    config = ppo.Config(num_prompts=12, num_epochs=1, num_minibatches=6, whiten_reward=True)
    algorithm = ppo.make(TASK.env, config, loss=sums, advantage=advantage)
    hparams = ppo.HParams()
    told = quick_jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams)[1])(jax.random.key(0))
    for name in ("reward", "advantage"):
        average, square = (float(told[f"{name}_{of}"] / told["count"]) for of in ("sum", "squares"))
        assert square - average**2 == pytest.approx(1.0, abs=1e-4)
        assert abs(average) > 0.01  # divided, not moved


def test_averages_of_tokens_answers_and_sums_are_the_loops(batch):
    x = np.random.default_rng(0).normal(size=batch.mask.shape)
    answers = [x[row, :size] for row, size, _, _ in rows(batch)]
    expected = {
        "token": np.concatenate(answers).mean(),
        "answer": np.mean([answer.mean() for answer in answers]),
        "sum": np.mean([answer.sum() for answer in answers]),
    }
    junk = np.where(np.asarray(batch.mask) > 0, x, np.nan)
    for average, value in expected.items():
        assert averages.total(junk, averages.weights(batch.mask, average)) == pytest.approx(value, rel=1e-5)
    with pytest.raises(ValueError, match="average must be one of token, answer, sum, not 'mean'"):
        grpo.make(TASK.env, grpo.Config(average="mean"))


def test_grpo_without_a_penalty_has_a_loss_of_0_and_a_gradient(batch):
    apply = reader(TASK.env.text.reference, 3, 1.0)
    advantage, _ = compiled(advantages.group_normalised)(batch, ppo.HParams())
    for average in averages.AVERAGES:
        ready = batch.replace(advantage=advantage, weight=averages.weights(batch.mask, average))
        params = {**MOVED, "value": MOVED["value"]}
        (value, _), gradient = jax.value_and_grad(grpo.loss, has_aux=True)(params, apply, ready, grpo.HParams())
        assert np.abs(gradient["logits"]).max() > 1e-3
        if average == "answer":
            assert abs(value) < 1e-6


def test_rewards_are_asked_for_once_with_the_masks_of_the_contract():
    seen = []

    def reward(tokens, mask, answer_mask):
        seen.append((tokens, mask, answer_mask))
        return jnp.zeros(len(tokens))

    batch = jax.eval_shape(collecting(8, reward), MOVED, jax.random.key(0), ppo.HParams())[0]
    ((tokens, mask, answer_mask),) = seen
    assert (tokens.shape, mask.shape, answer_mask.shape) == ((8, 5), (8, 5), (8, 3))
    assert isinstance(batch.observation, Sequence) and batch.next_observation is None


def test_masks_say_what_is_real(batch):
    tokens, mask = np.asarray(batch.observation.tokens), np.asarray(batch.observation.mask)
    np.testing.assert_array_equal(mask[:, :2], np.tile([0.0, 1.0], (256, 1)))
    np.testing.assert_array_equal(mask[:, 2:], batch.mask)
    np.testing.assert_array_equal(tokens == 4, mask == 0)
