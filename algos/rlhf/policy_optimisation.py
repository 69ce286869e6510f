"""What the methods that learn from scored answers share: the loop around advantage and loss.

One step: answers to fresh prompts, advantages over all of them, epochs of minibatch steps down the loss, and the coefficient
of the divergence moved where it adapts. Methods differ in the advantage, the loss and how the loss averages.
"""

import jax
import jax.numpy as jnp
from jax import lax

from algos.core.config import require
from algos.core.distributions import Categorical
from algos.core.optimize import adam, annealed, env_steps, gradient_step, minibatch_epochs
from algos.core.types import Algorithm
from algos.rlhf import kl
from algos.rlhf.averages import require_average, weights
from algos.rlhf.experience import collect, draw_prompts, reader
from algos.rlhf.sampling import sample
from algos.rlhf.types import TextState
from envs import Env


def optimise(env: Env, config, loss, network, targets, average: str, own=()) -> Algorithm:
    """Returns the algorithm. targets: (batch, hparams) -> the batch with `advantage` and `value_target`. own: the estimator
    and its place that the method is known by; any other that does not lead to pi* is warned of, and so is what unbalances
    reward and penalty."""
    model = check(env, config, network, average)
    whitened = getattr(config, "whiten_advantage", False)
    kl.warn_if_lost(config.estimator, config.place, average, whitened, own)
    text, episodes = env.text, config.num_prompts * config.group
    steps_per_update = episodes * text.length
    if config.place != "reward":
        loss = kl.in_loss(loss, config.estimator, config.place)
    loss = read_once(with_ratio(loss))

    def init(key, hparams):
        optimizer = adam(0.0, hparams.max_grad_norm)
        state = initialise(text, model, network, optimizer, key, hparams)
        return state.replace(kl_coef=jnp.asarray(hparams.kl_coef, jnp.float32)) if config.adaptive else state

    def step(state, hparams):
        key, key_sample, key_shuffle = jax.random.split(state.key, 3)
        key_environment, key_prompts = jax.random.split(state.environment)
        if config.adaptive:
            hparams = hparams.replace(kl_coef=state.kl_coef)
        prompts = draw_prompts(text, key_prompts, config.num_prompts, config.group)
        batch, told = collect(text, model, state.params, key_sample, prompts, config, hparams)
        batch = targets(batch, hparams)
        apply = reader(model, text.length, hparams.temperature)
        taken = env_steps(state.update, steps_per_update)
        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        optimizer = adam(learning_rate, hparams.max_grad_norm)

        def update(carry, minibatch):
            params, opt_state, first = carry
            minibatch = minibatch.replace(weight=weights(minibatch.mask, average))
            params, opt_state, metrics = gradient_step(optimizer, loss, params, opt_state, apply, minibatch, hparams)
            gap = metrics.pop("ratio_gap")
            return (params, opt_state, jnp.where(first < 0.0, gap, first)), metrics

        (params, opt_state, gap), metrics = minibatch_epochs(
            update, (state.params, state.opt_state, jnp.float32(-1.0)), batch, key_shuffle,
            config.num_epochs, config.num_minibatches,
        )  # fmt: skip
        state = state.replace(
            params=params, opt_state=opt_state, environment=key_environment, key=key, update=state.update + 1,
            temperature=jnp.asarray(hparams.temperature, jnp.float32),
        )  # fmt: skip
        told |= {"kl_coef": jnp.asarray(hparams.kl_coef, jnp.float32), "first_ratio_gap_max": gap}
        if config.adaptive:
            moved = kl.adapted(hparams.kl_coef, told["kl"], hparams.kl_target, hparams.kl_horizon, episodes)
            state = state.replace(kl_coef=moved)
        return state, {**of_update(metrics), **told}

    return algorithm(text, model, init, step, steps_per_update)


