"""The doctor of language tasks: every planted fault gets its diagnosis, and what is sound passes."""

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from algos.rlhf import best_of_n, dpo, grpo, ipo, ppo, preference, reinforce, rloo
from algos.rlhf.language_model import LanguageModel, Output
from algos.rlhf.sampling import log_probs, sample
from envs import text
from experiments.doctor import Args, doctor
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Contender
from experiments.lab.examination import NOTE, OK, PROBLEM
from experiments.lab.examination.language import examine_language
from experiments.lab.examination.language.case import prepare
from experiments.lab.examination.language.reading import examine_reading
from experiments.lab.examination.language.reward import examine_reward
from experiments.lab.examination.language.run import history
from experiments.lab.examination.language.updates import examine_updates, warned

PAD, BEGIN, END, VOCABULARY, LENGTH = 0, 1, 2, 10, 8
PROMPTS = np.array([[PAD, BEGIN], [BEGIN, 5]], np.int32)
METHODS = {module.__name__.rpartition(".")[2]: module for module in (ppo, rloo, grpo, reinforce, dpo, ipo, best_of_n)}


class Parts(NamedTuple):
    model: object
    params: object


def bag(never=(PAD, BEGIN)) -> LanguageModel:
    """Returns a model that compiles quickly and has all that can go wrong: it reads the last token, the mean of all so far,
    its position and, for the score, the whole text. Memory is (sum, how many)."""

    def init(key):
        shapes = {"last": (VOCABULARY, VOCABULARY), "mean": (VOCABULARY, VOCABULARY), "place": (VOCABULARY,)}
        keys = dict(zip(shapes, jax.random.split(key, 3)))
        return {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}

    def said(params, token, summed, number):
        logits = (
            jnp.asarray(params["last"])[token] + (summed @ params["mean"] + 0.2 * number * params["place"]) / number
        )
        logits = logits.at[..., END].add(0.5).at[..., jnp.array(never, int)].set(-1e9)
        return Output(logits, 0.1 * number[..., 0], logits[..., 0] * 0.0 + summed[..., 7] + 0.1 * token)

    def apply(params, tokens, mask):
        real = (mask > 0)[..., None]
        summed = jnp.cumsum(jnp.where(real, jax.nn.one_hot(tokens, VOCABULARY), 0.0), axis=1)
        return said(params, tokens, summed, jnp.maximum(jnp.cumsum(1.0 * real, axis=1), 1.0))

    def start(params, tokens, mask, room):
        summed = jnp.sum(jax.nn.one_hot(tokens, VOCABULARY) * mask[..., None], axis=1)
        memory = summed, jnp.sum(mask, axis=1, keepdims=True)
        return memory, said(params, tokens[:, -1], *memory)

    def step(params, memory, token):
        memory = memory[0] + jax.nn.one_hot(token, VOCABULARY), memory[1] + 1.0
        return memory, said(params, token, *memory)

    return LanguageModel(init, apply, start, step, VOCABULARY)


@functools.cache
def language(never=(PAD, BEGIN)) -> Parts:
    model = bag(never)
    return Parts(model, jax.jit(model.init)(jax.random.key(0)))


def early_sevens(tokens, mask, answer_mask):
    """Returns sum_t 0.3 / t over the answer's sevens: fractions, and little about length."""
    return jnp.sum(0.3 * (tokens[:, -LENGTH:] == 7) * answer_mask / jnp.arange(1, LENGTH + 1), axis=1)


def task(reward=early_sevens, parts=None, **fields):
    model, params = parts or language()
    facts = text.Text(VOCABULARY, PAD, END, PROMPTS, LENGTH, model, params, reward)
    return text.env("small", facts._replace(**fields))


def contender(module=rloo, network=None, make=None, **hparams) -> Contender:
    found = SimpleNamespace(Config=module.Config, HParams=module.HParams, make=make or module.make)
    chosen = None if network is None else lambda env, config: network
    return Contender(
        module.__name__.rpartition(".")[2], found, module.Config(), module.HParams(**hparams), network=chosen
    )


