"""The algorithms themselves, on sampled answers, against the optimum that enumeration gives: KL(pi || pi*) is what is left of
the objective, over beta."""

import jax
import numpy as np
import pytest
from listed import listed, log_probs, quick_jit

from algos.rlhf import grpo, optimum, ppo, reinforce, rloo
from algos.rlhf.advantages import group_centred

BETA = 0.5
ANSWER_LOSS = {"estimator": "k2", "place": "answer_loss"}

# name -> (module, configuration of n answers an update, hyperparameters)
RUNS = {
    "ppo": (ppo, lambda n: {"num_prompts": n, "num_epochs": 1, "num_minibatches": 4}, {"value_coef": 1.0}),
    "reinforce": (reinforce, lambda n: {"num_prompts": n}, {"value_coef": 1.0}),
    "rloo": (rloo, lambda n: {"num_prompts": n // 4, "group": 4}, {}),
    "k2": (rloo, lambda n: {"num_prompts": n // 4, "group": 4, **ANSWER_LOSS}, {}),
    "grpo": (grpo, lambda n: {"num_prompts": n // 16, "group": 16, "average": "sum"}, {}),
}
slow = pytest.mark.slow


def trained(task, name, answers, updates, learning_rate):
    """Returns log pi [N] of every answer after training."""
    module, config, fields = RUNS[name]
    given = {"advantage": group_centred} if module is grpo else {}
    algorithm = module.make(task.env, module.Config(**config(answers)), **given)
    budget = float(updates * algorithm.steps_per_update)
    hparams = module.HParams(learning_rate=learning_rate, total_steps=budget, kl_coef=BETA, **fields)

    def run(key):
        state = algorithm.init(key, hparams)
        return jax.lax.fori_loop(0, updates, lambda _, state: algorithm.step(state, hparams)[0], state).params

    jit = quick_jit if updates < 500 else jax.jit
    return log_probs(task, jit(run)(jax.random.key(0)))


@pytest.mark.parametrize(
    ("name", "size", "answers", "updates", "learning_rate"),
    [
        ("ppo", (3, 2), 128, 150, 0.1),
        ("rloo", (3, 2), 128, 150, 0.1),
        *(pytest.param(name, (3, 2), 256, 300, 0.05, marks=slow) for name in ("reinforce", "k2")),
        *(pytest.param(name, (6, 4), 2048, 800, 0.05, marks=slow) for name in RUNS if name != "grpo"),
        *(pytest.param(name, (8, 5), 4096, 2500, 0.1, marks=slow) for name in ("ppo", "rloo", "k2")),
    ],
)
def test_what_is_sampled_reaches_the_optimum(name, size, answers, updates, learning_rate):
    task = listed(*size)
    star = optimum.optimal(task.log_reference.sum(1), task.reward, BETA)
    assert optimum.divergence(task.log_reference.sum(1), star) > 0.3
    assert optimum.divergence(trained(task, name, answers, updates, learning_rate), star) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("size", "answers", "updates"), [((3, 2), 256, 300), ((6, 4), 4096, 1500)])
def test_grpo_reaches_its_own_optimum_and_not_that_one(size, answers, updates):
    task = listed(*size)
    facts = (task.tokens, task.mask, task.log_reference, task.reward)
    own = optimum.by_prefix(
        *facts, BETA * 16 / 15, optimum.reverse_optimal
    )  # the mean of 16 has 1 / 16 of the answer itself
    star = optimum.optimal(task.log_reference.sum(1), task.reward, BETA)
    found = trained(task, "grpo", answers, updates, 0.05)
    assert optimum.divergence(found, own) < 0.01 < optimum.divergence(found, star)
    assert np.exp(found).sum() == pytest.approx(1.0)
