"""Drawings of states: gymnasium's own geometry, gymnax's mazes and fields, and pixels where they belong."""

import inspect
import math
import sys
from functools import partial
from types import SimpleNamespace
from unittest import mock

import gymnasium
import gymnax
import jax
import numpy as np
import pytest
from PIL import Image, ImageColor

import envs
from envs.gymnax_ids import IDS
from envs.mdp import as_env, from_map
from experiments.lab.showing.drawing import DRAWINGS, classic, drawing, film, grids, shapes
from experiments.lab.showing.drawing.shapes import Disc, Line, Polygon, Scene, rasterise

CLASSIC = {
    "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    "Pendulum-v1": ("theta", "theta_dot"),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
}


def gymnasium_polygons(environment: str, state) -> list[np.ndarray]:
    """Returns the corners of the filled polygons that gymnasium draws of a state, pixels with y upwards."""
    env = gymnasium.make(environment, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    env.state, env.last_u = np.asarray(state, float), None
    pygame = mock.MagicMock()  # gymnasium needs of it only how a vector is turned
    pygame.math.Vector2 = lambda point: SimpleNamespace(rotate_rad=partial(turned, point))
    pygame.surfarray.pixels3d.return_value = np.zeros((1, 1, 3))
    with mock.patch.dict(sys.modules, {"pygame": pygame}):
        env.render()
    return [np.array(call.args[1]) for call in pygame.gfxdraw.filled_polygon.call_args_list]


def turned(point, angle: float) -> tuple[float, float]:
    """Returns the point turned about the origin, counterclockwise."""
    (x, y), c, s = point, math.cos(angle), math.sin(angle)
    return c * x - s * y, s * x + c * y


def way(corners: np.ndarray, near: list[int], far: list[int]) -> np.ndarray:
    """Returns the direction from the near end of a rod to the far one, of length 1."""
    along = corners[far].mean(axis=0) - corners[near].mean(axis=0)
    return along / np.linalg.norm(along)


def state_of(environment: str, values) -> SimpleNamespace:
    return SimpleNamespace(**dict(zip(CLASSIC[environment], map(np.float32, values))), last_u=np.float32(0.0))


@pytest.mark.parametrize("theta", [-0.2, 0.0, 0.1, 1.0])
@pytest.mark.parametrize("x", [-1.5, 0.0, 2.0])
def test_the_pole_of_cartpole_points_where_gymnasium_draws_it(x, theta):
    cart, pole = gymnasium_polygons("CartPole-v1", (x, 0.0, theta, 0.0))
    tip = classic.pole_tip(state_of("CartPole-v1", (x, 0.0, theta, 0.0)))
    np.testing.assert_allclose((tip[0] - x, tip[1]), way(pole, [0, 3], [1, 2]), atol=1e-5)  # it is 1 metre long
    assert cart[:, 0].mean() == pytest.approx(300 + 125 * x)  # its picture is 600 pixels for 4.8 metres


@pytest.mark.parametrize("angles", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (2.0, -1.2), (-3.0, 0.1)])
def test_the_links_of_acrobot_point_where_gymnasium_draws_them(angles):
    first, second = gymnasium_polygons("Acrobot-v1", (*angles, 0.0, 0.0))
    elbow, tip = classic.acrobot_joints(state_of("Acrobot-v1", (*angles, 0.0, 0.0)))
    np.testing.assert_allclose(elbow, way(first, [0, 1], [2, 3]), atol=1e-5)
    np.testing.assert_allclose(np.subtract(tip, elbow), way(second, [0, 1], [2, 3]), atol=1e-5)


@pytest.mark.parametrize("angles", [(3.0, 0.2), (2.0, 0.3), (1.5, 0.0), (2.2, 0.0)])
def test_acrobot_is_over_exactly_when_its_tip_is_drawn_above_the_line(angles):
    env, params = gymnax.make("Acrobot-v1")
    state = env.reset_env(jax.random.key(0), params)[1].replace(joint_angle1=angles[0], joint_angle2=angles[1])
    scene = classic.acrobot(state, None)
    goal = next(shape for shape in scene.shapes if isinstance(shape, Line))
    assert (classic.acrobot_joints(state)[1][1] > goal.points[0][1]) == bool(env.is_terminated(state, params))


@pytest.mark.parametrize("theta", [-2.0, 0.0, 0.3, 1.57, 3.1])
def test_the_rod_of_pendulum_points_where_gymnasium_draws_it(theta):
    (rod,) = gymnasium_polygons("Pendulum-v1", (theta, 0.0))
    tip = classic.rod_tip(state_of("Pendulum-v1", (theta, 0.0)))
    np.testing.assert_allclose(tip, way(rod, [0, 1], [2, 3]), atol=1e-5)


