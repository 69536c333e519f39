"""Cars, trucks, buses and two-wheelers, seen from the side or, parked, from the front."""

from __future__ import annotations

import math

import cv2
import numpy as np

from demo_world.figures import AA, ONE, SHIFT
from demo_world.props import _box, _dim, _disc, _line, _poly

PAINTS = (
    (200, 200, 205),
    (60, 60, 65),
    (150, 60, 50),
    (40, 40, 150),
    (120, 120, 125),
    (90, 120, 60),
    (60, 140, 190),
    (180, 150, 120),
)
GLASS = (95, 80, 65)


def _wheel(image, x, y, r):
    _disc(image, (x, y), r, (22, 22, 24))
    _disc(image, (x, y), r * 0.55, (140, 140, 145))


def _ground_shadow(image, u, v, half, s):
    row, column = int(min(max(v, 0), image.shape[0] - 1)), int(min(max(u, 0), image.shape[1] - 1))
    colour = tuple(int(c) * 0.55 for c in image[row, column])
    cv2.ellipse(
        image, (int(u * ONE), int(v * ONE)), (int(half * ONE), int(0.3 * s * ONE)), 0, 0, 360, colour, -1, AA, SHIFT
    )


def car(image, u, v, s, colour, d, lights=False, police=False):
    """A car from the side; d is 1 when it faces right."""

    def p(x, y):
        return u + x * d * s, v - y * s

    _ground_shadow(image, u, v, 2.2 * s, s)
    _poly(
        image,
        [
            p(-2.15, 0.3),
            p(-2.1, 0.85),
            p(-1.5, 0.95),
            p(-1.0, 1.42),
            p(0.55, 1.42),
            p(1.15, 0.95),
            p(2.0, 0.82),
            p(2.15, 0.3),
        ],
        colour,
    )
    _poly(image, [p(-1.3, 0.95), p(-0.93, 1.34), p(-0.2, 1.34), p(-0.2, 0.95)], GLASS)
    _poly(image, [p(-0.08, 0.95), p(-0.08, 1.34), p(0.48, 1.34), p(0.95, 0.95)], GLASS)
    _line(image, p(-2.1, 0.42), p(2.1, 0.42), _dim(colour, 0.7), max(1, 0.08 * s))
    if police:
        _line(image, p(-1.9, 0.68), p(1.9, 0.68), (170, 60, 20), max(2, 0.18 * s))
        _line(image, p(-0.4, 1.48), p(0.0, 1.48), (220, 90, 30), max(2, 0.12 * s))
    for x in (-1.3, 1.3):
        _wheel(image, *p(x, 0.33), 0.34 * s)
    _disc(image, p(2.08, 0.65), max(1.0, 0.09 * s), (235, 250, 255) if lights else (190, 200, 205))
    _disc(image, p(-2.08, 0.7), max(1.0, 0.08 * s), (50, 40, 200))
    return _box([p(-2.17, -0.02), p(2.17, 1.44)])


def car_front(image, u, v, s, colour, d, lights=False, police=False):
    """A parked car from the front or, for d = -1, the back."""

    def p(x, y):
        return u + x * s, v - y * s

    _ground_shadow(image, u, v, 1.0 * s, s)
    for x in (-0.72, 0.72):
        _line(image, p(x, 0.05), p(x, 0.4), (22, 22, 24), max(2, 0.24 * s))
    _poly(image, [p(-0.9, 0.25), p(-0.92, 0.9), p(-0.62, 1.45), p(0.62, 1.45), p(0.92, 0.9), p(0.9, 0.25)], colour)
    _poly(image, [p(-0.74, 0.93), p(-0.55, 1.37), p(0.55, 1.37), p(0.74, 0.93)], GLASS)
    _poly(image, [p(-0.4, 0.4), p(-0.4, 0.62), p(0.4, 0.62), p(0.4, 0.4)], _dim(colour, 0.5))
    _line(image, p(-0.88, 0.33), p(0.88, 0.33), _dim(colour, 0.6), max(1, 0.1 * s))
    lamp = (50, 40, 200) if d < 0 else ((240, 250, 255) if lights else (200, 205, 210))
    for x in (-0.68, 0.68):
        _disc(image, p(x, 0.7), max(1.2, 0.12 * s), lamp)
    return _box([p(-0.93, -0.02), p(0.93, 1.46)])


def bus(image, u, v, s, colour, d, lights=False, police=False):
    def p(x, y):
        return u + x * d * s, v - y * s

    _ground_shadow(image, u, v, 4.4 * s, s)
    _poly(image, [p(-4.4, 0.35), p(-4.4, 2.9), p(4.3, 2.9), p(4.4, 0.35)], colour)
    for k in range(6):
        x = -4.1 + k * 1.35
        _poly(image, [p(x, 1.5), p(x, 2.5), p(x + 1.15, 2.5), p(x + 1.15, 1.5)], GLASS)
    _poly(image, [p(3.95, 1.2), p(3.95, 2.6), p(4.36, 2.6), p(4.4, 1.2)], _dim(GLASS, 0.8))
    _line(image, p(-4.35, 1.15), p(4.3, 1.15), _dim(colour, 0.6), max(1, 0.15 * s))
    for x in (-2.7, 2.9):
        _wheel(image, *p(x, 0.45), 0.46 * s)
    return _box([p(-4.42, -0.02), p(4.42, 2.92)])


