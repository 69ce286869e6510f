"""Learning to play against oneself: gradients and fixed points against enumeration, averages, reservoirs, and the judge."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kuhn_oracles import TREE, conditional, expected_gradient, quantal_response, softmax, some_logits, walk

import envs
from algos import a2c
from algos.agents import exact, exact_play, mmd, nfsp, reservoir
from algos.core import played
from algos.core.returns import gae
from envs.games.tree import END
from experiments.lab.judging.equilibrium import measure_nash_conv, nash_conv

LONGEST = 3


def every_episode(policy):
    """Returns (probability [Z], acting, info_set, action, reward, terminated [T, Z, N]) of all ways that Kuhn poker may go."""
    reach, _ = walk(TREE, policy)
    ends = np.flatnonzero(TREE.player == END)
    shape = (LONGEST, len(ends), 2)
    acting, info_set, action = np.zeros(shape, bool), np.zeros(shape, int), np.zeros(shape, int)
    reward, terminated = np.zeros(shape), np.zeros(shape, bool)
    for place, end in enumerate(ends):
        path, at = [], end
        while at:
            if TREE.player[TREE.parent[at]] >= 0:
                path.insert(0, at)
            at = TREE.parent[at]
        for time, history in enumerate(path):
            before = TREE.parent[history]
            here = time, place, TREE.player[before]
            acting[here], info_set[here], action[here] = True, TREE.info_set[before], TREE.action[history]
        reward[len(path) - 1, place], terminated[len(path) - 1, place] = TREE.payoff[end], True
    return reach[ends].prod(1), acting, info_set, action, reward, terminated


@pytest.mark.parametrize("lambda_", [pytest.param(x, marks=pytest.mark.slow) for x in (0.0, 1.0)] + [0.6])
def test_the_expected_gradient_by_turn_based_gae_is_the_exact_one(lambda_, float64):
    logits = some_logits()
    policy = softmax(logits)
    probability, acting, info_set, action, reward, terminated = every_episode(policy)
    _, value = conditional(TREE, policy)
    rows = lambda x: jnp.asarray(x.reshape(LONGEST, -1))  # noqa: E731
    values = rows(np.where(acting, value[info_set], 1e3))  # what is said of who waits is asked by nobody
    advantage = gae(
        rows(reward), rows(terminated), rows(np.zeros_like(acting)), values, values, 1.0, lambda_, rows(acting)
    )
    weighted = probability[None, :, None] * np.asarray(advantage).reshape(acting.shape) * acting
    found = np.zeros_like(logits)
    score = np.eye(2)[action] - policy[info_set]
    np.add.at(found, info_set.reshape(-1), (weighted[..., None] * score).reshape(-1, 2))
    env = envs.make("Kuhn")
    form = played.form(env)
    for player in (0, 1):
        earned = lambda theta: exact.value(form, jax.nn.softmax(theta))[player]  # noqa: E731, B023
        own = TREE.mover == player
        np.testing.assert_allclose(found[own], jax.grad(earned)(jnp.asarray(logits))[own], atol=1e-6)


def mmd_gradient(policy, temperature, stepsize=0.5, at=None):
    """Returns the expected gradient of MMD's loss in the logits after a rollout by the policy, at that one or another."""
    return expected_gradient(mmd.loss, mmd.HParams(temperature=temperature, stepsize=stepsize), policy, at)


def test_the_fixed_point_of_mmd_is_the_logit_quantal_response_equilibrium_of_its_temperature(float64):
    solved = quantal_response(0.3)
    assert np.abs(mmd_gradient(solved, 0.3)).max() < 1e-6
    assert np.abs(mmd_gradient(solved, 0.6)).max() > 1e-2 < np.abs(mmd_gradient(np.full((12, 2), 0.5), 0.3)).max()


@pytest.mark.parametrize("stepsize", [0.5, 4.0])
def test_away_from_the_rollouts_policy_the_gradient_of_mmd_is_that_of_its_equation(stepsize, float64):
    old, alpha = softmax(np.asarray(some_logits())), 0.3
    now = softmax(np.random.default_rng(11).normal(size=old.shape))
    q, value = conditional(TREE, old)
    cost = value[:, None] - q + np.log(now / old) / stepsize + alpha * np.log(now)
    expected = now * (cost - (now * cost).sum(1, keepdims=True))
    np.testing.assert_allclose(mmd_gradient(old, alpha, stepsize, now), expected, atol=1e-8)


