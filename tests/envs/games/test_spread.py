"""Cooperative spread against mpe2, step by step, and the figures that others report on their scales."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.games.spread import Spread, assignment, contact_forces, controller, spread

mpe2 = pytest.importorskip("mpe2.simple_spread_v3")


@pytest.fixture(scope="module")
def stepped():
    """Returns (fields) -> (environment, its compiled step)."""
    made = {}

    def make(**fields):
        key = tuple(sorted(fields.items()))
        if key not in made:
            env = spread(**fields)
            made[key] = env, jax.jit(env.step)
        return made[key]

    return make


def theirs(seed, **fields):
    env = mpe2.parallel_env(**fields)
    observations, _ = env.reset(seed=seed)
    return env, observations


def state_of(env):
    """Returns mpe2's world as a state of ours."""
    world = env.unwrapped.world
    position, velocity = (np.array([getattr(a.state, name) for a in world.agents]) for name in ("p_pos", "p_vel"))
    landmark = np.array([each.state.p_pos for each in world.landmarks])
    return Spread(
        *(jnp.asarray(x, jnp.float32) for x in (position, velocity, landmark)), jnp.int32(env.unwrapped.steps)
    )


@pytest.mark.parametrize("agents, local_ratio, seed", [(3, 0.5, 0), (4, 0.2, 2)])
def test_every_step_of_an_episode_is_mpe2s(stepped, agents, local_ratio, seed):
    env, step = stepped(num_agents=agents, local_ratio=local_ratio)
    peer, seen = theirs(seed, N=agents, local_ratio=local_ratio)
    peer.unwrapped.world.agents[1].state.p_pos[:] = peer.unwrapped.world.agents[0].state.p_pos + 0.05  # they touch
    names, rng, state = peer.possible_agents, np.random.default_rng(seed), state_of(peer)
    touched = 0
    for time in range(25):
        action = rng.integers(5, size=agents)
        seen, reward, terminated, truncated, _ = peer.step(dict(zip(names, map(int, action))))
        state, reached = step(jax.random.key(0), state, jnp.asarray(action))
        np.testing.assert_allclose(reached.observation[:, : env.layout.own], [seen[name] for name in names], atol=2e-5)
        np.testing.assert_allclose(reached.reward, [reward[name] for name in names], atol=2e-5)
        assert not reached.terminated and not any(terminated.values())
        assert bool(reached.truncated) == all(truncated.values()) == any(truncated.values()) == (time == 24)
        touched += len({round(one, 3) for one in reward.values()}) > 1
        state = state_of(peer)
    assert touched  # else the force of contact and the own share of the reward were not compared


def test_an_episode_from_one_state_stays_mpe2s_over_all_its_steps(stepped):
    _, step = stepped()
    peer, _ = theirs(7)
    state, rng = state_of(peer), np.random.default_rng(7)
    for _ in range(25):
        action = rng.integers(5, size=3)
        peer.step(dict(zip(peer.possible_agents, map(int, action))))
        state, _ = step(jax.random.key(0), state, jnp.asarray(action))
    np.testing.assert_allclose(state.position, state_of(peer).position, atol=1e-3)


def test_a_step_moves_by_the_velocity_before_the_thrust(stepped):
    _, step = stepped()
    apart = jnp.array([[-0.9, 0.0], [0.0, 0.9], [0.9, 0.0]])
    state = Spread(apart, jnp.zeros((3, 2)).at[0].set([1.0, -2.0]), jnp.zeros((3, 2)), jnp.int32(0))
    state, _ = step(jax.random.key(0), state, jnp.array([2, 3, 0]))
    np.testing.assert_allclose(state.position, apart.at[0].add([0.1, -0.2]), rtol=1e-6)
    np.testing.assert_allclose(state.velocity, [[0.75 + 0.5, -1.5], [0.0, -0.5], [0.0, 0.0]], rtol=1e-6)


def test_the_force_of_contact_is_finite_where_two_agents_are_at_one_place():
    np.testing.assert_array_equal(contact_forces(jnp.ones((2, 2))), np.zeros((2, 2)))


@pytest.mark.parametrize("agents, landmarks", [(2, 4), (4, 2)])
def test_agents_and_landmarks_may_be_of_unlike_numbers(stepped, agents, landmarks):
    env, step = stepped(num_agents=agents, num_landmarks=landmarks, agent_ids=True)
    state, observation = env.reset(jax.random.key(0))
    assert observation.shape == (agents, *env.observation_shape) == (agents, sum(env.layout))
    state, reached = step(jax.random.key(1), state, jnp.zeros(agents, int))
    assert reached.reward.shape == (agents,) and reached.observation.shape == observation.shape
    np.testing.assert_array_equal(observation[:, :agents], np.eye(agents))


