"""The stage: who is where and does what at each time, written as plans and read frame by frame.

A plan is a list of segments, so the state at any time can be asked for by itself: a video is drawn in
order, a training picture for the detector at one random time.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field

import numpy as np

from demo_world.camera import Camera
from demo_world.figures import Look, make_look
from demo_world.poses import ACTS, Pose, blend, gait
from demo_world.props import BAG_COLOURS
from demo_world.scenes import Scene
from demo_world.vehicles import paint

FOREVER = 1e9
EASE_SECONDS = 0.22


@dataclass(frozen=True)
class Segment:
    start: float
    end: float
    x0: float
    z0: float
    x1: float
    z1: float
    heading: float
    act: str  # "walk" or one of ACTS
    rate: float
    size: float
    phase: float
    sway: float = 0.0  # metres of restless stepping


@dataclass(frozen=True)
class Item:
    kind: str
    colour: tuple[int, int, int]
    start: float
    end: float


class Actor:
    """A person's (or dog's) plan, written from left to right in time."""

    def __init__(self, look: Look, x: float, z: float, t: float, rng: np.random.Generator, dog: bool = False):
        self.look, self.x, self.z, self.t, self.dog = look, x, z, t, dog
        self.heading, self.phase = 0.0, float(rng.uniform(0, 6))
        self.segments: list[Segment] = []
        self.starts: list[float] = []
        self.items: list[Item] = []
        self.rng = rng
        self.vanish = FOREVER
        self.mount: tuple[str, tuple[int, int, int], float, float] | None = None  # ridden: kind, colour, from, to

    def _add(self, end, x, z, heading, act, rate=0.5, size=1.0, phase=0.0, sway=0.0):
        if end <= self.t:
            return self
        self.segments.append(Segment(self.t, end, self.x, self.z, x, z, heading, act, rate, size, phase, sway))
        self.starts.append(self.t)
        self.t, self.x, self.z, self.heading = end, x, z, heading
        return self

    def walk(self, x: float, z: float, speed: float = 1.3, until: float | None = None) -> Actor:
        """Go to (x, z) at a speed in metres a second, or so as to be there at a time."""
        distance = math.hypot(x - self.x, z - self.z)
        if distance < 0.05:
            return self
        end = until if until is not None else self.t + distance / speed
        if end <= self.t + 0.05:
            end = self.t + distance / speed
        heading = math.atan2(z - self.z, x - self.x)
        phase = self.phase
        self._add(end, x, z, heading, "walk", phase=phase, rate=distance / (end - self.t))
        self.phase = phase + 2 * math.pi * distance / self._stride(
            distance / (self.segments[-1].end - self.segments[-1].start)
        )
        return self

    def _stride(self, speed: float) -> float:
        return (0.75 + 0.42 * speed) * self.look.height / 1.73

    def act(
        self,
        act: str,
        until: float,
        facing: tuple[float, float] | None = None,
        rate: float = 0.5,
        size: float = 1.0,
        sway: float = 0.0,
        phase: float | None = None,
    ) -> Actor:
        """Do something on the spot until a time, turned to a place."""
        heading = self.heading
        if facing is not None and math.hypot(facing[0] - self.x, facing[1] - self.z) > 0.02:
            heading = math.atan2(facing[1] - self.z, facing[0] - self.x)
        elif act == "idle" and facing is None:
            heading = self.heading
        phase = float(self.rng.uniform(0, 6)) if phase is None else phase
        return self._add(until, self.x, self.z, heading, act, rate, size, phase, sway)

    def slide(
        self,
        act: str,
        until: float,
        x: float,
        z: float,
        heading: float | None = None,
        rate: float = 1.0,
        size: float = 1.0,
    ) -> Actor:
        """Move while doing something else than walking: staggering, being pulled."""
        return self._add(
            until, x, z, self.heading if heading is None else heading, act, rate, size, float(self.rng.uniform(0, 6))
        )

    def gone(self, t: float | None = None) -> Actor:
        self.vanish = self.t if t is None else t
        return self

    def hold(self, kind: str, start: float = -FOREVER, end: float = FOREVER, colour=None) -> Actor:
        self.items.append(Item(kind, colour or BAG_COLOURS[self.rng.integers(len(BAG_COLOURS))], start, end))
        return self

    def state(self, t: float) -> tuple[float, float, float, Pose] | None:
        """(x, z, heading, pose) at a time, or None where the actor is not there."""
        if not self.segments or t < self.starts[0] or t >= self.vanish:
            return None
        index = bisect.bisect_right(self.starts, t) - 1
        segment = self.segments[index]
        x, z, pose = self._at(segment, min(t, segment.end) if segment.act == "walk" else t)
        since = t - segment.start
        if since < EASE_SECONDS and index:
            before = self.segments[index - 1]
            _, _, old = self._at(before, before.end)
            pose = blend(old, pose, since / EASE_SECONDS)
        return x, z, segment.heading, pose

    def _at(self, segment: Segment, t: float) -> tuple[float, float, Pose]:
        k = min(max((t - segment.start) / (segment.end - segment.start), 0.0), 1.0)
        x, z = segment.x0 + (segment.x1 - segment.x0) * k, segment.z0 + (segment.z1 - segment.z0) * k
        if segment.act == "walk":
            speed = segment.rate
            travelled = speed * (t - segment.start)
            return x, z, gait(segment.phase + 2 * math.pi * travelled / self._stride(speed), speed)
        if segment.sway:
            a = 2 * math.pi * segment.rate * t + segment.phase
            sway = segment.sway * min(
                max(min(t - segment.start, segment.end - t), 0.0) / 0.3, 1.0
            )  # from rest and back to it
            x += sway * math.sin(a * 0.55)
            z += 0.6 * sway * math.sin(a * 0.41 + 1.0)
        return x, z, ACTS[segment.act](t - segment.start, segment.rate, segment.size, segment.phase)


@dataclass
class Prop:
    """A vehicle or a standing thing, on a path of (time, x, z) that is straight between its points."""

    kind: str
    path: list[tuple[float, float, float]]
    colour: tuple[int, int, int]
    start: float = -FOREVER
    end: float = FOREVER
    direction: int = 1
    lights: bool = False
    police: bool = False

    def at(self, t: float) -> tuple[float, float] | None:
        if not self.start <= t < self.end or t < self.path[0][0] and len(self.path) > 1:
            return None
        if t >= self.path[-1][0] or len(self.path) == 1:
            return self.path[-1][1:]
        k = bisect.bisect_right([p[0] for p in self.path], t)
        (t0, x0, z0), (t1, x1, z1) = self.path[k - 1], self.path[k]
        share = (t - t0) / (t1 - t0)
        return x0 + (x1 - x0) * share, z0 + (z1 - z0) * share


@dataclass
class Effect:
    """Something that happens to the picture: glass, smoke, fire, flash, flicker."""

    kind: str
    start: float
    end: float
    x: float
    z: float
    size: float = 1.0
    seed: float = 0.0


@dataclass
class Stage:
    """One video's plan. hard: spans in seconds; involved: actors whose boxes are annotated from soft[0] to soft[1]."""

    scene: Scene
    seconds: float
    rng: np.random.Generator
    actors: list[Actor] = field(default_factory=list)
    props: list[Prop] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    hard: list[tuple[float, float]] = field(default_factory=list)
    soft: tuple[float, float] = (0.0, 0.0)
    involved: list[Actor] = field(default_factory=list)

    @property
    def camera(self) -> Camera:
        return self.scene.camera

    def u(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def side(self) -> int:
        return int(self.rng.choice([-1, 1]))

    def place(self, spread: float = 1.0) -> tuple[float, float]:
        """A place near the stage's middle, inside the picture."""
        z = self.camera.stage_z * self.u(0.95, 1.22)
        return self.camera.clamp_x(self.u(-1.6, 1.6) * spread, z, 1.6), z

    def person(self, x: float, z: float, t: float = -1.0, kind: str = "adult") -> Actor:
        actor = Actor(make_look(self.rng, kind), x, z, t, self.rng)
        self.actors.append(actor)
        return actor

    def arrive(
        self, x: float, z: float, at: float, side: int | None = None, speed: float | None = None, kind: str = "adult"
    ) -> Actor:
        """A person who walks in from a side (-1 left, 1 right) so as to be at (x, z) at a time."""
        side, speed = side or self.side(), speed or self.u(1.0, 1.5)
        edge = self.camera.edge(z, side)
        actor = self.person(edge, z + self.u(-0.3, 0.3), at - abs(edge - x) / speed, kind)
        return actor.walk(x, z, speed)

    def leave(self, actor: Actor, side: int | None = None, speed: float | None = None, z: float | None = None) -> Actor:
        """Walk out of the picture."""
        z = actor.z if z is None else z
        actor.walk(self.camera.edge(z, side or self.side(), 1.2), z, speed or self.u(1.0, 1.6))
        return actor.gone()

    def vehicle(self, kind: str, path, start: float = -FOREVER, end: float = FOREVER, police: bool = False) -> Prop:
        xs = [p[1] for p in path]
        prop = Prop(
            kind,
            path,
            (225, 225, 225) if police else paint(self.rng),
            start,
            end,
            1 if xs[-1] >= xs[0] else -1,
            police=police,
        )
        self.props.append(prop)
        return prop

    def thing(self, kind: str, x: float, z: float, start: float = -FOREVER, end: float = FOREVER, colour=None) -> Prop:
        prop = Prop(kind, [(0.0, x, z)], colour or paint(self.rng), start, end, self.side())
        self.props.append(prop)
        return prop
