"""Normal life: passers-by, traffic and small encounters, among them ones that look like an anomaly.

The encounters use the same poses, the same places and the same things as the crimes do: two people close
together reach for each other when they greet, children chase each other, someone runs for a bus, carries
a bat to a game, cuts fruit with a knife, stumbles and is helped up.
"""

from __future__ import annotations

from dataclasses import replace

from demo_world.camera import OUTDOOR
from demo_world.stage import Actor, Effect, Stage

WEARABLE = (
    ("backpack", 0.2),
    ("handbag", 0.24),
    ("umbrella", 0.07),
    ("suitcase", 0.08),
    ("phone", 0.12),
    ("bottle", 0.08),
)

COATS = ((30, 35, 45), (50, 85, 130), (90, 130, 175), (185, 195, 205), (110, 112, 115))


def dress(stage: Stage, actor: Actor, share: float = 0.8) -> Actor:
    """Give a person at most one thing to carry, at everyday rates."""
    draw = stage.rng.random() / share
    for kind, p in WEARABLE:
        if draw < p:
            return actor.hold(kind)
        draw -= p
    return actor


def passers_by(stage: Stage, count: int) -> None:
    """People who walk through behind the stage, some stopping for a moment."""
    c = stage.camera
    for _ in range(count):
        z = stage.u(c.stage_z * 1.25, max(c.stage_z * 1.35, c.back_z - 0.8))
        if stage.chance(0.2):
            z = stage.u(0.9, 0.97) * c.stage_z
        side, speed = stage.side(), stage.u(0.9, 1.7)
        start = stage.u(-8, stage.seconds - 1)
        actor = stage.person(
            c.edge(z, side),
            z,
            start,
            "child"
            if stage.chance(0.12)
            else "worker"
            if stage.chance(0.08)
            else "officer"
            if stage.chance(0.05)
            else "adult",
        )
        dress(stage, actor)
        if stage.chance(0.3):
            x = c.clamp_x(stage.u(-3, 3), z)
            actor.walk(x, z, speed)
            actor.act(
                stage.rng.choice(["idle", "look", "talk", "reach"]),
                actor.t + stage.u(1.5, 5),
                (x, z + 1) if stage.chance(0.5) else None,
                rate=0.4,
            )
        actor.walk(c.edge(z, -side), z + stage.u(-0.3, 0.3), speed)
        actor.gone()
        if stage.chance(0.1):
            dog(stage, actor)


def dog(stage: Stage, owner: Actor) -> Actor:
    """A dog that follows its owner's path a step behind."""
    coat = COATS[stage.rng.integers(len(COATS))]
    animal = Actor(replace(owner.look, height=0.8, top=coat), owner.x, owner.z, 0.0, stage.rng, dog=True)
    animal.segments = [replace(s, x0=s.x0 + 0.6, x1=s.x1 + 0.6, z0=s.z0 - 0.35, z1=s.z1 - 0.35) for s in owner.segments]
    animal.starts, animal.vanish = list(owner.starts), owner.vanish
    stage.actors.append(animal)
    return animal


def traffic(stage: Stage, count: int) -> None:
    """Vehicles and cyclists that drive through, in scenes that have a lane."""
    spots, c = stage.scene.spots, stage.camera
    if "lane_near" not in spots:
        return
    for _ in range(count):
        kind = str(stage.rng.choice(["car", "car", "car", "bus", "truck", "motorcycle", "bicycle"]))
        if c.scene == "car_park" and kind in ("bus", "truck"):
            kind = "car"
        side = stage.side()
        z = spots["lane_near" if side < 0 else "lane_far"][1]
        speed = stage.u(3.0, 6.5) if kind != "bicycle" else stage.u(2.5, 4)
        ride(stage, kind, side, z, stage.u(-3, stage.seconds), speed)


