"""A procedural CCTV world: scenes, people and scripts drawn by code, deterministic by seed.

Order of the modules: camera, poses -> figures, props, vehicles, scenes -> stage -> everyday, crimes -> render -> plan.
"""

# Frames per second of the world; UCF-Crime has 30. A lower rate is the demo's choice: a third of the
# frames to draw, encode and decode, and still three times the rate at which the paper analyses.
FPS = 10
WIDTH, HEIGHT = 320, 240

# The modules that decide what a video looks like: their code is part of the cache key of a rendered world.
MODULES = tuple(
    f"vadkit.corpora.world{name}"
    for name in (
        "",
        ".camera",
        ".poses",
        ".figures",
        ".props",
        ".vehicles",
        ".scenes",
        ".stage",
        ".everyday",
        ".crimes",
        ".unseen",
        ".render",
        ".plan",
    )
)
