"""The seven other classes of UCF-Crime, which the world uses to ask how a system generalises.

No system is trained on them: Abuse, Arson, Explosion, Fighting, RoadAccidents, Shooting, Shoplifting.
"""

from __future__ import annotations

from demo_world.crimes import Times, acts, drawn, victim_before
from demo_world.everyday import dress
from demo_world.stage import Effect, Stage


def abuse(stage: Stage, t: Times) -> None:
    """A grown-up shakes and strikes a child, who cowers."""
    x, z = stage.place()
    side = stage.side()
    child = victim_before(stage, t, x, z, "child" if stage.chance(0.7) else "adult")
    adult = stage.arrive(x + side * 0.6, z, t.before, side)
    stage.involved += [child, adult]
    child.act("talk", t.start, (adult.x, z), 0.35)
    adult.act("talk", t.start, (x, z), 0.35)
    acts(
        adult,
        t,
        ("exchange" if stage.chance(0.6) else "grab", stage.u(1.2, 2.0), 1.0, 0.22),
        ("talk", 0.3, 0.6),
        (x, z),
    )
    acts(child, t, ("guard" if stage.chance(0.6) else "crouch", 1.3, 0.9, 0.2), ("guard", 0.3, 0.6), (adult.x, z))
    adult.act("talk", t.after, (x, z), 0.3)
    child.act("crouch", t.after, (adult.x, z), 0.3, 0.5)
    stage.leave(adult, side)
    stage.leave(child, side)


def arson(stage: Stage, t: Times) -> None:
    """Somebody with a bottle crouches, a fire starts and grows; smoke stays."""
    x, z = stage.place()
    side = stage.side()
    one = stage.arrive(x + side * 0.7, z, t.before, side)
    one.hold("bottle", end=t.start + 0.5 * (t.end - t.start))
    stage.involved.append(one)
    one.act("look", t.start, (x, z))
    one.act("crouch", t.start + 0.5 * (t.end - t.start), (x, z), 0.9, 1.0)
    stage.effects.append(Effect("fire", t.start + 0.8, t.end + 0.2, x, z, stage.u(0.8, 1.2), stage.u(0, 99)))
    stage.effects.append(Effect("smoke", t.start + 1.5, t.after + 1, x, z, 1.0, stage.u(0, 99)))
    stage.leave(one, side, 2.6)
    passer = stage.arrive(x - side * 2.0, z + 0.5, t.end)
    passer.act("look", t.after, (x, z))
    stage.involved.append(passer)
    stage.leave(passer)


def explosion(stage: Stage, t: Times) -> None:
    """A flash, smoke, people who run or fall."""
    x, z = stage.place()
    people = [victim_before(stage, t, stage.camera.clamp_x(x + d, z), z + stage.u(-0.3, 0.5)) for d in (-1.4, 0.2, 1.5)]
    stage.involved += people
    stage.effects.append(Effect("flash", t.start, t.start + 0.6, x, z + 0.6, 1.5, 0.0))
    stage.effects.append(Effect("fire", t.start, t.end, x, z + 0.6, 1.1, stage.u(0, 99)))
    stage.effects.append(Effect("smoke", t.start + 0.3, t.after + 1.0, x, z + 0.6, 1.6, stage.u(0, 99)))
    for k, actor in enumerate(people):
        actor.act("idle", t.start + 0.2)
        if k == 1:
            actor.act("lie", t.after, (x, z), 0.6, 1.2)
            stage.leave(actor)
        else:
            stage.leave(actor, -1 if actor.x < x else 1, stage.u(2.8, 3.6))


def fighting(stage: Stage, t: Times) -> None:
    """Two to four people strike each other."""
    x, z = stage.place()
    spots = [(-0.4, 0.0), (0.4, 0.1), (-0.3, 0.8), (0.6, 0.9)][: int(stage.rng.choice([2, 2, 3, 4]))]
    people = [stage.arrive(x + dx, z + dz, t.before - stage.u(0, 1)) for dx, dz in spots]
    stage.involved += people
    for k, actor in enumerate(people):
        other = people[k ^ 1 if (k ^ 1) < len(people) else 0]
        goal = (x + spots[people.index(other)][0], z + spots[people.index(other)][1])
        actor.act("exchange" if k % 2 else "talk", t.start, goal, 0.4, 0.9, 0.03)
        acts(
            actor,
            t,
            ("exchange" if stage.chance(0.7) else "kick", stage.u(1.3, 2.2), 1.0, 0.28),
            ("exchange", 0.35, 0.8),
            goal,
        )
        actor.act("exchange", t.after, goal, 0.35, 0.8, 0.03)
        stage.leave(actor)


