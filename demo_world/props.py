"""Things: what people carry, what stands about, and what happens to a place (fire, smoke, broken glass).

Every drawing function returns the box of what it drew, (x1, y1, x2, y2) in pixels. Small things that a
detector has to find are drawn a little larger than life and never below about ten pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from demo_world.figures import AA, ONE, SHIFT, Body

# COCO's numbering, from 0
COCO = {
    "person": 0, "bicycle": 1, "car": 2, "motorcycle": 3, "bus": 5, "truck": 7, "bench": 13, "dog": 16, "backpack": 24,
    "umbrella": 25, "handbag": 26, "suitcase": 28, "sports ball": 32, "baseball bat": 34, "bottle": 39, "knife": 43,
    "chair": 56, "potted plant": 58, "tv": 62, "laptop": 63, "cell phone": 67,
}  # fmt: skip

BAG_COLOURS = ((40, 60, 150), (40, 90, 140), (30, 30, 30), (150, 60, 60), (170, 170, 180), (60, 130, 190))


def _i(points) -> np.ndarray:
    return (np.asarray(points, np.float64) * ONE).astype(np.int32)


def _poly(image, points, colour):
    cv2.fillPoly(image, [_i(points)], colour, AA, SHIFT)


def _line(image, a, b, colour, thickness):
    cv2.line(
        image,
        (int(a[0] * ONE), int(a[1] * ONE)),
        (int(b[0] * ONE), int(b[1] * ONE)),
        colour,
        max(1, round(thickness)),
        AA,
        SHIFT,
    )


def _disc(image, c, radius, colour):
    cv2.circle(image, (int(c[0] * ONE), int(c[1] * ONE)), int(radius * ONE), colour, -1, AA, SHIFT)


def _box(points, pad=1.0):
    a = np.asarray(points, np.float64)
    return (
        float(a[:, 0].min() - pad),
        float(a[:, 1].min() - pad),
        float(a[:, 0].max() + pad),
        float(a[:, 1].max() + pad),
    )


def _dim(colour, k):
    return tuple(min(255.0, c * k) for c in colour)


def _along(body: Body):
    """Direction of the right forearm, a unit vector in pixels."""
    dx, dy = body.hand_r[0] - body.elbow_r[0], body.hand_r[1] - body.elbow_r[1]
    n = math.hypot(dx, dy)
    return (dx / n, dy / n) if n > 1.5 else (body.facing * 0.7 or 0.5, -0.7)


def _turn(d, angle):
    c, s = math.cos(angle), math.sin(angle)
    return d[0] * c - d[1] * s, d[0] * s + d[1] * c


# --- carried: (image, body, colour) -> box ---


def knife(image, body, colour):
    d = _turn(_along(body), -0.35 if body.facing > 0 else 0.35)
    n, s = max(14.0, 0.46 * body.scale), body.scale
    x, y = body.hand_r
    tip, mid = (x + d[0] * n, y + d[1] * n), (x + d[0] * n * 0.22, y + d[1] * n * 0.22)
    w = max(2.0, 0.055 * s)
    normal = (-d[1] * w, d[0] * w)
    _poly(
        image,
        [(mid[0] + normal[0], mid[1] + normal[1]), tip, (mid[0] - normal[0], mid[1] - normal[1])],
        (235, 232, 225),
    )
    _line(image, (x - d[0] * n * 0.1, y - d[1] * n * 0.1), mid, (25, 25, 30), max(2, 0.05 * s))
    return _box([tip, (x - d[0] * n * 0.1, y - d[1] * n * 0.1)], 1 + w)


def baseball_bat(image, body, colour):
    d = _turn(_along(body), -0.9 if body.facing > 0 else 0.9)
    n, s = 0.9 * body.scale, body.scale
    x, y = body.hand_r
    tip, end = (x + d[0] * n, y + d[1] * n), (x - d[0] * n * 0.12, y - d[1] * n * 0.12)
    w0, w1 = max(0.8, 0.02 * s), max(1.6, 0.055 * s)
    p = (-d[1], d[0])
    _poly(
        image,
        [
            (end[0] + p[0] * w0, end[1] + p[1] * w0),
            (tip[0] + p[0] * w1, tip[1] + p[1] * w1),
            (tip[0] - p[0] * w1, tip[1] - p[1] * w1),
            (end[0] - p[0] * w0, end[1] - p[1] * w0),
        ],
        (95, 150, 200),
    )
    _disc(image, tip, w1, (95, 150, 200))
    return _box([tip, end], 1 + w1)


def gun(image, body, colour):
    d = _along(body)
    x, y = body.hand_r
    n = max(4.0, 0.2 * body.scale)
    _line(image, (x, y), (x + d[0] * n, y + d[1] * n), (20, 20, 22), max(2, 0.06 * body.scale))
    return _box([(x, y), (x + d[0] * n, y + d[1] * n)])


def handbag(image, body, colour):
    s = body.scale
    x, y = body.hand_l
    w, h = max(5.0, 0.19 * s), max(8.0, 0.28 * s)
    top = y + 0.14 * s
    cv2.ellipse(
        image,
        (int(x * ONE), int(top * ONE)),
        (int(w * 0.6 * ONE), int(0.17 * s * ONE)),
        0,
        180,
        360,
        _dim(colour, 0.7),
        max(1, round(0.03 * s)),
        AA,
        SHIFT,
    )
    _poly(image, [(x - w * 0.75, top), (x + w * 0.75, top), (x + w, top + h), (x - w, top + h)], colour)
    _line(image, (x - w * 0.8, top + h * 0.35), (x + w * 0.8, top + h * 0.35), _dim(colour, 0.55), max(1, 0.03 * s))
    _disc(image, (x, top + h * 0.36), max(0.8, 0.025 * s), (120, 210, 235))
    return x - w, top - 0.16 * s, x + w, top + h


def backpack(image, body, colour):
    s = body.scale
    (nx, ny), (hx, hy) = body.neck, body.hip
    ux, uy = hx - nx, hy - ny
    back = -body.facing * 0.2 * s
    a, b = (nx + ux * 0.12 + back, ny + uy * 0.12), (nx + ux * 0.85 + back, ny + uy * 0.85)
    t = max(4.0, 0.3 * s)
    _line(image, a, b, colour, t)
    m = (a[0] * 0.35 + b[0] * 0.65, a[1] * 0.35 + b[1] * 0.65)
    _line(image, m, b, _dim(colour, 0.7), t * 0.65)
    return _box([a, b], t * 0.5)


def umbrella(image, body, colour):
    s = body.scale
    x, y = body.hand_r
    top = (x + 0.05 * s * body.facing, y - 0.95 * s)
    _line(image, (x, y), top, (40, 40, 45), max(1, 0.03 * s))
    w, h = 0.62 * s, 0.36 * s
    arc = [(top[0] + w * math.cos(a), top[1] + h * 0.75 - h * math.sin(a)) for a in np.linspace(0, math.pi, 13)]
    rim = [(top[0] - w + w * 2 * k / 8, top[1] + h * 0.75 - (0.0 if k % 2 == 0 else 0.06 * s)) for k in range(9)]
    _poly(image, arc + rim, colour)
    for k in (0.3, 0.5, 0.7):
        _line(image, top, (top[0] - w + 2 * w * k, top[1] + h * 0.7), _dim(colour, 0.75), 1)
    return _box(arc + [(x, y)])


def suitcase(image, body, colour):
    s = body.scale
    x, y = body.hand_l
    ground = body.box[3]
    w, h = 0.22 * s, 0.62 * s
    x -= body.facing * 0.2 * s
    _line(image, body.hand_l, (x, ground - h), (60, 60, 65), max(1, 0.03 * s))
    _poly(
        image,
        [(x - w, ground - h), (x + w, ground - h), (x + w, ground - 0.05 * s), (x - w, ground - 0.05 * s)],
        colour,
    )
    for k in (0.3, 0.7):
        _line(
            image,
            (x - w + 2 * w * k, ground - h * 0.95),
            (x - w + 2 * w * k, ground - 0.1 * s),
            _dim(colour, 0.7),
            max(1, 0.03 * s),
        )
    for k in (-0.7, 0.7):
        _disc(image, (x + w * k, ground - 0.03 * s), max(1.0, 0.045 * s), (25, 25, 25))
    return x - w, min(y, ground - h), x + w, ground


def bottle(image, body, colour):
    return _bottle_at(image, body.hand_r[0], body.hand_r[1] + 0.1 * body.scale, body.scale)


def _bottle_at(image, x, base, s, colour=(70, 150, 40)):
    h, w = max(13.0, 0.38 * s), max(2.6, 0.075 * s)
    _poly(
        image,
        [
            (x - w, base),
            (x - w, base - h * 0.58),
            (x - w * 0.4, base - h * 0.75),
            (x - w * 0.4, base - h),
            (x + w * 0.4, base - h),
            (x + w * 0.4, base - h * 0.75),
            (x + w, base - h * 0.58),
            (x + w, base),
        ],
        colour,
    )
    _poly(
        image,
        [(x - w, base - h * 0.2), (x - w, base - h * 0.45), (x + w, base - h * 0.45), (x + w, base - h * 0.2)],
        (215, 225, 230),
    )
    return x - w - 1, base - h - 0.5, x + w + 1, base + 0.5


def cell_phone(image, body, colour):
    x, y = body.hand_r
    d = _along(body)
    h, w = max(5.5, 0.13 * body.scale), max(3.0, 0.07 * body.scale)
    x, y = x + d[0] * h * 0.6, y + d[1] * h * 0.6
    _poly(image, [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)], (20, 20, 22))
    _poly(
        image,
        [
            (x - w * 0.65, y - h * 0.75),
            (x + w * 0.65, y - h * 0.75),
            (x + w * 0.65, y + h * 0.6),
            (x - w * 0.65, y + h * 0.6),
        ],
        (250, 220, 170),
    )
    return x - w - 0.5, y - h - 0.5, x + w + 0.5, y + h + 0.5


def sports_ball(image, body, colour):
    return _ball_at(image, body.hand_r[0], body.hand_r[1], body.scale)


def _ball_at(image, x, y, s, turn=0.0):
    r = max(5.0, 0.14 * s)
    _disc(image, (x, y), r, (60, 130, 235))
    cv2.ellipse(
        image,
        (int(x * ONE), int(y * ONE)),
        (int(r * ONE), int(r * 0.45 * ONE)),
        math.degrees(turn),
        0,
        360,
        (25, 50, 90),
        1,
        AA,
        SHIFT,
    )
    _line(image, (x, y - r), (x, y + r), (25, 50, 90), 1)
    return x - r - 0.5, y - r - 0.5, x + r + 0.5, y + r + 0.5


def laptop(image, body, colour):
    x, y = (body.hand_r[0] + body.hand_l[0]) / 2, (body.hand_r[1] + body.hand_l[1]) / 2
    return _laptop_at(image, x, y, body.scale, 1 if body.facing >= 0 else -1)


def _laptop_at(image, x, base, s, direction=1):
    w, h = max(7.0, 0.24 * s), max(8.0, 0.27 * s)
    k = 0.22 * w * direction
    _poly(image, [(x - w, base), (x + w, base), (x + w + k, base - h), (x - w + k, base - h)], (60, 60, 64))
    _poly(
        image,
        [
            (x - w * 0.85 + k * 0.15, base - h * 0.12),
            (x + w * 0.85 + k * 0.15, base - h * 0.12),
            (x + w * 0.85 + k * 0.9, base - h * 0.9),
            (x - w * 0.85 + k * 0.9, base - h * 0.9),
        ],
        (235, 190, 130),
    )
    _poly(
        image,
        [(x - w, base), (x + w, base), (x + w - k * 1.2, base + h * 0.28), (x - w - k * 1.2, base + h * 0.28)],
        (165, 165, 170),
    )
    return x - w - abs(k) * 1.2, base - h, x + w + abs(k) * 1.2, base + h * 0.28


def tv(image, body, colour):
    x, y = (body.hand_r[0] + body.hand_l[0]) / 2, (body.hand_r[1] + body.hand_l[1]) / 2
    return _tv_at(image, x, y + 0.12 * body.scale, body.scale, 0.46, 0.58, lit=False)


def _tv_at(image, x, base, s, w, h, lit=True):
    w, h = w * s, h * s
    _poly(image, [(x - w, base), (x + w, base), (x + w, base - h), (x - w, base - h)], (22, 22, 24))
    inner = [
        (x - w * 0.92, base - h * 0.08),
        (x + w * 0.92, base - h * 0.08),
        (x + w * 0.92, base - h * 0.92),
        (x - w * 0.92, base - h * 0.92),
    ]
    _poly(image, inner, (190, 130, 70) if lit else (58, 52, 48))
    _poly(image, [inner[3], inner[2], (x - w * 0.2, base - h * 0.3)], (215, 165, 110) if lit else (84, 78, 74))
    return x - w, base - h, x + w, base


def parcel(image, body, colour):
    """A cardboard box; COCO has no class for it."""
    s = body.scale
    x, y = (body.hand_r[0] + body.hand_l[0]) / 2, (body.hand_r[1] + body.hand_l[1]) / 2 + 0.1 * s
    w, h = 0.24 * s, 0.34 * s
    _poly(image, [(x - w, y), (x + w, y), (x + w, y - h), (x - w, y - h)], (95, 140, 180))
    _line(image, (x, y), (x, y - h), (140, 180, 205), max(1, 0.05 * s))
    return x - w, y - h, x + w, y


# item: (drawing, COCO name or "", when drawn: 0 behind the torso, 1 before it, 2 last)
CARRIED = {
    "knife": (knife, "knife", 2), "bat": (baseball_bat, "baseball bat", 2), "gun": (gun, "", 2),
    "handbag": (handbag, "handbag", 2),
    "backpack": (backpack, "backpack", 0), "umbrella": (umbrella, "umbrella", 2), "suitcase": (suitcase, "suitcase", 2),
    "bottle": (bottle, "bottle", 2), "phone": (cell_phone, "cell phone", 2), "ball": (sports_ball, "sports ball", 2),
    "laptop": (laptop, "laptop", 2), "tv": (tv, "tv", 2), "parcel": (parcel, "", 2),
}  # fmt: skip


# --- standing: (image, u, v, scale, colour) -> box; (u, v) is where it touches the ground ---


def chair(image, u, v, s, colour):
    for k in (-0.2, 0.2):
        _line(image, (u + k * s, v), (u + k * s, v - 0.48 * s), _dim(colour, 0.6), max(1, 0.05 * s))
        _line(
            image,
            (u + (k + 0.07) * s, v - 0.1 * s),
            (u + (k + 0.07) * s, v - 0.5 * s),
            _dim(colour, 0.5),
            max(1, 0.04 * s),
        )
    _poly(
        image,
        [
            (u - 0.24 * s, v - 0.44 * s),
            (u + 0.24 * s, v - 0.44 * s),
            (u + 0.3 * s, v - 0.54 * s),
            (u - 0.18 * s, v - 0.54 * s),
        ],
        colour,
    )
    _poly(
        image,
        [
            (u - 0.19 * s, v - 0.58 * s),
            (u + 0.29 * s, v - 0.58 * s),
            (u + 0.29 * s, v - 0.98 * s),
            (u - 0.19 * s, v - 0.98 * s),
        ],
        _dim(colour, 0.85),
    )
    return u - 0.25 * s, v - 0.99 * s, u + 0.32 * s, v


def bench(image, u, v, s, colour):
    for k in (-0.7, 0.7):
        _line(image, (u + k * s, v), (u + k * s, v - 0.85 * s), (45, 45, 48), max(1, 0.07 * s))
    for y, t in ((0.42, 0.1), (0.6, 0.08), (0.76, 0.08)):
        _line(image, (u - 0.85 * s, v - y * s), (u + 0.85 * s, v - y * s), colour, max(2, t * s))
    return u - 0.9 * s, v - 0.86 * s, u + 0.9 * s, v


def potted_plant(image, u, v, s, colour):
    _poly(
        image,
        [(u - 0.17 * s, v), (u + 0.17 * s, v), (u + 0.24 * s, v - 0.36 * s), (u - 0.24 * s, v - 0.36 * s)],
        (60, 90, 165),
    )
    for a, n in ((-1.0, 0.62), (-0.55, 0.8), (-0.15, 0.95), (0.25, 0.9), (0.6, 0.75), (1.0, 0.6)):
        tip = (u + math.sin(a) * n * s * 0.75, v - 0.36 * s - math.cos(a) * n * s * 0.8)
        _line(image, (u, v - 0.34 * s), tip, _dim(colour, 0.85), max(2, 0.07 * s))
        cv2.ellipse(
            image,
            (int(tip[0] * ONE), int(tip[1] * ONE)),
            (int(0.15 * s * ONE), int(0.08 * s * ONE)),
            math.degrees(a) - 70,
            0,
            360,
            colour,
            -1,
            AA,
            SHIFT,
        )
    return u - 0.6 * s, v - 1.15 * s, u + 0.6 * s, v


def standing_tv(image, u, v, s, colour):
    _line(image, (u, v), (u, v - 0.9 * s), (40, 40, 42), max(2, 0.09 * s))
    return _tv_at(image, u, v - 0.75 * s, s, 0.5, 0.62)


def laptop_table(image, u, v, s, colour):
    for k in (-0.5, 0.5):
        _line(image, (u + k * s, v), (u + k * s, v - 0.72 * s), (50, 60, 75), max(1, 0.06 * s))
    _line(image, (u - 0.62 * s, v - 0.74 * s), (u + 0.62 * s, v - 0.74 * s), (85, 115, 150), max(2, 0.09 * s))
    return _laptop_at(image, u, v - 0.82 * s, s)


def standing_bottle(image, u, v, s, colour):
    return _bottle_at(image, u, v, s)


def standing_suitcase(image, u, v, s, colour):
    _line(image, (u, v - 0.6 * s), (u, v - 0.85 * s), (60, 60, 65), max(1, 0.05 * s))
    w = 0.24 * s
    _poly(image, [(u - w, v), (u + w, v), (u + w, v - 0.64 * s), (u - w, v - 0.64 * s)], colour)
    _line(image, (u - w * 0.4, v - 0.6 * s), (u - w * 0.4, v - 0.05 * s), _dim(colour, 0.7), max(1, 0.03 * s))
    _line(image, (u + w * 0.4, v - 0.6 * s), (u + w * 0.4, v - 0.05 * s), _dim(colour, 0.7), max(1, 0.03 * s))
    return u - w, v - 0.86 * s, u + w, v


def standing_backpack(image, u, v, s, colour):
    _line(image, (u, v - 0.15 * s), (u, v - 0.36 * s), colour, max(4, 0.32 * s))
    _line(image, (u, v - 0.12 * s), (u, v - 0.2 * s), _dim(colour, 0.7), max(3, 0.22 * s))
    return u - 0.17 * s, v - 0.54 * s, u + 0.17 * s, v + 0.02 * s


def loose_ball(image, u, v, s, colour):
    return _ball_at(image, u, v - max(5.0, 0.14 * s), s, u * 0.05)


def litter_bin(image, u, v, s, colour):
    _poly(
        image,
        [(u - 0.25 * s, v), (u + 0.25 * s, v), (u + 0.3 * s, v - 0.85 * s), (u - 0.3 * s, v - 0.85 * s)],
        (70, 85, 60),
    )
    _line(image, (u - 0.32 * s, v - 0.86 * s), (u + 0.32 * s, v - 0.86 * s), (45, 55, 40), max(2, 0.1 * s))
    return u - 0.33 * s, v - 0.9 * s, u + 0.33 * s, v


STANDING = {
    "chair": (chair, "chair"), "bench": (bench, "bench"), "plant": (potted_plant, "potted plant"),
    "tv": (standing_tv, "tv"), "laptop": (laptop_table, "laptop"), "bottle": (standing_bottle, "bottle"),
    "suitcase": (standing_suitcase, "suitcase"), "backpack": (standing_backpack, "backpack"),
    "ball": (loose_ball, "sports ball"), "bin": (litter_bin, ""),
}  # fmt: skip
