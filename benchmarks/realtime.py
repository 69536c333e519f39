"""How many times real time a trained system scores a video of 320x240 at 30 frames a second, by network and engine.

    python benchmarks/realtime.py [--seconds 20] [--fps 3,30]

Trains two systems on a small rendered world (2S-no-bag on ResNet-50 of random weights at 224 pixels, and the shipped
one, 2S-bag-ha on EfficientNet-lite0 at 160 with the world's detector), and scores a video that it writes as `vadkit
score` does, in wall time on all cores: decoding, flow, detector, networks. --fps: frames analysed a second; at 30 every
frame is. Nothing about detection can be read off these systems. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from samples import made_video

from vadkit.core.errors import VadkitError
from vadkit.core.parameters import load_params
from vadkit.corpora import load_corpus
from vadkit.live.score import score
from vadkit.models.engine import CALIBRATED, INT8, frozen
from vadkit.systems import runner
from vadkit.systems.base import find_system
from vadkit.systems.record import find_model, save_models

ENGINES = ("torch", "onnxruntime", "openvino", INT8)
RESNET = {"backbone": "resnet50", "backbone_weights": "random", "image_size": 224, "detector_weights": "none"}
SYSTEMS = {
    "2S-no-bag, ResNet-50, 224 px": ("2S-no-bag", RESNET),
    "2S-bag-ha, EfficientNet-lite0, 160 px": ("2S-bag-ha", {}),
}


def trained(folder: Path, name: str, changes: dict, fps: float, engine: str):
    """A system trained in a minute, and its network exported for the engine."""
    smoke = load_params(Path(__file__).resolve().parent.parent / "params" / "smoke.yaml")
    values = {
        "cache_root": str(folder / "cache"),
        "output_root": str(folder / f"{fps:g}-{engine}"),
        "seeds": [0],
    }
    values |= {"analysis_fps": fps, "sampling": "custom", "anomaly_fps": 1.0, "normal_fps": 1.0, "head_epochs": 1}
    values |= {"finetune_epochs": 0, "image_size": 160, "inference": engine, "world_test_videos": 2, **changes}
    config = smoke.model_copy(update=values)
    corpus, system = load_corpus(config), find_system(name)
    views = list(system.material(config, corpus).views.values())
    for network in dict.fromkeys(system.networks(config).values()):
        rows = min(len(views[0]), CALIBRATED)
        images = [one.images("frame", range(min(len(one), rows))) for one in views]
        batch = network.preprocess(np.concatenate(images)[:CALIBRATED])
        frozen(network, config, batch, export=True)
    save_models(runner.run(config, corpus, system))
    return find_model(config.output_dir, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the video")
    parser.add_argument("--fps", default="3", help="frames analysed a second, several by commas")
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = made_video(folder / "video.mp4", seed=0, frames=round(30 * given.seconds))
        for title, (system, changes) in SYSTEMS.items():
            for fps in map(float, given.fps.split(",")):
                for engine in ENGINES:
                    try:
                        verdict = score(video, trained(folder, system, changes, fps, engine))
                    except VadkitError as error:
                        print(f"{title}, {fps:g} a second, {engine}: {error}", flush=True)
                        continue
                    stages = {stage: 1000 * spent / verdict.analysed for stage, spent in verdict.seconds.items()}
                    factor = verdict.real_time_factor
                    lines.append({"system": title, "fps": fps, "engine": engine, "factor": factor, "ms": stages})
                    spent = ", ".join(f"{stage} {value:.1f}" for stage, value in stages.items())
                    print(f"{title}, {fps:g} a second, {engine:<14}{factor:6.1f} times; ms: {spent}", flush=True)
    print(json.dumps({"benchmark": "realtime", "cores": os.cpu_count(), "results": lines}))


if __name__ == "__main__":
    main()
