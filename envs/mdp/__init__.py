"""Finite Markov decision processes: a model as arrays, and the same model as an environment to learn on."""

from envs.mdp.build import epsilon_soft, from_arrays, from_dense, from_gymnasium, from_sparse, from_step
from envs.mdp.environment import as_env
from envs.mdp.maps import from_map
from envs.mdp.model import MDP
from envs.mdp.rewards import of_action, of_transition, on_leaving, on_reaching
from envs.mdp.sampling import State, Walk, walk

__all__ = [
    "MDP", "State", "Walk", "as_env", "epsilon_soft", "from_arrays", "from_dense", "from_gymnasium", "from_map",
    "from_sparse", "from_step", "of_action", "of_transition", "on_leaving", "on_reaching", "walk",
]  # fmt: skip