@functools.cache
def trained():
    """Returns (env, algorithm, states before each of three updates of A2C on Kuhn poker and after)."""
    env = envs.make("Kuhn")
    algorithm = a2c.make(env, a2c.Config(num_envs=8, num_steps=6, hidden_sizes=()))
    hparams = a2c.HParams(learning_rate=0.3, anneal=0.0)
    step, states = jax.jit(algorithm.step), [jax.jit(algorithm.init)(jax.random.key(0), hparams)]
    for _ in range(3):
        states.append(step(states[-1], hparams)[0])
    return env, algorithm, states


WEIGHTS = np.array([1.0, 2.0, 3.0]) / 6.0  # later policies count for more


def test_the_average_of_what_was_played_earns_against_anyone_the_mean_of_what_was_earned():
    env, algorithm, states = trained()
    policies = [
        np.asarray(played.probabilities(env, lambda seen, state=state: algorithm.policy(state, seen)), float)
        for state in states[:3]
    ]
    average = np.asarray(played.average(env, states[3].plans), float)
    assert np.abs(policies[0] - policies[2]).max() > 0.05
    theirs = softmax(some_logits())
    for player in (0, 1):
        own = (TREE.mover == player)[:, None]
        earned = [walk(TREE, np.where(own, policy, theirs))[1][0, player] for policy in policies]
        assert walk(TREE, np.where(own, average, theirs))[1][0, player] == pytest.approx(WEIGHTS @ earned, abs=1e-6)
        naive = walk(TREE, np.where(own, np.tensordot(WEIGHTS, policies, 1), theirs))[1][0, player]
        assert player == 1 or abs(naive - WEIGHTS @ earned) > 1e-5  # only the first player decides twice


def gains_by_enumeration(policy):
    """Returns NashConv: every deterministic policy of each player's six information sets is tried."""
    gains = 0.0
    for player in (0, 1):
        own, best = np.flatnonzero(TREE.mover == player), -np.inf
        for choice in range(2**6):
            reply = policy.copy()
            reply[own] = np.eye(2)[(choice >> np.arange(6)) & 1]
            best = max(best, walk(TREE, reply)[1][0, player])
        gains += best - walk(TREE, policy)[1][0, player]
    return gains


def test_the_judge_says_what_enumeration_says_of_the_policy_now_and_of_the_average_and_ranks_by_that():
    env, algorithm, states = trained()
    found = measure_nash_conv(algorithm, env, states[3], None)
    policy = np.asarray(played.probabilities(env, lambda seen: algorithm.policy(states[3], seen)), float)
    average = np.asarray(played.average(env, states[3].plans), float)
    assert found["nash_conv"] == found["nash_conv_average"] != found["nash_conv_current"]
    assert found["value_first"][0] == pytest.approx(walk(TREE, average)[1][0, 0], abs=1e-6)
    assert found["nash_conv_current"][0] == pytest.approx(gains_by_enumeration(policy), abs=1e-5)
    assert found["nash_conv_average"][0] == pytest.approx(gains_by_enumeration(average), abs=1e-5)
    for which, rows in (("current", policy), ("average", average)):
        told = {name: x[0] for name, x in found.items() if name.startswith(f"policy_{which}/")}
        bets = {f"{TREE.mover[row]} {TREE.names[row]} bet": rows[row, 1] for row in range(12)}
        assert told == {f"policy_{which}/{name}": pytest.approx(bet, abs=1e-6) for name, bet in bets.items()}