def ride(stage: Stage, kind: str, side: int, z: float, start: float, speed: float) -> None:
    c = stage.camera
    x0, x1 = c.edge(z, side, 4.8), c.edge(z, -side, 4.8)
    end = start + abs(x1 - x0) / speed
    prop = stage.vehicle(kind, [(start, x0, z), (end, x1, z)], start, end)
    prop.lights = stage.chance(0.5)
    if kind in ("bicycle", "motorcycle"):
        rider = stage.person(x0, z, start)
        rider._add(end, x1, z, 0.0 if x1 > x0 else 3.14159, "sit", 0.5)
        rider.mount = (kind, prop.colour, start, end)
        rider.gone(end)
        stage.props.remove(prop)


# --- encounters: (stage, t0, t1, x, z) ---


def _pair(stage, t0, x, z, kind_a="adult", kind_b="adult", gap=0.75):
    a = stage.arrive(x - gap / 2, z, t0 + stage.u(-0.6, 0.4), -1, kind=kind_a)
    b = stage.arrive(x + gap / 2, z + stage.u(-0.15, 0.15), t0 + stage.u(-0.6, 0.4), 1, kind=kind_b)
    return a, b


def _face(a: Actor, b: Actor, act, until, rate, size=1.0, sway=0.0):
    ax, bx = (a.x, a.z), (b.x, b.z)
    a.act(act if isinstance(act, str) else act[0], until, bx, rate, size, sway)
    b.act(act if isinstance(act, str) else act[1], until, ax, rate * 0.9, size, sway)


def _part(stage, *actors):
    for actor in actors:
        stage.leave(actor, speed=stage.u(1.0, 1.6))


def greet(stage, t0, t1, x, z):
    """Friends meet, reach for each other, hug, talk."""
    a, b = _pair(stage, t0, x, z, gap=stage.u(0.6, 0.85))
    dress(stage, b, 0.7)
    span = t1 - t0
    _face(a, b, "exchange", t0 + 0.35 * span, stage.u(0.25, 0.45), stage.u(0.5, 0.9), 0.03)
    _face(a, b, "hug" if stage.chance(0.6) else "exchange", t0 + 0.65 * span, 0.3, 1.0, 0.03)
    _face(a, b, ("exchange", "guard") if stage.chance(0.5) else "talk", t1, stage.u(0.3, 0.5), 0.8, 0.04)
    _part(stage, a, b)


def quarrel_in_fun(stage, t0, t1, x, z):
    """Two people spar for fun: blows' poses at half their speed."""
    a, b = _pair(stage, t0, x, z, gap=0.7)
    _face(a, b, ("exchange", "guard"), t0 + 0.6 * (t1 - t0), stage.u(0.6, 0.95), 0.9, 0.08)
    _face(a, b, ("talk", "guard"), t1, 0.35, 0.7, 0.03)
    _part(stage, a, b)


def children(stage, t0, t1, x, z):
    """Children chase each other and clap hands."""
    a, b = _pair(stage, t0, x, z, "child", "child")
    half = t0 + 0.4 * (t1 - t0)
    _face(a, b, "exchange", half, stage.u(0.6, 1.1), 1.0, 0.06)
    c = stage.camera
    for _ in range(3):
        nx = c.clamp_x(a.x + stage.u(-2.5, 2.5), z)
        a.walk(nx, z + stage.u(-0.3, 0.3), 2.6)
        b.walk(nx + 0.6, z + stage.u(-0.3, 0.3), 2.5)
    if stage.chance(0.5):
        stage.thing("ball", x + 0.3, z - 0.2, t0 - 2, t1)
    end = max(a.t, b.t, t1)
    _face(a, b, "play", end, 0.7, 1.0, 0.05)
    _part(stage, a, b)


def sport(stage, t0, t1, x, z):
    """One swings a bat, the other has the ball."""
    a, b = _pair(stage, t0, x, z, gap=2.2)
    a.hold("bat")
    b.hold("ball")
    a.act("idle", t0 + 1.0, (b.x, b.z))
    a.act("swing", t1, (b.x, b.z), stage.u(0.3, 0.6), 0.9)
    b.act("play", t1, (a.x, a.z), 0.4, 0.7)
    _part(stage, a, b)


