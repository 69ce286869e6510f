"""Checks of a configuration and of hyperparameters, made before anything compiles."""

import math

from envs import Discrete, Env

SHARE, AMOUNT, BOUND = (0.0, 1.0), (0.0, 3.4e38), (0.0, math.inf)  # 3.4e38: the end of float32
DIVISOR = (1e-30, 3.4e38)
POSITIVE_SHARE = (1e-30, 1.0)
BELOW_ONE = (0.0, 1.0 - 2.0**-24)  # the float32 next to 1
IN_WORDS = {SHARE: "from 0 to 1", AMOUNT: "0 or more and finite", BOUND: "0 or more", DIVISOR: "above 0 and finite"}
IN_WORDS |= {BELOW_ONE: "from 0 to below 1", POSITIVE_SHARE: "above 0 and 1 or less"}
RANGES = {  # of hyperparameters, whichever algorithm has them; what is not here may be any number
    **dict.fromkeys(("gamma", "gae_lambda", "lambda_", "anneal", "target_rate", "eta"), SHARE),
    **dict.fromkeys(("epsilon", "epsilon_start", "epsilon_end"), SHARE),
    **dict.fromkeys(("learning_rate", "value_learning_rate", "value_coef", "max_kl", "damping"), AMOUNT),
    **dict.fromkeys(("clip", "value_clip", "max_grad_norm", "total_steps", "exploration_fraction"), BOUND),
    "ridge": DIVISOR,
}


def require_in_range(hparams) -> None:
    """Raises ValueError for the first hyperparameter that is no number or lies outside what it can mean: in `RANGES`, or in
    what its class calls so.

    Takes plain numbers: `init` and `step` see traced ones, which have no value yet.
    """
    ranges = RANGES | getattr(hparams, "RANGES", {})
    for name, value in vars(hparams).items():
        if isinstance(value, bool | str) or value is None or math.isnan(float(value)):
            raise ValueError(f"{name} must be a number, not {value!r}")
        low, high = ranges.get(name, (-math.inf, math.inf))
        if not low <= float(value) <= high:
            raise ValueError(f"{name} must be {IN_WORDS[low, high]}, not {value!r}")


def require_discrete(env: Env, name: str) -> None:
    """Raises ValueError where the environment has continuous actions and the algorithm of that name takes none."""
    if not isinstance(env.action, Discrete):
        raise ValueError(
            f"{name} needs discrete actions, {env.name} has continuous ones; reinforce, a2c, npg, trpo and ppo take them"
        )


def require_steps(env: Env, num_steps: int) -> None:
    """Raises ValueError for a rollout of agents that wait for each other in which no decision's outcome would be seen."""
    if env.agents is not None and num_steps <= env.waits:
        raise ValueError(
            f"num_steps must be above {env.waits} on {env.name}: agents wait so long for their next decision"
        )


def require_simultaneous(env: Env, name: str) -> None:
    """Raises ValueError where agents take turns and the algorithm of that name replays single steps."""
    if env.acting is not None:
        raise ValueError(
            f"{name} replays single steps, and agents take turns in {env.name}; reinforce, a2c, trpo and ppo learn there"
        )


def require_buffer(config) -> None:
    """Raises ValueError for a replay buffer that cannot hold what one update adds, or that no int32 can count."""
    if not config.num_envs * config.num_steps <= config.buffer_size < 2**30:
        raise ValueError(f"buffer_size={config.buffer_size} must be num_envs * num_steps or more, and less than 2^30")


def require_two(config, env: Env, samples: int) -> None:
    """Raises ValueError where advantages would be normalised over one sample: less its own mean it is 0, and nothing moves. Where
    rewards are the agents' own, so is what is normalised."""
    if env.agents is not None and env.reward_convention != "team":
        samples //= env.agents
    if config.normalize_advantage and samples <= 1:
        raise ValueError(
            "normalize_advantage makes the advantage of a batch or minibatch of one sample 0: take larger ones, or set it "
            "to False"
        )


def require(config, *names: str) -> None:
    """Raises ValueError for the first of the named fields that is not a positive integer, or a tuple of them."""
    for name in names:
        value = getattr(config, name)
        sizes = value if isinstance(value, tuple) else (value,)
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"{name} must be positive integers, not {value!r}" if isinstance(value, tuple)
                             else f"{name} must be a positive integer, not {value!r}")  # fmt: skip
