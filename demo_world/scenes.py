"""Backgrounds: the six places, painted once for each camera, and the light they are seen in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from demo_world import HEIGHT, WIDTH
from demo_world.camera import FOCAL, OUTDOOR, Camera
from demo_world.props import COCO, STANDING
from demo_world.vehicles import VEHICLES, paint

Box = tuple[int, float, float, float, float]  # COCO class, x1, y1, x2, y2


@dataclass(frozen=True)
class Scene:
    """A painted place. boxes: of the COCO objects that never move; spots: (x, z) by name, for the scripts."""

    camera: Camera
    image: np.ndarray
    boxes: tuple[Box, ...]
    spots: dict[str, tuple[float, float]]


class _Brush:
    """Paints ground and wall polygons given in metres."""

    def __init__(self, camera: Camera, rng: np.random.Generator):
        self.camera, self.rng = camera, rng
        self.image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def ground(self, points, colour):
        """points: (x, z) in metres."""
        self._fill([self.camera.project(x, 0.0, max(z, 1.5)) for x, z in points], colour)

    def wall(self, x0, y0, x1, y1, colour, z=None):
        """An upright rectangle at depth z, the back wall's by default."""
        z = self.camera.back_z if z is None else z
        self._fill([self.camera.project(x, y, z) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], colour)

    def _fill(self, points, colour):
        cv2.fillPoly(
            self.image, [(np.array(points) * 16).astype(np.int32)], tuple(int(c) for c in colour), cv2.LINE_AA, 4
        )

    def colour(self, base, spread=14):
        return tuple(
            int(np.clip(b + j, 0, 255)) for b, j in zip(base, self.rng.integers(-spread, spread + 1, 3), strict=True)
        )

    def texture(self, rows: slice, sigma: float, cell: int = 3):
        """Grain that stays with the picture: rough ground, plaster, leaves."""
        part = self.image[rows]
        if not len(part):
            return
        fine = self.rng.normal(0, sigma, part.shape[:2])
        coarse = cv2.resize(
            self.rng.normal(0, sigma * 0.8, (part.shape[0] // (4 * cell) + 2, WIDTH // (4 * cell) + 2)),
            (WIDTH, part.shape[0]),
            interpolation=cv2.INTER_CUBIC,
        )
        part[:] = np.clip(part + (fine + coarse)[..., None], 0, 255).astype(np.uint8)


def _tiles(b: _Brush, size: float, colour):
    """A grid on the floor."""
    c = b.camera
    left, right = c.edge(c.back_z, -1), c.edge(c.back_z, 1)
    for x in np.arange(np.floor(left), right, size):
        p, q = c.project(x, 0, c.near_z * 0.9), c.project(x, 0, c.back_z)
        cv2.line(b.image, (int(p[0] * 16), int(p[1] * 16)), (int(q[0] * 16), int(q[1] * 16)), colour, 1, cv2.LINE_AA, 4)
    for z in np.arange(c.near_z * 0.9, c.back_z, size):
        row = c.project(0, 0, z)[1]
        cv2.line(b.image, (0, int(row * 16)), (WIDTH * 16, int(row * 16)), colour, 1, cv2.LINE_AA, 4)


def _base(b: _Brush, sky, wall, floor):
    row = int(b.camera.project(0, 0, b.camera.back_z)[1])
    b.image[:row] = wall
    top = int(max(b.camera.project(0, b.rng.uniform(4.5, 7.5), b.camera.back_z)[1], 0))
    if sky is not None:
        b.image[:top] = sky
    b.image[row:] = floor
    b.texture(slice(top, row), 4.0)
    b.texture(slice(row, HEIGHT), 6.0)
    return row


def _windows(b: _Brush, y0, y1, step, width, colour, skip: float):
    c = b.camera
    for x in np.arange(c.edge(c.back_z, -1) - 1, c.edge(c.back_z, 1) + 1, step):
        if abs(x + width / 2 - skip) > 1.3:
            b.wall(x, y0, x + width, y1, b.colour((175, 175, 178), 8))
            b.wall(x + 0.08, y0 + 0.08, x + width - 0.08, y1 - 0.08, b.colour(colour, 18))


def _door(b: _Brush, x, colour, width=1.1, height=2.15):
    b.wall(x - width / 2 - 0.1, 0, x + width / 2 + 0.1, height + 0.1, (190, 190, 192))
    b.wall(x - width / 2, 0, x + width / 2, height, colour)
    b.wall(x - width / 2 + 0.15, 1.2, x + width / 2 - 0.15, height - 0.15, (120, 105, 90))


def _street(b: _Brush, stand, spots):
    c = b.camera
    _base(b, (225, 205, 185), b.colour((110, 125, 150), 25), b.colour((150, 152, 155), 8))
    _windows(b, 0.9, 2.3, b.rng.uniform(2.4, 3.4), 1.4, (90, 80, 70), c.door_x)
    _windows(b, 3.4, 4.8, b.rng.uniform(2.4, 3.4), 1.1, (90, 80, 70), 99)
    _door(b, c.door_x, b.colour((60, 70, 100), 30))
    # the carriageway lies between the far pavement and the one where people walk
    far, near = c.back_z - 2.2, c.stage_z + 1.6
    far = max(far, near + 3.0)
    wide = c.edge(c.back_z, 1) + 3
    b.ground([(-wide, near), (wide, near), (wide, far), (-wide, far)], b.colour((88, 88, 92), 6))
    for z in (near, far):
        b.ground([(-wide, z), (wide, z), (wide, z + 0.18), (-wide, z + 0.18)], (185, 185, 188))
    mid = (near + far) / 2
    for x in np.arange(-wide, wide, 3.0):
        b.ground([(x, mid), (x + 1.4, mid), (x + 1.4, mid + 0.15), (x, mid + 0.15)], (215, 220, 222))
    spots["lane_near"], spots["lane_far"] = (0.0, (near + mid) / 2), (0.0, (far + mid) / 2)
    spots["kerb"] = (0.0, near - 0.3)
    if b.rng.random() < 0.7:
        stand("vehicle", "car", b.rng.uniform(-1, 1) * c.edge(far, 1), far - 0.5)
    stand("bin", None, c.edge(c.stage_z, int(b.rng.choice([-1, 1])), -0.6), c.stage_z + 1.0)


def _car_park(b: _Brush, stand, spots):
    c = b.camera
    _base(b, (222, 205, 190), b.colour((95, 120, 110), 25), b.colour((100, 100, 103), 8))
    for x in np.arange(c.edge(c.back_z, -1) - 1, c.edge(c.back_z, 1) + 1, 1.8):  # a fence
        b.wall(x, 0, x + 0.1, 2.2, (70, 75, 80))
    b.wall(-40, 2.0, 40, 2.12, (75, 80, 85))
    rear = c.back_z - 1.2
    bay0, width = b.rng.uniform(-1, 0), 2.7
    bays = np.arange(bay0 - 4 * width, bay0 + 5 * width, width)
    for x in bays:
        b.ground(
            [(x - 0.06, rear - 3.4), (x + 0.06, rear - 3.4), (x + 0.06, rear + 1), (x - 0.06, rear + 1)],
            (205, 210, 212),
        )
    spots["lane_near"] = spots["lane_far"] = (0.0, max(rear - 4.6, c.stage_z + 1.2))
    spots["kerb"] = (0.0, c.stage_z + 0.5)
    target = min(bays + width / 2, key=lambda x: abs(x - c.door_x))
    for x in bays + width / 2:
        if x == target or b.rng.random() < 0.25:
            stand("vehicle", "car_front", x, rear)
    spots["car"] = (float(target), rear - 0.9)


def _shop(b: _Brush, stand, spots):
    c = b.camera
    row = _base(b, None, b.colour((195, 205, 210), 12), b.colour((170, 180, 188), 10))
    _tiles(b, 1.0, (145, 152, 160))
    left, right = c.edge(c.back_z, -1), c.edge(c.back_z, 1)
    for x in np.arange(left - 0.5, right + 0.5, 2.2):  # shelves with goods
        b.wall(x, 0, x + 2.0, 2.1, (90, 100, 110))
        for y in (0.15, 0.75, 1.35):
            b.wall(x + 0.06, y, x + 1.94, y + 0.5, (60, 66, 74))
            for k in np.arange(x + 0.1, x + 1.85, 0.2):
                if b.rng.random() < 0.85:
                    tall = b.rng.uniform(0.2, 0.42)
                    b.wall(k, y, k + 0.16, y + tall, b.colour((110, 120, 130), 95))
    b.image[: max(row - int(3.2 * c.scale(c.back_z)), 0)] = (225, 228, 230)
    side = int(b.rng.choice([-1, 1]))
    if b.rng.random() < 0.3:
        stand("laptop", None, c.edge(c.back_z - 1.0, side, -1.0), c.back_z - 1.2)
    if b.rng.random() < 0.5:
        stand("plant", None, c.edge(c.back_z - 0.6, -side, -0.7), c.back_z - 0.6)


def _lobby(b: _Brush, stand, spots):
    c = b.camera
    _base(b, None, b.colour((175, 190, 205), 14), b.colour((120, 135, 150), 14))
    _tiles(b, 1.2, (100, 112, 126))
    for k in (-1, 1):  # lifts
        x = c.door_x + k * 1.0
        b.wall(x - 0.75, 0, x + 0.75, 2.3, (125, 128, 132))
        b.wall(x - 0.65, 0, x + 0.65, 2.2, (165, 168, 172))
        b.wall(x - 0.02, 0, x + 0.02, 2.2, (90, 92, 95))
    side = int(b.rng.choice([-1, 1]))
    stand("plant", None, c.edge(c.back_z - 0.5, side, -0.8), c.back_z - 0.5)
    stand(str(b.rng.choice(["bench", "chair"])), None, c.edge(c.back_z - 0.8, -side, -1.3), c.back_z - 0.8)
    if b.rng.random() < 0.3:
        stand("tv", None, c.door_x + side * 2.6, c.back_z - 0.3)


def _cash_machine(b: _Brush, stand, spots):
    c = b.camera
    _base(b, None, b.colour((130, 145, 160), 22), b.colour((140, 142, 146), 10))
    for x in np.arange(c.edge(c.back_z, -1) - 1, c.edge(c.back_z, 1) + 1, 1.1):
        b.wall(x, 0, x + 0.03, 6, (110, 118, 128))
    b.wall(c.door_x - 0.6, 0.4, c.door_x + 0.6, 2.3, (150, 90, 50))
    b.wall(c.door_x - 0.45, 1.15, c.door_x + 0.45, 1.8, (200, 160, 90))
    b.wall(c.door_x - 0.4, 0.95, c.door_x + 0.4, 1.1, (70, 70, 75))
    b.wall(c.door_x - 0.6, 2.3, c.door_x + 0.6, 2.7, (215, 210, 205))
    if b.rng.random() < 0.5:
        stand("plant", None, c.edge(c.back_z - 0.4, int(b.rng.choice([-1, 1])), -0.6), c.back_z - 0.4)
    stand("bin", None, c.door_x + float(b.rng.choice([-1, 1])) * 1.6, c.back_z - 0.3)


def _yard(b: _Brush, stand, spots):
    c = b.camera
    _base(b, (222, 200, 180), b.colour((120, 150, 175), 22), b.colour((85, 135, 105), 14))
    _windows(b, 0.9, 2.1, b.rng.uniform(2.8, 3.6), 1.2, (85, 75, 66), c.door_x)
    _door(b, c.door_x, b.colour((55, 85, 60), 30))
    b.ground(
        [(c.door_x - 0.8, c.back_z), (c.door_x + 0.8, c.back_z), (1.2, c.near_z * 0.8), (-1.2, c.near_z * 0.8)],
        b.colour((150, 155, 160), 8),
    )
    side = int(b.rng.choice([-1, 1]))
    stand("plant", None, c.door_x + side * 1.4, c.back_z - 0.3)
    stand("chair", None, c.edge(c.back_z - 1.4, -side, -1.4), c.back_z - 1.4)
    if b.rng.random() < 0.6:
        stand("bench", None, c.edge(c.back_z - 1.0, side, -1.5), c.back_z - 1.0)


_PAINTERS = {
    "street": _street,
    "car_park": _car_park,
    "shop": _shop,
    "lobby": _lobby,
    "cash_machine": _cash_machine,
    "yard": _yard,
}


@lru_cache(maxsize=8)
def make_scene(camera: Camera) -> Scene:
    """Paint a camera's place in plain daylight. Image: (240, 320, 3) uint8 BGR."""
    rng = np.random.default_rng([*camera.seed, 12])
    brush, things = _Brush(camera, rng), []
    spots = {"door": (camera.door_x, camera.back_z - 0.55)}

    def stand(kind, vehicle, x, z):
        things.append((z, kind, vehicle, float(x), paint(rng), int(rng.choice([-1, 1]))))

    _PAINTERS[camera.scene](brush, stand, spots)
    boxes: list[Box] = []
    for z, kind, vehicle, x, colour, direction in sorted(things, key=lambda t: -t[0]):
        u, v = camera.project(x, 0.0, z)
        if kind == "vehicle":
            draw, name, _ = VEHICLES[vehicle]
            box = draw(brush.image, u, v, camera.scale(z), colour, direction)
        else:
            draw, name = STANDING[kind]
            tone = {"plant": (60, 130, 70), "bench": (70, 105, 150)}.get(kind, colour)
            box = draw(brush.image, u, v, FOCAL / z, tone)
        if name:
            boxes.append((COCO[name], *box))
    return Scene(camera, brush.image, tuple(boxes), spots)


def light_map(camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """The light of one video: a gain for every pixel, with the sensor's noise and the hour.

    Returns ((240, 320, 3) uint8, 128 is a gain of one; noise's standard deviation in grey levels; hour of the day).
    Outdoors it may be day, dusk or night under lamps; indoors only the lamps differ.
    """
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    vignette = 1.05 - 0.28 * (((columns - WIDTH / 2) / WIDTH) ** 2 + ((rows - HEIGHT / 2) / HEIGHT) ** 2) * 2
    hour = rng.uniform(0, 24) if camera.scene in OUTDOOR else rng.uniform(7, 22)
    night = camera.scene in OUTDOOR and (hour < 6 or hour > 20)
    dusk = camera.scene in OUTDOOR and not night and (hour < 8 or hour > 18)
    gain = rng.uniform(0.5, 0.66) if night else rng.uniform(0.68, 0.85) if dusk else rng.uniform(0.85, 1.12)
    colour = np.array([1.0, 1.0, 1.0], np.float32) + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    if night:
        colour *= (0.86, 0.98, 1.08)
    elif dusk:
        colour *= (0.94, 0.98, 1.06)
    level = vignette * gain
    if night:
        for _ in range(rng.integers(1, 3)):
            cx, cy = rng.uniform(40, WIDTH - 40), rng.uniform(110, 210)
            level += 0.38 * np.exp(-(((columns - cx) / 95) ** 2 + ((rows - cy) / 60) ** 2))
    light = level[..., None] * colour * np.array(camera.tint, np.float32)
    sigma = rng.uniform(2.2, 3.6) if night else rng.uniform(1.2, 2.6)
    return np.clip(light * 128, 0, 255).astype(np.uint8), float(sigma), float(hour)
