"""Where each estimator of the divergence leads in each place: the expected gradient, over all answers, of the code that
algorithms run, followed to its end."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from listed import all_answers, listed, log_probs, quick_jit

import algos.ppo
from algos.rlhf import advantages, experience, grpo, kl, optimum, ppo, reinforce, rloo
from algos.rlhf.averages import weights
from algos.rlhf.experience import collect, reader

BETA = 0.5


def expected(task, params, config, hparams, monkeypatch):
    """Returns (batch of all answers, their probabilities [N], carrying no gradient)."""
    monkeypatch.setattr(experience, "sample", lambda *_, **__: all_answers(task))
    batch, _ = collect(task.env.text, task.env.text.reference, params, None, None, config, hparams)
    batch = jax.lax.stop_gradient(batch)
    return batch, jnp.exp(jnp.sum(batch.log_prob, axis=1))


def gradient_of(loss, task, config, hparams, monkeypatch, average="sum"):
    """Returns the expected gradient as a function of the parameters: answers weigh what they are probable, and the advantage
    is the whole reward less its mean."""
    text = task.env.text
    apply = reader(text.reference, text.length, hparams.temperature)
    if config.place != "reward":
        loss = kl.in_loss(loss, config.estimator, config.place)

    def gradient(params):
        batch, mass = expected(task, params, config, hparams, monkeypatch)
        whole = jnp.sum(batch.reward, axis=1)
        advantage = jnp.where(batch.mask > 0, (whole - jnp.sum(mass * whole))[:, None], 0.0)
        weight = mass[:, None] * weights(batch.mask, average) * len(mass)
        batch = batch.replace(advantage=advantage, value_target=batch.value, weight=weight)
        return jax.grad(lambda params: loss(params, apply, batch, hparams)[0])(params)

    return gradient


def followed(gradient, params, steps=1500):
    """Returns the parameters after descending, by Adam with a rate that falls to 0."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps))

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(gradient(params), state)
        return (optax.apply_updates(params, updates), state), None

    return jax.jit(lambda params: jax.lax.scan(step, (params, optimizer.init(params)), None, steps)[0][0])(params)


def targets(task):
    """Returns log pi [N] of where each estimator should lead in its place."""
    whole = task.log_reference.sum(axis=1)
    star = optimum.optimal(whole, task.reward, BETA)
    prefix = [
        optimum.by_prefix(task.tokens, task.mask, task.log_reference, task.reward, BETA, rule)
        for rule in (optimum.optimal, optimum.reverse_optimal)
    ]
    return {
        ("k1", "reward"): star,
        ("k2", "answer_loss"): star,
        ("k2", "loss"): prefix[0],
        ("k3", "loss"): prefix[1],
        ("k3", "answer_loss"): optimum.reverse_optimal(whole, task.reward, BETA),
    }


LOST = [("k2", "reward"), ("k3", "reward"), ("k1", "loss"), ("k1", "answer_loss")]


def in_float64(task):
    text = task.env.text
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), text.reference_params)
    return task._replace(env=task.env._replace(text=text._replace(reference_params=params)))


def every_gradient(task, monkeypatch):
    """Returns the function of (parameters, beta) that gives the expected gradient for each estimator in each place."""

    def gradients(params, beta):
        found = {}
        for estimator, place in (*targets(task), *LOST):
            config, hparams = grpo.Config(estimator=estimator, place=place), grpo.HParams(kl_coef=beta)
            found[estimator, place] = gradient_of(grpo.loss, task, config, hparams, monkeypatch)(params)["logits"]
        return found

    return quick_jit(gradients)


def test_every_estimator_rests_at_its_own_optimum_and_at_no_other(float64, monkeypatch):
    task = in_float64(listed(4, 3))
    gradients, ends = every_gradient(task, monkeypatch), targets(task)
    for end, log_policy in ends.items():
        found = gradients(by_logits(task, log_policy), BETA)
        for pair, gradient in found.items():
            rests = pair in ends and np.allclose(ends[pair], log_policy, atol=1e-9)
            assert (np.abs(gradient).max() < 1e-7) == rests, (pair, end)
    params = jax.tree.map(jnp.asarray, task.env.text.reference.init(jax.random.key(7)))
    held, free = gradients(params, BETA), gradients(params, 0.0)
    for pair in held:  # k1 in a loss is no penalty at all
        same = np.abs(held[pair] - free[pair]).max() < 1e-12
        assert same == (pair in (("k1", "loss"), ("k1", "answer_loss"))), pair


