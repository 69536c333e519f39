"""The six classes that UCFCrime2Local annotates: Arrest, Assault, Burglary, Robbery, Stealing, Vandalism.

A script places its people before, during and after; `Times` says when. Soft frames show the same people
and things without the act (loitering, looking into cars; a person down, broken glass afterwards).

By construction: Assault, Arrest and Stealing differ from a greeting by speed, so they need motion. Most of a
Robbery is slow: a knife tells it, so it needs objects. Burglary and Vandalism need a little of both.
"""

from __future__ import annotations

from dataclasses import dataclass

from demo_world.everyday import dress
from demo_world.stage import Actor, Effect, Stage


@dataclass(frozen=True)
class Times:
    """Seconds: soft from `before` to `start`, hard from `start` to `end` but for the pause, soft until `after`."""

    before: float
    start: float
    pause: tuple[float, float] | None
    end: float
    after: float
    seconds: float


def acts(actor: Actor, t: Times, hard, soft, facing, start=None, end=None) -> Actor:
    """Do `hard` = (act, rate, size, sway) from start to end, and `soft` = (act, rate, size) in the pause."""
    start, end = t.start if start is None else start, t.end if end is None else end
    if t.pause and start < t.pause[0] and t.pause[1] < end:
        actor.act(hard[0], t.pause[0], facing, hard[1], hard[2], hard[3])
        actor.act(soft[0], t.pause[1], facing, soft[1], soft[2], 0.03)
    return actor.act(hard[0], end, facing, hard[1], hard[2], hard[3])


def drawn(stage: Stage, t: Times) -> tuple[float, float]:
    """When a weapon is seen: often a little before the act and after it, which are soft frames."""
    return (t.before + 0.3 if stage.chance(0.25) else t.start - stage.u(0.0, 0.4)), (
        t.after if stage.chance(0.2) else t.end + stage.u(0.0, 0.5)
    )


def victim_before(stage: Stage, t: Times, x, z, kind="adult") -> Actor:
    """Somebody who stands about before it happens."""
    victim = stage.arrive(x, z, stage.u(0.2, 0.8) * t.before, kind=kind)
    return victim.act(str(stage.rng.choice(["idle", "talk", "look"])), t.before, rate=0.3, size=0.6)


def accomplice(stage: Stage, t: Times, x, z, act, weapon: str, seen: tuple[float, float], chance: float) -> None:
    """With some chance a second one comes with the first, armed likewise, and joins in."""
    if not stage.chance(chance):
        return
    side = stage.side()
    two = stage.arrive(
        stage.camera.clamp_x(x + side * stage.u(0.9, 1.2), z), z + stage.u(0.35, 0.6), t.before + stage.u(0, 0.4), side
    )
    stage.involved.append(two)
    if weapon:
        two.hold(weapon, *seen)
    two.act("look" if stage.chance(0.4) else "talk", t.start, (x, z), 0.35)
    acts(two, t, act, ("talk", 0.35, 0.7), (x, z))
    two.act("idle", t.after if stage.chance(0.4) else t.end + 0.4, (x, z))
    stage.leave(two, side, stage.u(1.5, 2.6))


def assault(stage: Stage, t: Times) -> None:
    """Blows between two people who stood as friends stand; one ends on the ground."""
    x, z = stage.place()
    gap, side = stage.u(0.6, 0.8), stage.side()
    victim = dress(stage, victim_before(stage, t, x, z), 0.7)
    attacker = stage.arrive(x + side * gap, z + stage.u(-0.15, 0.15), t.before, side)
    stage.involved += [victim, attacker]
    weapon = str(stage.rng.choice(["", "bat", "knife", "bottle"], p=[0.35, 0.4, 0.15, 0.1]))
    seen = drawn(stage, t)
    if weapon:
        attacker.hold(weapon, *seen)
    rate = stage.u(1.3, 2.2)
    talk = stage.u(0.3, 0.5)
    victim.act("exchange" if stage.chance(0.5) else "guard", t.start, (attacker.x, attacker.z), talk, 0.9, 0.03)
    attacker.act("exchange", t.start, (victim.x, victim.z), talk, 0.9, 0.03)
    accomplice(
        stage, t, x, z, ("swing" if weapon == "bat" else "kick", stage.u(1.2, 1.8), 1.0, 0.24), weapon, seen, 0.35
    )
    down = t.start + (t.end - t.start) * stage.u(0.6, 0.85) if stage.chance(0.5) else t.end + 99
    blow = "swing" if weapon == "bat" else "exchange"
    acts(attacker, t, (blow, rate, 1.0, 0.26), ("exchange", 0.35, 0.9), (x, z), end=min(down, t.end))
    acts(
        victim,
        t,
        ("guard", rate * 0.9, 1.0, 0.3),
        ("exchange", 0.35, 0.8),
        (attacker.x, attacker.z),
        end=min(down, t.end),
    )
    if down < t.end:
        victim.act("lie", t.after, (attacker.x, attacker.z), 0.5, 0.8)
        attacker.act("kick", t.end, (x, z), rate * 0.8, 1.0, 0.22)
        attacker.act("look", t.after, (x, z))
        victim.act("idle", t.after + 1)
    else:
        victim.act("guard", t.after, (attacker.x, attacker.z), 0.3, 0.7)
        attacker.act("exchange", t.after, (x, z), 0.35, 0.8)
    stage.leave(attacker, side, stage.u(1.4, 2.2))
    stage.leave(victim)