def to_the_game(stage, t0, t1, x, z):
    """Someone passes with a bat over the shoulder, stops, talks."""
    a, b = _pair(stage, t0, x, z, gap=1.0)
    a.hold("bat")
    _face(a, b, "talk", t1, 0.4, 1.0, 0.03)
    _part(stage, a, b)


def delivery(stage, t0, t1, x, z):
    """A parcel, a suitcase or a bag passes from hand to hand."""
    kind = str(stage.rng.choice(["parcel", "handbag", "laptop", "tv", "suitcase"], p=[0.4, 0.25, 0.15, 0.08, 0.12]))
    a, b = _pair(stage, t0, x, z, "worker" if stage.chance(0.5) else "adult")
    mid = t0 + 0.5 * (t1 - t0)
    a.hold(kind, end=mid)
    b.hold(kind, mid, colour=a.items[-1].colour)
    _face(a, b, "reach", mid + 0.5, 0.4, 0.8)
    _face(a, b, "talk", t1, 0.4)
    _part(stage, a, b)


def late(stage, t0, t1, x, z):
    """Someone runs across for a bus, perhaps followed by another."""
    side = stage.side()
    a = stage.arrive(x, z, t0 + 1.0, side, stage.u(2.6, 3.8))
    a.hold(str(stage.rng.choice(["backpack", "handbag", "suitcase"])))
    stage.leave(a, -side, stage.u(2.6, 3.8))
    if stage.chance(0.5):
        b = stage.arrive(x, z + 0.6, t0 + 2.2, side, stage.u(2.4, 3.6))
        stage.leave(b, -side, stage.u(2.4, 3.6))
    if "lane_near" in stage.scene.spots and stage.camera.scene == "street":
        ride(stage, "bus", -side, stage.scene.spots["lane_near"][1], t0 - 2.5, 3.5)


def waiting(stage, t0, t1, x, z):
    """Someone waits with a phone or a bottle; the other walks up and looks about."""
    a = stage.arrive(x, z, t0)
    a.hold(str(stage.rng.choice(["phone", "bottle", "handbag", "umbrella"])))
    a.act("talk", t1, rate=0.3, size=0.5)
    b = stage.arrive(x + stage.side() * stage.u(0.9, 1.6), z + 0.4, t0 + 1.5)
    b.act("look", t0 + 0.6 * (t1 - t0), (x, z))
    b.act("idle", t1)
    _part(stage, a, b)


def shoelace(stage, t0, t1, x, z):
    """Someone crouches over a lace or a bag; a friend waits."""
    a, b = _pair(stage, t0, x, z, gap=1.0)
    dress(stage, a)
    a.act("crouch", t1, rate=stage.u(0.4, 0.8))
    b.act("idle", t1, (a.x, a.z))
    _part(stage, a, b)


def stumble(stage, t0, t1, x, z):
    """Someone falls and is helped up: a person down without a crime."""
    a, b = _pair(stage, t0, x, z, gap=1.1)
    a.act("idle", t0 + 0.4)
    a.act("lie", t0 + 0.65 * (t1 - t0), rate=0.4, size=0.6)
    a.act("idle", t1, (b.x, b.z))
    b.act("idle", t0 + 0.8, (a.x, a.z))
    b.act("grab", t0 + 0.7 * (t1 - t0), (a.x, a.z), 0.4, 0.6)
    b.act("talk", t1, (a.x, a.z), 0.4)
    _part(stage, a, b)


def at_the_door(stage, t0, t1, x, z):
    """Someone goes to the door, machine or shelf, works at it and comes back, perhaps with a thing."""
    dx, dz = stage.scene.spots["door"]
    a = stage.arrive(dx, dz, t0 + 0.5, kind="worker" if stage.chance(0.3) else "adult")
    a.act("reach", t1, (dx, dz + 1), stage.u(0.3, 0.6), 0.8)
    if stage.chance(0.35):
        a.hold(
            str(
                stage.rng.choice(
                    ["parcel", "bottle", "laptop", "handbag", "suitcase", "tv"], p=[0.25, 0.2, 0.2, 0.2, 0.1, 0.05]
                )
            ),
            t1 - 0.5,
        )
    if stage.chance(0.4):
        b = stage.arrive(x, z, t0 + 1)
        b.act("idle", t1, (dx, dz))
        dress(stage, b)
        _part(stage, b)
    _part(stage, a)


