"""Does the device compute what it should? Each check returns its error against an oracle that computes elsewhere.

The oracles are NumPy and scipy in float64, known numbers, and the same program on the machine's CPU. Products are checked
as the lab has them, in float32, and as XLA has them by itself, which on recent GPUs rounds what is multiplied to 11 bits.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

import envs
from algos import ppo
from algos.core import curvature, replay, returns
from algos.core.distributions import Categorical, DiagonalGaussian
from algos.core.networks import actor_critic
from envs.mdp import problems
from experiments.lab.machine import devices, flags

LAKE_VALUE = 0.5420259320  # V*(s0) of FrozenLake 4x4, gamma 0.99


class Check(NamedTuple):
    """What is compared, and how far apart it may be."""

    name: str
    error: Callable[[], float]
    tolerance: float
    products: bool = False  # it multiplies matrices


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def gae_error() -> float:
    """Returns the largest error of generalised advantages [64, 32], with both ends of episodes, against a loop."""
    draw = generator()
    reward, reached = draw.normal(size=(2, 64, 32)).astype(np.float32)
    terminated, truncated = draw.random((2, 64, 32)) < 0.05
    values = draw.normal(size=(65, 32)).astype(np.float32)
    value, next_value = values[:-1], np.where(terminated | truncated, reached, values[1:])
    found = jax.jit(returns.gae)(reward, terminated, truncated, value, next_value, 0.99, 0.95)
    expected, following = np.zeros((64, 32)), np.zeros(32)
    for time in reversed(range(64)):
        delta = reward[time] + 0.99 * next_value[time] * ~terminated[time] - value[time]
        following = delta + 0.99 * 0.95 * following * ~(terminated[time] | truncated[time])
        expected[time] = following
    return largest(found - expected)


def n_step_error() -> float:
    """Returns the largest error of five-step returns [40, 8] against a loop over every start."""
    draw = generator()
    reward, next_value = draw.normal(size=(2, 40, 8)).astype(np.float32)
    terminated, truncated = draw.random((2, 40, 8)) < 0.1
    found = jax.jit(returns.n_step_returns, static_argnums=5)(reward, terminated, truncated, next_value, 0.9, 5)
    expected = np.zeros((40, 8))
    for time, place in np.ndindex(40, 8):
        for step in range(time, min(time + 5, 40)):
            expected[time, place] += 0.9 ** (step - time) * reward[step, place]
            if (terminated | truncated)[step, place]:
                break
        bootstrap = 0.9 ** (step + 1 - time) * next_value[step, place]
        expected[time, place] += 0.0 if terminated[step, place] else bootstrap
    return largest(found - expected)


def categorical_error() -> float:
    """Returns the largest error of log-probabilities, entropies and KL divergences of [1000, 6] logits."""
    logits, others = (5.0 * generator().normal(size=(2, 1000, 6))).astype(np.float32)
    action = generator().integers(0, 6, 1000)

    def all_three(logits, others, action):
        policy = Categorical(logits)
        return policy.log_prob(action), policy.entropy(), policy.kl(Categorical(others))

    log_p, log_q = (special.log_softmax(x.astype(np.float64), axis=-1) for x in (logits, others))
    p, q = np.exp(log_p), np.exp(log_q)
    expected = log_p[np.arange(1000), action], stats.entropy(p, axis=-1), stats.entropy(p, q, axis=-1)
    return max(largest(x - y) for x, y in zip(jax.jit(all_three)(logits, others, action), expected))


def gaussian_error() -> float:
    """Returns the largest error of log-densities and entropies of [1000, 3] normals."""
    mean, log_std, action = generator().normal(size=(3, 1000, 3)).astype(np.float32)

    def both(mean, log_std, action):
        policy = DiagonalGaussian(mean, log_std)
        return policy.log_prob(action), policy.entropy()

    normal = stats.norm(mean.astype(np.float64), np.exp(log_std.astype(np.float64)))
    expected = normal.logpdf(action).sum(-1), normal.entropy().sum(-1)
    return max(relative(x, y) for x, y in zip(jax.jit(both)(mean, log_std, action), expected))


def network_error() -> float:
    """Returns the relative error of a Breakout network's values, convolution and towers, against NumPy in float64."""
    env = envs.make("Breakout-MinAtar")
    network = actor_critic(env, (64, 64))
    image = generator().random((32, *env.observation_shape)).astype(np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)
    params = jax.tree.map(lambda x: generator().normal(0.0, 0.1, x.shape).astype(np.float32), shapes)
    _, value = jax.jit(network.apply)(params, image)
    tower = jax.tree.map(lambda x: x.astype(np.float64), params["params"]["critic"])
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))  # [B, 8, 8, C, 3, 3]
    kernel = tower["Conv"]["kernel"].reshape(3, 3, image.shape[-1], -1)
    x = np.maximum(np.einsum("bhwcij,ijcf->bhwf", windows, kernel) + tower["Conv"]["bias"], 0.0).reshape(32, -1)
    for layer in ("Dense_0", "Dense_1"):
        x = np.tanh(x @ tower[layer]["kernel"] + tower[layer]["bias"])
    head = params["params"]["value"]
    return relative(value, (x @ head["kernel"] + head["bias"])[:, 0])


