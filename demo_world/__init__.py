"""A procedural CCTV world: scenes, people and scripts drawn by code, deterministic by seed.

Order of the modules: camera, poses -> figures, props, vehicles, scenes -> stage -> everyday, crimes -> render -> plan.
"""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"  # networks trained on this world

# Frames per second of the world; UCF-Crime has 30. A lower rate is the demo's choice: a third of the
# frames to draw, encode and decode, and still three times the rate at which the paper analyses.
FPS = 10
WIDTH, HEIGHT = 320, 240
