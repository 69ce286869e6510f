"""Our side of `language`: sampling, supervised training and PPO of language policies, compiled as the pipeline compiles them."""

import time
from importlib.metadata import version
from typing import NamedTuple

from experiments.benchmarks.serve import Round, serve
from experiments.lab.machine import devices


class Shape(NamedTuple):
    """How large everything is. The default is the pipeline's."""

    vocabulary: int = 1_024
    width: int = 128
    layers: int = 3
    heads: int = 4
    rows: int = 16  # of a supervised update
    row: int = 128  # tokens of a row, four texts
    answers: int = 64
    length: int = 24
    epochs: int = 2
    minibatches: int = 2
    side: int = 1_024  # of the square matrices whose product is the machine's peak


PIPELINE = Shape()


def make_round(workload: str, times: int, _: int = 0, shape: Shape = PIPELINE) -> Round:
    """Returns a function that runs the workload `times` times and returns the processor's seconds of one."""
    import jax

    from experiments.rlhf.stages.training import compiled, lane

    device = lane()
    begin, step = WORKLOADS[workload](shape)

    def run(state, number):
        return jax.lax.fori_loop(0, number, lambda _, state: step(state), state)

    state = compiled(begin, device)()
    number = jax.device_put(jax.numpy.int32(times), device)
    program = compiled(run, device, state, number)
    jax.block_until_ready(program(state, number))

    def one_round() -> float:
        began = time.process_time()
        jax.block_until_ready(program(state, number))
        return (time.process_time() - began) / times

    return one_round


def sampling(shape: Shape, sample=None):
    """Returns (begin, step) of drawing answers, each time with a key of its own."""
    import jax
    import jax.numpy as jnp

    from algos.rlhf import tokeniser
    from algos.rlhf.sampling import sample as with_memory

    language_model = model(shape)
    prompts = jnp.full((shape.answers, 1), tokeniser.BEGIN, jnp.int32)

    def begin():
        key = jax.random.key(0)
        return language_model.init(key), key, jnp.int32(0)

    def step(state):
        params, key, said = state
        key, key_sample = jax.random.split(key)
        found = (sample or with_memory)(
            language_model, params, key_sample, prompts, length=shape.length, end=tokeniser.END, pad=tokeniser.PAD
        )
        return params, key, said + jnp.sum(found.tokens)

    return begin, step


def sampling_without_a_cache(shape: Shape):
    """Returns (begin, step) of drawing answers by reading the whole text at each token."""
    return sampling(shape, whole_passes)


def whole_passes(model, params, key, prompts, *, length: int, end: int, pad: int):
    """Returns the answers to prompts without padding that `sample` draws with the same key, without its memory."""
    import jax
    import jax.numpy as jnp

    from algos.rlhf.sampling import Answers, _draw

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(prompts)))
    width = prompts.shape[1]
    tokens = jnp.pad(prompts, ((0, 0), (0, length)), constant_values=pad)

    def go_on(carry, place):
        tokens, going = carry
        mask = jnp.broadcast_to(jnp.arange(width + length) < width + place, tokens.shape).astype(jnp.float32)
        output = model.apply(params, tokens, mask)
        here = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, width + place - 1, 1, keepdims=False), output)
        token, going, log_prob, value = _draw(here, keys, place, 1.0, going, pad)
        tokens = jax.lax.dynamic_update_index_in_dim(tokens, token, width + place, 1)
        return (tokens, going & (token != end)), (going, log_prob, value)

    going = jnp.ones(len(prompts), bool)
    (tokens, _), (real, log_prob, value) = jax.lax.scan(go_on, (tokens, going), jnp.arange(length))
    answer_mask = real.T.astype(jnp.float32)
    mask = jnp.concatenate([jnp.ones(prompts.shape), answer_mask], axis=1)
    return Answers(tokens, mask, answer_mask, log_prob.T, value.T)


def supervised_step(shape: Shape):
    """Returns (begin, step) of supervised training on rows of four texts."""
    import jax
    import numpy as np

    from algos.rlhf import supervised

    rng = np.random.default_rng(0)
    tokens = rng.integers(4, shape.vocabulary, (4 * shape.rows, shape.row))
    mask = np.broadcast_to(np.arange(shape.row) * 4 // shape.row + 1, tokens.shape)
    training = supervised.make(model(shape), tokens, mask, supervised.Config(rows=shape.rows))
    hparams = jax.tree.map(jax.numpy.float32, supervised.HParams())
    return (
        lambda: training.init(jax.random.key(0), hparams),
        lambda state: training.step(state, hparams)[0],
    )


def ppo_update(shape: Shape):
    """Returns (begin, step) of PPO against a reward model of the same size, as the pipeline makes it."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from algos.rlhf import ppo, reward_model, tokeniser
    from envs import text

    language_model = model(shape)
    drawn = jax.jit(language_model.init)
    judge = reward_model.RewardModel(drawn(jax.random.key(1)), jnp.float32(0.0), jnp.float32(1.0))
    facts = text.Text(
        vocabulary=shape.vocabulary, pad=tokeniser.PAD, end=tokeniser.END,
        prompts=np.full((1, 1), tokeniser.BEGIN, np.int32), length=shape.length, reference=language_model,
        reference_params=drawn(jax.random.key(0)),
        reward=reward_model.reward(reward_model.averaged(language_model), judge),
    )  # fmt: skip
    config = ppo.Config(num_prompts=shape.answers, num_epochs=shape.epochs, num_minibatches=shape.minibatches)
    algorithm = ppo.make(text.env("language", facts), config)
    hparams = jax.tree.map(jnp.float32, ppo.HParams(learning_rate=5e-4, kl_coef=0.1))
    return (
        lambda: algorithm.init(jax.random.key(2), hparams),
        lambda state: algorithm.step(state, hparams)[0],
    )


def product(shape: Shape):
    """Returns (begin, step) of one product of large square matrices: what this machine can do at most."""
    import jax.numpy as jnp

    size = shape.side
    return lambda: (jnp.eye(size), jnp.ones((size, size))), lambda state: (state[0], state[0] @ state[1])


WORKLOADS = {
    "sampling": sampling, "sampling without a cache": sampling_without_a_cache, "supervised step": supervised_step,
    "PPO update": ppo_update, "peak": product,
}  # fmt: skip


def model(shape: Shape):
    """Returns the pipeline's transformer of that size."""
    from experiments.rlhf.settings import SHAPE
    from experiments.rlhf.stages.supervised import model_from_nothing

    return model_from_nothing({name: getattr(shape, name) for name in SHAPE})


def facts() -> dict[str, str | int]:
    """Returns our versions and the number of parameters."""
    import jax

    params = jax.eval_shape(model(PIPELINE).init, jax.random.key(0))
    return {"jax": version("jax"), "parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}


if __name__ == "__main__":
    devices.start()
    serve(make_round, facts)