def check(env: Env, config, network, average: str):
    """Returns the language model that is trained. Raises ValueError, one line, for what cannot be."""
    model = require_text(env, network)
    require(config, "num_prompts", "group", "num_epochs", "num_minibatches")
    require_average(average)
    kl.require_place(config.estimator, config.place)
    answers = config.num_prompts * config.group
    if answers % config.num_minibatches:
        raise ValueError(f"num_minibatches={config.num_minibatches} must divide num_prompts * group = {answers}")
    return model


def require_text(env: Env, network):
    """Returns the language model that is trained. Raises ValueError where the environment is no language task."""
    if env.text is None:
        raise ValueError(f"{env.name} is no language task: its `text` is None; make one with envs.text.env")
    model = network or env.text.reference
    if model.vocabulary != env.text.vocabulary:
        raise ValueError(f"the network has {model.vocabulary} tokens, {env.name} has {env.text.vocabulary}")
    return model


def initialise(text, model, network, optimizer, key, hparams) -> TextState:
    """Returns the state before the first update: the reference policy, unless the user's network begins elsewhere.
    optimizer: None where nothing is trained."""
    key_environment, key_params, key_train = jax.random.split(key, 3)
    params = text.reference_params if network is None else model.init(key_params)
    params = jax.tree.map(jnp.asarray, params)
    return TextState(
        params=params,
        opt_state=optimizer.init(params) if optimizer else (),
        environment=key_environment,
        normalizer=None,
        key=key_train,
        update=jnp.int32(0),
        kl_coef=None,
        temperature=jnp.asarray(hparams.temperature, jnp.float32),
    )


def algorithm(text, model, init, step, steps_per_update: int) -> Algorithm:
    """Returns the parts as an `Algorithm` that acts token by token, on the tokens so far, int32 [..., P + L], and answers
    prompts [B, P] as it is trained to: by sampling at its temperature."""
    width = jnp.shape(text.prompts)[1]

    def heads(state, observation):
        rows = observation.reshape(-1, observation.shape[-1])
        real = rows != text.pad
        place = jnp.arange(rows.shape[1])
        read = jnp.max(jnp.where(real, place, width - 1), axis=1, keepdims=True)  # the last token that is written
        real = real | ((place >= width) & (place <= read))
        output = model.apply(state.params, rows, real.astype(jnp.float32))
        leading = observation.shape[:-1]
        return jax.tree.map(lambda x: x[jnp.arange(len(rows)), read[:, 0]].reshape(*leading, *x.shape[2:]), output)

    def policy(state, observation):
        return Categorical(heads(state, observation).logits / state.temperature)

    def value(state, observation):
        return heads(state, observation).value

    def act(state, key, observation, explore: bool):
        chosen = policy(state, observation)
        return chosen.sample(key) if explore else chosen.mode()

    def answer(state, key, prompts):
        return sample(
            model, state.params, key, prompts,
            length=text.length, end=text.end, pad=text.pad, temperature=state.temperature,
        )  # fmt: skip

    return Algorithm(init, step, act, steps_per_update, policy=policy, value=value, answer=answer)


def read_once(loss):
    """Returns the loss with one pass of the network over its batch, however many of its parts ask for it."""

    def reading(params, apply, batch, hparams):
        known = apply(params, batch.observation)

        def look_up(asked, observation):
            return known if asked is params and observation is batch.observation else apply(asked, observation)

        return loss(params, look_up, batch, hparams)

    return reading


def with_ratio(loss):
    """Returns the loss with max |pi / pi_old - 1| among its metrics, as `ratio_gap`."""

    def measured(params, apply, batch, hparams):
        value, metrics = loss(params, apply, batch, hparams)
        log_ratio = apply(params, batch.observation)[0].log_prob(batch.action) - batch.log_prob
        gap = jnp.where(batch.mask > 0, jnp.abs(jnp.expm1(lax.stop_gradient(log_ratio))), 0.0)
        return value, {**metrics, "ratio_gap": jnp.max(gap)}

    return measured


def of_update(metrics):
    """Returns the loss's metrics, its `kl` (from the old policy) named apart from the one from the reference."""
    return {"update_kl" if name == "kl" else name: x for name, x in metrics.items()}