def test_a_learned_average_is_what_is_judged_and_cfrs_is_openspiels():
    env = envs.make("Kuhn")
    algorithm = exact_play.make(env)
    state = algorithm.init(jax.random.key(0), exact_play.HParams())
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 100, lambda _, s: algorithm.step(s, None)[0], state))(state)
    found = {name: float(x[0]) for name, x in measure_nash_conv(algorithm, env, state, None).items()}
    assert found["nash_conv"] == found["nash_conv_average"] == pytest.approx(0.01645, abs=2e-5)
    assert found["nash_conv_current"] > 0.1 and not nash_conv().higher_is_better
    assert algorithm.steps_per_update == 24


def test_the_judge_refuses_in_one_line_what_is_no_game_that_is_known():
    _, algorithm, states = trained()
    with pytest.raises(ValueError, match="StagHunt is no game that is known"):
        measure_nash_conv(algorithm, envs.make("StagHunt", memory=True), states[0], None)
    with pytest.raises(ValueError, match="cfr needs a game that is known"):
        exact_play.make(envs.make("StagHunt", memory=True))


def test_a_reservoir_keeps_every_item_with_the_same_probability_however_they_come():
    size, items, runs = 10, 60, 4000
    chosen = np.random.default_rng(0).random(items) < 0.7
    number = int(chosen.sum())

    def one(key):
        kept = reservoir.empty(jnp.int32(0), size)
        for part in range(6):  # ten at a time, as many as there is room for at first
            here = slice(10 * part, 10 * part + 10)
            key, key_add = jax.random.split(key)
            kept = reservoir.add(kept, key_add, jnp.arange(items)[here], jnp.asarray(chosen)[here])
        return kept.data, kept.seen

    data, seen = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), runs))
    assert (seen == number).all()
    counts = np.bincount(np.asarray(data).reshape(-1), minlength=items)
    assert (counts[~chosen] == 0).all() and (
        np.sort(np.asarray(data), 1)[:, 1:] != np.sort(np.asarray(data), 1)[:, :-1]
    ).all()
    share = size / number
    assert np.abs(counts[chosen] / runs - share).max() < 5 * np.sqrt(share * (1 - share) / runs)


def nfsp_algorithm():
    config = nfsp.Config(
        num_envs=16, num_steps=8, num_updates=2, batch_size=16, buffer_size=256, reservoir_size=4000, hidden_sizes=()
    )
    return nfsp.make(envs.make("Kuhn"), config)


@functools.cache
def nfsp_run(anticipatory):
    """Returns NFSP's state after three steps."""
    algorithm, hparams = nfsp_algorithm(), nfsp.HParams(anticipatory=anticipatory, epsilon_start=0.0)
    first = state = jax.jit(algorithm.init)(jax.random.key(0), hparams)
    step, states = jax.jit(algorithm.step), []
    for _ in range(3):
        state, metrics = step(state, hparams)
        states.append(state)
    return algorithm, state, metrics, first, states[0]


@pytest.mark.slow
def test_nfsps_reservoir_takes_what_was_done_by_best_response_alone_and_its_replay_everything():
    decisions = 3 * 16 * (8 - 1)  # one a step, but for the last one of each rollout
    seen = {eta: int(nfsp_run(eta)[1].reservoir.seen) for eta in (0.0, 0.3, 1.0)}
    assert seen[0.0] == 0 and seen[1.0] == decisions and 0.1 < seen[0.3] / decisions < 0.5


def test_nfsps_decisions_lead_to_the_same_players_next_one_and_its_average_is_judged():
    algorithm, state, metrics, *_ = nfsp_run(0.3)
    kept = jax.tree.map(np.asarray, state.replay.data)
    at, after = kept.observation[:, :12].argmax(1), kept.next_observation[:, :12].argmax(1)
    over = kept.terminated
    assert over.any() and (~over).any() and (kept.observation[:, :12].sum(1) == 1.0).all()
    names = np.array(TREE.names)
    assert (TREE.mover[at] == TREE.mover[after])[~over].all()  # in Kuhn poker the first player's second decision
    assert all(names[to] == names[of] + "pb" for of, to in zip(at[~over], after[~over]))
    assert (kept.reward[~over] == 0.0).all() and (np.abs(kept.reward[over]) >= 1.0).all()
    found = measure_nash_conv(algorithm, envs.make("Kuhn"), state, None)
    assert found["nash_conv"] == found["nash_conv_average"] and np.isfinite(metrics["loss"])