def test_a_mean_within_each_answer_keeps_the_end_of_a_penalty_in_the_reward_and_of_none_in_a_loss(float64, monkeypatch):
    task = in_float64(listed(4, 3))
    ends = targets(task)
    for pair, rests in ((("k1", "reward"), True), (("k2", "answer_loss"), False), (("k3", "loss"), False)):
        config, hparams = grpo.Config(estimator=pair[0], place=pair[1]), grpo.HParams(kl_coef=BETA)
        gradient = quick_jit(gradient_of(grpo.loss, task, config, hparams, monkeypatch, "answer"))
        found = gradient(by_logits(task, ends[pair]))["logits"]
        assert (np.abs(found).max() < 1e-7) == rests and (rests or np.abs(found).max() > 1e-4), pair


@pytest.mark.slow
@pytest.mark.parametrize(("vocabulary", "length", "steps"), [(4, 3, 1000), (6, 4, 1000), (8, 5, 500)])
def test_every_estimator_leads_to_its_own_optimum(float64, monkeypatch, vocabulary, length, steps):
    task = in_float64(listed(vocabulary, length))
    ends = targets(task)
    for (estimator, place), end in ends.items():
        config, hparams = grpo.Config(estimator=estimator, place=place), grpo.HParams(kl_coef=BETA)
        gradient = gradient_of(grpo.loss, task, config, hparams, monkeypatch)
        found = log_probs(task, followed(gradient, task.env.text.reference_params, steps))
        assert optimum.divergence(found, end) < (1e-3 if vocabulary == 4 else 0.01), (estimator, place)


@pytest.mark.slow
def test_k3_in_the_reward_and_k1_in_the_loss_lead_away(float64, monkeypatch):
    task = in_float64(listed(4, 3))
    star = targets(task)["k1", "reward"]
    for estimator, place in LOST:
        config, hparams = grpo.Config(estimator=estimator, place=place), grpo.HParams(kl_coef=BETA)
        gradient = gradient_of(grpo.loss, task, config, hparams, monkeypatch)
        found = log_probs(task, followed(gradient, task.env.text.reference_params, 1000))
        assert optimum.divergence(found, star) > 0.05, (estimator, place)
        if estimator == "k1":
            assert np.exp(found).max() > 0.99  # one answer alone, as without a penalty; not always the best


def by_logits(task, log_policy):
    """Returns the table whose policy has those log-probabilities [N]: each token's is the mass of what begins with it."""
    params = jax.tree.map(np.array, task.env.text.reference_params)
    nodes, vocabulary = params["logits"].shape[1:]
    mass = np.full((nodes, vocabulary), 1e-300)
    for tokens, mask, log_prob in zip(task.tokens, task.mask, log_policy):
        node = 0
        for token in tokens[: int(mask.sum())]:
            mass[node, token] += np.exp(log_prob)
            node = node * vocabulary + 1 + token
    params["logits"][0] = np.log(mass)
    return params


def exact_gradient(task, params):
    """Returns the gradient of E[r] - beta KL by differentiating the sum over answers."""
    text = task.env.text
    answers = all_answers(task)

    def objective(params):
        apply = reader(text.reference, text.length, 1.0)
        policy, _ = apply(params, experience.Sequence(answers.tokens, answers.mask))
        log_policy = jnp.sum(policy.log_prob(task.tokens), axis=1, where=task.mask > 0)
        return jnp.sum(jnp.exp(log_policy) * (task.reward - BETA * (log_policy - task.log_reference.sum(1))))

    return quick_jit(jax.grad(objective))(params)["logits"]


def test_expected_gradients_are_those_of_reward_less_divergence(float64, monkeypatch):
    task = in_float64(listed(4, 3))
    params = jax.tree.map(jnp.asarray, task.env.text.reference.init(jax.random.key(7)))
    params["value"] = jax.random.normal(jax.random.key(8), params["value"].shape)  # any baseline will do
    exact = exact_gradient(task, params)
    for module, loss in ((rloo, rloo.loss), (reinforce, reinforce.loss), (grpo, grpo.loss)):
        hparams = module.HParams(kl_coef=BETA)
        hparams = hparams.replace(value_coef=0.0) if module is reinforce else hparams
        config = module.Config(estimator="k1", place="reward")
        found = quick_jit(gradient_of(loss, task, config, hparams, monkeypatch))(params)["logits"]
        np.testing.assert_allclose(found, -exact, atol=1e-9)
    answer_mean = quick_jit(gradient_of(grpo.loss, task, config, hparams, monkeypatch, "answer"))(params)["logits"]
    assert np.abs(answer_mean + exact).max() > 1e-3