def fisher_error() -> float:
    """Returns the relative error of F v of a linear softmax policy: F is the mean of (diag(p) - p p^T) (x) x x^T."""
    draw = generator()
    features, params, vector = draw.normal(size=(256, 32)), draw.normal(size=128), draw.normal(size=128)
    logits = features.astype(np.float32) @ params.reshape(32, 4).astype(np.float32)
    p = special.softmax(logits.astype(np.float64), axis=-1)
    metric = p[:, :, None] * np.eye(4) - p[:, :, None] * p[:, None, :]
    fisher = np.einsum("nab,ni,nj->iajb", metric, features, features).reshape(128, 128) / 256

    def product(features, params, vector):
        def policy(flat):
            return Categorical(features @ flat.reshape(32, 4))

        return [curvature.fisher_vector_product(policy, params, vector, form) for form in curvature.PRODUCTS]

    arguments = (x.astype(np.float32) for x in (features, params, vector))
    return max(relative(found, fisher @ vector) for found in jax.jit(product)(*arguments))


def conjugate_gradient_error() -> float:
    """Returns the relative error of the solution of 64 equations of condition 100 against a dense solver."""
    draw = generator()
    rotation = np.linalg.qr(draw.normal(size=(64, 64)))[0]
    matrix = (rotation * np.geomspace(1.0, 100.0, 64)) @ rotation.T
    right = draw.normal(size=64)

    def solve(matrix, right):
        return curvature.conjugate_gradient(lambda x: matrix @ x, right, 200)[0]

    found = jax.jit(solve)(matrix.astype(np.float32), right.astype(np.float32))
    return relative(found, np.linalg.solve(matrix, right))


def cartpole_error() -> float:
    """Returns the largest error of 32 CartPoles' states over 8 steps against the equations in float64."""
    env = envs.make("CartPole-v1")
    keys = jax.random.split(jax.random.key(1), 32)
    state, observation = jax.jit(jax.vmap(env.reset))(keys)
    actions, expected, worst = generator().integers(0, 2, (8, 32)), np.asarray(observation, np.float64), 0.0
    step = jax.jit(jax.vmap(env.step))
    for action in actions:
        state, reached = step(keys, state, action)
        expected = cartpole_step(expected, action)
        worst = max(worst, largest(reached.observation - expected))
    return worst