@pytest.fixture(autouse=True, scope="module")
def little_compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def sound():
    return prepare(task(), contender())


def slow(*case):
    """Returns a case that compiles programs of its own: one of a kind is enough for every day."""
    return pytest.param(*case, marks=pytest.mark.slow)


def wrong(findings) -> list[str]:
    return [each.text for each in findings if each.level == PROBLEM]


# What the doctor says of a reward.


def test_a_sound_reward_passes():
    (found,) = examine_reward(task().text, sound().answers, bounds=(0.0, 1.0))
    assert found.level == OK and "256 rewards: finite" in found.text


def hard_cast(tokens, mask, answer_mask):
    return jnp.zeros_like(tokens[:, 0]).at[:].set((5.0 * early_sevens(tokens, mask, answer_mask)).astype(jnp.int32))


def cast_and_back(tokens, mask, answer_mask):
    return hard_cast(tokens, mask, answer_mask).astype(jnp.float32)


def counts(tokens, mask, answer_mask):
    return jnp.sum((tokens[:, -LENGTH:] == 7) & (answer_mask > 0), axis=1)


def mean_of_sevens(tokens, mask, answer_mask):
    """0 / 0 for the answer that has nothing beside its end."""
    words = answer_mask * (tokens[:, -LENGTH:] != END)
    return jnp.sum((tokens[:, -LENGTH:] == 7) * words, axis=1) / jnp.sum(words, axis=1)


def log_of_sevens(tokens, mask, answer_mask):
    return jnp.log(counts(tokens, mask, answer_mask).astype(jnp.float32))


def last_column(tokens, mask, answer_mask):
    """As a reward model that reads its score at the last column, padding or not."""
    model, params = language()
    return model.apply(params, tokens, mask).score[:, -1]


def at_the_last_token(tokens, mask, answer_mask):
    model, params = language()
    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1] > 0, axis=1)
    return model.apply(params, tokens, mask).score[jnp.arange(len(tokens)), last]


def column_less_row(tokens, mask, answer_mask):
    """[B, 1] - [B] is [B, B]."""
    reward = early_sevens(tokens, mask, answer_mask)
    return jnp.mean(reward[:, None] - reward, axis=1)


def as_column(tokens, mask, answer_mask):
    return early_sevens(tokens, mask, answer_mask)[:, None]


def by_python(tokens, mask, answer_mask):
    return 1.0 if tokens[0, -1] == 7 else 0.0


def longer(tokens, mask, answer_mask):
    return 0.5 * jnp.sum(answer_mask, axis=1)


class Counter:
    """A reward that is another each time."""

    calls = 0

    def __call__(self, tokens, mask, answer_mask):
        self.calls += 1
        return np.full(len(tokens), float(self.calls)) + np.arange(len(tokens))


@pytest.mark.parametrize(
    ("reward", "level", "said"),
    [
        (hard_cast, PROBLEM, "rewards are int32, made of floats: 0.3 becomes 0"),
        (cast_and_back, NOTE, "floats are cast to integers on the way"),
        (counts, NOTE, "rewards are int32: counts stay as they are"),
        (mean_of_sevens, PROBLEM, "the end token alone is nan|rewards are not finite, first nan for an answer of 1 tokens"),
        (log_of_sevens, PROBLEM, "rewards are not finite, first -inf"),
        (last_column, PROBLEM, "the reward depends on padding"),
        (column_less_row, PROBLEM, "depends on the others in the batch"),
        (as_column, PROBLEM, r"the reward gives \[256, 1\] for 256 answers, not one number each"),
        (by_python, PROBLEM, "the reward fails: .*envs.text.on_host"),
        (longer, NOTE, r"the reward is about length: its correlation with it is 1\.00"),
        (text.on_host(Counter()), PROBLEM, "another when it is asked for again"),
        (lambda tokens, mask, answer_mask: jnp.zeros(len(tokens)), PROBLEM, "all 256 answers are rewarded with 0"),
    ],
)  # fmt: skip
def test_a_wrong_reward_gets_its_diagnosis(reward, level, said):
    found = examine_reward(task(reward).text, sound().answers)
    right = [each for each in found if re.search(said, each.text)]
    assert right and right[0].level == level, found
    assert level == NOTE or len(wrong(found)) == 1
    assert level == PROBLEM or not wrong(found)