@pytest.mark.parametrize("advantage", [advantages.gae, advantages.baseline])
def test_the_projects_own_ppo_loss_has_the_gradient_at_a_ratio_of_one(float64, monkeypatch, advantage):
    task = in_float64(listed(4, 3))
    params = jax.tree.map(jnp.asarray, task.env.text.reference.init(jax.random.key(7)))
    params["value"] = jax.random.normal(jax.random.key(8), params["value"].shape)
    hparams = ppo.HParams(kl_coef=BETA, gae_lambda=1.0, value_coef=0.0)
    apply = reader(task.env.text.reference, 3, 1.0)
    assert ppo.loss is algos.ppo.loss

    def gradient(params):
        batch, mass = expected(task, params, ppo.Config(), hparams, monkeypatch)
        worth, _ = advantage(batch, hparams, 1)
        batch = batch.replace(advantage=worth * mass[:, None] * jnp.sum(batch.mask), value_target=batch.value)
        return jax.grad(lambda params: ppo.loss(params, apply, batch, hparams)[0])(params)["logits"]

    found = quick_jit(gradient)(params)
    np.testing.assert_allclose(found, -exact_gradient(task, params), atol=1e-9)


def test_a_penalty_that_loses_the_optimum_is_warned_of_in_one_line():
    env = listed(3, 2).env
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for module in (ppo, rloo, reinforce):
            module.make(env)
        grpo.make(env, grpo.Config(average="sum"))
        grpo.make(env, grpo.Config(estimator="k1", place="reward"))
        ppo.make(env, ppo.Config(estimator="k2", place="answer_loss", whiten_advantage=False))
    lost = {("k1", "loss"), ("k1", "answer_loss"), ("k2", "reward"), ("k3", "reward"), ("k2", "loss"), ("k3", "loss")}
    for estimator, place in lost:
        with pytest.warns(UserWarning, match=f"^{estimator} in place '{place}'") as told:
            ppo.make(env, ppo.Config(estimator=estimator, place=place))
        assert len(told) == 1 and "\n" not in str(told[0].message) and told[0].filename == __file__
    with pytest.warns(UserWarning, match="^average 'answer' with k3 in place 'loss'") as told:
        grpo.make(env)
    with pytest.warns(UserWarning, match="^whiten_advantage divides") as more:
        ppo.make(env, ppo.Config(estimator="k2", place="answer_loss"))
    assert len(told) == len(more) == 1 and told[0].filename == more[0].filename == __file__
    with pytest.raises(ValueError, match="estimator must be one of k1, k2, k3, not 'k4'"):
        ppo.make(env, ppo.Config(estimator="k4"))
    with pytest.raises(ValueError, match="place must be one of reward, loss, answer_loss, not 'advantage'"):
        ppo.make(env, ppo.Config(place="advantage"))


def test_estimators_are_their_formulas_and_estimate_the_divergence():
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    x = np.log(p / q)
    np.testing.assert_allclose(kl.k1(x), x)
    np.testing.assert_allclose(kl.k2(x), x**2 / 2, rtol=1e-6)
    np.testing.assert_allclose(kl.k3(x), q / p - 1 - np.log(q / p), rtol=1e-5)
    divergence = np.sum(p * x)
    assert np.sum(p * kl.k1(x)) == pytest.approx(divergence) == pytest.approx(float(np.sum(p * kl.k3(x))), rel=1e-5)


def test_a_divergence_in_the_reward_carries_no_gradient_and_stops_at_the_end():
    mask = jnp.array([[1.0, 1.0, 0.0]])

    def paid(log_ratio):
        return jnp.sum(kl.in_reward("k1", jnp.zeros((1, 3)), log_ratio, 0.5, mask))

    assert paid(jnp.array([[1.0, 2.0, 50.0]])) == -1.5
    assert np.all(jax.grad(paid)(jnp.array([[1.0, 2.0, 50.0]])) == 0.0)


def test_the_coefficient_moves_by_at_most_a_fifth_of_its_share_and_towards_the_target():
    for divergence, error in ((6.0, 0.0), (6.6, 0.1), (60.0, 0.2), (0.0, -0.2)):
        assert kl.adapted(0.15, divergence, 6.0, 10_000.0, 512) == pytest.approx(0.15 * (1 + error * 512 / 10_000))
    assert kl.adapted(0.15, 0.0, 6.0, 100.0, 512) == 0.0  # never a reward for going away
    assert kl.adapted(1.0, 60.0, 6.0, 10_000.0, 512) - 1.0 <= 0.01025