def test_the_state_is_one_for_all_agents_and_tells_where_everything_is(stepped):
    env, _ = stepped()
    state, observation = env.reset(jax.random.key(3))
    everything = np.concatenate([np.ravel(x) for x in (state.velocity, state.position, state.landmark)])
    np.testing.assert_array_equal(observation[:, env.layout.own :], np.tile(everything, (3, 1)))


def test_the_team_is_given_the_mean_of_the_agents_own_rewards(stepped):
    (env, step), (shared, step_shared) = stepped(), stepped(reward="team")
    assert (env.reward_convention, shared.reward_convention) == ("individual", "team")
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(position=jnp.array([[0.0, 0.0], [0.1, 0.0], [0.9, 0.9]]))
    still = jnp.zeros(3, int)
    own, team = (np.asarray(f(jax.random.key(0), state, still)[1].reward) for f in (step, step_shared))
    assert own[0] == own[1] < own[2]
    np.testing.assert_allclose(team, np.full(3, own.mean()), rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_the_assignment_is_scipys(shape):
    from scipy.optimize import linear_sum_assignment

    assign = jax.jit(assignment)
    for seed in range(20):
        cost = np.random.default_rng(seed).uniform(size=shape).astype(np.float32)
        landmark, has_one = (np.asarray(x) for x in assign(cost))
        rows, columns = linear_sum_assignment(cost)
        np.testing.assert_array_equal(np.flatnonzero(has_one), rows)
        np.testing.assert_array_equal(landmark[rows], columns)


def test_the_controller_takes_the_nearest_of_all_that_each_agent_can_reach_in_two_steps():
    rng, act = np.random.default_rng(0), jax.jit(controller(spread()))
    for _ in range(10):
        position, landmark = rng.uniform(-1, 1, (3, 2)), rng.uniform(-1, 1, (3, 2))
        velocity = rng.normal(size=(3, 2))
        seen = np.concatenate([velocity, position, (landmark[None] - position[:, None]).reshape(3, 6)], axis=1)
        chosen = np.asarray(act(jnp.asarray(seen, jnp.float32)))
        orders = list(itertools.permutations(range(3)))
        target = min(orders, key=lambda order: sum(np.linalg.norm(landmark[k] - x) for k, x in zip(order, position)))
        for agent in range(3):
            far = []
            for push in ([0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]):
                x, v = position[agent] + 0.1 * velocity[agent], 0.75 * velocity[agent] + 0.5 * np.array(push)
                far.append(np.linalg.norm(x + 0.1 * v - landmark[target[agent]]))
            assert chosen[agent] == np.argmin(far)


def returns(env, choose, episodes=2048):
    """Returns the agents' undiscounted returns, [episodes, N]; choose: (key, observation [N, ...]) -> actions."""

    def one(carry, key):
        state, observation = carry
        state, reached = env.step(key, state, choose(key, observation))
        return (state, reached.observation), reached.reward

    def play(key):
        key_reset, key_steps = jax.random.split(key)
        return jax.lax.scan(one, env.reset(key_reset), jax.random.split(key_steps, env.max_steps))[1].sum(0)

    return np.asarray(jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), episodes)))


def test_the_random_policy_and_the_controller_earn_what_is_reported(stepped):
    env, _ = stepped()
    act = controller(env)
    random = returns(env, lambda key, _: jax.random.randint(key, (3,), 0, 5)).mean(1)
    guided = returns(env, lambda _, observation: act(observation)).mean(1)
    assert float(random.mean()) == pytest.approx(-26.43, abs=0.42 + 0.35)  # mpe2, 1500 episodes: -26.43 +- .42
    assert float(guided.mean()) == pytest.approx(-7.58, abs=0.2)


@pytest.mark.parametrize(
    "fields, word",
    [({"num_agents": 0}, "num_agents"), ({"num_landmarks": -1}, "num_landmarks"), ({"local_ratio": 1.5}, "local_ratio"),
     ({"reward": "sum"}, "individual, team"), ({"max_steps": 0}, "max_steps")],
)  # fmt: skip
def test_fields_that_cannot_be_are_refused(fields, word):
    with pytest.raises(ValueError, match=word):
        spread(**fields)


def test_more_assignments_than_can_be_listed_are_refused():
    with pytest.raises(ValueError, match="more than the controller"):
        assignment(jnp.zeros((9, 9)))
