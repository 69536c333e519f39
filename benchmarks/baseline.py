"""What the first paper's released notebook does to a video, by its description, as the denominator of our figures.

    python benchmarks/baseline.py [VIDEO] [--minutes 1]

Every frame is read, brought to 320x240 and to RGB. Every tenth becomes a sample: its picture at 224x224, and
Farneback's flow from the sample before it as a picture. Both are float32 less ImageNet's means, appended to an
array of all samples before; one file a video. Written anew from a description of that notebook; held against ours.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from samples import made_video

from vadkit.core.parameters import make_config
from vadkit.corpora.video import Video
from vadkit.views.frames import extract

SIZE, STRIDE = 224, 10
MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # of ImageNet, blue green red
TOLERANCE = 1  # grey level: the largest difference from ours that counts as the same sample


def released_samples(path: Path, file: Path) -> int:
    """Write a video's samples as the released notebook does; returns how many. The first frame has no flow: it is left
    black, as ours is."""
    frames = np.empty((0, SIZE, SIZE, 3), np.float32)
    flows = np.empty((0, SIZE, SIZE, 3), np.float32)
    capture, number, previous = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0, None
    while True:
        done, image = capture.read()
        if not done:
            break
        image = cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA)
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if number % STRIDE == 0:
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            frames = np.append(frames, as_resnet_sees(rgb), axis=0)
            flows = np.append(flows, as_resnet_sees(flow_picture(previous, grey)), axis=0)
            previous = grey
        number += 1
    capture.release()
    np.savez(file, frames=frames, flows=flows)
    return len(frames)


def flow_picture(previous: np.ndarray | None, grey: np.ndarray) -> np.ndarray:
    """Hue is direction, value is speed stretched over 0..255. Shape: (240, 320) twice -> (240, 320, 3)."""
    if previous is None:
        return np.zeros((*grey.shape, 3), np.uint8)
    moved = cv2.calcOpticalFlowFarneback(previous, grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    speed, angle = cv2.cartToPolar(moved[..., 0], moved[..., 1], angleInDegrees=True)
    picture = np.full((*grey.shape, 3), 255, np.uint8)
    picture[..., 0] = (angle / 2).astype(np.uint8) % 180
    picture[..., 2] = cv2.normalize(speed, None, 0, 255, cv2.NORM_MINMAX)
    return cv2.cvtColor(picture, cv2.COLOR_HSV2RGB)


def as_resnet_sees(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (1, 224, 224, 3) float32, blue green red, less the means."""
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return (small[..., ::-1].astype(np.float32) - MEANS)[None]


def pictures(samples: np.ndarray) -> np.ndarray:
    """The way back: (n, 224, 224, 3) float32 -> uint8 RGB."""
    return np.rint(samples + MEANS).astype(np.uint8)[..., ::-1]


def our_config(cache: str | Path, method: str = "farneback", **more):
    """Our extraction of the same samples: every tenth of 30 frames a second, no detector."""
    wanted = {"cache_root": str(cache), "image_size": SIZE, "flow_method": method, "analysis_fps": 3.0}
    wanted |= {"detector_weights": "none", "workers": 1, "strict": True}
    return make_config(wanted | more)


def our_samples(path: Path, config):
    """One video's samples by the package, made anew where the cache lacks them."""
    (view,), _ = extract([Video(path.stem, path, "Normal", "test", "benchmark")], config)
    return view


def differences(path: Path, folder: Path) -> dict[str, int]:
    """Largest difference in grey levels between the baseline's samples and ours, of each stream."""
    released_samples(path, folder / "released.npz")
    view = our_samples(path, our_config(folder / "cache"))
    with np.load(folder / "released.npz") as released:
        of = {"frame": pictures(released["frames"]), "flow": pictures(released["flows"])}
    rows = np.arange(len(view))
    if len(of["frame"]) != len(view):
        raise SystemExit(f"the baseline makes {len(of['frame'])} samples of {path}, we make {len(view)}")
    return {s: int(np.abs(of[s].astype(int) - view.images(s, rows)).max()) for s in of}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0, help="of the video that is made where none is given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or made_video(Path(folder) / "made.mp4", seed=0, frames=round(1800 * options.minutes))
        found = differences(path, Path(folder))
    for stream, levels in found.items():
        print(f"{stream:6} differs from ours by {levels} grey levels at most")
    if max(found.values()) > TOLERANCE:
        raise SystemExit(f"more than the {TOLERANCE} that is tolerated: the baseline and ours are not the same samples")


if __name__ == "__main__":
    main()