@pytest.mark.parametrize("environment", ["MountainCar-v0", "MountainCarContinuous-v0"])
@pytest.mark.parametrize("x", [-1.1, -0.5, 0.0, 0.45])
def test_the_car_stands_on_the_hill_where_gymnasium_draws_it(environment, x):
    body, flag = gymnasium_polygons(environment, (x, 0.0))
    scene = drawing(envs.make(environment), {}).scene(state_of(environment, (x, 0.0)), None)
    scale = 600 / 1.8  # pixels for a unit
    wheels = [shape.centre for shape in scene.shapes if isinstance(shape, Disc)]
    foot = body[[0, 3]].mean(axis=0) / scale - (1.2, 10 / scale)  # gymnasium lifts its car by 10 pixels
    np.testing.assert_allclose(foot, (x, np.sin(3 * x) * 0.45 + 0.55), atol=1e-6)
    near = np.mean(wheels, axis=0) - foot
    assert np.hypot(*near) == pytest.approx(0.027, abs=1e-3)
    slope = (wheels[1][1] - wheels[0][1]) / (wheels[1][0] - wheels[0][0])
    assert slope == pytest.approx(1.35 * np.cos(3 * x), rel=1e-4, abs=1e-6)
    ours = next(shape for shape in scene.shapes if isinstance(shape, Polygon) and len(shape.points) == 3)
    assert ours.points[0][0] == pytest.approx(int(flag[0][0]) / scale - 1.2, abs=1 / scale)


@pytest.mark.parametrize("torque", [-2.0, -0.5, 1.0, 2.0])
def test_the_arrow_of_pendulum_turns_the_way_the_torque_turns_the_rod(torque):
    env, params = gymnax.make("Pendulum-v1")
    state = env.reset_env(jax.random.key(0), params)[1].replace(theta=0.0, theta_dot=0.0)
    reached = env.step_env(jax.random.key(0), state, np.array([torque]), params)[1]
    arc = next(shape for shape in classic.pendulum(reached, None).shapes if isinstance(shape, Line))
    (x0, y0), (x1, y1) = arc.points[:2]
    tip = classic.rod_tip(reached)
    assert np.sign(x0 * y1 - y0 * x1) == np.sign(-tip[0]) == np.sign(torque)
    angle = np.unwrap([math.atan2(y, x) for x, y in arc.points])
    assert abs(angle[-1] - angle[0]) == pytest.approx(1.5 * math.pi * abs(torque) / 2.0, rel=1e-3)


def test_no_torque_has_no_arrow():
    assert not any(isinstance(s, Line) for s in classic.pendulum(state_of("Pendulum-v1", (0, 0)), None).shapes)


def test_a_maze_has_gymnaxs_walls():
    assert np.array_equal(
        [[cell == "x" for cell in row] for row in grids.FOUR_ROOMS], gymnax.make("FourRooms-misc")[0].occupied_map
    )
    for fields in ({}, {"maze_size": 5, "rf_size": 5}, {"maze_size": 7, "rf_size": 7}):
        walls = grids.maze_walls(**{"maze_size": 9, "rf_size": 3, **fields})
        assert np.array_equal(walls, gymnax.make("MetaMaze-misc", **fields)[0].occupied_map)


def test_a_gridworld_of_a_finite_model_shows_walls_ends_and_the_agent_in_its_cell():
    env = as_env(from_map("S.G\n#H#", reward={"G": 1.0}), "of one's own", max_steps=9)
    scene = drawing(env, {}, own=True).scene(SimpleNamespace(index=1), None)
    squares = {tuple(np.mean(x.points, 0).round(3)): x.colour for x in scene.shapes if isinstance(x, Polygon)}
    walls = {(0.5, -1.5): shapes.GREY, (2.5, -1.5): shapes.GREY}
    assert squares == walls | {(2.5, -0.5): shapes.GREEN, (1.5, -1.5): shapes.INK}
    (agent,) = (shape for shape in scene.shapes if isinstance(shape, Disc))
    assert agent.centre == (1.5, -0.5)
    costly = drawing(envs.make("CliffWalking"), {}).scene(SimpleNamespace(index=0), None)
    assert [x.colour for x in costly.shapes if isinstance(x, Polygon)] == 10 * [shapes.GREY] + [shapes.GREEN]
    with pytest.raises(ValueError, match="Taxi cannot be drawn; those that can: .*, and finite models on a grid"):
        drawing(envs.make("Taxi"), {})


def test_the_drawings_assume_the_fields_that_environments_have_by_default():
    seen = 0
    for environment, shown in DRAWINGS.items():
        if environment not in IDS:  # of our own, whose state says all
            continue
        env, params = gymnax.make(environment)
        fields = inspect.signature(shown.scene).parameters.values()
        for name, default in ((field.name, field.default) for field in fields if field.default is not field.empty):
            value = getattr(params, name) if hasattr(params, name) else getattr(env, name)
            assert default == pytest.approx(float(value)), (environment, name)
            seen += 1
    assert seen >= 13