def road_accident(stage: Stage, t: Times) -> None:
    """A car hits somebody who crosses, or another car, and stops."""
    spots, c = stage.scene.spots, stage.camera
    z = spots["lane_near"][1]
    side = stage.side()
    x = c.clamp_x(stage.u(-1, 1), z, 3.0)
    start, hit = c.edge(z, side, 3.0), t.start + 1.0
    car = stage.vehicle(
        "car", [(hit - abs(start - x) / 7.0, start, z), (hit, x + side * 2.2, z), (hit + 0.7, x + side * 1.2, z)]
    )
    car.direction = -side
    walker = stage.person(x, c.stage_z * 1.05, t.before)
    dress(stage, walker)
    walker.act("look", t.start - 0.8, (x, z))
    walker.walk(x, z - 0.3, until=hit)
    walker.slide("lie", hit + 0.6, x - side * 1.5, z - 0.4, heading=0.0 if side < 0 else 3.14159, rate=1.5, size=1.5)
    walker.act("lie", t.seconds + 9, rate=0.4, size=0.5)
    stage.involved.append(walker)
    for k in (-1, 1):
        helper = stage.arrive(x + k * 1.2, z - 0.9, t.end, k, 2.2)
        helper.act("look", t.after + 2, (x, z))
        stage.involved.append(helper)
        stage.leave(helper)


def shooting(stage: Stage, t: Times) -> None:
    """A gun is raised, flashes; somebody falls, another runs."""
    x, z = stage.place()
    side = stage.side()
    victim = victim_before(stage, t, x, z)
    shooter = stage.arrive(stage.camera.clamp_x(x + side * 2.0, z), z, t.before, side)
    shooter.hold("gun", *drawn(stage, t))
    stage.involved += [victim, shooter]
    shooter.act("look", t.start, (x, z))
    victim.act("talk", t.start, (shooter.x, z), 0.3)
    shooter.act("point", t.end, (x, z), 0.5, 0.5)
    fall = t.start + 0.4 * (t.end - t.start)
    victim.act("hands_up", fall, (shooter.x, z), 0.5)
    victim.act("lie", t.after, (shooter.x, z), 0.5, 0.8)
    for k in range(3):
        at = fall - 0.2 + 0.5 * k
        stage.effects.append(Effect("muzzle", at, at + 0.11, shooter.x - side * 0.75, z, 1.0, 0.0))
    stage.leave(shooter, side, 3.0)
    stage.leave(victim)


def shoplifting(stage: Stage, t: Times) -> None:
    """Something from the shelf goes into a bag: no motion to speak of."""
    dx, dz = stage.scene.spots["door"]
    side = stage.side()
    z = dz - 0.3
    thief = stage.arrive(dx, z, t.before, side)
    thief.hold("handbag" if stage.chance(0.6) else "backpack")
    stage.involved.append(thief)
    thief.act("look", t.start, (dx, dz + 1))
    kind = str(stage.rng.choice(["bottle", "phone", "laptop"]))
    step = (t.end - t.start) / 3
    for k in range(3):
        thief.hold(kind, t.start + k * step + 0.3 * step, t.start + (k + 0.85) * step)
        thief.act("reach", t.start + (k + 0.45) * step, (dx, dz + 1), 0.8, 1.0)
        thief.act("look", t.start + (k + 1) * step, (dx + side, dz - 0.2))
    thief.act("look", t.after, (dx, dz + 1))
    stage.leave(thief, side)


UNSEEN = {
    "Abuse": (abuse, ("street", "shop", "lobby", "yard")),
    "Arson": (arson, ("street", "car_park", "yard")),
    "Explosion": (explosion, ("street", "car_park", "shop", "cash_machine")),
    "Fighting": (fighting, ("street", "car_park", "shop", "lobby", "cash_machine", "yard")),
    "RoadAccidents": (road_accident, ("street", "car_park")),
    "Shooting": (shooting, ("street", "car_park", "shop", "lobby", "cash_machine")),
    "Shoplifting": (shoplifting, ("shop",)),
}

# classes whose act runs its course without a pause
STEADY = frozenset({"Arson", "Explosion", "RoadAccidents", "Shooting", "Shoplifting"})