def truck(image, u, v, s, colour, d, lights=False, police=False):
    def p(x, y):
        return u + x * d * s, v - y * s

    _ground_shadow(image, u, v, 3.2 * s, s)
    _poly(image, [p(-3.1, 0.5), p(-3.1, 2.75), p(1.3, 2.75), p(1.3, 0.5)], (205, 205, 200))
    _poly(image, [p(1.45, 0.45), p(1.45, 2.2), p(2.5, 2.2), p(3.0, 1.3), p(3.1, 0.45)], colour)
    _poly(image, [p(1.75, 1.35), p(1.75, 2.05), p(2.4, 2.05), p(2.78, 1.35)], GLASS)
    _line(image, p(-3.1, 0.55), p(3.0, 0.55), (50, 50, 52), max(2, 0.18 * s))
    for x in (-2.1, 2.2):
        _wheel(image, *p(x, 0.43), 0.44 * s)
    return _box([p(-3.12, -0.02), p(3.12, 2.77)])


def bicycle(image, u, v, s, colour, d, lights=False, police=False, phase=0.0):
    def p(x, y):
        return u + x * d * s, v - y * s

    r, t = 0.34, max(1, 0.045 * s)
    for x in (-0.52, 0.52):
        c = p(x, r)
        cv2.circle(
            image,
            (int(c[0] * ONE), int(c[1] * ONE)),
            int(r * s * ONE),
            (35, 35, 38),
            max(1, round(0.05 * s)),
            AA,
            SHIFT,
        )
        for k in (0, math.pi / 2):
            a = phase + k
            _line(
                image,
                (c[0] - math.cos(a) * r * s, c[1] - math.sin(a) * r * s),
                (c[0] + math.cos(a) * r * s, c[1] + math.sin(a) * r * s),
                (110, 110, 112),
                1,
            )
    for a, b in (
        ((-0.52, r), (-0.05, 0.32)),
        ((-0.05, 0.32), (-0.2, 0.85)),
        ((-0.52, r), (-0.18, 0.75)),
        ((-0.18, 0.75), (0.38, 0.78)),
        ((-0.05, 0.32), (0.38, 0.75)),
        ((0.52, r), (0.36, 0.95)),
    ):
        _line(image, p(*a), p(*b), colour, t)
    _line(image, p(0.28, 0.98), p(0.48, 0.98), (35, 35, 38), t + 1)
    _line(image, p(-0.32, 0.88), p(-0.1, 0.88), (30, 30, 32), t + 1)
    return _box([p(-0.87, 0), p(0.87, 1.0)])


def motorcycle(image, u, v, s, colour, d, lights=False, police=False, phase=0.0):
    def p(x, y):
        return u + x * d * s, v - y * s

    _ground_shadow(image, u, v, 0.9 * s, s)
    for x in (-0.68, 0.7):
        _disc(image, p(x, 0.33), 0.34 * s, (25, 25, 27))
        _disc(image, p(x, 0.33), 0.15 * s, (130, 130, 135))
    _poly(
        image,
        [p(-0.7, 0.42), p(-0.55, 0.72), p(0.05, 0.68), p(0.45, 0.85), p(0.6, 0.7), p(0.25, 0.3), p(-0.3, 0.28)],
        colour,
    )
    _line(image, p(-0.85, 0.82), p(-0.05, 0.78), (30, 30, 32), max(2, 0.14 * s))
    _line(image, p(0.7, 0.33), p(0.45, 1.0), (90, 90, 92), max(1, 0.07 * s))
    _line(image, p(0.32, 1.05), p(0.5, 1.0), (30, 30, 32), max(1, 0.08 * s))
    _line(image, p(-0.9, 0.32), p(-0.2, 0.3), (150, 150, 155), max(1, 0.08 * s))
    _disc(image, p(0.62, 0.85), max(1.0, 0.09 * s), (220, 240, 250))
    return _box([p(-1.03, -0.01), p(1.04, 1.08)])


# kind: (drawing, COCO name, half length in metres)
VEHICLES = {
    "car": (car, "car", 2.2), "car_front": (car_front, "car", 0.95), "bus": (bus, "bus", 4.5),
    "truck": (truck, "truck", 3.2), "bicycle": (bicycle, "bicycle", 0.9), "motorcycle": (motorcycle, "motorcycle", 1.1),
}  # fmt: skip


def paint(rng: np.random.Generator) -> tuple[int, int, int]:
    """A vehicle's colour, BGR."""
    base = PAINTS[rng.integers(len(PAINTS))]
    return tuple(int(np.clip(c + j, 0, 255)) for c, j in zip(base, rng.integers(-15, 16, 3), strict=True))
