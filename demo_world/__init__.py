"""A procedural CCTV world: scenes, people and scripts drawn by code, deterministic by seed.

The modules, each built on those before it:

    camera  poses                         the view of a place; how bodies are held
    figures  props  vehicles  scenes      what is drawn: people, things, traffic, places
    stage                                 who does what, where and when in one video
    everyday  crimes  unseen              the scripts: normal life, the classes to learn, classes kept for the test
    render                                frames of a stage, with boxes
    plan  layout                          the list of a world's videos; these on disk, as UCF-Crime is
    train_detector (cpu_trainer)          commands that make the networks in assets/ again: the detector,
    train_clips (everyday_clips)          and the narrow 3D networks, on normal life from other cameras

Of vadkit they import `vadkit.core` and `vadkit.models` alone. docs/demo_world.md shows the world and what holds in it.
"""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"  # networks trained on this world

# Frames per second of the world; UCF-Crime has 30. A lower rate is the demo's choice: a third of the
# frames to draw, encode and decode, and still three times the rate at which the paper analyses.
FPS = 10
WIDTH, HEIGHT = 320, 240
CRF, PRESET = 24, "superfast"  # of H.264