def arrest(stage: Stage, t: Times) -> None:
    """Two officers talk to a suspect, wrestle with him, and lead him away."""
    x, z = stage.place()
    suspect = victim_before(stage, t, x, z)
    one = stage.arrive(x + 0.75, z + 0.1, t.before, 1, kind="officer")
    two = stage.arrive(x - 0.75, z + 0.25, t.before + 0.3, -1, kind="officer")
    stage.involved += [suspect, one, two]
    armed = str(stage.rng.choice(["", "knife", "bat"], p=[0.55, 0.3, 0.15]))
    if armed:  # until it is taken from him
        suspect.hold(armed, t.start - 0.3, t.end)
    one.act("talk", t.start, (x, z), 0.35)
    two.act("idle", t.start, (x, z))
    suspect.act("guard" if stage.chance(0.5) else "talk", t.start, (one.x, one.z), 0.35, 0.8)
    rate = stage.u(1.1, 1.9)
    kneel = t.start + (t.end - t.start) * stage.u(0.5, 0.7)
    acts(one, t, ("grab", rate, 1.0, 0.22), ("grab", 0.35, 0.6), (x, z))
    acts(two, t, ("grab", rate * 1.1, 1.0, 0.22), ("idle", 0.35, 0.6), (x, z))
    ground = stage.chance(0.4)
    acts(suspect, t, ("guard", rate, 1.0, 0.3), ("talk", 0.35, 0.8), (one.x, one.z), end=kneel)
    suspect.act("lie" if ground else "crouch", t.end, (one.x, one.z), rate, 1.2)
    suspect.act("cuffed", t.after, (one.x, one.z), 0.4)
    one.act("talk", t.after, (x, z), 0.35)
    two.act("grab", t.after, (x, z), 0.3, 0.4)
    side = stage.side()
    for actor in (one, suspect, two):
        stage.leave(actor, side, 1.2)


def robbery(stage: Stage, t: Times) -> None:
    """A knife is held to somebody, who raises the hands, hardly a motion; at the end a bag is torn away."""
    x, z = stage.place()
    side = stage.side()
    victim = victim_before(stage, t, x, z)
    victim.hold("handbag" if stage.chance(0.7) else "suitcase", end=t.start + 0.9 * (t.end - t.start))
    robber = stage.arrive(x + side * stage.u(1.05, 1.3), z, t.before, side)
    stage.involved += [victim, robber]
    weapon = str(stage.rng.choice(["knife", "bat", "gun"], p=[0.84, 0.12, 0.04]))
    seen = drawn(stage, t)
    robber.hold(weapon, *seen)
    accomplice(stage, t, x, z, ("point", stage.u(0.5, 0.9), 1.0, 0.03), weapon, seen, 0.6)
    robber.act("look" if stage.chance(0.4) else "talk", t.start, (x, z), 0.35)
    victim.act("talk", t.start, (robber.x, robber.z), 0.35)
    hand_over = t.start + stage.u(0.55, 0.7) * (t.end - t.start)
    acts(robber, t, ("point", stage.u(0.6, 1.0), 1.0, 0.04), ("talk", 0.35, 0.7), (x, z), end=hand_over)
    up = stage.chance(0.75)
    acts(
        victim,
        t,
        ("hands_up" if up else "guard", 0.45, 0.6, 0.03),
        ("talk", 0.35, 0.7),
        (robber.x, robber.z),
        end=hand_over,
    )
    tug = stage.u(1.1, 1.7)  # the bag is torn away
    robber.act("grab", t.end, (x, z), tug, 1.0, 0.24)
    victim.act("grab", t.end, (robber.x, robber.z), tug, 1.0, 0.24)
    robber.hold(victim.items[0].kind, victim.items[0].end, colour=victim.items[0].colour)
    robber.act("idle", t.end + 0.3)
    stage.leave(robber, side, stage.u(1.8, 3.2))
    victim.act("look" if stage.chance(0.5) else "crouch", t.after, (robber.x, robber.z), 0.4)
    stage.leave(victim, -side)


