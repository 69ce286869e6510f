"""Classic control and the point robot as scenes, with the angle conventions of gymnasium's own pictures.

Arguments after the observation are fields of the environment, with its default values.
"""

import math

import numpy as np

from experiments.lab.showing.drawing.shapes import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    VERMILION,
    Disc,
    Line,
    Point,
    Polygon,
    Scene,
    segment,
)


def cart_pole(state, observation, length: float = 0.5, x_threshold: float = 2.4) -> Scene:
    """Returns cart and pole in metres; a positive angle leans right. `length` is half the pole's."""
    x, tip = float(state.x), pole_tip(state, length)
    track = Line(((-x_threshold, 0.0), (x_threshold, 0.0)), 0.02, GREY)
    ends = [Line(((at, -0.12), (at, 0.12)), 0.03, VERMILION) for at in (-x_threshold, x_threshold)]
    cart = Polygon(((x - 0.25, -0.13), (x + 0.25, -0.13), (x + 0.25, 0.13), (x - 0.25, 0.13)), INK)
    pole = (segment((x, 0.0), tip, 0.09, ORANGE), Disc(tip, 0.045, ORANGE), Disc((x, 0.0), 0.05, BLUE))
    side = x_threshold + 0.35
    return Scene((track, *ends, cart, *pole), (-side, side, -0.45, 2.0 * length + 0.45))


def pole_tip(state, length: float = 0.5) -> Point:
    """Returns (x + 2l sin theta, 2l cos theta): theta from the vertical, clockwise."""
    return (
        float(state.x + 2.0 * length * np.sin(state.theta)),
        float(2.0 * length * np.cos(state.theta)),
    )


def acrobot(state, observation, link_length_1: float = 1.0, link_length_2: float = 1.0) -> Scene:
    """Returns both links, hanging down at angles 0, and the line that the tip must rise above."""
    elbow, tip = acrobot_joints(state, link_length_1, link_length_2)
    reach = link_length_1 + link_length_2 + 0.25
    goal = Line(((-reach, 1.0), (reach, 1.0)), 0.03, GREEN)
    links = (segment((0.0, 0.0), elbow, 0.18, BLUE), segment(elbow, tip, 0.18, ORANGE))
    discs = (Disc((0.0, 0.0), 0.12, INK), Disc(elbow, 0.12, INK), Disc(tip, 0.09, ORANGE))
    return Scene((goal, *links, *discs), (-reach, reach, -reach, reach))


def acrobot_joints(state, link_length_1: float = 1.0, link_length_2: float = 1.0) -> tuple[Point, Point]:
    """Returns elbow l1 (sin t1, -cos t1) and tip, elbow + l2 (sin(t1 + t2), -cos(t1 + t2))."""
    first = float(state.joint_angle1)
    both = first + float(state.joint_angle2)
    elbow = (link_length_1 * math.sin(first), -link_length_1 * math.cos(first))
    tip = (elbow[0] + link_length_2 * math.sin(both), elbow[1] - link_length_2 * math.cos(both))
    return elbow, tip


def mountain_car(
    state, observation, goal_position: float = 0.5, min_position: float = -1.2, max_position: float = 0.6
) -> Scene:
    """Returns the car on its hill and the flag at the goal."""
    xs = np.linspace(min_position, max_position, 121).tolist()
    ground = [(x, hill(x)) for x in xs]
    earth = Polygon((*ground, (max_position, 0.0), (min_position, 0.0)), LIGHT)
    foot = (goal_position, hill(goal_position))
    pole = Line((foot, (foot[0], foot[1] + 0.25)), 0.012, INK)
    flag = Polygon(tuple((foot[0] + dx, foot[1] + dy) for dx, dy in ((0, 0.25), (0.1, 0.21), (0, 0.17))), VERMILION)
    view = (min_position, max(max_position, goal_position + 0.12), 0.0, 1.32)
    return Scene((earth, Line(tuple(ground), 0.012, INK), pole, flag, *_car(float(state.position))), view)


def mountain_car_continuous(
    state, observation, goal_position: float = 0.45, min_position: float = -1.2, max_position: float = 0.6
) -> Scene:
    """Returns the same scene with this environment's goal."""
    return mountain_car(state, observation, goal_position, min_position, max_position)


def hill(x: float) -> float:
    """Returns the height 0.45 sin(3x) + 0.55."""
    return 0.45 * math.sin(3.0 * x) + 0.55


def _car(x: float) -> tuple[Polygon | Disc, ...]:
    """Returns the car standing on the hill at x, along the tangent there: slope 1.35 cos(3x)."""
    tilt = math.atan(1.35 * math.cos(3.0 * x))
    along, up = np.array([math.cos(tilt), math.sin(tilt)]), np.array([-math.sin(tilt), math.cos(tilt)])
    foot = np.array([x, hill(x)])

    def at(forward: float, above: float) -> Point:
        return tuple((foot + forward * along + above * up).tolist())

    body = Polygon((at(-0.075, 0.025), at(0.075, 0.025), at(0.055, 0.085), at(-0.055, 0.085)), BLUE)
    return body, Disc(at(-0.042, 0.027), 0.024, INK), Disc(at(0.042, 0.027), 0.024, INK)


def pendulum(state, observation, max_torque: float = 2.0) -> Scene:
    """Returns the rod, upright at angle 0, and the torque on it: an arc as long as it is strong."""
    tip = rod_tip(state)
    rod = (segment((0.0, 0.0), tip, 0.16, VERMILION), Disc(tip, 0.08, VERMILION), Disc((0.0, 0.0), 0.08, VERMILION))
    torque = _torque(float(state.last_u) / max_torque)
    return Scene((*rod, *torque, Disc((0.0, 0.0), 0.04, INK)), (-1.3, 1.3, -1.3, 1.3))


def rod_tip(state) -> Point:
    """Returns (-sin theta, cos theta): theta from the vertical, counterclockwise; the rod is drawn 1 long."""
    return -math.sin(state.theta), math.cos(state.theta)


def _torque(share: float) -> tuple[Line | Polygon, ...]:
    """Returns an arc with an arrowhead, counterclockwise for a positive share; the full torque turns 3/4 of a circle."""
    if abs(share) < 0.02:
        return ()
    radius, sweep = 0.4, 1.5 * math.pi * share
    angles = math.pi / 2 + np.linspace(0.0, sweep, 40)
    arc = tuple((radius * math.cos(angle), radius * math.sin(angle)) for angle in angles.tolist())
    end, way = angles[-1], math.copysign(1.0, share)
    outwards, onwards = np.array([math.cos(end), math.sin(end)]), way * np.array([-math.sin(end), math.cos(end)])
    corners = (1.3 * radius * outwards, 0.7 * radius * outwards, radius * outwards + 0.17 * onwards)
    return Line(arc, 0.05, BLUE), Polygon(tuple(tuple(corner.tolist()) for corner in corners), BLUE)


def point_robot(state, observation, circle_radius: float = 1.0, goal_radius: float = 0.2) -> Scene:
    """Returns the robot, the half circle on which goals lie, and the goal."""
    half = tuple((circle_radius * math.cos(a), circle_radius * math.sin(a)) for a in np.linspace(0, math.pi, 60))
    goal, robot = (tuple(np.asarray(place, float).tolist()) for place in (state.goal, state.pos))
    shapes = (Line(half, 0.02, GREY), Disc(goal, goal_radius, GREEN), Disc(robot, 0.06, VERMILION))
    side = circle_radius + 2.0 * goal_radius
    return Scene(shapes, (-side, side, -side, side))
