"""Every method against a loop in NumPy that shares no code with it, after every step of a log of random episodes."""

import logs
import numpy as np
import pytest

from algos.tabular import (
    double_q_learning,
    dyna_q,
    dyna_q_plus,
    expected_sarsa,
    learned_model,
    monte_carlo,
    monte_carlo_prediction,
    n_step_sarsa,
    n_step_td,
    off_policy_monte_carlo,
    prioritised_sweeping,
    q_learning,
    r_max,
    sarsa,
    td,
    td_lambda,
)  # fmt: skip

ENV = logs.any_env()
RATE, GAMMA, EPSILON, BEGIN = 0.3, 0.9, 0.2, 0.5
RATES = {"learning_rate": RATE, "gamma": GAMMA, "initial_value": BEGIN}
S, A = logs.STATES, logs.ACTIONS


def words_of(number, log, seed=0):
    return np.random.default_rng(seed).integers(2**32, size=(len(log.state), number), dtype=np.uint32)


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def steps_of(log):
    return list(zip(*(x.tolist() for x in log)))


def one_of(mask, word):
    """Returns the place of a true entry, by the low half of a word."""
    places = np.flatnonzero(mask)
    return int(places[(int(word) & 0xFFFF) * len(places) // 2**16])


NEXT_VALUE = {
    "td": lambda v, s, a, word: v[s],
    "q_learning": lambda q, s, a, word: max(q[s]),
    "sarsa": lambda q, s, a, word: q[s][a],
    "expected_sarsa": lambda q, s, a, word: (1 - EPSILON) * max(q[s]) + EPSILON * sum(q[s]) / A,
}


@pytest.mark.parametrize("module", [td, q_learning, sarsa, expected_sarsa], ids=lambda x: x.__name__.rpartition(".")[2])
def test_one_step_methods(module, float64):
    name, log = module.__name__.rpartition(".")[2], logs.random_log(0)
    exploring = {"epsilon": EPSILON} if name == "expected_sarsa" else {}
    found = logs.learned(module.method(ENV, module.Config()), log, module.HParams(**RATES, **exploring))
    values = np.full(S, BEGIN) if name == "td" else np.full((S, A), BEGIN)
    for (s, a, r, s2, a2, terminated, _), table in zip(steps_of(log), found):
        place = s if name == "td" else (s, a)
        target = r if terminated else r + GAMMA * NEXT_VALUE[name](values, s2, a2, None)
        values[place] += RATE * (target - values[place])
        agree(table, values)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("module", [n_step_td, n_step_sarsa], ids=["td", "sarsa"])
def test_n_step_methods(module, n, float64):
    log = logs.random_log(1)
    found = logs.learned(module.method(ENV, module.Config(n=n)), log, module.HParams(**RATES))
    values = np.full(S, BEGIN) if module is n_step_td else np.full((S, A), BEGIN)
    passed = 0
    for episode in logs.episodes(log):
        length = len(episode.state)
        places = [(s,) if module is n_step_td else (s, a) for s, a in zip(episode.state, episode.action)]
        ends = [(s,) if module is n_step_td else (s, a) for s, a in zip(episode.next_state, episode.next_action)]
        end_value = values[ends[-1]]
        for t in range(1, length + n):  # as in the book: t steps are taken, and that of time tau is learned from
            if t <= length:
                before = values.copy()
            tau = t - n
            if t == length:
                end_value = values[ends[-1]]
            if tau >= 0:
                h = min(tau + n, length)
                target = sum(GAMMA ** (k - tau) * episode.reward[k] for k in range(tau, h))
                if not (h == length and episode.terminated[-1]):
                    target += GAMMA ** (h - tau) * (end_value if h == length else values[ends[h - 1]])
                values[places[tau]] += RATE * (target - values[places[tau]])
            if t < length:
                agree(found[passed + t - 1], values)
        assert before.shape == values.shape
        passed += length
        agree(found[passed - 1], values)


@pytest.mark.parametrize("trace", td_lambda.TRACES[:2])
def test_traces(trace, float64):
    log = logs.random_log(2)
    method = td_lambda.method(ENV, td_lambda.Config(trace=trace))
    found = logs.learned(method, log, td_lambda.HParams(lambda_=0.8, **RATES))
    v, z = np.full(S, BEGIN), np.zeros(S)
    for (s, _, r, s2, _, terminated, truncated), table in zip(steps_of(log), found):
        error = r - v[s] + (0.0 if terminated else GAMMA * v[s2])
        z *= GAMMA * 0.8
        z[s] = 1.0 if trace == "replacing" else z[s] + 1.0
        v += RATE * error * z
        z *= not (terminated or truncated)
        agree(table, v)


def returns_of(episode, beyond):
    """Returns the return of every step, by its definition."""
    length = len(episode.reward)
    last = 0.0 if episode.terminated[-1] else beyond
    return [
        sum(GAMMA ** (k - t) * episode.reward[k] for k in range(t, length)) + GAMMA ** (length - t) * last
        for t in range(length)
    ]


@pytest.mark.parametrize("first_visit", [True, False])
def test_monte_carlo_prediction_averages_the_returns_of_first_or_every_visits(first_visit, float64):
    log = logs.random_log(3)
    config = monte_carlo_prediction.Config(first_visit=first_visit)
    hparams = monte_carlo_prediction.HParams(gamma=GAMMA, initial_value=BEGIN)
    found = logs.learned(monte_carlo_prediction.method(ENV, config), log, hparams)
    v, seen, passed = np.full(S, BEGIN), [[] for _ in range(S)], 0
    for episode in logs.episodes(log):
        for t, target in enumerate(returns_of(episode, v[episode.next_state[-1]])):
            if not first_visit or episode.state[t] not in episode.state[:t]:
                seen[episode.state[t]].append(target)
        v = np.array([np.mean(x) if x else BEGIN for x in seen])
        passed += len(episode.state)
        agree(found[passed - 1], v)


@pytest.mark.parametrize("weighted", [True, False])
def test_off_policy_monte_carlo_weighs_each_return_by_the_ratios_from_its_own_step_on(weighted, float64):
    log = logs.random_log(4, cut=0.0)
    ratios = np.random.default_rng(0).choice([0.0, 0.5, 1.0, 2.0], size=(S, A))
    config = monte_carlo_prediction.Config(first_visit=False, weighted=weighted)
    hparams = monte_carlo_prediction.HParams(gamma=GAMMA, initial_value=BEGIN)
    found = logs.learned(monte_carlo_prediction.method(ENV, config, ratios), log, hparams)
    seen = [[] for _ in range(S)]
    for episode in logs.episodes(log):
        ratio = ratios[episode.state, episode.action]
        for t, target in enumerate(returns_of(episode, 0.0)):
            seen[episode.state[t]].append((np.prod(ratio[t:]), target))
    weights, targets = [np.array([x[0] for x in y]) for y in seen], [np.array([x[1] for x in y]) for y in seen]
    sums = [w @ g for w, g in zip(weights, targets)]
    assert any(w.sum() == 0.0 for w in weights)  # no ratio let any of its returns count: nothing is known of that state
    counted = [w.sum() if weighted else len(w) for w in weights]
    agree(found[-1], [x / n if n else BEGIN for x, n in zip(sums, counted)])


def test_off_policy_monte_carlo_is_right_on_average_by_enumeration_of_all_episodes(float64):
    policy, behaviour = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    hparams, total = monte_carlo_prediction.HParams(gamma=GAMMA), 0.0
    method = monte_carlo_prediction.method(
        ENV, monte_carlo_prediction.Config(weighted=False), np.tile([*(policy / behaviour), 0.0], (S, 1))
    )
    for one in (0, 1):
        for two in (0, 1):
            ends = np.array([False, True])
            reward = np.array([1.0 + one, 3.0 - 2.0 * two + one])
            state, action = np.array([0, 1]), np.array([one, two])
            log = logs.Log(state, action, reward, np.array([1, 0]), action, ends, np.zeros(2, bool))
            total = total + behaviour[one] * behaviour[two] * logs.learned(method, log, hparams)[-1][:2]
    assert total[0] == pytest.approx(1.3 + GAMMA * (3.0 - 2.0 * 0.3 + 0.3), rel=1e-12)
    assert total[1] == pytest.approx(3.0 - 2.0 * 0.3 + 0.6, rel=1e-12)


@pytest.mark.parametrize("first_visit", [True, False])
@pytest.mark.parametrize("rate", [0.0, RATE])
def test_monte_carlo_control(first_visit, rate, float64):
    log = logs.random_log(5)
    hparams = monte_carlo.HParams(gamma=GAMMA, initial_value=BEGIN, learning_rate=rate)
    found = logs.learned(monte_carlo.method(ENV, monte_carlo.Config(first_visit=first_visit)), log, hparams)
    q, times, passed = np.full((S, A), BEGIN), np.zeros((S, A)), 0
    for episode in logs.episodes(log):
        pairs = list(zip(episode.state, episode.action))
        for t, target in enumerate(returns_of(episode, max(q[episode.next_state[-1]]))):
            if not first_visit or pairs[t] not in pairs[:t]:
                times[pairs[t]] += 1
                q[pairs[t]] += (rate or 1.0 / times[pairs[t]]) * (target - q[pairs[t]])
        passed += len(pairs)
        agree(found[passed - 1], q)


def test_off_policy_monte_carlo_control_learns_backwards_until_an_action_was_not_greedy(float64):
    log = logs.random_log(6, num_steps=200)
    hparams = off_policy_monte_carlo.HParams(gamma=GAMMA, epsilon=EPSILON, initial_value=BEGIN)
    found = logs.learned(off_policy_monte_carlo.method(ENV, off_policy_monte_carlo.Config()), log, hparams)
    q, total, passed, stopped = np.full((S, A), BEGIN), np.zeros((S, A)), 0, set()
    for episode in logs.episodes(log):
        then = q.copy()
        target, weight = (0.0 if episode.terminated[-1] else max(q[episode.next_state[-1]])), 1.0
        for t in reversed(range(len(episode.state))):
            s, a = episode.state[t], episode.action[t]
            target = episode.reward[t] + GAMMA * target
            total[s, a] += weight
            q[s, a] += weight / total[s, a] * (target - q[s, a])
            if a != int(np.argmax(q[s])):
                stopped.add(t)
                break
            ties = then[s] == max(then[s])
            weight /= EPSILON / A + (1 - EPSILON) * ties[a] / ties.sum()
        passed += len(episode.state)
        agree(found[passed - 1], q)
    assert len(stopped) > 3


def test_double_q_learning_throws_a_coin_and_lets_one_table_choose_and_the_other_say_what_it_is_worth(float64):
    log = logs.random_log(7)
    words = words_of(1, log)
    found = logs.learned(
        double_q_learning.method(ENV, double_q_learning.Config()), log, double_q_learning.HParams(**RATES), words
    )
    q, coins = [np.full((S, A), BEGIN), np.full((S, A), BEGIN)], []
    for (s, a, r, s2, _, terminated, _), word, table in zip(steps_of(log), words[:, 0], found):
        coin = int(word) >> 31
        best = one_of(q[coin][s2] == max(q[coin][s2]), word)
        target = r if terminated else r + GAMMA * q[1 - coin][s2, best]
        q[coin][s, a] += RATE * (target - q[coin][s, a])
        coins.append(coin)
        agree(table, q)
    assert 0.3 < np.mean(coins) < 0.7


@pytest.mark.parametrize("plus", [False, True])
def test_dyna_q_plans_over_what_it_saw_and_dyna_q_plus_over_every_action_of_the_states_it_saw(plus, float64):
    module, planning, kappa = dyna_q_plus if plus else dyna_q, 3, 0.2
    log = logs.random_log(8)
    bonus = {"kappa": kappa} if plus else {}
    words = words_of(2 * planning, log)
    method = module.method(ENV, module.Config(num_planning=planning))
    found = logs.learned(method, log, module.HParams(**RATES, **bonus), words)
    q, model, states, last = np.full((S, A), BEGIN), {}, [], np.zeros((S, A))

    def learn(s, a, r, s2, terminated):
        q[s, a] += RATE * ((r if terminated else r + GAMMA * max(q[s2])) - q[s, a])

    for time, ((s, a, r, s2, _, terminated, _), row, table) in enumerate(zip(steps_of(log), words, found), start=1):
        learn(s, a, r, s2, terminated)
        model[s, a], last[s, a] = (r, s2, terminated), time
        states += [] if s in states else [s]
        for for_state, for_action in row.reshape(-1, 2):
            s = states[(int(for_state) >> 16) * len(states) // 2**16]
            a = one_of([plus or (s, b) in model for b in range(A)], for_action)
            r, s2, terminated = model.get((s, a), (0.0, s, False))
            learn(s, a, r + (kappa * np.sqrt(time - last[s, a]) if plus else 0.0), s2, terminated)
        agree(table, q)


def test_prioritised_sweeping_takes_the_largest_change_first_and_tells_those_that_lead_there(float64):
    planning, threshold, log = 3, 0.4, logs.random_log(9)
    hparams = prioritised_sweeping.HParams(**{**RATES, "learning_rate": 1.0}, threshold=threshold)
    method = prioritised_sweeping.method(ENV, prioritised_sweeping.Config(num_planning=planning))
    found, memory = logs.learning(method, log, hparams)
    q, seen, priority, left_over, ignored, backups = np.full((S, A), BEGIN), {}, np.zeros((S, A)), 0, 0, 0

    def expected(s, a):
        return np.mean([r if over else r + GAMMA * max(q[s2]) for r, s2, over in seen[s, a]])

    for (s, a, r, s2, _, terminated, _), table in zip(steps_of(log), found):
        seen.setdefault((s, a), []).append((r, s2, terminated))
        change = abs(expected(s, a) - q[s, a])
        priority[s, a] = change if change > threshold else 0.0
        ignored += 0.0 < change <= threshold
        for _ in range(planning):
            if not priority.any():
                break
            pair = tuple(map(int, np.unravel_index(np.argmax(priority), priority.shape)))
            priority[pair] = 0.0
            q[pair] = expected(*pair)
            backups += 1
            for other, outcomes in seen.items():
                if any(s2 == pair[0] and not over for _, s2, over in outcomes):
                    change = abs(expected(*other) - q[other])
                    if change > threshold:
                        priority[other] = change
        left_over += priority.any()
        agree(table, q)
    agree(memory.priority, priority)
    assert memory.backups == backups < planning * len(log.state)
    assert ignored > 3 and 0 < left_over < len(log.state)


@pytest.mark.parametrize("untried", learned_model.UNTRIED)
def test_planning_on_the_learned_model_solves_it_again_when_a_pair_is_known_better(untried, float64):
    best, log = 2.0, logs.random_log(10, num_steps=60)
    config = r_max.Config(known_after=2, untried=untried, num_sweeps=60)
    found = logs.learned(r_max.method(ENV, config), log, r_max.HParams(gamma=GAMMA, best_reward=best))
    seen, solutions = {}, 0
    q = np.full((S, A), best / (1 - GAMMA) if untried == "optimistic" else 0.0)
    for (s, a, r, s2, _, terminated, _), table in zip(steps_of(log), found):
        seen.setdefault((s, a), []).append((r, s2, terminated))
        if len(seen[s, a]) in (2, 4, 8, 16):
            solutions += 1
            for _ in range(60):
                v, q = q.max(1), q.copy()
                for pair in np.ndindex(S, A):
                    outcomes = seen.get(pair, [])
                    if len(outcomes) >= 2:
                        q[pair] = np.mean([r + GAMMA * (0.0 if over else v[s2]) for r, s2, over in outcomes])
                    else:
                        q[pair] = best + GAMMA * v[pair[0]] if untried == "optimistic" else 0.0
        np.testing.assert_allclose(table, q, rtol=1e-9, atol=1e-9)
    assert solutions > S
    never = [pair for pair in np.ndindex(S, A) if len(seen.get(pair, [])) < 2]
    if untried == "absorbing":
        assert all(q[pair] == 0.0 for pair in never)
