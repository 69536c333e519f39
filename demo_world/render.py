"""From a stage to pictures: everything drawn back to front, then light, lens, noise and the clock.

The pictures are the same on every run of the same code, before encoding. On request each comes with the
boxes of its COCO objects, and those of the people involved.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np

from demo_world import FPS, HEIGHT, WIDTH
from demo_world.figures import AA, ONE, SHIFT, draw_dog, draw_person
from demo_world.props import CARRIED, COCO, STANDING
from demo_world.scenes import Box, light_map
from demo_world.stage import Actor, Effect, Stage
from demo_world.vehicles import VEHICLES, bicycle

MARGIN = 24
TILES = 6
# poses of both arms that carrying asks for, unless the act needs the arms
_BOTH_HANDS = ("tv", "laptop", "parcel")


@lru_cache(maxsize=4)
def _noise_tiles(sigma: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sensor noise, its positive and negative part, larger than the picture so that offsets vary it."""
    rng = np.random.default_rng(5)
    tiles = []
    for _ in range(TILES):
        grey = rng.normal(0, sigma, (HEIGHT + MARGIN, WIDTH + MARGIN, 1))
        noise = grey + rng.normal(0, sigma * 0.4, (HEIGHT + MARGIN, WIDTH + MARGIN, 3))
        tiles.append((np.clip(noise, 0, 60).astype(np.uint8), np.clip(-noise, 0, 60).astype(np.uint8)))
    return tiles


