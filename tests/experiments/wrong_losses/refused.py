"""Losses that `compare` refuses, each with one fault, at the line that ends in `# wrong`."""

from jax import lax

from algos import dqn, ppo


def metric_called_loss(params, apply, batch, hparams: ppo.HParams):
    total, metrics = ppo.loss(params, apply, batch, hparams)
    return total, {**metrics, "loss": total}  # wrong


def metric_of_the_runner(params, apply, batch, hparams: dqn.HParams):
    total, metrics = dqn.loss(params, apply, batch, hparams)
    return total, {**metrics, "evaluation_return": total}  # wrong


def metric_called_by_number(params, apply, batch, hparams: ppo.HParams):
    total, metrics = ppo.loss(params, apply, batch, hparams)
    return total, {0: total}  # wrong


def not_differentiable(params, apply, batch, hparams: ppo.HParams):
    total, metrics = ppo.loss(params, apply, batch, hparams)
    return lax.while_loop(lambda x: x > 1.0, lambda x: 0.5 * x, total), metrics
