"""The network of a run's model folder at scoring time: what it says of images and of whole videos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vadkit.core.code import code_version
from vadkit.core.compute import device_of
from vadkit.core.digests import digest
from vadkit.core.store import Store
from vadkit.evaluation.scores import VideoScores
from vadkit.models.network import Network, as_tensors
from vadkit.models.network import recalled as remembered_networks
from vadkit.models.two_stream import Head, TwoStream, confidence
from vadkit.systems.base import System, recalled
from vadkit.systems.inputs import FrameInputs
from vadkit.systems.record import read_facts, read_state
from vadkit.views.frames import Samples

Reading = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Scorer:
    """A trained network with its pretrained streams, ready for images; networks: by stream. See `load_model`."""

    model: TwoStream
    system: System
    networks: Mapping[str, Network]

    def confidence(self, images: Mapping[str, np.ndarray], bags=None, read: Reading = confidence) -> np.ndarray:
        """Confidence of the anomaly class. Shape: (n, S, S, 3) uint8 RGB, or clips (n, T, S, S, 3), for each of
        `networks`, (n, 80) -> (n,) in [0, 1].

        read: what is made of the logits, where it is something else. Raises KeyError for a stream without images.
        """
        device = next(self.model.parameters()).device
        bags = None if bags is None else torch.as_tensor(bags, device=device)
        with torch.no_grad():
            return read(self.model(as_tensors(self.networks, images, device), bags)).cpu().numpy()


def load_model(path: str | Path, device: str = "cpu") -> Scorer:
    """Rebuild a trained network from a run's model folder, in evaluation mode. Raises DataError where the folder holds
    no model, WeightsError where a network's weights are no longer those that it was trained with."""
    facts, state = read_facts(path, "head"), read_state(path)
    networks = remembered_networks(facts["networks"])
    model = TwoStream([network.build() for network in networks.values()], Head(**facts["head"]))
    (model if facts["finetuned"] else model.head).load_state_dict(state)
    return Scorer(model.to(device).eval(), recalled(facts["name"], facts["system"]), networks)


def score(inputs: FrameInputs, model_path: Path, samples: Sequence[Samples]) -> list[VideoScores]:
    """Scores of videos by the model in a run's folder; the confidences are cached, the labels come with the samples.
    Raises as `confidences` does where they are not cached yet."""
    config = inputs.config
    pairs = [(one, one.rows("score", config)) for one in samples]
    videos = [[one.digest, digest(rows.tolist())] for one, rows in pairs]
    key = {"model": model_path.name, "videos": videos, "code": code_version(__name__)}

    def build(folder: Path) -> None:
        confident = confidences(inputs, model_path)
        np.savez(folder / "scores.npz", *(confident(one, rows) for one, rows in pairs))

    with np.load(Store(config.cache_dir).fetch("scores", key, build) / "scores.npz") as arrays:
        return [VideoScores.of(one, one.index[rows], arrays[f"arr_{n}"]) for n, (one, rows) in enumerate(pairs)]


def confidences(inputs: FrameInputs, model_path: Path, read: Reading = confidence) -> Callable:
    """What gives a model's confidences: (samples, rows) -> (k,) in [0, 1], from cached features where the streams are
    as pretrained, else from images.

    read: what is made of the logits, where it is something else. Raises DataError where the folder holds no model, and
    as `load_model` does where it takes images.
    """
    facts = read_facts(model_path, "head")
    if facts["finetuned"]:
        scorer = load_model(model_path, device_of(inputs.config))

        def from_images(one: Samples, rows: np.ndarray) -> np.ndarray:
            found = []
            for part in np.split(rows, range(inputs.image_rows, len(rows), inputs.image_rows)):
                images = {stream: one.images(stream, part) for stream in scorer.networks}
                found.append(scorer.confidence(images, one.bags[part], read))
            return np.concatenate(found)

        return from_images
    head = Head(**facts["head"]).eval()
    head.load_state_dict(read_state(model_path))

    def from_features(one: Samples, rows: np.ndarray) -> np.ndarray:
        seen = torch.from_numpy(inputs.features(one, rows)), torch.from_numpy(one.bags[rows])
        with torch.no_grad():
            return read(head(*seen)).numpy()

    return from_features
