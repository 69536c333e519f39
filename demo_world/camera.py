"""A camera over a flat ground: where a point of the world lands in the picture, and how large it is.

World coordinates in metres: x to the right, y up, z away from the camera. The camera looks along z; its
height and the row of the horizon fix the perspective, so people further up in the picture are smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demo_world import HEIGHT, WIDTH

FOCAL = 300.0
OUTDOOR = ("street", "car_park", "cash_machine", "yard")
SCENES = ("street", "car_park", "shop", "lobby", "cash_machine", "yard")


@dataclass(frozen=True)
class Camera:
    """One fixed camera. horizon: picture row; height: metres above the ground; centre: picture column of x = 0."""

    name: str
    scene: str
    seed: tuple[int, ...]
    horizon: float
    height: float
    centre: float
    near_z: float  # the bottom edge of the picture
    stage_z: float  # where things happen
    back_z: float  # the wall, fence or house front behind
    door_x: float  # the door, shelf, window or machine that people go to, on the wall behind
    shake: float = 0.0  # pixels
    tint: tuple[float, float, float] = field(default=(1.0, 1.0, 1.0))  # sensor's gain of blue, green, red

    def scale(self, z: float) -> float:
        """Pixels a metre at depth z."""
        return FOCAL / z

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Column and row of a point; metres -> pixels."""
        s = FOCAL / z
        return self.centre + x * s, self.horizon + (self.height - y) * s

    def depth(self, row: float) -> float:
        """Depth of the ground that is seen at a picture row below the horizon."""
        return FOCAL * self.height / (row - self.horizon)

    def edge(self, z: float, side: int, margin: float = 0.9) -> float:
        """x of a place just outside the picture, left (-1) or right (+1), at depth z."""
        column = -self.centre if side < 0 else WIDTH - self.centre
        return column * z / FOCAL + side * margin

    def clamp_x(self, x: float, z: float, margin: float = 0.7) -> float:
        """The nearest x that is inside the picture at depth z."""
        return float(np.clip(x, self.edge(z, -1, -margin), self.edge(z, 1, -margin)))


def make_camera(seed: tuple[int, ...], scene: str, name: str) -> Camera:
    """A camera of one of the six scenes; the same seed gives the same camera."""
    rng = np.random.default_rng([*seed, 11])
    if scene in ("street", "car_park", "yard"):
        horizon, height = rng.uniform(-45, -15), rng.uniform(4.0, 4.7)
        stage_row, back_row = (
            rng.uniform(196, 214),
            (rng.uniform(108, 124) if scene == "yard" else rng.uniform(84, 102)),
        )
    elif scene == "cash_machine":
        horizon, height = rng.uniform(-60, -35), rng.uniform(3.7, 4.2)
        stage_row, back_row = rng.uniform(198, 214), rng.uniform(118, 134)
    else:
        horizon, height = rng.uniform(-60, -35), rng.uniform(3.6, 4.2)
        stage_row, back_row = rng.uniform(198, 214), rng.uniform(96, 116)

    def depth(row: float) -> float:
        return FOCAL * height / (row - horizon)

    back_z = depth(back_row)
    centre = WIDTH / 2 + rng.uniform(-25, 25)
    return Camera(
        name=name,
        scene=scene,
        seed=tuple(seed),
        horizon=float(horizon),
        height=float(height),
        centre=float(centre),
        near_z=float(depth(HEIGHT)),
        stage_z=float(depth(stage_row)),
        back_z=float(back_z),
        door_x=float(rng.uniform(-0.22, 0.22) * WIDTH * back_z / FOCAL),
        shake=float(rng.choice([0.0, 0.0, 0.0, 0.35, 0.7])),
        tint=tuple(float(v) for v in rng.uniform(0.95, 1.05, 3)),
    )
