"""Networks: flax modules for batched observations, and the orthogonal initialiser, which calls no LAPACK."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.distributions import Categorical, DiagonalGaussian
from envs import Box, Discrete, Env, Layout

HIDDEN_GAIN = float(np.sqrt(2.0))
POLICY_GAIN = 0.01  # the first policy is close to uniform
CONV_FEATURES = 16  # of the MinAtar networks (arXiv 1903.03176)
KERNEL = 3  # by 3, theirs too
NARROW = 8  # times fewer inputs than outputs, or outputs than inputs, make a layer narrow


class Tower(nn.Module):
    """Returns features [..., hidden_sizes[-1]] of observations [..., *shape].

    Three axes are an image (H, W, C) and pass a 3x3 convolution where H and W allow one; every other shape is taken as
    one vector. uint8 is divided by 255. Raises ValueError for uint8 images with their channels first.
    """

    observation_shape: tuple[int, ...]
    hidden_sizes: Sequence[int]
    activation: Callable[[jax.Array], jax.Array] = nn.tanh

    @nn.compact
    def __call__(self, observation):
        leading = observation.shape[: observation.ndim - len(self.observation_shape)]
        if observation.dtype == jnp.uint8:
            require_channels_last(self.observation_shape)
        if len(self.observation_shape) == 3 and min(self.observation_shape[:2]) >= KERNEL:
            features = nn.relu(Convolution(CONV_FEATURES, name="Conv")(observation))
            x = features.reshape(*leading, -1)
        else:
            x = as_float(observation).reshape(*leading, -1)
        for size in self.hidden_sizes:
            x = self.activation(dense(size, HIDDEN_GAIN)(x))
        return x


class Convolution(nn.Module):
    """Returns the 3x3 convolution without padding of images [..., H, W, C], [..., H - 2, W - 2, features].

    kernel [3 * 3 * C, features], in the order row, column, channel; bias [features].

    Computed as one matrix product, which on a CPU is many times faster than XLA's convolution. Each row of the product is
    two neighbouring outputs, and has 3 x 4 pixels for both: a product of 16 columns has half the speed of one of 32,
    which is worth more than the quarter of the kernel that is zero.
    """

    features: int

    @nn.compact
    def __call__(self, image):
        channels, columns = image.shape[-1], image.shape[-2] - KERNEL + 1
        kernel = self.param("kernel", orthogonal(HIDDEN_GAIN), (KERNEL * KERNEL * channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        patches = lax.optimization_barrier(patches_of_pairs(image))
        pairs = as_float(patches.reshape(-1, patches.shape[-1])) @ kernel_of_pairs(kernel) + jnp.tile(bias, 2)
        return pairs.reshape(*patches.shape[:-2], -1, self.features)[..., :columns, :]


def as_float(observation: jax.Array) -> jax.Array:
    """Returns the observation as float32 or wider; uint8 is divided by 255."""
    x = observation.astype(jnp.promote_types(observation.dtype, jnp.float32))
    return x / 255.0 if observation.dtype == jnp.uint8 else x


def require_channels_last(shape: tuple[int, ...]) -> None:
    """Raises ValueError for three axes of which the first alone is as short as channels are, 1 to 4."""
    if len(shape) == 3 and shape[0] <= 4 < min(shape[1:]):
        raise ValueError(f"images are (height, width, channels); {shape} has its channels first: use jnp.moveaxis")


def patches_of_pairs(image: jax.Array) -> jax.Array:
    """Returns the 3 x 4 pixels that outputs 2j and 2j + 1 of a row see, [..., H - 2, ceil((W - 2) / 2), 3 * 4 * C].

    Two columns of the image are taken as one with 2 C channels: each patch is then 3 x 2 of them. The image has one
    column of zeros more where W is odd. In the image's own type: bytes are copied sooner than floats.
    """
    *leading, height, width, channels = image.shape
    image = jnp.pad(image, [(0, 0)] * (image.ndim - 2) + [(0, width % 2), (0, 0)])
    twos = image.reshape(*leading, height, -1, 2 * channels)
    rows, pairs = height - KERNEL + 1, twos.shape[-2] - 1
    places = [(row, column) for row in range(KERNEL) for column in range(2)]
    return jnp.concatenate([twos[..., i : i + rows, j : j + pairs, :] for i, j in places], axis=-1)


def kernel_of_pairs(kernel: jax.Array) -> jax.Array:
    """Returns the linear map [3 * 4 * C, 2 F] of `patches_of_pairs` that gives two outputs of the kernel [3 * 3 * C, F]."""
    by_row = kernel.reshape(KERNEL, -1, kernel.shape[-1])  # [3, 3 * C, F]
    channels = by_row.shape[1] // KERNEL
    first, second = (jnp.pad(by_row, [(0, 0), gap, (0, 0)]) for gap in ((0, channels), (channels, 0)))
    return jnp.concatenate([first, second], axis=-1).reshape(-1, 2 * kernel.shape[-1])


def dense(size: int, gain: float, name: str | None = None) -> nn.Dense:
    """Returns flax's layer of `size` outputs, its first weights orthogonal by `gain`; a narrow one's product is `product`."""
    return nn.Dense(size, kernel_init=orthogonal(gain), name=name, dot_general=dot_general)


def dot_general(x, kernel, dimension_numbers, precision=None) -> jax.Array:
    """Returns x @ kernel, as flax's `Dense` asks for it. One input or output is XLA's to make a vector's product of, and on
    accelerators nothing is turned."""
    assert dimension_numbers == (((x.ndim - 1,), (0,)), ((), ())) and precision is None
    narrow, wide = sorted(kernel.shape)
    is_narrow = 1 < narrow <= wide // NARROW and jax.default_backend() == "cpu"
    return product(x, kernel) if is_narrow else x @ kernel


@jax.custom_jvp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns x @ kernel, [..., m] @ [m, n], in whose gradient by the kernel, x^T g, the narrower of x and g is turned.

    The same sums, as (x^T) g where x is the narrower, as (g^T x)^T where g is: it has few numbers to move, and XLA's
    products are several times as fast then on a CPU, if barriers keep it from making one form of the other. So it is
    for what has few inputs, few outputs, or a whole image for inputs, and not for layers about as wide as they are deep.
    """
    return x @ kernel


