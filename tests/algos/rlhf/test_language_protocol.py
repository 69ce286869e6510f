"""What holds for every language algorithm as an algorithm: bits do not depend on how a run is cut, keys are used once,
hyperparameters are traced. A new one joins `ALGORITHMS`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from listed import listed, quick_jit, token_log_probs

from algos.core.config import require_in_range
from algos.core.loop import advance, no_metrics
from algos.rlhf import best_of_n, dpo, grpo, ipo, ppo, preference, reinforce, rloo, transformer
from envs import text

TASK = listed(4, 3)
MANY = listed(4, 3, prompts=3)

# name -> (module, a small configuration): 8 answers an update
ALGORITHMS = {
    "best_of_n": (best_of_n, {"num_prompts": 2, "n": 4}),
    "dpo": (dpo, {"batch_size": 4}),
    "grpo": (grpo, {"num_prompts": 1, "group": 8, "num_epochs": 2}),
    "ipo": (ipo, {"batch_size": 4}),
    "ppo": (ppo, {"num_prompts": 8, "num_epochs": 2, "num_minibatches": 2, "adaptive": True}),
    "reinforce": (reinforce, {"num_prompts": 8}),
    "rloo": (rloo, {"num_prompts": 2, "group": 4}),
}
SAMPLING = ("grpo", "ppo", "reinforce", "rloo")
DAILY = ("ppo", "dpo")  # whose programs are compiled every day
every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


def compiling(names=ALGORITHMS, daily=DAILY):
    marked = [name if name in daily else pytest.param(name, marks=pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("name", marked)


@functools.cache
def pairs():
    return quick_jit(lambda key: preference.labelled(TASK.env.text, key, 12))(jax.random.key(0))


def algorithm_of(name, task=TASK, **fields):
    module, small = ALGORITHMS[name]
    given = {"pairs": pairs()} if module in (dpo, ipo) else {}
    return module.make(task.env, module.Config(**{**small, **fields}), **given)


def hyperparameters(name, **fields):
    given = {} if name == "best_of_n" else {"learning_rate": 0.03}
    return ALGORITHMS[name][0].HParams(**{"total_steps": 1000.0, **given, **fields})


@functools.cache
def compiled(name):
    algorithm = algorithm_of(name)

    def begin(key, hparams):
        state = algorithm.init(key, hparams)
        return state, no_metrics(algorithm, state, hparams)

    def go_on(state, hparams, sums, num_updates):
        return advance(algorithm, state, hparams, sums, num_updates)

    return quick_jit(begin), quick_jit(go_on)


def run(name, chunks, seed=3, **fields):
    begin, go_on = compiled(name)
    hparams = hyperparameters(name, **fields)
    state, sums = begin(jax.random.key(seed), hparams)
    for number in chunks:
        state, sums = go_on(state, hparams, sums, number)
    return state, sums.total


def raw(tree):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


def same(one, other):
    return all(np.array_equal(x, y) for x, y in zip(raw(one), raw(other), strict=True))


@compiling()
def test_a_run_cut_into_chunks_has_the_bits_of_the_straight_run(name):
    straight, cut = run(name, [6]), run(name, [1, 2, 3])
    assert same(straight, cut) and straight[0].update == 6
    assert set(straight[1]) >= {"episode_count", "episode_return_sum", "episode_length_sum", "fault_count"}
    assert same(straight[0].params, TASK.env.text.reference_params) == (name == "best_of_n")


@compiling(SAMPLING)
def test_with_a_learning_rate_of_0_the_ratio_is_1_over_whole_updates_and_the_divergence_0(name):
    state, told = run(name, [4], learning_rate=0.0, temperature=0.7)
    assert same(state.params, TASK.env.text.reference_params)
    assert told["kl"] == told["kl_exact"] == 0.0 and told["first_ratio_gap_max"] < 1e-6
    if name != "reinforce":
        assert abs(told["update_kl"]) < 1e-6 and told["clip_fraction"] == 0.0


@compiling(SAMPLING)
def test_the_first_minibatch_of_every_update_has_a_ratio_of_1_and_later_ones_have_not(name):
    _, told = run(name, [4], temperature=0.7)
    assert told["first_ratio_gap_max"] < 1e-6 and told["sampler_gap_max"] < 1e-5 and told["kl_exact"] > 0.0
    if name in ("ppo", "grpo"):
        assert told["update_kl"] > 1e-5


@compiling(SAMPLING, daily=("ppo",))
def test_every_update_and_every_seed_has_its_own_noise(name):
    begin, go_on = compiled(name)
    hparams = hyperparameters(name, learning_rate=0.0)
    scores = []
    for seed in (1, 2):
        state, zeros = begin(jax.random.key(seed), hparams)
        for _ in range(3):
            state, sums = go_on(state, hparams, zeros, 1)
            scores.append(float(sums.total["score"]))
    assert len(set(scores)) == 6


@pytest.mark.parametrize("names", [("ppo", "rloo"), pytest.param(SAMPLING, marks=pytest.mark.slow)])
def test_under_one_seed_all_algorithms_meet_the_same_answers(names):
    first = [run(name, [1])[1]["episode_return_sum"] for name in names]
    assert len({float(x) for x in first}) == 1


@compiling(daily=())
def test_a_seed_among_five_has_the_bits_it_has_alone(name):
    algorithm, hparams = algorithm_of(name), hyperparameters(name)

    def trained(seed):
        state = algorithm.init(jax.random.key(seed), hparams)
        return jax.lax.fori_loop(0, 3, lambda _, state: algorithm.step(state, hparams)[0], state).params

    together = quick_jit(lambda seeds: jax.lax.map(trained, seeds))(jnp.arange(5))
    alone = quick_jit(lambda seeds: jax.lax.map(trained, seeds))(jnp.array([3]))
    assert same(jax.tree.map(lambda x: x[3], together), jax.tree.map(lambda x: x[0], alone))


@compiling(daily=())
def test_a_vmapped_learning_rate_gives_what_each_gives_alone(name):
    if name == "best_of_n":
        assert not hasattr(best_of_n.HParams(), "learning_rate")  # nothing is trained
        pytest.skip("it has no learning rate")
    algorithm = algorithm_of(name)

    def two_updates(rate):
        hparams = hyperparameters(name, learning_rate=rate)
        state, _ = algorithm.step(algorithm.init(jax.random.key(3), hparams), hparams)
        return algorithm.step(state, hparams)[0].params["logits"]

    rates = (0.0, 1e-3, 1e-1)
    together = quick_jit(jax.vmap(two_updates))(jnp.array(rates))
    for place, rate in enumerate(rates):
        np.testing.assert_allclose(together[place], run(name, [2], learning_rate=rate)[0].params["logits"], atol=1e-5)
    assert np.abs(together[2] - together[0]).max() > 0.05


@compiling(daily=("ppo", "dpo", "best_of_n"))
def test_no_key_is_used_twice_and_no_shape_depends_on_a_number(name):
    algorithm = algorithm_of(name, MANY if name not in ("dpo", "ipo") else TASK)

    def two_updates(key, hparams):
        begun = algorithm.init(key, hparams)
        state, _ = algorithm.step(begun, hparams)
        return begun, algorithm.step(state, hparams)[0]

    with jax.debug_key_reuse(True):
        jax.jit(two_updates).lower(jax.random.key(0), hyperparameters(name))
    given = hyperparameters(name, temperature=0.3)
    begun, later = jax.eval_shape(
        lambda key: two_updates(key, given), jax.random.key(0)
    )  # plain numbers, as a user has them
    assert jax.tree.structure(begun) == jax.tree.structure(later) and begun == later


@compiling(daily=("ppo",))
def test_it_acts_token_by_token_as_the_policy_that_it_trained(name):
    algorithm = algorithm_of(name)
    state = algorithm.init(jax.random.key(0), hyperparameters(name, temperature=0.5))
    value = jax.random.normal(jax.random.key(1), state.params["value"].shape)
    params = {**TASK.env.text.reference.init(jax.random.key(2)), "value": value}
    state = state.replace(params=params)
    expected = token_log_probs(TASK, params, 0.5)
    row = [tuple(tokens) for tokens in TASK.tokens].index((1, 2, 3))
    texts = np.array([[4, 0, 4, 4, 4], [4, 0, 1, 4, 4], [4, 0, 1, 2, 4]], np.int32)
    found, worth = quick_jit(lambda state: (algorithm.policy(state, texts).log_probs(), algorithm.value(state, texts)))(
        state
    )
    for place, token in enumerate((1, 2, 3)):
        np.testing.assert_allclose(found[place, token], expected[row, place], atol=1e-5)
    node = [0, 2, 2 * 4 + 1 + 2]
    np.testing.assert_allclose(worth, value[0, jnp.array(node)], atol=1e-6)

    def acts(keys):
        explored = jax.vmap(lambda key: algorithm.act(state, key, texts[1], True))(keys)
        return explored, algorithm.act(state, keys[0], texts[1], False)

    explored, best = quick_jit(acts)(jax.random.split(jax.random.key(3), 2000))
    assert int(best) == int(np.argmax(found[1]))
    share = np.bincount(explored, minlength=4) / 2000
    np.testing.assert_allclose(share, np.exp(found[1]), atol=0.05)


@pytest.mark.slow
def test_a_transformer_begins_as_its_reference_and_reads_what_its_cache_wrote():
    model = transformer.make(transformer.Config(vocabulary=6, width=8, layers=1, heads=2, never=(4, 5)))
    params = quick_jit(lambda key: jax.tree.map(lambda x: 3.0 * x, model.init(key)))(jax.random.key(0))
    kept = jax.tree.map(np.array, params)
    prompts = np.array([[4, 4, 5], [4, 5, 1], [5, 2, 0]], np.int32)
    facts = text.Text(6, 4, 3, prompts, 5, model, params, lambda tokens, mask, answer: answer @ jnp.arange(5.0))
    env = text.env("transformer", facts)
    algorithm = ppo.make(env, ppo.Config(num_prompts=12, num_epochs=2, num_minibatches=2))
    step = quick_jit(algorithm.step)
    hparams = ppo.HParams(learning_rate=0.01, temperature=0.8)
    state, first = step(algorithm.init(jax.random.key(1), hparams), hparams)
    _, second = step(state, hparams)
    assert first["kl"] == first["kl_exact"] == 0.0 < second["kl_exact"]
    assert 1.0 < first["answer_length"] < 5.0
    for told in (first, second):
        assert told["first_ratio_gap_max"] < 1e-5 and told["sampler_gap_max"] < 1e-4 and told["update_kl"] > 1e-6
    assert same(facts.reference_params, kept)


def test_the_coefficient_that_adapts_is_state_and_is_what_the_next_answers_are_charged():
    begin, go_on = compiled("ppo")
    hparams = hyperparameters("ppo", kl_coef=0.2, kl_target=1e-3, kl_horizon=40.0, learning_rate=0.1)
    state, zeros = begin(jax.random.key(0), hparams)
    coefficients = [float(state.kl_coef)]
    for _ in range(4):
        state, sums = go_on(state, hparams, zeros, 1)
        assert float(sums.total["kl_coef"]) == pytest.approx(coefficients[-1])
        error = np.clip(float(sums.total["kl"]) / 1e-3 - 1.0, -0.2, 0.2)
        assert float(state.kl_coef) == pytest.approx(coefficients[-1] * (1.0 + error * 8 / 40.0), rel=1e-5)
        coefficients.append(float(state.kl_coef))
    assert coefficients[1] < coefficients[0] and len(set(coefficients)) > 3
    assert algorithm_of("rloo").init(jax.random.key(0), hyperparameters("rloo")).kl_coef is None


def test_steps_are_tokens_of_the_budget():
    assert {name: algorithm_of(name).steps_per_update for name in ALGORITHMS} == dict.fromkeys(ALGORITHMS, 24)


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("ppo", {"num_minibatches": 3}, r"num_minibatches=3 must divide num_prompts \* group = 8"),
        ("ppo", {"num_prompts": 0}, "num_prompts must be a positive integer, not 0"),
        ("rloo", {"group": 1}, "rloo compares the answers to one prompt: group must be 2 or more, not 1"),
        ("grpo", {"group": 1}, "grpo compares the answers to one prompt: group must be 2 or more, not 1"),
        ("best_of_n", {"n": 0}, "n must be a positive integer, not 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(name, fields, words):
    with pytest.raises(ValueError, match=words) as error:
        algorithm_of(name, **fields)
    assert "\n" not in str(error.value)


@every_algorithm
def test_a_temperature_of_0_and_what_is_no_language_task_are_refused(name):
    for temperature in (0.0, -1.0, float("inf")):
        with pytest.raises(ValueError, match="temperature must be above 0 and finite"):
            require_in_range(hyperparameters(name, temperature=temperature))
    require_in_range(hyperparameters(name))
    module, small = ALGORITHMS[name]
    given = {"pairs": pairs()} if module in (dpo, ipo) else {}
    with pytest.raises(ValueError, match="listed is no language task"):
        module.make(TASK.env._replace(text=None), module.Config(**small), **given)
    with pytest.raises(ValueError, match="the network has 9 tokens, listed has 4"):
        module.make(TASK.env, module.Config(**small), network=listed(9, 1).env.text.reference, **given)
