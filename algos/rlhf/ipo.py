"""Identity preference optimisation (Azar et al. 2023, arXiv 2310.12036, eq. 17).

    L = E (h - 1 / (2 beta))^2,   h = log pi(y_w|x) / rho(y_w|x) - log pi(y_l|x) / rho(y_l|x)

Its optimum is rho exp(p / beta), p(y) the probability that y is preferred to an answer drawn as the pairs' are: where one is
always preferred it does not drift off as DPO does.
"""

from algos.core.types import Algorithm
from algos.rlhf import preference
from algos.rlhf.averages import total
from algos.rlhf.preference import Config, HParams
from envs import Env


def loss(params, apply, batch: preference.PairBatch, hparams: HParams):
    """Returns the loss at the top of this file, a scalar, and metrics."""
    log_ratio, log_prob = preference.log_ratios(params, apply, batch)
    each = (log_ratio[0] - log_ratio[1] - 0.5 / hparams.beta) ** 2
    return total(each, batch.weight), preference.metrics(log_ratio, log_prob, hparams.beta)


def make(
    env: Env, config: Config = Config(), *, pairs: preference.Pairs | None = None, loss=loss, network=None
) -> Algorithm:
    """Returns IPO on the language task `env` and pairs of answers to its prompts; None: `env.text.preferences`.
    network: a LanguageModel; None: the reference, where the policy then begins."""
    return preference.optimise(env, config, loss, network, pairs)
