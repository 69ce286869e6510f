"""Returns and targets equal NumPy double loops, written as forward sums, on random ends (proofs.md, row 2)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.core.returns import gae, lambda_returns, n_step, n_step_returns, reward_to_go, td_target

pytestmark = pytest.mark.usefixtures("float64")

T, B = 9, 240
GAMMA, LAMBDA = 0.93, 0.7


def experience(seed=0):
    """Returns reward, terminated, truncated, value, next_value, each [T, B]: from no ends to one at every step."""
    rng = np.random.default_rng(seed)
    rate = np.linspace(0.0, 0.7, B)
    reward, value, next_value = rng.normal(size=(3, T, B))
    terminated, truncated = rng.uniform(size=(2, T, B)) < rate
    terminated[:, 1] = truncated[:, 1] = truncated[:, 2] = terminated[:, 3] = True
    return reward, terminated, truncated, value, next_value


REWARD, TERMINATED, TRUNCATED, VALUE, NEXT_VALUE = experience()
ENDS = (TERMINATED, TRUNCATED)


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-12, atol=1e-12)


def last_step(t, b):
    """Returns the last step of the episode that step t is in, or of the rollout."""
    end = t
    while end < T - 1 and not TERMINATED[end, b] and not TRUNCATED[end, b]:
        end += 1
    return end


def bootstrap(t, b):
    """Returns the value of what follows step t."""
    return 0.0 if TERMINATED[t, b] else NEXT_VALUE[t, b]


def steps_return(t, b, n):
    """Returns r_t + ... + gamma^{n-1} r_{t+n-1} + gamma^n V(s_{t+n})."""
    rewards = sum(GAMMA**k * REWARD[t + k, b] for k in range(n))
    return rewards + GAMMA**n * bootstrap(t + n - 1, b)


def everywhere(value_at):
    """Returns value_at(t, b) for all t and b, [T, B]."""
    return np.array([[value_at(t, b) for b in range(B)] for t in range(T)])


def reward_to_go_loop(t, b):
    return sum(GAMMA ** (k - t) * REWARD[k, b] for k in range(t, last_step(t, b) + 1))


def n_step_loop(n, t, b):
    return steps_return(t, b, min(n, last_step(t, b) - t + 1))


def lambda_loop(lambda_, t, b):
    """Returns the forward view: (1 - lambda) sum_n lambda^{n-1} G^{(n)}, all that is left on the longest (S&B 12.3)."""
    longest = last_step(t, b) - t + 1
    shorter = sum((1.0 - lambda_) * lambda_ ** (n - 1) * steps_return(t, b, n) for n in range(1, longest))
    return shorter + lambda_ ** (longest - 1) * steps_return(t, b, longest)


def td_error(t, b):
    return REWARD[t, b] + GAMMA * bootstrap(t, b) - VALUE[t, b]


def gae_loop(t, b):
    """Returns the sum of discounted TD errors; one that needs V(s') = V(s_{t+1}) is met by `gae` for any V."""
    steps = range(t, last_step(t, b) + 1)
    direct = sum((GAMMA * LAMBDA) ** (k - t) * td_error(k, b) for k in steps)
    # inside an episode `value` and `next_value` are two names of one number, which random arrays are not
    mismatch = sum((GAMMA * LAMBDA) ** (k - t) * (VALUE[k, b] - NEXT_VALUE[k - 1, b]) for k in steps[1:])
    return direct + mismatch


def test_the_random_masks_have_ends_of_every_kind_and_episodes_without_end():
    kinds = set(zip(TERMINATED.ravel().tolist(), TRUNCATED.ravel().tolist(), strict=True))
    assert len(kinds) == 4
    assert not (TERMINATED | TRUNCATED)[:, 0].any()


def test_reward_to_go_equals_a_double_loop():
    close(jax.jit(reward_to_go)(REWARD, *ENDS, GAMMA), everywhere(reward_to_go_loop))


def test_the_td_target_equals_a_double_loop():
    expected = everywhere(functools.partial(n_step_loop, 1))
    close(jax.jit(td_target)(REWARD, TERMINATED, NEXT_VALUE, GAMMA), expected)


@pytest.mark.parametrize("n", [1, 2, 3, T - 1, T, T + 1, 5 * T])
def test_n_step_returns_equal_a_double_loop_also_for_n_beyond_the_rollout(n):
    actual = jax.jit(n_step_returns, static_argnums=5)(REWARD, *ENDS, NEXT_VALUE, GAMMA, n)
    close(actual, everywhere(functools.partial(n_step_loop, n)))


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 0.95, 1.0])
def test_lambda_returns_equal_the_forward_view(lambda_):
    actual = jax.jit(lambda_returns)(REWARD, *ENDS, NEXT_VALUE, GAMMA, lambda_)
    close(actual, everywhere(functools.partial(lambda_loop, lambda_)))


