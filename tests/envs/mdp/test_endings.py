"""Without a discount: which models have values, and which policies."""

import numpy as np
import pytest

from envs.mdp import from_step, problems
from envs.mdp.endings import check_ends, check_policy_ends, closed

ENDS = [
    ("FrozenLake-4x4", {}), ("FrozenLake-4x4", {"slippery": False}), ("Taxi", {}), ("CliffWalking", {}),
    ("WindyGridworld", {}), ("DynaMaze", {}), ("RandomWalk-19", {}), ("Gambler", {}), ("Blackjack", {}),
    ("Baird", {}),  # it never ends, and there is nothing to lose
]  # fmt: skip


@pytest.mark.parametrize("name, fields", ENDS)
def test_models_that_have_values_without_a_discount_pass(name, fields):
    check_ends(problems.model(name, **fields))


def loop(reward, other=-1.0, end=True):
    """State 0: stay for `reward` (action 0), or go to state 1 for `other`, which ends for 0 or leads back."""

    def step(state, action):
        over = end & (state == 1)
        return np.where((state == 0) & (action == 1), 1, 0), 1.0, np.where(state == 1, 0.0, [[reward], [other]]), over

    return from_step(step, 2, 2)


REFUSED = {
    "from state 0 a policy can go on for ever, which gains by action 0": loop(1.0),
    "from state 0 a policy can go on for ever, which loses nothing by action 0": loop(0.0, other=-1.0).replace(
        reward=np.array([[[0.0], [-1.0]], [[2.0], [0.0]]])
    ),
    "from state 0 no policy ever ends": loop(-1.0, end=False),
    "from state 0 a policy can go on for ever, which": problems.model("Gridworld"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_models_that_have_none_are_refused_by_a_state(message):
    with pytest.raises(ValueError, match=f"{message}.*give a gamma below 1"):
        check_ends(REFUSED[message])


def test_waiting_at_a_cost_or_for_nothing_among_costs_is_no_fault():
    check_ends(loop(-1.0))
    check_ends(loop(0.0))


def test_a_policy_is_refused_by_a_state_from_which_it_never_ends():
    lake = problems.model("FrozenLake-4x4", slippery=False)
    check_policy_ends(lake, np.full((16, 4), 0.25))
    right = np.eye(4)[np.full(16, 2)]
    with pytest.raises(ValueError, match="from state 3 the policy never ends"):
        check_policy_ends(lake, np.where(np.arange(16)[:, None] == 3, right, 0.25))


def test_the_largest_closed_set_leaves_out_all_that_leads_out():
    pairs = closed(loop(-1.0), np.ones((2, 2), bool))
    np.testing.assert_array_equal(pairs, [[True, False], [False, False]])
    assert closed(loop(-1.0, end=False), np.ones((2, 2), bool)).all()
