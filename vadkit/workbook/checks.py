"""What a run needs besides its parameters: data, weights, a device. Looked at before the first kernel starts.

Nothing is rendered, decoded or downloaded here, and torch is imported only to ask for a GPU.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vadkit.core.compute import engine_version
from vadkit.core.config import Config, resolve
from vadkit.core.errors import ConfigError, VadkitError
from vadkit.core.processes import connected
from vadkit.corpora.video import NORMAL, Corpus
from vadkit.models import pretrained
from vadkit.workbook.notebooks import Notebook

SPLITS = {"train": "training", "val": "validation", "test": "test", "unseen": "test, classes never trained on"}
SPLITS["all"] = "cross-validation"
OF_RECORDED = ("08", "12")  # what works on the recorded scores of a run
OTHERS = "a reader of yours"  # registered by `vadkit.corpora.register_corpus`
COME_FROM = {
    "synthetic": "rendered by the project itself into cache_root, the first time that a notebook needs it",
    "ucf_crime": "UCF-Crime (Sultani et al. 2018): https://www.crcv.ucf.edu/projects/real-world/ ; frame labels of "
    "UCFCrime2Local (Landi et al. 2019): https://github.com/FedericoLandi/UCFCrime2Local",
    "recorded": "`python docs/record_run.py` writes it from a finished run",
    "folder": "videos of your own, or the Surveillance Camera Fight Dataset (Akti et al. 2019): "
    "https://github.com/seymanurakti/fight-detection-surv-dataset",
}


@dataclass(frozen=True)
class Finding:
    what: str
    problem: bool = False  # the run cannot work; otherwise it is good to know


def findings(config: Config, notebooks: Sequence[Notebook] = ()) -> list[Finding]:
    """Everything that can be said of data, weights and device before a run; problems name their remedy.

    notebooks: those that are to run, for weights that only some of them need.
    """
    if config.corpus == "recorded":
        return [_data(config), *_recorded(notebooks), *_given_files(config)]
    if lacking := no_pixels(config):
        said = f"videos: {lacking} What looks at pixels is skipped and says so; the rest runs on mil_published"
        return [_data(config), Finding(said), *_device(config), *_given_files(config)]
    return [
        _data(config),
        *_detector(config),
        _weights(config, config.backbone, "backbone"),
        *_video_networks(config, notebooks),
        *_device(config),
        *_scheduler(config),
        *_given_files(config),
    ]


def no_pixels(config: Config) -> str:
    """Why a run can look at no video, as `Corpus.no_pixels`. Raises as `load_corpus` does."""
    from vadkit.corpora import load_corpus

    return load_corpus(config).no_pixels if config.listed_alone else ""


def require(config: Config, notebooks: Sequence[Notebook] = ()) -> None:
    """Raise ConfigError with every problem that would stop a run of these notebooks."""
    problems = [finding.what for finding in findings(config, notebooks) if finding.problem]
    if problems:
        raise ConfigError("\n  ".join(["this run cannot work yet:", *problems]) if len(problems) > 1 else problems[0])


def describe(corpus: Corpus, most: int = 20) -> list[str]:
    """Lines that count a corpus: videos per split and class, and at most so many of what was left out and mended."""
    lines = [corpus.no_pixels] if corpus.no_pixels else []
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
    for title, left_out in (("left out", True), ("mended or odd", False)):
        some = [f"    {p.where}: {p.what}" for p in corpus.problems if p.left_out == left_out]
        rest = [f"    and {len(some) - most} more; --all lists them"] if len(some) > most else []
        lines += [f"{title}: {len(some)}", *some[:most], *rest] if some else []
    return lines


def _looked(title: str, look: Callable[[], str], remedy: str = "") -> Finding:
    """What `look` says, or why it cannot."""
    try:
        return Finding(f"{title}: {look()}")
    except VadkitError as error:
        return Finding(f"{title}: {error}{remedy}", problem=True)


def _data(config: Config) -> Finding:
    from vadkit.corpora import load_corpus

    root = resolve(config.data_root)

    def look() -> str:
        corpus = load_corpus(config)
        left_out = sum(p.left_out for p in corpus.problems)
        note = f", {left_out} left out (`vadkit data` lists them)" if left_out else ""
        where = "UCF-Crime's lists" if corpus.no_pixels else root
        return f"{len(corpus.videos)} videos in {where}{note}"

    if config.corpus == "synthetic":
        about = f"about {config.world_train_videos + config.world_test_videos} videos of {config.world_seconds:g} s"
        return Finding(f"data: the synthetic world, {about}, rendered when first needed")
    if not os.path.isdir(root) and not config.listed_alone:
        remedy = f"put the videos there or set data_root. Data: {COME_FROM.get(config.corpus, OTHERS)}"
        return Finding(f"data_root: no folder {root}; {remedy}", problem=True)
    return _looked("data", look)


def _recorded(notebooks: Sequence[Notebook]) -> Iterator[Finding]:
    others = [notebook.number for notebook in notebooks if notebook.number not in OF_RECORDED]
    if others:
        what = f"a recorded run has scores alone, and notebook {others[0]} needs more"
        yield Finding(f"{what}; say --only {','.join(OF_RECORDED)}, or take params/demo.yaml", problem=True)


def _detector(config: Config) -> Iterator[Finding]:
    if config.detector_weights == "none":
        what = "detector_weights is 'none', but the notebooks' systems count objects"
        yield Finding(f"{what}; give 'world', 'yolov8n.pt' or a path to .pt or .onnx", problem=True)
        return
    yield _weights(config, "detector", "detector")
    if config.detector_weights == "world" and config.corpus != "synthetic":
        little = "on real videos its counts mean little, use YOLO weights for COCO"
        yield Finding(f"detector: 'world' was trained on the synthetic world; {little}")


def _weights(config: Config, network: str, title: str, remedy: str = "") -> Finding:
    return _looked(title, lambda: pretrained.note(config, network), remedy)


def _video_networks(config: Config, notebooks: Sequence[Notebook]) -> Iterator[Finding]:
    """Weights of the 3D networks, where a notebook runs a system that sees clips, or learns from their features."""
    from vadkit.systems.base import all_systems

    users: dict[str, set[str]] = {network: set() for network, row in pretrained.NETWORKS.items() if row.kind}
    for system in all_systems().values():
        numbers = {n.number for n in notebooks}.intersection(system.notebooks)
        for network in system.needs(config).values() if numbers else ():
            if network in users:
                users[network] |= numbers
            elif network not in (built := [name for name, row in pretrained.NETWORKS.items() if row.build]):
                remedy = f"give one of {', '.join(built)}, or add yours to pretrained.NETWORKS"
                yield Finding(f"{system.name}: there is no network '{network}'; {remedy}", problem=True)
    for network, numbers in users.items():
        if numbers:
            title = f"{network}, for notebook{'s' * (len(numbers) > 1)} {' and '.join(sorted(numbers))}"
            yield _weights(config, network, title, "; or leave these notebooks out with --only")


def _given_files(config: Config) -> Iterator[Finding]:
    """Scores and features of others, where they are given."""
    paths = {name: resolve(getattr(config, name)) for name in ("evaluate_scores", "evaluate_annotations")}

    def look() -> str:
        from vadkit.evaluation import external

        given = external.read(*paths.values())
        return f"{len(given.videos)} videos, {given.layout}"

    if config.evaluate_scores:
        remedy = "set it to where the file is, or leave both empty for our own system's scores"
        gone = [f"{name}: there is no {path}; {remedy}" for name, path in paths.items() if not os.path.exists(path)]
        yield Finding(gone[0], problem=True) if gone else _looked("evaluate_scores", look)
    if config.mil_published:
        from vadkit.corpora import load_corpus
        from vadkit.views.published_features import feature_files, find_published

        def matched() -> str:
            if config.corpus == "synthetic":  # whose names are known once it is rendered
                return f"{len(feature_files(resolve(config.mil_published)))} files of features"
            videos = [v for v in load_corpus(config).videos if v.split != "unseen"]
            found, problems = find_published(resolve(config.mil_published), videos)
            astray = len(problems) - len(videos) + len(found)
            files = f"; {astray} files have no listed video's name, the first: {problems[0].where}" if astray else ""
            return f"features of {len(found)} of {len(videos)} listed videos{files}"

        remedy = "; leave it empty, get them where the parameter file says, or make some (`vadkit features text`)"
        yield _looked("mil_published", matched, remedy)


def _scheduler(config: Config) -> Iterator[Finding]:
    def look() -> str:
        client = connected(config.scheduler)
        workers = len(client.nthreads())
        client.close()
        return f"{config.scheduler} has {workers} worker{'s' * (workers > 1)}"

    if config.scheduler != "local":
        yield _looked("scheduler", look)


def _device(config: Config) -> Iterator[Finding]:
    if config.inference not in ("auto", "torch"):
        yield _looked("inference", lambda: f"{config.inference} {engine_version(config.inference)}")
    if config.device != "cuda":
        return
    import torch

    if torch.cuda.is_available():
        yield Finding(f"device: {torch.cuda.get_device_name()}")
    else:
        yield Finding("device is 'cuda' but torch sees no GPU; use device: auto or cpu", problem=True)