def fruit(stage, t0, t1, x, z):
    """Someone cuts fruit at a table, with a knife; another looks on."""
    a, b = _pair(stage, t0, x, z, gap=1.0)
    a.hold("knife", t0 + 0.3, t1)
    a.act("reach", t1, (b.x, b.z), 0.5, 0.5)
    b.act("talk", t1, (a.x, a.z), 0.35)
    _part(stage, a, b)


def wave(stage, t0, t1, x, z):
    """Someone stretches or waves with both arms to another."""
    a, b = _pair(stage, t0, x, z, gap=1.6)
    a.act("hands_up", t0 + 0.6 * (t1 - t0), (b.x, b.z), 0.5)
    a.act("talk", t1, (b.x, b.z), 0.4)
    b.act("point", t0 + 0.5 * (t1 - t0), (a.x, a.z), 0.4)
    b.act("talk", t1, (a.x, a.z), 0.4)
    dress(stage, b)
    _part(stage, a, b)


def patrol(stage, t0, t1, x, z):
    """Two officers stop and talk to somebody, an arm on the shoulder."""
    a, b = _pair(stage, t0, x, z, "officer", "adult", gap=0.8)
    c = stage.arrive(x - 0.9, z + 0.5, t0 + 0.5, -1, kind="officer")
    _face(a, b, ("talk", "guard"), t0 + 0.5 * (t1 - t0), 0.35, 0.7)
    _face(a, b, ("grab", "talk"), t1, 0.35, 0.6, 0.03)
    c.act("idle", t1, (x, z))
    _part(stage, a, b, c)


def lights(stage, t0, t1, x, z):
    """Fireworks or headlights flicker over two people who look on."""
    stage.effects.append(Effect("flicker", t0, t1, x, z, stage.u(0.5, 1.0), stage.u(0, 100)))
    a, b = _pair(stage, t0, x, z)
    _face(a, b, ("hands_up", "talk"), t1, 0.4, 0.8)
    _part(stage, a, b)


# name: (encounter, weight, outdoor only)
EPISODES = {
    "greet": (greet, 2.0, False), "quarrel_in_fun": (quarrel_in_fun, 1.2, False), "children": (children, 1.2, False),
    "sport": (sport, 0.4, True), "to_the_game": (to_the_game, 0.35, False), "delivery": (delivery, 1.0, False),
    "late": (late, 1.2, False), "waiting": (waiting, 1.6, False), "shoelace": (shoelace, 0.9, False),
    "stumble": (stumble, 0.5, False), "at_the_door": (at_the_door, 1.4, False), "fruit": (fruit, 0.25, False),
    "wave": (wave, 0.5, False), "patrol": (patrol, 0.7, False), "lights": (lights, 0.3, True),
}  # fmt: skip


def episode(stage: Stage, t0: float, t1: float, x: float, z: float) -> None:
    """One encounter, drawn by weight among those that fit the place."""
    fitting = {k: w for k, (_, w, outdoor) in EPISODES.items() if not outdoor or stage.camera.scene in OUTDOOR}
    weights = list(fitting.values())
    name = str(stage.rng.choice(list(fitting), p=[w / sum(weights) for w in weights]))
    EPISODES[name][0](stage, t0, t1, x, z)


def everyday(stage: Stage, episodes: int) -> None:
    """A normal video: encounters one after another."""
    length = stage.seconds / episodes
    for k in range(episodes):
        x, z = stage.place()
        t0 = k * length + stage.u(0.0, 0.25) * length
        episode(stage, t0, t0 + stage.u(0.55, 0.8) * length, x, z)