def test_a_field_of_the_environment_changes_its_drawing():
    state = state_of("CartPole-v1", (0.0, 0.0, 0.0, 0.0))
    usual, plain, other = (
        drawing(envs.make("CartPole-v1", **fields), fields) for fields in ({}, {"gravity": 5.0}, {"length": 1.0})
    )
    assert plain.scene(state, None) == usual.scene(state, None)
    assert other.scene(state, None) != plain.scene(state, None)


def coloured(image, colour) -> np.ndarray:
    """Returns the (x, y) of the pixels of exactly that colour."""
    return np.argwhere(np.all(np.asarray(image.convert("RGB")) == ImageColor.getrgb(colour), axis=-1))[:, ::-1]


def test_a_scene_is_drawn_upright_and_to_scale():
    point = Disc((3.0, 1.0), 0.5, shapes.BLUE)
    image = rasterise(Scene((point,), (0.0, 4.0, 0.0, 2.0)), 200)
    assert image.size == (200, 100)
    where = coloured(image, shapes.BLUE)
    np.testing.assert_allclose(where.mean(axis=0), (150, 50), atol=1)
    assert len(where) == pytest.approx(math.pi * 25**2, rel=0.05)
    high = rasterise(Scene((Disc((1.0, 3.0), 0.5, shapes.BLUE),), (0.0, 2.0, 0.0, 4.0)), 200)
    assert high.size == (100, 200) and coloured(high, shapes.BLUE).mean(axis=0)[1] < 60


def test_later_shapes_lie_on_top():
    under, over = Disc((0.0, 0.0), 0.9, shapes.BLUE), Disc((0.0, 0.0), 0.9, shapes.GREEN)
    image = rasterise(Scene((under, over), (-1, 1, -1, 1)), 60)
    assert len(coloured(image, shapes.BLUE)) == 0 < len(coloured(image, shapes.GREEN))


def test_a_row_of_an_observation_is_drawn_as_a_row_from_the_top():
    observation = np.zeros((3, 6, 2), bool)
    observation[0, 4, 0] = observation[2, 1, 1] = True
    image = rasterise(grids.channels(None, observation), 300)
    x, y = coloured(image, grids.CHANNELS[0]).mean(axis=0) / 50
    assert (int(x), int(y)) == (4, 0)
    x, y = coloured(image, grids.CHANNELS[1]).mean(axis=0) / 50
    assert (int(x), int(y)) == (1, 2)


def test_every_colour_survives_in_a_gif_and_the_background_stays_white(tmp_path):
    discs = [Disc((index, 0.0), 0.4, colour) for index, colour in enumerate(shapes.COLOURS)]
    image = rasterise(Scene(tuple(discs), (-0.5, len(discs) - 0.5, -0.5, 0.5)), 30 * len(discs))
    film.write_gif(tmp_path / "x.gif", [image], [100])
    back = Image.open(tmp_path / "x.gif").convert("RGB")
    for x, colour in enumerate(shapes.COLOURS):
        assert back.getpixel((30 * x + 15, 15)) == ImageColor.getrgb(colour)
    assert back.getpixel((0, 0)) == (255, 255, 255)


def test_panels_stand_in_rows_in_their_order():
    colours = (shapes.BLUE, shapes.GREEN, shapes.ORANGE, shapes.PURPLE)
    panels = [film.Panel(c, "", Scene((Disc((0, 0), 0.9, c),), (-1, 1, -1, 1))) for c in colours]
    image = film.frame("heading", "step 1", panels, 3)
    centres = [coloured(image, colour).mean(axis=0) for colour in colours]
    assert centres[0][0] < centres[1][0] < centres[2][0] and centres[0][1] == centres[1][1] == centres[2][1]
    assert centres[3][0] == centres[0][0] and centres[3][1] > centres[0][1]


def test_a_title_that_is_too_long_is_cut_and_ends_in_dots():
    font = film.ImageFont.load_default(film.FONT_SIZE)
    cut = film.fitted("a name that goes on and on", font, 100)
    assert cut.endswith("...") and font.getlength(cut) <= 100 and film.fitted("short", font, 100) == "short"


@pytest.mark.parametrize("environment", [*CLASSIC, "Breakout-MinAtar", "Catch-bsuite", "FourRooms-misc"])
def test_the_first_state_of_an_environment_is_a_picture_with_something_on_it(environment):
    env = envs.make(environment)
    image = rasterise(drawing(env, {}).scene(*env.reset(jax.random.key(0))), 100)
    assert max(image.size) == 100 and len(image.getcolors(10_000)) >= 3


def test_every_environment_that_can_be_drawn_exists():
    assert set(DRAWINGS) <= set(envs.ids())