def stealing(stage: Stage, t: Times) -> None:
    """Something is snatched, or taken when nobody looks, and the thief runs."""
    x, z = stage.place()
    side = stage.side()
    if stage.chance(0.7):  # a snatch
        victim = victim_before(stage, t, x, z)
        kind = str(stage.rng.choice(["handbag", "phone", "laptop", "suitcase"], p=[0.5, 0.15, 0.15, 0.2]))
        thief = stage.arrive(x + side * 0.75, z + 0.1, t.before, side)
        grab_end = t.start + 0.6 * (t.end - t.start)
        victim.hold(kind, end=grab_end)
        thief.hold(kind, grab_end, colour=victim.items[-1].colour)
        if stage.chance(0.3):  # to cut the strap
            thief.hold("knife", t.start - 0.3, t.end)
        thief.act("look", t.start, (x, z))
        victim.act("talk", t.start, (x - side, z), 0.35)
        rate = stage.u(1.0, 1.7)
        acts(thief, t, ("grab", rate, 1.0, 0.28), ("talk", 0.35, 0.6), (x, z), end=grab_end)
        acts(victim, t, ("grab", rate, 0.9, 0.28), ("talk", 0.35, 0.6), (thief.x, thief.z), end=grab_end)
        edge = stage.camera.edge(z, side, 1.0)
        thief.walk(edge, z, max(2.6, abs(edge - thief.x) / max(t.end - grab_end, 0.4)))
        thief.gone()
        if stage.chance(0.6):
            victim.walk(x + side * 1.4, z, 2.4)
        victim.act("hands_up", t.end, (edge, z), 0.9, 0.8, 0.05)
        victim.act("look", t.after, (edge, z))
        stage.leave(victim, side)
        stage.involved += [victim, thief]
        return
    kind = str(stage.rng.choice(["bicycle", "suitcase", "laptop", "backpack"], p=[0.4, 0.2, 0.2, 0.2]))
    thief = stage.arrive(x + side * 1.6, z + 0.1, t.before, side)
    stage.involved.append(thief)
    thief.act("look", t.before + 0.6 * (t.start - t.before), (x, z))
    thief.walk(x + side * 0.35, z + 0.12, until=t.start)
    take = t.start + 0.6 * (t.end - t.start)
    acts(thief, t, ("grab", stage.u(1.2, 1.8), 1.0, 0.2), ("look", 0.35, 0.6), (x, z), end=take)
    edge = stage.camera.edge(z, side, 1.2)
    thief.z = z
    if kind == "bicycle":
        prop = stage.vehicle("bicycle", [(0.0, x, z)], -9, take)
        arrive = take + abs(edge - thief.x) / 3.2
        thief.mount = ("bicycle", prop.colour, take, arrive)
        thief._add(arrive, edge, z, 0.0 if side > 0 else 3.14159, "sit", 0.5)
    else:
        prop = stage.thing(kind, x, z, -9, take)
        thief.hold(kind, take, colour=prop.colour)
        thief.walk(edge, z, max(2.4, abs(edge - thief.x) / max(t.end - take, 0.4)))
    thief.gone()
    owner = stage.arrive(x - side * 1.2, z + 0.3, t.end, -side, 1.8)
    owner.act("look", t.after, (x, z))
    stage.leave(owner, -side)
    stage.involved.append(owner)


