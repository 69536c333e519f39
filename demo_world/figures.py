"""People and dogs: articulated figures, posed by angles (see `demo_world.poses`) and drawn limb by limb.

The feet stay on the ground whatever the legs do, so crouching and running need no height of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from demo_world.camera import FOCAL, Camera
from demo_world.poses import Pose

SHIFT = 4
ONE = 1 << SHIFT
AA = cv2.LINE_AA


@dataclass(frozen=True)
class Look:
    """One person's appearance: height in metres, build, colours (BGR)."""

    height: float
    build: float
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    top: tuple[int, int, int]
    legs: tuple[int, int, int]
    shoes: tuple[int, int, int]
    skirt: bool = False
    cap: bool = False
    band: bool = False  # a uniform's reflecting band


SKINS = ((150, 180, 225), (120, 160, 210), (90, 125, 180), (60, 90, 140), (45, 65, 100))
HAIRS = ((25, 25, 30), (35, 50, 75), (60, 100, 140), (120, 170, 200), (150, 150, 155), (30, 40, 110))
TOPS = (
    (40, 40, 45),
    (160, 60, 40),
    (50, 50, 170),
    (60, 130, 60),
    (200, 200, 205),
    (120, 120, 125),
    (40, 150, 200),
    (140, 70, 120),
    (180, 150, 60),
    (70, 90, 130),
    (90, 60, 50),
)
LEGS = ((45, 40, 40), (110, 75, 50), (80, 60, 45), (70, 85, 100), (120, 120, 115), (90, 120, 150), (60, 50, 70))


def make_look(rng: np.random.Generator, kind: str = "adult") -> Look:
    """Draw an appearance. kind: adult, child, officer, worker."""
    height = rng.normal(1.12, 0.08) if kind == "child" else float(np.clip(rng.normal(1.73, 0.09), 1.5, 1.95))
    jitter = rng.integers(-14, 15, (4, 3))

    def pick(colours, row):
        return tuple(
            int(np.clip(v + j, 0, 255)) for v, j in zip(colours[rng.integers(len(colours))], jitter[row], strict=True)
        )

    top, legs, cap, band = pick(TOPS, 2), pick(LEGS, 3), bool(rng.random() < 0.18), False
    if kind == "officer":
        top, legs, cap, band = (70, 40, 30), (60, 38, 30), True, True
    elif kind == "worker":
        top, legs, cap = (30, 110, 200), (60, 60, 60), True
    return Look(
        height=float(height),
        build=float(rng.uniform(0.9, 1.2)),
        skin=pick(SKINS, 0),
        hair=pick(HAIRS, 1),
        top=top,
        legs=legs,
        shoes=(30, 30, 32) if rng.random() < 0.7 else (190, 190, 195),
        skirt=bool(kind == "adult" and rng.random() < 0.2),
        cap=cap,
        band=band,
    )


class Body(NamedTuple):
    """What drawing a person leaves for the things they carry, in pixels."""

    box: tuple[float, float, float, float]
    hand_l: tuple[float, float]
    hand_r: tuple[float, float]
    elbow_l: tuple[float, float]
    elbow_r: tuple[float, float]
    neck: tuple[float, float]
    hip: tuple[float, float]
    head: tuple[float, float, float]
    scale: float
    facing: float  # -1 left .. 1 right
    away: float  # -1 towards the camera .. 1 away


def _p(point) -> tuple[int, int]:
    return int(point[0] * ONE), int(point[1] * ONE)


def _dim(colour, k):
    return colour[0] * k, colour[1] * k, colour[2] * k