def test_gae_equals_the_discounted_sum_of_td_errors():
    close(jax.jit(gae)(REWARD, *ENDS, VALUE, NEXT_VALUE, GAMMA, LAMBDA), everywhere(gae_loop))


def test_lambda_zero_gives_the_td_error():
    close(jax.jit(gae)(REWARD, *ENDS, VALUE, NEXT_VALUE, GAMMA, 0.0), everywhere(td_error))


def test_lambda_one_gives_the_monte_carlo_return_minus_the_value():
    longest = everywhere(functools.partial(n_step_loop, T))
    close(jax.jit(gae)(REWARD, *ENDS, VALUE, NEXT_VALUE, GAMMA, 1.0), longest - VALUE)


def test_a_termination_that_is_also_a_truncation_is_not_bootstrapped():
    reward, ends, next_value = jnp.ones((1, 1)), jnp.ones((1, 1), bool), jnp.full((1, 1), 10.0)
    none = jnp.zeros((1, 1), bool)
    both, truncated = (lambda_returns(reward, x, ends, next_value, 0.5, 0.9) for x in (ends, none))
    assert (both.item(), truncated.item()) == (1.0, 6.0)


def column(*numbers):
    return jnp.array(numbers)[:, None]


def test_a_small_example_gives_the_numbers_worked_out_by_hand():
    # steps 0 and 1 end by truncation, steps 2 and 3 by the end of the rollout; gamma 1/2, lambda 1/2
    reward, value, next_value = column(1.0, 2.0, 3.0, 4.0), column(1.0, 2.0, 1.0, 2.0), column(2.0, 4.0, 2.0, 6.0)
    ends = column(False, False, False, False), column(False, True, False, False)
    assert reward_to_go(reward, *ends, 0.5)[:, 0].tolist() == [2.0, 2.0, 5.0, 4.0]
    assert td_target(reward, ends[0], next_value, 0.5)[:, 0].tolist() == [2.0, 4.0, 4.0, 7.0]
    assert n_step_returns(reward, *ends, next_value, 0.5, 2)[:, 0].tolist() == [3.0, 4.0, 6.5, 7.0]
    assert lambda_returns(reward, *ends, next_value, 0.5, 0.5)[:, 0].tolist() == [2.5, 4.0, 5.25, 7.0]
    assert gae(reward, *ends, value, next_value, 0.5, 0.5)[:, 0].tolist() == [1.5, 2.0, 4.25, 5.0]


def all_of_them(reward, terminated, truncated, value, next_value):
    """Returns all returns and targets stacked, [5, T, B]."""
    ends = (terminated, truncated)
    return jnp.stack(
        [
            reward_to_go(reward, *ends, GAMMA),
            td_target(reward, terminated, next_value, GAMMA),
            n_step_returns(reward, *ends, next_value, GAMMA, 4),
            lambda_returns(reward, *ends, next_value, GAMMA, LAMBDA),
            gae(reward, *ends, value, next_value, GAMMA, LAMBDA),
        ]
    )


@pytest.mark.parametrize("flags", [(True, False), (False, True), (True, True)])
def test_changing_anything_after_an_episodes_end_changes_nothing_before_it(flags):
    compute, original, other = jax.jit(all_of_them), experience(), experience(seed=1)
    for end in range(T - 1):
        original[1][end], original[2][end] = flags
        mixed = [np.concatenate([x[: end + 1], y[end + 1 :]]) for x, y in zip(original, other, strict=True)]
        before, after = np.asarray(compute(*original)), np.asarray(compute(*mixed))
        np.testing.assert_array_equal(before[:, : end + 1], after[:, : end + 1])
        assert (before[:, end + 1 :] != after[:, end + 1 :]).any(axis=(1, 2)).all()


def test_the_value_of_what_follows_a_termination_is_never_used():
    reward, terminated, truncated, value, next_value = experience()
    compute = jax.jit(all_of_them)
    changed = np.where(terminated, 1e3, next_value)
    close(compute(reward, terminated, truncated, value, changed), compute(*experience()))