def test_what_reads_the_last_real_token_does_not_depend_on_padding():
    assert not wrong(examine_reward(task(at_the_last_token).text, sound().answers))


def test_a_reward_outside_its_range_is_told():
    (said,) = wrong(examine_reward(task().text, sound().answers, bounds=(0.0, 0.2)))
    assert "rewards lie outside 0 to 0.2: they go from 0 to" in said


# What the doctor says of policy, sampler and reference.


def with_logits(change):
    """Returns the sound model whose sampler says something else."""
    model, _ = language()

    def changed(found):
        memory, output = found
        return memory, output._replace(logits=change(output.logits))

    return model._replace(start=lambda *x: changed(model.start(*x)), step=lambda *x: changed(model.step(*x)))


def reads_otherwise(apply):
    return language().model._replace(apply=lambda params, tokens, mask: apply(language().model, params, tokens, mask))


def of_the_batch(model, params, tokens, mask):
    output = model.apply(params, tokens, mask)
    return output._replace(logits=output.logits - jnp.mean(output.logits, axis=0))


def positions_count_padding(model, params, tokens, mask):
    output = model.apply(params, tokens, mask)
    return output._replace(logits=output.logits + jnp.arange(tokens.shape[1])[:, None] * params["place"])


def sees_padding(model, params, tokens, mask):
    return model.apply(params, tokens, jnp.ones_like(mask))


def forgets(params, memory, token):
    return language().model.step(params, (0.0 * memory[0], memory[1]), token)


def drawn_at(temperature):
    """Returns RLOO that answers at another temperature and says that it does not."""

    def make(env, config, **chosen):
        method, facts = rloo.make(env, config, **chosen), env.text

        def answer(state, key, prompts):
            found = sample(
                facts.reference, state.params, key, prompts, length=LENGTH, end=END, pad=PAD, temperature=temperature
            )
            policy, _ = log_probs(facts.reference, state.params, found.tokens, found.mask, LENGTH)
            return found.replace(
                log_prob=jnp.where(found.answer_mask > 0, policy.log_prob(found.tokens[:, -LENGTH:]), 0.0)
            )

        return method._replace(answer=answer)

    return make


def reading_of(env, one=None):
    return examine_reading(prepare(env, one or contender()))


def test_sound_reading_passes():
    assert [each.level for each in examine_reading(sound())] == [OK, OK]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (dict(reference=with_logits(lambda x: x / 0.7)), r"sampler's are those of temperature 0\.70, not 1\.00"),
        slow(dict(reference=with_logits(lambda x: jnp.where(x >= jnp.sort(x)[:, -5:-4], x, -1e9))), "the sampler's log-prob"),
        slow(dict(reference=language().model._replace(step=forgets)), "look at positions and masks of the cache"),
        slow(dict(reference=reads_otherwise(of_the_batch)), "depends on the others in the batch"),
        slow(dict(reference=reads_otherwise(positions_count_padding)), "more columns of padding before a text"),
        slow(dict(reference=reads_otherwise(sees_padding)), "the model reads tokens where the mask is 0"),
        slow(dict(parts=language(never=(BEGIN,))), "pad is token 0, and the policy gives it a probability"),
        slow(dict(parts=language(never=(PAD, BEGIN, END))), "none of 256 answers ends within its 8 tokens"),
    ],
)  # fmt: skip
def test_a_wrong_model_gets_its_diagnosis(fault, said):
    found = wrong(reading_of(task(**fault)))
    assert any(re.search(said, each) for each in found), found