@product.defjvp
def _product_tangent(primals, tangents):
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    rows = x.reshape(-1, x.shape[-1])
    if kernel.shape[0] < kernel.shape[1]:
        by_kernel = lax.optimization_barrier(rows.T).T @ kernel_tangent
    else:
        turned = lax.optimization_barrier(kernel_tangent.T)
        by_kernel = lax.optimization_barrier(lax.optimization_barrier(turned @ rows.T).T)
    return product(x, kernel), x_tangent @ kernel + by_kernel.reshape(*x.shape[:-1], kernel.shape[1])


class ActorCritic(nn.Module):
    """(observation) -> (policy, value): separate towers, so that fitting the value never moves the policy.

    With a layout both read what is the agent's own, a centralised critic the state too, and the actor never chooses what is not
    legal.
    """

    observation_shape: tuple[int, ...]
    action: Discrete | Box
    hidden_sizes: Sequence[int] = (64, 64)
    layout: Layout | None = None
    centralised: bool = False

    @nn.compact
    def __call__(self, observation):
        if self.layout is None:
            return self.read(self.observation_shape, observation, self.observation_shape, observation)
        own, known, legal = parts(self.layout, observation)
        known = known if self.centralised else own
        policy, value = self.read(own.shape[-1:], own, known.shape[-1:], known)
        return (policy if legal is None else Categorical(only_legal(policy.logits, legal))), value

    def read(self, own_shape, own, known_shape, known):
        """Returns (policy, value) of what the actor and what the critic sees."""
        features = Tower(own_shape, self.hidden_sizes, name="actor")(own)
        size = self.action.n if isinstance(self.action, Discrete) else self.action.size
        head = dense(size, POLICY_GAIN, "policy")(features)
        if isinstance(self.action, Discrete):
            policy = Categorical(head)
        else:
            log_std = self.param("log_std", nn.initializers.zeros, (size,))
            policy = DiagonalGaussian(head, jnp.broadcast_to(log_std, head.shape))
        features = Tower(known_shape, self.hidden_sizes, name="critic")(known)
        value = dense(1, 1.0, "value")(features)
        return policy, value[..., 0]


def actor_critic(env: Env, hidden_sizes: Sequence[int], centralised: bool = False) -> ActorCritic:
    """Returns the default network for `env`; centralised: the critic reads the state. Raises ValueError for a layout that does
    not fit."""
    check_layout(env)
    return ActorCritic(env.observation_shape, env.action, tuple(hidden_sizes), env.layout, centralised)


def check_layout(env: Env) -> None:
    """Raises ValueError where an environment's layout is not that of its observations or of its actions."""
    if env.layout is None:
        return
    if env.observation_shape != (sum(env.layout),):
        raise ValueError(f"{env.name}: {env.layout} makes {sum(env.layout)} numbers, not {env.observation_shape}")
    if env.layout.legal and not (isinstance(env.action, Discrete) and env.action.n == env.layout.legal):
        raise ValueError(f"{env.name}: legal={env.layout.legal} numbers are for as many discrete actions")


