"""What a run needs besides its parameters: data, weights, a device. Looked at before the first kernel starts.

Nothing is rendered, decoded or downloaded here, and torch is imported only to ask for a GPU.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vadkit.core.config import Config, resolve
from vadkit.core.errors import ConfigError, VadkitError
from vadkit.corpora.video import NORMAL, Corpus
from vadkit.models import pretrained
from vadkit.workbook.notebooks import Notebook
from vadkit.workbook.receipts import code_cells

SPLITS = {
    "train": "training",
    "val": "validation",
    "test": "test",
    "unseen": "test, classes never trained on",
    "all": "cross-validation",
}
COME_FROM = {
    "synthetic": "rendered by the project itself into cache_root, the first time that a notebook needs it",
    "ucf_crime": "UCF-Crime (Sultani et al. 2018): https://www.crcv.ucf.edu/projects/real-world/ ; frame labels of UCFCrime2Local (Landi et al. 2019): https://github.com/FedericoLandi/UCFCrime2Local",
    "folder": "videos of your own, or the Surveillance Camera Fight Dataset (Akti et al. 2019): https://github.com/seymanurakti/fight-detection-surv-dataset",
}


@dataclass(frozen=True)
class Finding:
    what: str
    problem: bool = False  # the run cannot work; otherwise it is good to know


def findings(config: Config, notebooks: Sequence[Notebook] = ()) -> list[Finding]:
    """Everything that can be said of data, weights and device before a run; problems name their remedy.

    notebooks: those that are to run, for weights that only some of them need.
    """
    return [
        *_data(config),
        *_detector(config),
        _weights(config, config.backbone, "backbone"),
        *_video_networks(config, notebooks),
        *_device(config),
        *_given_scores(config),
        *_published_features(config),
    ]


def require(config: Config, notebooks: Sequence[Notebook] = ()) -> None:
    """Raise ConfigError with every problem that would stop a run of these notebooks."""
    problems = [finding.what for finding in findings(config, notebooks) if finding.problem]
    if problems:
        raise ConfigError("\n  ".join(["this run cannot work yet:", *problems]) if len(problems) > 1 else problems[0])


def describe(corpus: Corpus) -> list[str]:
    """Lines that count a corpus: videos per split and class, and what was left out or mended."""
    lines = []
    for split, words in SPLITS.items():
        videos = corpus.of(split)
        if not videos:
            continue
        anomalous = sum(v.label for v in videos)
        coarse = sum(v.intervals is None for v in videos)
        note = f"; {coarse} with a label for the whole video only" if coarse else ""
        lines.append(f"{words}: {len(videos)} videos, {anomalous} anomalous and {len(videos) - anomalous} normal{note}")
        classes = Counter(v.category for v in videos if v.category != NORMAL)
        lines += [f"    {category:<20} {count}" for category, count in sorted(classes.items())]
    left_out = [p for p in corpus.problems if p.left_out]
    mended = [p for p in corpus.problems if not p.left_out]
    for title, some in (("left out", left_out), ("mended or odd", mended)):
        if some:
            lines.append(f"{title}: {len(some)}")
            lines += [f"    {p.where}: {p.what}" for p in some]
    return lines


def _data(config: Config) -> Iterator[Finding]:
    if config.corpus == "synthetic":
        videos = config.world_train_videos + config.world_test_videos
        yield Finding(
            f"data: the synthetic world, about {videos} videos of {config.world_seconds:g} s, rendered when first needed"
        )
        return
    from vadkit.corpora import load_corpus

    root = resolve(config.data_root)
    if not root.is_dir():
        yield Finding(
            f"data_root: no folder {root}; put the videos there or set data_root. Data: {COME_FROM[config.corpus]}",
            problem=True,
        )
        return
    try:
        corpus = load_corpus(config)
    except VadkitError as error:
        yield Finding(f"data: {error}", problem=True)
        return
    left_out = sum(p.left_out for p in corpus.problems)
    yield Finding(
        f"data: {len(corpus.videos)} videos in {root}"
        + (f", {left_out} left out (`vadkit data` lists them)" if left_out else "")
    )


def _detector(config: Config) -> Iterator[Finding]:
    name = config.detector_weights
    if name == "none":
        remedy = "give 'world', 'yolov8n.pt' or a path to .pt or .onnx"
        what = f"detector_weights is 'none', but the notebooks' systems count objects; {remedy}"
        yield Finding(what, problem=True)
        return
    yield _weights(config, "detector", "detector")
    if name == "world" and config.corpus != "synthetic":
        yield Finding(
            "detector: 'world' was trained on the synthetic world; on real videos its counts mean little, use YOLO "
            "weights for COCO"
        )


def _weights(config: Config, network: str, title: str, remedy: str = "") -> Finding:
    problem = pretrained.missing(config, network)
    what = problem + remedy if problem else pretrained.note(config, network)
    return Finding(f"{title}: {what}", problem=bool(problem))


def _video_networks(config: Config, notebooks: Sequence[Notebook]) -> Iterator[Finding]:
    """Weights of the 3D networks, where a notebook names a system that sees clips, or learns from their features."""
    from vadkit.systems.base import SYSTEMS

    users: dict[str, list[str]] = {}
    for notebook in notebooks:
        code = "\n".join(code_cells(notebook.content))
        kinds = {system.network for name, system in SYSTEMS.items() if re.search(f"[\"']{re.escape(name)}[\"']", code)}
        if "mil_training" in code and not config.mil_published:
            kinds.add(config.mil_features)
        for network in (network for kind in kinds for network in pretrained.clip_networks(kind).values()):
            users.setdefault(network, []).append(notebook.number)
    for network in (name for name in pretrained.NETWORKS if name in users):
        title = f"{network}, for notebook{'s' * (len(users[network]) > 1)} {' and '.join(users[network])}"
        yield _weights(config, network, title, "; or leave these notebooks out with --only")


def _given_scores(config: Config) -> Iterator[Finding]:
    if not config.evaluate_scores:
        return
    for name in ("evaluate_scores", "evaluate_annotations"):
        path = resolve(getattr(config, name))
        if not path.exists():
            yield Finding(
                f"{name}: there is no {path}; set it to where the file is, or leave both empty for our own system's scores",
                problem=True,
            )
            return
    from vadkit.evaluation import external

    try:
        given = external.read(resolve(config.evaluate_scores), resolve(config.evaluate_annotations))
    except VadkitError as error:
        yield Finding(f"evaluate_scores: {error}", problem=True)
        return
    yield Finding(f"evaluate_scores: {len(given.videos)} videos, {given.layout}")


def _published_features(config: Config) -> Iterator[Finding]:
    if not config.mil_published:
        return
    from vadkit.views.segments import feature_files

    try:
        yield Finding(f"mil_published: {len(feature_files(resolve(config.mil_published)))} files of features")
    except VadkitError as error:
        yield Finding(f"mil_published: {error}; or leave it empty for our own features", problem=True)


def _device(config: Config) -> Iterator[Finding]:
    if config.device != "cuda":
        return
    import torch

    if torch.cuda.is_available():
        yield Finding(f"device: {torch.cuda.get_device_name()}")
    else:
        yield Finding("device is 'cuda' but torch sees no GPU; use device: auto or cpu", problem=True)