@pytest.mark.slow
def test_a_policy_that_is_not_its_reference_is_told_and_a_temperature_by_its_number():
    model, params = language()
    drawn_anew = model._replace(init=lambda key: jax.tree.map(lambda x: 4.0 * x, model.init(key)))
    assert any(
        "begins with other parameters" in each for each in wrong(reading_of(task(), contender(network=drawn_anew)))
    )
    cold = model._replace(apply=lambda *x: model.apply(*x)._replace(logits=model.apply(*x).logits / 0.7))
    begun = model._replace(init=lambda key: params)
    (said,) = wrong(reading_of(task(reference=cold), contender(network=begun)))
    assert "reference's log-probabilities are those of temperature 0.70, not 1.00" in said


@pytest.mark.parametrize(("temperature", "side"), [slow(0.6, "more"), slow(2.0, "less")])
def test_answers_drawn_at_another_temperature_are_told_though_their_log_probabilities_are_right(temperature, side):
    (said,) = wrong(reading_of(task(), contender(make=drawn_at(temperature))))
    assert f"answers are {side} probable than chance has it" in said
    assert abs(float(said.split("of temperature ")[1].split(",")[0]) / temperature - 1.0) < 0.2


def one_key(env, config, **chosen):
    """RLOO whose answers are all drawn with the first row's."""
    method = rloo.make(env, config, **chosen)

    def answer(state, key, prompts):
        found = method.answer(state, key, prompts)
        return jax.tree.map(lambda x: jnp.tile(x[:2], (len(x) // 2, *[1] * (x.ndim - 1))), found)

    return method._replace(answer=answer)


@pytest.mark.slow
def test_rows_that_share_their_key_are_told():
    (said,) = wrong(reading_of(task(), contender(make=one_key)))
    assert "all 256 answers to 2 different prompts are 2" in said


# What the doctor says of a method's updates.


def moves_along(env, config, **chosen):
    """RLOO whose reference is the policy of the update before."""
    method = rloo.make(env, config, **chosen)

    def step(state, hparams):
        here = env._replace(text=env.text._replace(reference_params=state.params))
        return rloo.make(here, config, **chosen).step(state, hparams)

    return method._replace(step=step)


def writes_over(env, config, **chosen):
    """RLOO that has arrays of the reference in its hands and changes them."""
    method = rloo.make(env, config, **chosen)

    def step(state, hparams):
        env.text.reference_params["last"] += 0.01
        return method.step(state, hparams)

    return method._replace(step=step)


@pytest.mark.parametrize(
    ("make", "said"),
    [slow(moves_along, "its own moves along, or is another"), slow(writes_over, "the reference's parameters moved")],
)
def test_a_reference_that_moves_is_told(make, said):
    env = task(parts=language()._replace(params=jax.tree.map(np.array, language().params)))
    (found,) = wrong(examine_updates(prepare(env, contender(make=make))))
    assert said in found


def same_noise(of_update: bool):
    """Returns RLOO whose every update, or every seed, draws with one key."""

    def make(env, config, **chosen):
        method = rloo.make(env, config, **chosen)

        def step(state, hparams):
            key = jax.random.key(0) if of_update else state.key
            after, metrics = method.step(state.replace(key=key), hparams)
            return after, metrics

        def init(key, hparams):
            return method.init(key, hparams).replace(key=jax.random.key(0))

        return method._replace(step=step) if of_update else method._replace(init=init)

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (same_noise(True), ["the same answers at every update", "the same answers under every seed"]),
        slow(same_noise(False), ["the same answers under every seed"]),
    ],
)
def test_the_same_noise_at_every_update_or_under_every_seed_is_told(make, said):
    found = wrong(examine_updates(prepare(task(), contender(make=make))))
    assert len(found) == len(said) and all(words in each for words, each in zip(said, found)), found


def with_pairs():
    return task(preferences=jax.jit(lambda key: preference.labelled(task().text, key, 64))(jax.random.key(3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_passes_on_a_sound_task(name):
    found = examine_updates(prepare(with_pairs() if name in ("dpo", "ipo") else task(), contender(METHODS[name])))
    assert [each.level for each in found] == [OK], found


def test_the_whole_examination_passes_and_warns_of_what_the_method_warns_of():
    assert {each.level for each in examine_language(task(), contender(), (0.0, 1.0))} == {OK}


def test_what_a_method_warns_of_and_cannot_do_is_told():
    one = contender(kl_coef=0.0)
    told = [
        each.text
        for each in warned(Contender(one.name, one.algorithm, rloo.Config(estimator="k3"), one.hparams), task())
    ]
    assert "k3 in place 'reward' does not lead to rho exp(r / beta)" in told[0]
    assert told[1] == "rloo: kl_coef = 0: nothing holds the policy near its reference"
    (said,) = wrong(examine_language(task(), contender(dpo)))
    assert said == "dpo: small has no preferences to learn from: give pairs, or a Text with `preferences`"


# What the doctor says of records, and the command.


def records(**metrics):
    """Returns curves of one method under two seeds, [first, last] of each metric."""
    rows = [
        {"algorithm": "rloo", "seed": seed, "env_steps": step, "metric": name, "value": value}
        for name, values in metrics.items() for seed in (0, 1) for step, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


SOUND = dict(
    first_ratio_gap_max=[0.0, 1e-6], sampler_gap_max=[1e-6, 1e-5], kl=[0.0, 2.0], end_share=[0.5, 0.6],
    characters=[80.0, 70.0], distinct_2=[0.8, 0.7], proxy_reward=[0.0, 1.0], gold_reward=[0.1, 0.3],
)  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "level", "said"),
    [
        ({}, OK, "have nothing to tell"),
        (dict(first_ratio_gap_max=[0.0, 0.2]), PROBLEM, "ratio at an update's first minibatch was up to 0.2 off 1"),
        (dict(sampler_gap_max=[0.0, 0.3]), PROBLEM, "sampler and full pass were up to 0.3 nats a token apart"),
        (dict(kl=[0.0, -1.5]), PROBLEM, "divergence from the reference was -1.5 nats: below 0"),
        (dict(end_share=[0.5, 0.0]), PROBLEM, "50% of answers ended at first, 0% at last"),
        (dict(characters=[80.0, 20.0]), NOTE, "answers of 80.0 characters became 20.0"),
        (dict(distinct_2=[0.8, 0.1]), NOTE, "distinct-2 fell from 0.80 to 0.10"),
        (dict(gold_reward=[0.3, 0.1]), NOTE, "the reward rose by 1 and the gold judge's fell by 0.2, under every seed"),
    ],
)  # fmt: skip
def test_records_of_a_run_that_went_wrong_are_told(fault, level, said):
    (found,) = history("rloo", records(**{**SOUND, **fault}))
    assert found.level == level and said in found.text and found.text.startswith("rloo: ")


def test_a_divergence_below_0_is_held_against_how_many_answers_estimate_it():
    below = records(**{**SOUND, "kl": [0.0, -0.3]})
    assert [each.level for answers in (64, 4) for each in history("rloo", below, answers)] == [PROBLEM, OK]


PAD_IS_END = """
from test_doctor_language import task

def same():
    return task(pad=2, end=2)

def as_column():
    return task(lambda tokens, mask, answer_mask: tokens[:, -1:])
"""


def test_the_command_examines_a_language_task_and_refuses_what_cannot_be_examined(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    (tmp_path / "tasks.py").write_text(PAD_IS_END)
    assert doctor(Args(f"{tmp_path / 'tasks.py'}:same")) == 1
    problem, verdict = capsys.readouterr().out.splitlines()
    assert "pad and end are one token, 2: the end of an answer is trained, pad never" in problem
    assert verdict == "same, an environment: 1 to mend"
    assert doctor(Args(f"{tmp_path / 'tasks.py'}:as_column", algorithm="rloo")) == 1
    *_, problem, verdict = capsys.readouterr().out.splitlines()
    assert "the reward gives [256, 1] for 256 answers" in problem
    assert verdict == "as_column, a language task: 1 to mend"
    for args in (Args(f"{tmp_path / 'tasks.py'}:as_column", algorithm="pop"), Args(str(tmp_path))):
        with pytest.raises(BadInput) as error:
            doctor(args)
        assert "\n" not in str(error.value)