def parts(layout: Layout, observation: jax.Array):
    """Returns (own, own and state, legal) of observations [..., own + state + legal]; legal is None where there is none."""
    own, known = observation[..., : layout.own], observation[..., : layout.own + layout.state]
    return own, known, observation[..., layout.own + layout.state :] if layout.legal else None


def only_legal(logits: jax.Array, legal: jax.Array) -> jax.Array:
    """Returns logits [..., A] that are -inf, probability 0 to the bit, where legal [..., A] is 0. Where nothing is legal, as
    for who is not to move, they stay."""
    legal = legal > 0.5
    return jnp.where(legal | ~jnp.any(legal, axis=-1, keepdims=True), logits, -jnp.inf)


class QNetwork(nn.Module):
    """(observation) -> Q [..., actions]. Dueling: Q = V + A - mean_a A, two heads on one torso (arXiv 1511.06581, eq. 9).

    With a layout it reads what is the agent's own, and Q is -inf where an action is not legal.
    """

    observation_shape: tuple[int, ...]
    num_actions: int
    hidden_sizes: Sequence[int] = (120, 84)
    dueling: bool = False
    layout: Layout | None = None

    @nn.compact
    def __call__(self, observation):
        if self.layout is None:
            return self.read(self.observation_shape, observation)
        own, _, legal = parts(self.layout, observation)
        q = self.read(own.shape[-1:], own)
        return q if legal is None else only_legal(q, legal)

    def read(self, shape, observation):
        """Returns Q of what the agent sees."""
        features = Tower(shape, self.hidden_sizes, nn.relu, name="torso")(observation)
        head = dense(self.num_actions, 1.0, "head")(features)
        if not self.dueling:
            return head
        value = dense(1, 1.0, "value")(features)
        return value + head - jnp.mean(head, axis=-1, keepdims=True)


def q_network(env: Env, hidden_sizes: Sequence[int], dueling: bool) -> QNetwork:
    """Returns the default network of action values for `env`. Raises ValueError for a layout that does not fit."""
    check_layout(env)
    return QNetwork(env.observation_shape, env.action.n, tuple(hidden_sizes), dueling, env.layout)


class Rescaled(NamedTuple):
    """A network that sees observations moved from the environment's bounds to [-1, 1]."""

    network: Any
    low: np.ndarray
    high: np.ndarray

    def init(self, key, observation):
        """Returns the network's parameters."""
        return self.network.init(key, self.seen(observation))

    def apply(self, params, observation):
        """Returns what the network gives for the rescaled observation."""
        return self.network.apply(params, self.seen(observation))

    def seen(self, observation):
        """Returns 2 (x - low) / (high - low) - 1, float32."""
        return (observation - self.low) * (2.0 / (self.high - self.low)) - 1.0


def rescaled(network, env: Env) -> Rescaled:
    """Returns the network behind a rescaling of the observations. Raises ValueError where they have no bounds."""
    if env.observation_bounds is None:
        raise ValueError(f"rescale_observation needs bounds, and {env.name} gives its observations none")
    return Rescaled(network, *env.observation_bounds)


def orthogonal(scale: float):
    """Returns an initialiser: `scale` times a random matrix with orthonormal rows or columns (arXiv 1312.6120).

    flax's own calls LAPACK's QR, which can hang for ever under vmap on few CPU cores.
    """

    def init(key, shape, dtype=jnp.float32):
        rows, columns = int(np.prod(shape[:-1])), shape[-1]
        normal = jax.random.normal(key, (max(rows, columns), min(rows, columns)), dtype)
        basis = orthonormal_columns(normal)
        return scale * (basis if rows >= columns else basis.T).reshape(shape)

    return init


def orthonormal_columns(matrix: jax.Array) -> jax.Array:
    """Returns Q [m, n] of the QR factorisation of `matrix` [m, n], m >= n, by Gram-Schmidt done twice.

    Each column loses its part along those before it; the second pass removes what rounding left ("twice is enough",
    Giraud et al. 2005). Uniformly distributed over orthonormal frames for a normal `matrix`.
    """

    def orthogonalise(column, basis):
        vector = matrix[:, column]
        for _ in range(2):
            vector = vector - basis @ (basis.T @ vector)
        return basis.at[:, column].set(vector / jnp.linalg.norm(vector))

    return lax.fori_loop(0, matrix.shape[1], orthogonalise, jnp.zeros_like(matrix))