def test_a_value_is_subtracted_from_its_own_advantage_and_enters_no_other():
    compute, changed = jax.jit(gae), VALUE.copy()
    changed[4] += 1.0
    moved, original = (compute(REWARD, *ENDS, value, NEXT_VALUE, GAMMA, LAMBDA) for value in (changed, VALUE))
    close(original - moved, changed - VALUE)


def test_no_gradient_passes_through_any_target():
    ends = tuple(map(jnp.asarray, ENDS))

    def total(reward, value, next_value, gamma, lambda_):
        targets = [
            reward_to_go(reward, *ends, gamma),
            td_target(reward, ends[0], next_value, gamma),
            n_step_returns(reward, *ends, next_value, gamma, 4),
            lambda_returns(reward, *ends, next_value, gamma, lambda_),
            gae(reward, *ends, value, next_value, gamma, lambda_),
        ]
        return jnp.stack([jnp.sum(target) for target in targets])

    gradients = jax.jit(jax.jacrev(total, argnums=(0, 1, 2, 3, 4)))(REWARD, VALUE, NEXT_VALUE, GAMMA, LAMBDA)
    assert all((np.asarray(gradient) == 0.0).all() for gradient in gradients)


def test_single_precision_stays_single():
    single = [x.astype(np.float32) if x.dtype == np.float64 else x for x in experience()]
    targets = jax.jit(all_of_them)(*single)
    assert targets.dtype == jnp.float32
    np.testing.assert_allclose(targets, jax.jit(all_of_them)(*experience()), rtol=1e-4, atol=1e-5)


FUNCTIONS = {
    "reward_to_go": lambda r, e, c, v, w: reward_to_go(r, e, c, GAMMA),
    "n_step_returns": lambda r, e, c, v, w: n_step_returns(r, e, c, w, GAMMA, 2),
    "lambda_returns": lambda r, e, c, v, w: lambda_returns(r, e, c, w, GAMMA, LAMBDA),
    "gae": lambda r, e, c, v, w: gae(r, e, c, v, w, GAMMA, LAMBDA),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arrays_that_are_not_time_by_batch_are_refused(name):
    with pytest.raises(AssertionError, match="rank"):
        FUNCTIONS[name](*[x[:, 0] for x in experience()])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("wrong", [1, 2])
def test_an_array_of_another_shape_is_refused(name, wrong):
    arrays = list(experience())
    arrays[wrong] = arrays[wrong][:, :1]
    with pytest.raises(AssertionError, match="shape"):
        FUNCTIONS[name](*arrays)


@pytest.mark.parametrize(("name", "wrong"), [("gae", 3), ("gae", 4), ("lambda_returns", 4), ("n_step_returns", 4)])
def test_values_that_would_broadcast_are_refused(name, wrong):
    arrays = list(experience())
    arrays[wrong] = arrays[wrong][:, :1]
    with pytest.raises(AssertionError, match="shape"):
        FUNCTIONS[name](*arrays)


def test_a_td_target_that_would_broadcast_is_refused():
    with pytest.raises(AssertionError, match="shape"):
        td_target(REWARD, TERMINATED[..., None], NEXT_VALUE, GAMMA)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("wrong", [1, 2])
def test_flags_that_are_not_bool_are_refused(name, wrong):
    arrays = list(experience())
    arrays[wrong] = arrays[wrong].astype(np.int32)
    with pytest.raises(AssertionError, match="bool"):
        FUNCTIONS[name](*arrays)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool])
def test_rewards_of_another_dtype_are_the_numbers_that_they_are(dtype):
    given = (np.abs(3.0 * REWARD) % 2).astype(dtype)
    for function, rest in (
        (functools.partial(n_step, n=3), (GAMMA,)),
        (functools.partial(n_step, n=1), (GAMMA,)),
        (functools.partial(n_step_returns, n=2), (NEXT_VALUE, GAMMA)),
        (lambda_returns, (NEXT_VALUE, GAMMA, LAMBDA)),
        (reward_to_go, (GAMMA,)),
        (gae, (VALUE, NEXT_VALUE, GAMMA, LAMBDA)),
    ):
        ours = jax.tree.leaves(function(jnp.asarray(given), *ENDS, *rest))
        expected = jax.tree.leaves(function(jnp.asarray(given, float), *ENDS, *rest))
        for one, other in zip(ours, expected, strict=True):
            close(one, other)
