import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core
from rich.console import Console

from algos.rlhf import tokeniser
from algos.rlhf.sampling import sample
from experiments.benchmarks import language, language_side
from experiments.benchmarks.language_side import Shape

TINY = Shape(
    vocabulary=9, width=8, layers=1, heads=2, rows=2, row=8, answers=4, length=3, epochs=1, minibatches=2, side=16
)


@pytest.mark.parametrize("workload", language_side.WORKLOADS)
def test_every_workload_goes_on_from_where_it_ended(workload):
    begin, step = language_side.WORKLOADS[workload](TINY)
    state = jax.eval_shape(begin)
    assert jax.eval_shape(step, state) == state


def test_a_round_gives_the_processors_seconds_of_one_run():
    seconds = [language_side.make_round("peak", times, shape=TINY)() for times in (1, 1000)]
    assert 0.0 < seconds[1] < seconds[0] < 1.0


def test_reading_the_whole_text_at_each_token_draws_what_the_cache_draws():
    model = language_side.model(TINY)
    params = jax.tree.map(lambda x: 3.0 * x, jax.jit(model.init)(jax.random.key(0)))
    prompts = jnp.full((4, 1), tokeniser.BEGIN, jnp.int32)
    rest = {"length": 6, "end": tokeniser.END, "pad": tokeniser.PAD}
    found, expected = (
        jax.jit(lambda key, draw=draw: draw(model, params, key, prompts, **rest))(jax.random.key(1))
        for draw in (language_side.whole_passes, sample)
    )
    assert len(np.unique(expected.tokens)) > 3 and not np.all(expected.mask)  # ends are among them
    for name in ("tokens", "mask", "answer_mask"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.log_prob, expected.log_prob, atol=1e-5)


def test_the_operations_counted_are_those_of_the_models_products():
    model = language_side.model(TINY)
    params = jax.eval_shape(model.init, jax.random.key(0))
    for length in (1, 5):
        tokens = jax.ShapeDtypeStruct((1, length), jnp.int32), jax.ShapeDtypeStruct((1, length), jnp.float32)
        found = products(jax.make_jaxpr(model.apply)(params, *tokens).jaxpr)
        found -= 2.0 * length * 2 * TINY.width  # the heads of one number each, which are not counted
        beyond = 2.0 * length * 2 * TINY.layers * TINY.width * (length - (length + 1) / 2)  # what is masked
        assert language.passes(TINY, length) == found - beyond
    whole = TINY.answers * language.passes(TINY, TINY.length)
    assert language.flop("sampling", TINY) == whole
    scored = whole - 2.0 * TINY.answers * TINY.length * TINY.vocabulary * TINY.width
    assert language.flop("PPO update", TINY) == 6 * whole + scored


def products(jaxpr) -> float:
    """Returns the floating point operations of the products in a jaxpr."""
    total = 0.0
    for equation in jaxpr.eqns:
        for inner in equation.params.values():
            if isinstance(inner, core.ClosedJaxpr):
                total += products(inner.jaxpr)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2.0 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    return total


def test_the_table_has_rates_and_ratios_with_their_interval():
    seconds = {"ours": [1.0, 2.0, 4.0], "PyTorch": [2.0, 4.0, 8.0], "TRL": [3.0, 2.0, 16.0], "peak": [1e-3, 1e-3, 1e-3]}
    text = io.StringIO()
    Console(file=text, width=120).print(language.table("sampling", seconds, TINY))
    rows = [line.split("│") for line in text.getvalue().splitlines() if "│" in line]
    assert [row[1].strip() for row in rows] == ["ours", "PyTorch", "TRL", "arithmetic bound"]
    assert rows[0][2].strip() == "6" and rows[1][2].strip() == "3"  # 12 tokens in the median's seconds
    assert rows[1][4].strip() == "2.00 [2.00, 2.00]"
    assert rows[3][3].strip() == "0.0"  # 8,192 operations in a millisecond


def test_an_interval_is_that_of_students_t_over_rounds():
    # logarithms 0, log 2, log 4: mean log 2, standard error log 2 / sqrt 3, t with two degrees of freedom 4.3027
    half = 4.302653 * math.log(2.0) / math.sqrt(3.0)
    expected = f"2.00 [{2.0 * math.exp(-half):.2f}, {2.0 * math.exp(half):.2f}]"
    assert language.ratio_of([1.0, 2.0, 4.0], [1.0, 1.0, 1.0]) == expected


@pytest.mark.parametrize("bad", [{"workloads": ("sleeping",)}, {"workloads": ()}, {"rounds": 1}])
def test_what_cannot_be_measured_is_refused_before_anything_starts(bad, monkeypatch):
    monkeypatch.setattr(language, "started", None)
    with pytest.raises(SystemExit, match="give workloads of sampling"):
        language.main(**bad)