def test_what_nfsp_keeps_are_actions_of_the_best_response():
    algorithm, _, _, before, after = nfsp_run(0.3)
    observation, action = jax.tree.map(lambda x: np.asarray(x)[: int(after.reservoir.seen)], after.reservoir.data)
    assert len(action) > 20
    np.testing.assert_array_equal(action, algorithm.policy(before, observation).mode())


def test_neither_the_judge_nor_who_acts_asks_nfsps_best_response():
    algorithm, state, *_ = nfsp_run(0.3)
    params = jax.tree.map(jnp.zeros_like, state.params)
    params["q"]["params"]["head"]["bias"] = jnp.array([1.0, 0.0])  # its best response always passes,
    params["average"]["params"]["policy"]["bias"] = jnp.array([0.0, 50.0])  # and its average always bets
    state, env = state.replace(params=params), envs.make("Kuhn")
    found = {name: float(x[0]) for name, x in measure_nash_conv(algorithm, env, state, None).items()}
    for which, bets in (("current", 0.0), ("average", 1.0)):
        told = [x for name, x in found.items() if name.startswith(f"policy_{which}/")]
        assert len(told) == 12 and told == pytest.approx([bets] * 12, abs=1e-6)
    always = np.tile(np.array([[0.0, 1.0]]), (12, 1))
    assert found["nash_conv"] == pytest.approx(gains_by_enumeration(always), abs=1e-5) != found["nash_conv_current"]
    observation = env.reset(jax.random.key(0))[1][0]
    assert {int(algorithm.act(state, jax.random.key(1), observation, explore)) for explore in (True, False)} == {1}


def successor_by_a_loop(rows, time, row):
    """Returns (rewards until the row's next decision, what is observed there, how the episode has ended by then: None if not)."""
    earned = 0.0
    for at in range(time, len(rows.reward)):
        earned += rows.reward[at, row]
        if rows.terminated[at, row] or rows.truncated[at, row]:
            return earned, rows.next_observation[at, row], "over" if rows.terminated[at, row] else "cut"
        if at + 1 < len(rows.reward) and rows.acting[at + 1, row]:
            return earned, rows.observation[at + 1, row], None
    return earned, rows.next_observation[-1, row], None


def test_a_decisions_successor_is_its_own_players_also_where_time_is_up():
    generator, agents, steps, games = np.random.default_rng(4), 3, 30, 2
    mover = np.arange(steps) % agents
    acting = np.tile(mover[:, None] == np.arange(agents), (1, games))
    ended, over = (np.repeat(generator.random((steps, games)) < share, agents, axis=1) for share in (0.2, 0.5))
    rows = SimpleNamespace(
        acting=acting, terminated=ended & over, truncated=ended & ~over, reward=generator.normal(size=acting.shape),
        observation=generator.normal(size=(*acting.shape, 4)), next_observation=generator.normal(size=(*acting.shape, 4)),
        action=generator.integers(2, size=acting.shape),
    )  # fmt: skip
    draw, found = nfsp.decided(SimpleNamespace(**jax.tree.map(jnp.asarray, vars(rows))), agents, waits=2)
    ends = []
    for place in range((steps - 2) * games):
        time, game = divmod(place, games)
        row = game * agents + mover[time]
        earned, successor, end = successor_by_a_loop(rows, time, row)
        ends.append(end)
        assert draw[place] == pytest.approx(rows.observation[time, row, 0], rel=1e-6)
        np.testing.assert_allclose(found.observation[place], rows.observation[time, row, 1:], rtol=1e-6)
        np.testing.assert_allclose(found.next_observation[place], successor[1:], rtol=1e-6)
        assert found.reward[place] == pytest.approx(earned, abs=1e-5)
        assert found.action[place] == rows.action[time, row] and bool(found.terminated[place]) == (end == "over")
    assert len(draw) == len(ends) and {"over", "cut", None} == set(ends)


def test_nfsp_refuses_in_one_line_a_game_without_turns():
    with pytest.raises(ValueError, match="MatchingPennies is none"):
        nfsp.make(envs.make("MatchingPennies"))
