"""What people do: gaits and acts, as functions of time that return the angles of a body.

The same act is a greeting or a fight by its rate: poses alone do not tell them apart.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Pose(NamedTuple):
    """Angles in radians; forward is positive. fall: 1 lies face down, -1 on the back."""

    hip_l: float = 0.05
    hip_r: float = -0.05
    knee_l: float = 0.05
    knee_r: float = 0.05
    shoulder_l: float = 0.0
    shoulder_r: float = 0.0
    elbow_l: float = 0.2
    elbow_r: float = 0.2
    side_l: float = 0.12
    side_r: float = 0.12
    lean: float = 0.0
    fall: float = 0.0


def gait(phase: float, speed: float) -> Pose:
    """Walking or running at a speed in metres a second; phase in radians, 2 pi a stride."""
    run = min(max((speed - 1.9) / 1.2, 0.0), 1.0)
    swing = min(0.24 + 0.17 * speed, 0.85)
    s, c = math.sin(phase), math.cos(phase)
    bend = 0.45 + 0.75 * run
    elbow = 0.35 + 1.15 * run
    return Pose(
        swing * s + 0.12 * run, -swing * s + 0.12 * run,
        0.1 + bend * max(0.0, c), 0.1 + bend * max(0.0, -c),
        -swing * 0.9 * s, swing * 0.9 * s, elbow, elbow, 0.1, 0.1, 0.03 + 0.2 * run, 0.0,
    )  # fmt: skip


def blend(a: Pose, b: Pose, share: float) -> Pose:
    """From pose a (share 0) to pose b (share 1)."""
    k = share * share * (3 - 2 * share)
    return Pose(*(x + (y - x) * k for x, y in zip(a, b, strict=True)))


def _idle(t, rate, size, seed):
    s = math.sin(1.3 * t + seed)
    return Pose(0.04 + 0.02 * s, -0.04, 0.05, 0.05, 0.05 * s, -0.04 * s, 0.2, 0.25, 0.12, 0.12, 0.02 * s)


def _exchange(t, rate, size, seed):
    """Both arms come forward in turn: a greeting when slow, blows when fast; the poses are the same."""
    a = 2 * math.pi * rate * t + seed
    left, right = max(0.0, math.sin(a)), max(0.0, -math.sin(a + 0.5))
    return Pose(
        0.25, -0.25, 0.15, 0.15,
        0.45 + 0.95 * size * left, 0.45 + 0.95 * size * right, 1.5 - 1.3 * left, 1.5 - 1.3 * right, 0.18, 0.18,
        0.06 + 0.16 * size * math.sin(a * 0.5) ** 2,
    )  # fmt: skip


def _guard(t, rate, size, seed):
    """Arms up before the face, giving way: surprise or a laugh when slow, flinching when fast."""
    a = 2 * math.pi * rate * t + seed
    s, c = math.sin(a), math.sin(a * 0.63)
    return Pose(
        0.2 + 0.2 * size * s,
        -0.25 + 0.15 * size * c,
        0.3,
        0.25,
        1.0 + 0.35 * size * c,
        1.0 + 0.35 * size * s,
        1.6,
        1.7 - 0.3 * s,
        0.15,
        0.15,
        -0.12 - 0.18 * size * s,
    )


def _hug(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(0.1, -0.05, 0.1, 0.1, 1.35 + 0.1 * s, 1.2 - 0.1 * s, 0.5, 0.6, -0.1, -0.1, 0.12 + 0.04 * s)


def _talk(t, rate, size, seed):
    a = 2 * math.pi * rate * t + seed
    return Pose(
        0.05,
        -0.06,
        0.06,
        0.06,
        0.3 + 0.25 * math.sin(a),
        0.35 + 0.4 * size * max(0.0, math.sin(a * 0.7)),
        1.1 + 0.3 * math.sin(a),
        1.2,
        0.15,
        0.2,
        0.04 * math.sin(a * 0.4),
    )


def _hands_up(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(0.03, -0.03, 0.1, 0.1, 2.5 + 0.1 * s, 2.5 - 0.1 * s, 0.5, 0.5, 0.3, 0.3, -0.05)


def _point(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(
        0.22, -0.2, 0.12, 0.12, 0.2, 1.35 + 0.14 * size * s, 0.7, 0.25 + 0.15 * size * s, 0.15, 0.08, 0.1 + 0.04 * s
    )


def _reach(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(0.1, -0.08, 0.1, 0.1, 0.25, 1.5 + 0.35 * size * s, 0.5, 0.5 - 0.3 * s, 0.12, 0.1, 0.12 + 0.05 * s)


def _look(t, rate, size, seed):
    s = math.sin(2 * math.pi * 0.25 * t + seed)
    return Pose(0.15, -0.1, 0.25, 0.2, 0.5, 0.4, 0.7, 0.8, 0.1, 0.1, 0.4 + 0.12 * s)


def _crouch(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(1.55, 1.0, 2.2, 1.9, 0.8 + 0.3 * size * s, 0.9 - 0.3 * size * s, 0.6, 0.6, 0.1, 0.1, 0.55 + 0.05 * s)


def _swing(t, rate, size, seed):
    """A stroke over the shoulder with both hands; lazy when slow, smashing when fast."""
    a = (rate * t + seed) % 1.0
    up = a / 0.6 if a < 0.6 else max(0.0, 1 - (a - 0.6) / 0.22)
    arm = 0.5 + 2.3 * size * up
    return Pose(0.3, -0.3, 0.2, 0.2, arm, arm, 0.7 - 0.3 * up, 0.7 - 0.3 * up, -0.05, -0.05, 0.35 - 0.45 * up)


def _kick(t, rate, size, seed):
    a = 2 * math.pi * rate * t + seed
    k = max(0.0, math.sin(a))
    return Pose(
        -0.1,
        -0.35 + 1.35 * size * k,
        0.1,
        0.9 - 0.8 * k,
        0.4 + 0.3 * math.sin(a),
        -0.3,
        0.8,
        0.9,
        0.35,
        0.35,
        -0.1 * k + 0.1,
    )


def _grab(t, rate, size, seed):
    a = 2 * math.pi * rate * t + seed
    s, c = math.sin(a), math.cos(a * 0.8)
    return Pose(
        0.35 + 0.12 * size * s,
        -0.3,
        0.35,
        0.25,
        1.1 + 0.3 * size * s,
        1.15 + 0.3 * size * c,
        0.5 + 0.35 * size * c,
        0.5,
        0.0,
        0.0,
        0.28 + 0.15 * size * c,
    )


def _cuffed(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(0.05, -0.05, 0.1, 0.1, -0.5, -0.5, 0.6, 0.6, -0.15, -0.15, 0.25 + 0.12 * size * s)


def _lie(t, rate, size, seed):
    s = math.sin(2 * math.pi * rate * t + seed)
    return Pose(0.15 + 0.08 * size * s, -0.1, 0.3, 0.1, 0.5 + 0.15 * size * s, -0.2, 0.5, 0.3, 0.5, 0.4, 0.1, -1.0)


def _sit(t, rate, size, seed):
    s = math.sin(0.9 * t + seed)
    return Pose(1.5, 1.45, 1.5, 1.45, 0.5 + 0.05 * s, 0.5, 0.7, 0.7, 0.08, 0.08, -0.05 + 0.03 * s)


def _play(t, rate, size, seed):
    a = 2 * math.pi * rate * t + seed
    return Pose(
        0.2 * math.sin(a),
        -0.2 * math.sin(a),
        0.3,
        0.3,
        1.2 + 0.9 * math.sin(a),
        1.2 - 0.9 * math.sin(a),
        0.4,
        0.4,
        0.5,
        0.5,
        0.06 * math.sin(a),
    )


ACTS = {
    "idle": _idle, "exchange": _exchange, "guard": _guard, "hug": _hug, "talk": _talk, "hands_up": _hands_up,
    "point": _point, "reach": _reach, "look": _look, "crouch": _crouch, "swing": _swing, "kick": _kick,
    "grab": _grab, "cuffed": _cuffed, "lie": _lie, "sit": _sit, "play": _play,
}  # fmt: skip
