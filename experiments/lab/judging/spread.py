"""How contenders on cooperative spread are judged: by where their return lies between a random policy's and a scripted
controller's, which no convention of adding rewards up can change."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.rollout import evaluate
from algos.core.types import Algorithm
from envs import Env
from envs.games.spread import controller
from experiments.lab.judging.judges import Judge

# Returns per agent of the default environment, 131,072 episodes: -26.505 +- .043 and -7.560 +- .018
RANDOM, CONTROLLER = -26.505, -7.560
SAME_RETURN = {"agent_ids", "reward"}  # fields with which it has those references too
EPISODES = 4096  # played for the references of any other
JUDGED = 128  # episodes of an evaluation


def normalised_return(env: Env | None = None, episodes: int = JUDGED) -> Judge:
    """Returns the judge of contenders on `env`; None: on the default spread.

    normalised_return: (R - random) / (controller - random) of an episode's return R, 0 for a random policy, 1 for the scripted
    controller, above it for better ones. return_per_agent: R, the mean over agents (mpe2, and here everywhere). return_of_team:
    N R, as JaxMARL logs it. return_first_mpe: 2 N R - N max_steps, of rewards without the halves in which each agent also
    touches itself, as in the first MPE and the repository of MAPPO.
    """
    random, best = (RANDOM, CONTROLLER) if env is None else references(env)
    return Judge(
        "normalised_return", True, measure_normalised, {"episodes": episodes, "random": random, "controller": best}
    )


def measure_normalised(
    algorithm: Algorithm, env: Env, state, key, episodes: int, random: float, controller: float
) -> dict[str, jax.Array]:
    """Returns what `normalised_return` says, each [episodes], of greedy agents."""
    returns = evaluate(env, lambda key, observation: algorithm.act(state, key, observation, False), key, episodes)
    return {
        "normalised_return": (returns - random) / (controller - random),
        "return_per_agent": returns,
        "return_of_team": env.agents * returns,
        "return_first_mpe": env.agents * (2.0 * returns - env.max_steps),
    }


def references(env: Env) -> tuple[float, float]:
    """Returns the mean returns per agent of uniformly random actions and of the controller."""
    guided = controller(env)
    choices = (lambda key, _: jax.random.randint(key, (env.agents,), 0, env.action.n), lambda _, seen: guided(seen))
    return tuple(float(np.mean(played(env, choose))) for choose in choices)


def played(env: Env, choose, episodes: int = EPISODES) -> jax.Array:
    """Returns the returns per agent [episodes] of joint actions choose(key, observation [N, ...]), from one fixed key."""

    def one_step(carry, key):
        state, observation = carry
        state, reached = env.step(key, state, choose(key, observation))
        return (state, reached.observation), jnp.mean(reached.reward)

    def play(key):
        key_reset, key_steps = jax.random.split(key)
        return jnp.sum(lax.scan(one_step, env.reset(key_reset), jax.random.split(key_steps, env.max_steps))[1])

    return jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), episodes))