def burglary(stage: Stage, t: Times) -> None:
    """A tool at the door, in, and out again with something under the arms."""
    dx, dz = stage.scene.spots["door"]
    side = stage.side()
    burglar = stage.arrive(stage.camera.clamp_x(dx + side * 1.6, dz), dz - stage.u(0.6, 1.2), t.before, side)
    stage.involved.append(burglar)
    tool = "bat" if stage.chance(0.8) else ""
    inside = t.start + stage.u(0.5, 0.62) * (t.end - t.start)
    if tool:
        burglar.hold("bat", t.before - 5 if stage.chance(0.2) else t.start - 0.3, inside)
    accomplice(
        stage,
        t,
        dx,
        dz - 0.7,
        ("swing" if tool else "look", stage.u(0.9, 1.4), 1.0, 0.12),
        tool,
        (t.start - 0.3, t.end),
        0.45,
    )
    burglar.act("look", t.before + 0.6 * (t.start - t.before), (dx, dz))
    burglar.walk(dx + side * 0.3, dz - 0.15, until=t.start)
    if tool and stage.chance(0.75):
        acts(burglar, t, ("swing", stage.u(0.9, 1.5), 1.0, 0.12), ("look", 0.3, 0.6), (dx, dz + 1), end=inside)
        stage.effects.append(Effect("glass", t.start + 1.0, t.seconds, dx + side * 0.3, dz - 0.1, 0.7, stage.u(0, 99)))
    else:
        acts(
            burglar,
            t,
            ("kick" if stage.chance(0.5) else "crouch", stage.u(0.9, 1.3), 1.0, 0.08),
            ("look", 0.3, 0.6),
            (dx, dz + 1),
            end=inside,
        )
    loot = str(stage.rng.choice(["tv", "laptop", "suitcase"], p=[0.5, 0.3, 0.2]))
    burglar.hold(loot, inside)
    burglar.walk(dx, dz + 0.2, 0.8)
    edge = stage.camera.edge(dz, side, 1.0)
    out = max(t.end - abs(edge - dx) / stage.u(1.4, 2.2), burglar.t + 0.3)
    burglar.act("reach", out, (dx, dz + 1), 0.6, 0.6)
    burglar.walk(edge, dz - 0.4, until=max(t.end, out + 0.8))
    burglar.gone()
    x, z = stage.place()
    passer = stage.arrive(x, z, t.end + 0.8)
    passer.act("look", t.after, (dx, dz))
    stage.involved.append(passer)
    stage.leave(passer)


def vandalism(stage: Stage, t: Times) -> None:
    """A car, a window or a bench is smashed or sprayed."""
    spots, side = stage.scene.spots, stage.side()
    if stage.chance(0.5) or stage.camera.scene in ("shop", "lobby"):
        x, z = spots.get("car", spots["door"])
    else:
        x, z = stage.place()
        stage.thing("bench" if stage.chance(0.5) else "plant", x, z + 0.3, colour=(70, 105, 150))
    one = stage.arrive(stage.camera.clamp_x(x + side * 1.7, z), z - 0.5, t.before, side)
    stage.involved.append(one)
    mode = str(stage.rng.choice(["bat", "kick", "spray"], p=[0.7, 0.2, 0.1]))
    weapon, seen = {"bat": "bat", "kick": "", "spray": "bottle"}[mode], drawn(stage, t)
    if weapon:
        one.hold(weapon, *seen)
    one.act("look", t.before + 0.6 * (t.start - t.before), (x, z))
    one.walk(x + side * 0.55, z - 0.1, until=t.start)
    act = {
        "bat": ("swing", stage.u(1.0, 1.7), 1.0, 0.22),
        "kick": ("kick", stage.u(1.1, 1.6), 1.0, 0.24),
        "spray": ("reach", stage.u(0.8, 1.2), 1.0, 0.22),
    }[mode]
    acts(one, t, act, ("look", 0.3, 0.6), (x, z))
    if mode != "spray":
        stage.effects.append(Effect("glass", t.start + 1.0, t.seconds, x, z - 0.1, 1.0, stage.u(0, 99)))
    one.act("look", t.after, (x, z), 0.4)
    stage.leave(one, side, stage.u(1.3, 2.4))
    accomplice(stage, t, x, z - 0.6, act, weapon, seen, 0.6)


# class: (script, scenes it can happen in)
CRIMES = {
    "Arrest": (arrest, ("street", "car_park", "shop", "lobby", "cash_machine", "yard")),
    "Assault": (assault, ("street", "car_park", "shop", "lobby", "cash_machine", "yard")),
    "Burglary": (burglary, ("shop", "lobby", "yard", "cash_machine")),
    "Robbery": (robbery, ("street", "car_park", "shop", "lobby", "cash_machine", "yard")),
    "Stealing": (stealing, ("street", "car_park", "shop", "lobby", "cash_machine", "yard")),
    "Vandalism": (vandalism, ("street", "car_park", "shop", "cash_machine", "yard")),
}  # fmt: skip