def skeleton(
    camera: Camera, look: Look, pose: Pose, x: float, z: float, heading: float, lift_m: float = 0.0
) -> tuple[dict, float]:
    """Joints in pixels and pixels a metre. heading: 0 faces right (+x), pi/2 away from the camera (+z)."""
    h = look.height
    s = FOCAL / z
    tilt = camera.height * s / FOCAL
    u0, v0 = camera.project(x, lift_m, z)
    fc, fs = math.cos(heading), math.sin(heading)
    l1 = 0.25 * h
    ext = max(
        l1 * (math.cos(hip) + math.cos(hip - knee))
        for hip, knee in ((pose.hip_l, pose.knee_l), (pose.hip_r, pose.knee_r))
    )
    base = ext + 0.03 * h
    fall = pose.fall * math.pi / 2
    cf, sf = math.cos(fall), math.sin(fall)
    lift = 0.10 * abs(sf)

    def at(forward, up, side):
        if fall:
            forward, up = (
                forward * cf + up * sf - 0.5 * h * sf,
                up * cf - forward * sf * math.copysign(1.0, fall) + lift,
            )
            up = max(up, 0.04)
        return u0 + (forward * fc - side * fs) * s, v0 - up * s - (forward * fs + side * fc) * s * tilt

    joints = {}
    top_f, top_u = 0.30 * h * math.sin(pose.lean), base + 0.30 * h * math.cos(pose.lean)
    joints["hip"], joints["neck"] = at(0, base, 0), at(top_f, top_u, 0)
    joints["head"] = at(top_f + 0.125 * h * math.sin(pose.lean * 0.7), top_u + 0.125 * h, 0)
    for tag, side, hip, knee, sh, el, ab in (
        ("l", 1, pose.hip_l, pose.knee_l, pose.shoulder_l, pose.elbow_l, pose.side_l),
        ("r", -1, pose.hip_r, pose.knee_r, pose.shoulder_r, pose.elbow_r, pose.side_r),
    ):
        w = 0.055 * h * side
        kf, ku = l1 * math.sin(hip), base - l1 * math.cos(hip)
        af, au = kf + l1 * math.sin(hip - knee), ku - l1 * math.cos(hip - knee)
        joints["hip_" + tag], joints["knee_" + tag], joints["foot_" + tag] = (
            at(0, base, w),
            at(kf, ku, w),
            at(af, max(au, 0.0), w),
        )
        joints["toe_" + tag] = at(af + 0.085 * h, max(au - 0.015 * h, 0.0), w)
        w = 0.105 * h * look.build * side
        a1 = 0.175 * h
        su = top_u - 0.03 * h
        ca, sa = math.cos(ab), math.sin(ab) * side
        arm = sh + pose.lean * 0.5
        ef, eu, es = top_f + a1 * math.sin(arm) * ca, su - a1 * math.cos(arm) * ca, w + a1 * sa
        hf, hu, hs = ef + a1 * math.sin(arm + el) * ca, eu - a1 * math.cos(arm + el) * ca, es + a1 * sa * 0.6
        joints["shoulder_" + tag], joints["elbow_" + tag], joints["hand_" + tag] = (
            at(top_f, su, w),
            at(ef, eu, es),
            at(hf, hu, hs),
        )
    return joints, s