def cartpole_step(x: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Returns the states [N, 4] after Euler's step of 0.02 s of Barto, Sutton and Anderson's equations (1983)."""
    place, speed, angle, turning = x.T
    force = np.where(action == 1, 10.0, -10.0)
    pushed = (force + 0.05 * turning**2 * np.sin(angle)) / 1.1
    bend = (9.8 * np.sin(angle) - np.cos(angle) * pushed) / (0.5 * (4.0 / 3.0 - 0.1 * np.cos(angle) ** 2 / 1.1))
    pull = pushed - 0.05 * bend * np.cos(angle) / 1.1
    return np.stack([place + 0.02 * speed, speed + 0.02 * pull, angle + 0.02 * turning, turning + 0.02 * bend], axis=1)


def lake_error() -> float:
    """Returns how far value iteration in float64 is from FrozenLake's best value at the start."""
    from algos.tabular.planning import value_iteration

    solution = value_iteration.solve(problems.model("FrozenLake-4x4"), 0.99, 1e-10)
    return abs(float(solution.value[0]) - LAKE_VALUE)


def replay_error() -> float:
    """Returns the largest difference of a ring buffer, written in pieces of 7, from a list's last items."""
    memory, add = replay.empty(jnp.zeros(3), 50), jax.jit(replay.add)
    items = np.arange(3 * 140, dtype=np.float32).reshape(20, 7, 3)
    for piece in items:
        memory = add(memory, piece)
    kept = np.asarray(memory.data)
    return largest(kept[np.argsort(kept[:, 0])] - items.reshape(-1, 3)[-50:])


def random_error() -> float:
    """Returns the largest difference of uniform numbers and of a permutation from the CPU's; the bits must be the same."""

    def draws(key):
        return jax.random.uniform(key, (10_000,)), jax.random.permutation(key, 1_000)

    return max(largest(np.subtract(x, y)) for x, y in zip(*on_both(jax.jit(draws), jax.random.key(7))))


def ppo_step_error() -> float:
    """Returns the difference of the parameters' change in one update of PPO from the CPU's, as a share of its length."""
    algorithm = ppo.make(envs.make("CartPole-v1"), ppo.Config(num_envs=8, num_steps=16))

    def one_update(key):
        state = algorithm.init(key, ppo.HParams())
        return state.params, algorithm.step(state, ppo.HParams())[0].params

    (start, here), (_, there) = on_both(jax.jit(one_update), jax.random.key(3))
    start, here, there = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (start, here, there))
    return relative(here - start, there - start)


def on_both(function: Callable, argument) -> tuple:
    """Returns what the function gives on the default device, and on the machine's CPU."""
    there = jax.device_put(argument, jax.devices("cpu")[0])
    return jax.device_get(function(argument)), jax.device_get(function(there))


def largest(difference) -> float:
    return float(np.max(np.abs(np.asarray(difference, np.float64))))


def relative(found, expected) -> float:
    """Returns |found - expected| / |expected|, of vectors."""
    return float(np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected))


CHECKS = (
    Check("advantages (GAE) against a loop", gae_error, 1e-5),
    Check("five-step returns against a loop", n_step_error, 1e-5),
    Check("log-probability, entropy and KL of logits against scipy", categorical_error, 2e-5),
    Check("log-density and entropy of normals against scipy", gaussian_error, 1e-6),
    Check("a Breakout network against NumPy", network_error, 2e-6, products=True),
    Check("F v, both forms, against the dense Fisher matrix", fisher_error, 2e-6, products=True),
    Check("conjugate gradients against a dense solver", conjugate_gradient_error, 1e-4, products=True),
    Check("eight steps of CartPole against its equations", cartpole_error, 1e-5),
    Check("FrozenLake's best value, planned in float64", lake_error, 1e-9),
    Check("a ring buffer's contents", replay_error, 0.0),
    Check("random numbers and permutations against the CPU's", random_error, 0.0),
    Check("one update of PPO against the CPU's", ppo_step_error, 1e-2, products=True),
)


def rows() -> Iterator[Callable[[], dict]]:
    """Yields what makes each row: a check's error with products as the lab has them, and as XLA has them by itself."""
    for check in CHECKS:
        yield partial(measured, check)


def measured(check: Check) -> dict:
    """Returns a check's row. As the lab has them, products must be within the tolerance; as XLA has them, they are shown."""
    with devices.exact_products():
        error = check.error()
    row = {"what": check.name, "error": error, "tolerance": check.tolerance, "right": bool(error <= check.tolerance)}
    if check.products and not devices.on_cpu():
        with jax.default_matmul_precision("default"):
            row["error of XLA's own products"] = check.error()
    return row | {"products": flags.precision()} if check.products else row