class Renderer:
    """Draws the frames of one stage; holds its light and noise. seed: of this video."""

    def __init__(self, stage: Stage, seed: tuple[int, ...]):
        rng = np.random.default_rng([*seed, 21])
        self.stage, self.camera = stage, stage.camera
        self.light, sigma, hour = light_map(stage.camera, rng)
        self.tiles = _noise_tiles(round(sigma, 1))
        self.frames = max(1, round(stage.seconds * FPS))
        self.offsets = rng.integers(0, MARGIN, (self.frames, 2))
        self.picks = rng.integers(0, TILES, self.frames)
        self.shakes = rng.normal(0, 1, (self.frames, 2)) * stage.camera.shake
        day = datetime.datetime(2024, 1, 1) + datetime.timedelta(days=int(rng.integers(0, 360)), hours=hour)
        self.clock_start = day
        self.label = f"CAM {1 + stage.camera.seed[-1] % 16:02d}"

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in range(self.frames):
            yield self.draw(frame)[0]

    def draw(
        self, frame: int, with_boxes: bool = False
    ) -> tuple[np.ndarray, list[Box], dict[int, tuple[float, float, float, float]]]:
        """One frame: picture (240, 320, 3) uint8 BGR, boxes of COCO objects, boxes of involved people by their number.

        The objects' boxes are left empty unless with_boxes: only the detector's training needs them.
        """
        t = frame / FPS
        image = self.stage.scene.image.copy()
        seen = [Seen(box, image) for box in self.stage.scene.boxes] if with_boxes else []
        people: dict[int, tuple[float, float, float, float]] = {}
        for effect in self.stage.effects:
            if effect.kind == "glass" and effect.start <= t < effect.end:
                _glass(image, self.camera, effect)
        for _, what in self._order(t):
            found = self._draw_one(image, what, t, people)
            if with_boxes:
                seen += [Seen(box, image) for box in found]
        boxes = [box for thing in seen if (box := thing.box_if_visible(image))]
        gain = None
        for effect in self.stage.effects:
            if effect.start <= t < effect.end and effect.kind != "glass":
                gain = _EFFECTS[effect.kind](image, self.camera, effect, t) or gain
        image = cv2.multiply(image, self.light, scale=1 / 128)
        if gain:
            image = cv2.convertScaleAbs(image, alpha=gain[0], beta=gain[1])
        image = cv2.GaussianBlur(image, (3, 3), 0.55)
        if self.camera.shake:
            dx, dy = self.shakes[frame]
            image = cv2.warpAffine(
                image, np.float32([[1, 0, dx], [0, 1, dy]]), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE
            )
        plus, minus = self.tiles[self.picks[frame]]
        oy, ox = self.offsets[frame]
        cv2.add(image, plus[oy : oy + HEIGHT, ox : ox + WIDTH], image)
        cv2.subtract(image, minus[oy : oy + HEIGHT, ox : ox + WIDTH], image)
        stamp = (self.clock_start + datetime.timedelta(seconds=int(t))).strftime("%d-%m-%Y %H:%M:%S")
        for text, corner in ((stamp, (5, 12)), (self.label, (WIDTH - 54, HEIGHT - 6))):
            cv2.rectangle(
                image,
                (corner[0] - 3, corner[1] - 10),
                (corner[0] + round(6.0 * len(text)), corner[1] + 4),
                (16, 16, 16),
                -1,
            )
            cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230, 230, 230), 1, AA)
        return image, boxes, people

    def _order(self, t: float):
        """What is there at a time, the farthest first."""
        there = []
        for actor in self.stage.actors:
            state = actor.state(t)
            if state is not None:
                there.append((state[1], (actor, state)))
        for prop in self.stage.props:
            at = prop.at(t)
            if at is not None:
                there.append((at[1], (prop, at)))
        return sorted(there, key=lambda item: -item[0])

    def _draw_one(self, image, what, t, people) -> list[Box]:
        thing, state = what
        if not isinstance(thing, Actor):
            x, z = state
            u, v = self.camera.project(x, 0.0, z)
            if thing.kind in VEHICLES:
                draw, name, _ = VEHICLES[thing.kind]
                more = {"phase": x / 0.34} if thing.kind == "bicycle" else {}
                box = draw(
                    image, u, v, self.camera.scale(z), thing.colour, thing.direction, thing.lights, thing.police, **more
                )
            else:
                draw, name = STANDING[thing.kind]
                box = draw(image, u, v, self.camera.scale(z), thing.colour)
            return [(COCO[name], *box)] if name else []
        x, z, heading, pose = state
        column = self.camera.project(x, 0, z)[0]
        if not -90 < column < WIDTH + 90:
            return []
        if thing.dog:
            box = draw_dog(
                image,
                self.camera,
                thing.look.top,
                x,
                z,
                1 if math.cos(heading) >= 0 else -1,
                9.0 * t if _moving(thing, t) else 0.4,
            )
            return [(COCO["dog"], *box)]
        found: list[Box] = []
        lift = 0.0
        if thing.mount and thing.mount[2] <= t < thing.mount[3]:
            kind, colour = thing.mount[:2]
            u, v = self.camera.project(x, 0.0, z)
            direction = 1 if math.cos(heading) >= 0 else -1
            if kind == "bicycle":
                box = bicycle(image, u, v, self.camera.scale(z), colour, direction, phase=x / 0.34)
                spin = 6.0 * t
                pose = pose._replace(
                    hip_l=1.05 + 0.4 * math.sin(spin),
                    hip_r=1.05 - 0.4 * math.sin(spin),
                    knee_l=1.2 + 0.4 * math.sin(spin + 0.8),
                    knee_r=1.2 - 0.4 * math.sin(spin + 0.8),
                    shoulder_l=1.0,
                    shoulder_r=1.0,
                    elbow_l=0.2,
                    elbow_r=0.2,
                    lean=0.35,
                )
            else:
                box = VEHICLES[kind][0](image, u, v, self.camera.scale(z), colour, direction)
                pose = pose._replace(shoulder_l=1.0, shoulder_r=1.0, elbow_l=0.3, elbow_r=0.3, lean=0.2)
            found.append((COCO[kind], *box))
            lift = 0.3
        items = [i for i in thing.items if i.start <= t < i.end] if abs(pose.fall) < 0.4 else []
        pose = _carry(pose, items, thing, t)

        def between(body, layer):
            for item in items:
                draw, name, when = CARRIED[item.kind]
                if item.kind == "backpack" and body.away > 0.5:
                    when = 2
                if when != layer:
                    continue
                box = draw(image, body, item.colour)
                if name and not (item.kind == "backpack" and body.away < -0.5):
                    found.append((COCO[name], *box))

        body = draw_person(image, self.camera, thing.look, pose, x, z, heading, between, lift)
        if thing in self.stage.involved:
            people[self.stage.involved.index(thing)] = body.box
        return [(COCO["person"], *body.box), *found]


def _moving(actor: Actor, t: float) -> bool:
    return any(s.start <= t < s.end and s.act == "walk" for s in actor.segments)


def _carry(pose, items, actor, t):
    """Bend the arms to what is carried, where the act leaves them free."""
    for item in items:
        if item.kind in _BOTH_HANDS:
            pose = pose._replace(shoulder_l=0.45, shoulder_r=0.45, elbow_l=1.15, elbow_r=1.15, side_l=0.0, side_r=0.0)
        elif item.kind == "umbrella":
            pose = pose._replace(shoulder_r=0.6, elbow_r=1.9)
        elif item.kind == "phone" and pose.shoulder_r < 0.9:
            pose = pose._replace(shoulder_r=0.75, elbow_r=1.6)
        elif item.kind == "bat" and _moving(actor, t):
            pose = pose._replace(shoulder_r=0.35, elbow_r=1.7)
        elif item.kind in ("suitcase", "handbag"):
            pose = pose._replace(shoulder_l=min(pose.shoulder_l, 0.35) * 0.5, elbow_l=0.15)
    return pose