def draw_person(
    image: np.ndarray,
    camera: Camera,
    look: Look,
    pose: Pose,
    x: float,
    z: float,
    heading: float,
    between=None,
    lift_m: float = 0.0,
) -> Body:
    """Draw one person; `between(body, layer)` draws what is carried, behind (0) or before (1) the torso."""
    j, s = skeleton(camera, look, pose, x, z, heading, lift_m)
    h = look.height
    fc, fs = math.cos(heading), math.sin(heading)
    xs, ys = [p[0] for p in j.values()], [p[1] for p in j.values()]
    radius = 0.072 * max(h, 1.3) * s
    m = 0.05 * h * s
    box = (min(xs) - m, min(min(ys) - m, j["head"][1] - radius), max(xs) + m, max(ys) + 0.02 * h * s)
    body = Body(
        box, j["hand_l"], j["hand_r"], j["elbow_l"], j["elbow_r"], j["neck"], j["hip"], (*j["head"], radius), s, fc, fs
    )
    if not lift_m:
        _shadow(image, camera, x, z, 0.3 * look.build if abs(pose.fall) < 0.5 else 0.7)
    leg, arm = max(2, round(0.088 * h * look.build * s)), max(1, round(0.062 * h * look.build * s))
    far, near = ("l", "r") if fc > 0 else ("r", "l")

    def draw_leg(tag, k):
        legs = _dim(look.legs, k)
        cv2.line(
            image, _p(j["foot_" + tag]), _p(j["toe_" + tag]), _dim(look.shoes, k), max(2, round(leg * 0.8)), AA, SHIFT
        )
        cv2.line(image, _p(j["hip_" + tag]), _p(j["knee_" + tag]), legs, leg + 1, AA, SHIFT)
        cv2.line(image, _p(j["knee_" + tag]), _p(j["foot_" + tag]), legs, leg, AA, SHIFT)

    def draw_arm(tag, k):
        top = _dim(look.top, k)
        cv2.line(image, _p(j["shoulder_" + tag]), _p(j["elbow_" + tag]), top, arm + 1, AA, SHIFT)
        cv2.line(image, _p(j["elbow_" + tag]), _p(j["hand_" + tag]), top, arm, AA, SHIFT)
        cv2.circle(image, _p(j["hand_" + tag]), int(max(1.2, 0.035 * h * s) * ONE), _dim(look.skin, k), -1, AA, SHIFT)

    facing_away, facing_us = fs > 0.8, fs < -0.8
    draw_arm(far, 0.72)
    if facing_away:
        draw_arm(near, 0.8)
    if between:
        between(body, 0)
    draw_leg(far, 0.72)
    draw_leg(near, 1.0)
    half = 0.07 * h * look.build * s  # a body seen from the side is not a plane
    quad = np.array([j["shoulder_l"], j["shoulder_r"], j["hip_r"], j["hip_l"]])
    wide = np.abs(quad[0] - quad[1]).max()
    thick = max(2, round(2 * half * (1.0 if wide < half else 0.75)))
    cv2.line(image, _p(j["hip"]), _p((j["neck"][0], j["neck"][1] + 0.04 * h * s)), look.top, thick + 1, AA, SHIFT)
    if wide >= half:
        cv2.polylines(image, [(quad * ONE).astype(np.int32)], True, look.top, max(1, round(half * 0.8)), AA, SHIFT)
        cv2.fillPoly(image, [(quad * ONE).astype(np.int32)], look.top, AA, SHIFT)
    if look.band:
        mid = ((j["hip"][0] + j["neck"][0]) / 2, (j["hip"][1] + j["neck"][1]) / 2)
        cv2.line(
            image,
            _p((mid[0] - half, mid[1])),
            _p((mid[0] + half, mid[1])),
            (200, 230, 235),
            max(1, round(0.035 * h * s)),
            AA,
            SHIFT,
        )
    if look.skirt and abs(pose.fall) < 0.3:
        hem = [
            (j["hip"][0] - half * 1.2, j["hip"][1]),
            (j["hip"][0] + half * 1.2, j["hip"][1]),
            (j["knee_l"][0] + half, j["knee_l"][1]),
            (j["knee_r"][0] - half, j["knee_r"][1]),
        ]
        cv2.fillConvexPoly(
            image, cv2.convexHull((np.array(hem) * ONE).astype(np.int32)), _dim(look.top, 0.8), AA, SHIFT
        )
    _head(image, look, j["head"], j["neck"], radius, fc, fs)
    if between:
        between(body, 1)
    if not facing_away:
        if facing_us:
            draw_arm(far, 0.95)
        draw_arm(near, 1.0)
    if between:
        between(body, 2)
    return body


