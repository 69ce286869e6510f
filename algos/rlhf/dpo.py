"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, eq. 7).

    L = -E log sigmoid(beta h),   h = log pi(y_w|x) / rho(y_w|x) - log pi(y_l|x) / rho(y_l|x)

Where preferences are Bradley and Terry's of a reward and pairs cover all answers, its optimum is rho exp(r / beta).
"""

import jax

from algos.core.types import Algorithm
from algos.rlhf import preference
from algos.rlhf.averages import total
from algos.rlhf.preference import Config, HParams
from envs import Env


def loss(params, apply, batch: preference.PairBatch, hparams: HParams):
    """Returns the loss at the top of this file, a scalar, and metrics."""
    log_ratio, log_prob = preference.log_ratios(params, apply, batch)
    each = -jax.nn.log_sigmoid(hparams.beta * (log_ratio[0] - log_ratio[1]))
    return total(each, batch.weight), preference.metrics(log_ratio, log_prob, hparams.beta)


def make(
    env: Env, config: Config = Config(), *, pairs: preference.Pairs | None = None, loss=loss, network=None
) -> Algorithm:
    """Returns DPO on the language task `env` and pairs of answers to its prompts; None: `env.text.preferences`.
    network: a LanguageModel; None: the reference, where the policy then begins."""
    return preference.optimise(env, config, loss, network, pairs)