class Seen:
    """A box and the pixels in it once its object was drawn; what is drawn later may hide them."""

    def __init__(self, box: Box, image: np.ndarray):
        kind, x1, y1, x2, y2 = box
        a, b, c, d = max(x1, 0.0), max(y1, 0.0), min(x2, float(WIDTH)), min(y2, float(HEIGHT))
        self.box = (kind, a, b, c, d)
        self.share = max(c - a, 0.0) * max(d - b, 0.0) / (max(x2 - x1, 0.1) * max(y2 - y1, 0.1))
        self.part = (slice(int(b), max(int(math.ceil(d)), int(b))), slice(int(a), max(int(math.ceil(c)), int(a))))
        self.pixels = image[self.part].copy()

    def box_if_visible(self, image: np.ndarray) -> Box | None:
        """The box clipped to the picture; None where most of it is outside or was drawn over, or it is tiny."""
        _, a, b, c, d = self.box
        if self.share < 0.4 or c - a < 4 or d - b < 4:
            return None
        kept = np.all(image[self.part] == self.pixels, axis=2).mean()
        return self.box if kept >= 0.45 else None


# --- effects: (image, camera, effect, time) -> (gain, offset) of the whole picture, or None ---


def _glass(image, camera, effect: Effect):
    rng = np.random.default_rng(int(effect.seed * 1000))
    s = camera.scale(effect.z)
    for _ in range(14):
        u, v = camera.project(effect.x + rng.normal(0, 0.45 * effect.size), 0.0, effect.z - abs(rng.normal(0, 0.5)))
        points = np.array([(u, v)]) + rng.normal(0, 0.06 * s, (3, 2)) * (1.3, 0.6)
        cv2.fillConvexPoly(image, (points * ONE).astype(np.int32), (235, 230, 215), AA, SHIFT)


def _smoke(image, camera, effect: Effect, t: float):
    age = t - effect.start
    fade = min(age / 1.5, 1.0, max((effect.end - t) / 1.5, 0.0))
    u, v = camera.project(effect.x, 0.0, effect.z)
    s = camera.scale(effect.z)
    for k in range(9):
        life = (age * 0.28 + k / 9.0) % 1.0
        if life > age * 0.5:
            continue
        a = effect.seed + k * 2.4
        x, y = u + math.sin(a + age * 0.7) * 0.5 * s * (0.3 + life), v - (0.3 + 2.6 * life * effect.size) * s
        r = int((0.25 + 0.75 * life) * effect.size * s)
        x0, y0, x1, y1 = max(int(x) - r, 0), max(int(y) - r, 0), min(int(x) + r, WIDTH), min(int(y) + r, HEIGHT)
        if x1 - x0 < 3 or y1 - y0 < 3:
            continue
        patch = image[y0:y1, x0:x1]
        puff = patch.copy()
        cv2.circle(puff, (int(x) - x0, int(y) - y0), int(r * 0.9), (105, 105, 108), -1, AA)
        alpha = 0.55 * fade * (1 - life * 0.7)
        cv2.addWeighted(puff, alpha, patch, 1 - alpha, 0, patch)


def _fire(image, camera, effect: Effect, t: float):
    grow = min((t - effect.start) / 2.0, 1.0) * effect.size
    u, v = camera.project(effect.x, 0.0, effect.z)
    s = camera.scale(effect.z) * grow
    for layer, colour in ((1.0, (20, 90, 235)), (0.7, (40, 160, 250)), (0.4, (150, 235, 255))):
        points = [(u - 0.5 * s * layer, v)]
        for k in range(7):
            x = -0.42 + 0.14 * k
            tall = (0.5 + 0.75 * abs(math.sin(effect.seed + k * 1.9 + t * (7 + k))) - abs(x)) * layer
            points.append((u + x * s * layer, v - max(tall, 0.15) * s * (1.2 if k % 2 else 0.7)))
        points.append((u + 0.5 * s * layer, v))
        cv2.fillPoly(image, [(np.array(points) * ONE).astype(np.int32)], colour, AA, SHIFT)


def _flash(image, camera, effect: Effect, t: float):
    k = 1 - (t - effect.start) / (effect.end - effect.start)
    return 1 + 1.2 * k * effect.size, 60 * k * effect.size


def _flicker(image, camera, effect: Effect, t: float):
    k = math.sin(effect.seed + 9.0 * t) * math.sin(effect.seed * 1.7 + 3.7 * t)
    return 1 + 0.45 * max(k, 0.0) * effect.size, 18 * max(k, 0.0) * effect.size


def _muzzle(image, camera, effect: Effect, t: float):
    u, v = camera.project(effect.x, 1.35, effect.z)
    r = max(4.0, 0.14 * camera.scale(effect.z))
    cv2.circle(image, (int(u * ONE), int(v * ONE)), int(r * ONE), (150, 240, 255), -1, AA, SHIFT)


_EFFECTS = {"smoke": _smoke, "fire": _fire, "flash": _flash, "flicker": _flicker, "muzzle": _muzzle}