def _head(image, look, head, neck, radius, fc, fs):
    cv2.line(image, _p(neck), _p(head), _dim(look.skin, 0.85), max(1, round(radius * 0.9)), AA, SHIFT)
    cv2.circle(image, _p(head), int(radius * ONE), look.skin if fs < 0.5 else look.hair, -1, AA, SHIFT)
    if fs < 0.5:  # hair on the far side of the face
        crown = (head[0] - fc * radius * 0.45, head[1] - radius * 0.42)
        cv2.circle(image, _p(crown), int(radius * 0.82 * ONE), look.hair, -1, AA, SHIFT)
        face = (head[0] + fc * radius * 0.35, head[1] + radius * 0.25)
        cv2.circle(image, _p(face), int(radius * 0.68 * ONE), look.skin, -1, AA, SHIFT)
    if look.cap:
        brim = (head[0] + fc * radius * 1.4, head[1] - radius * 0.35)
        cv2.line(
            image,
            _p((head[0] - fc * radius * 0.5, head[1] - radius * 0.45)),
            _p(brim),
            _dim(look.top, 0.7),
            max(1, round(radius * 0.5)),
            AA,
            SHIFT,
        )
        cv2.circle(
            image, _p((head[0], head[1] - radius * 0.45)), int(radius * 0.8 * ONE), _dim(look.top, 0.7), -1, AA, SHIFT
        )


def _shadow(image, camera, x, z, width):
    """Darken the ground under a body by the colour that is there."""
    u, v = camera.project(x, 0.0, z)
    row, column = int(v), int(u)
    if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
        colour = tuple(int(c) * 0.68 for c in image[row, column])
        s = FOCAL / z
        cv2.ellipse(
            image, _p((u, v)), (int(width * s * ONE), int(width * 0.4 * s * ONE)), 0, 0, 360, colour, -1, AA, SHIFT
        )


def draw_dog(
    image: np.ndarray, camera: Camera, colour, x: float, z: float, direction: int, phase: float
) -> tuple[float, float, float, float]:
    """Draw a dog seen from the side; returns its box in pixels. direction: -1 left, 1 right."""
    s = FOCAL / z
    u, v = camera.project(x, 0.0, z)
    d = direction * s
    _shadow(image, camera, x, z, 0.4)
    back = v - 0.46 * s
    for offset, lag in ((-0.3, 0.0), (0.3, math.pi), (-0.24, math.pi), (0.36, 0.0)):
        foot = (u + offset * d + 0.13 * math.sin(phase + lag) * s, v - 0.02 * s)
        cv2.line(
            image,
            _p((u + offset * d, back)),
            _p(foot),
            _dim(colour, 0.8 if lag else 1.0),
            max(2, round(0.07 * s)),
            AA,
            SHIFT,
        )
    cv2.line(
        image, _p((u - 0.3 * d, back)), _p((u + 0.34 * d, back - 0.03 * s)), colour, max(3, round(0.24 * s)), AA, SHIFT
    )
    cv2.line(
        image,
        _p((u - 0.36 * d, back - 0.05 * s)),
        _p((u - 0.6 * d, back - (0.25 + 0.05 * math.sin(phase)) * s)),
        colour,
        max(1, round(0.05 * s)),
        AA,
        SHIFT,
    )
    cv2.line(
        image,
        _p((u + 0.36 * d, back - 0.05 * s)),
        _p((u + 0.5 * d, back - 0.22 * s)),
        colour,
        max(2, round(0.13 * s)),
        AA,
        SHIFT,
    )
    cv2.circle(image, _p((u + 0.54 * d, back - 0.26 * s)), int(0.12 * s * ONE), colour, -1, AA, SHIFT)
    cv2.line(
        image,
        _p((u + 0.56 * d, back - 0.24 * s)),
        _p((u + 0.7 * d, back - 0.2 * s)),
        _dim(colour, 0.8),
        max(1, round(0.09 * s)),
        AA,
        SHIFT,
    )
    cv2.line(
        image,
        _p((u + 0.48 * d, back - 0.34 * s)),
        _p((u + 0.44 * d, back - 0.2 * s)),
        _dim(colour, 0.55),
        max(1, round(0.06 * s)),
        AA,
        SHIFT,
    )
    left, right = sorted((u - 0.62 * d, u + 0.74 * d))
    return left, back - 0.4 * s, right, v + 0.02 * s
