"""The kinds of files that `fuzz.py` damages: what writes undamaged ones, and the package's own way to read them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from mutations import renamed  # noqa: E402

from vadkit.core.errors import VadkitError  # noqa: E402
from vadkit.workbook import cli  # noqa: E402

SYSTEMS = ("1S-no-bag", "MIL learner")  # of the two ways to make a model
CODECS = {"a.mp4": "libx264", "b.avi": "mpeg4", "c.ts": "libx264", "d.mkv": "libx264", "e.h264": "libx264"}
CODECS |= {"f.webm": "libvpx", "g.mov": "mjpeg"}


def say(error: VadkitError) -> None:
    """Print an error as `vadkit` does."""
    app, cli.app = cli.app, SimpleNamespace(main=lambda **_: (_ for _ in ()).throw(error))
    try:
        cli.main([])
    except SystemExit:
        pass
    finally:
        cli.app = app


def make_videos(folder: Path) -> None:
    import av
    from conftest import moving_square

    for name, codec in CODECS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.thread_count = 1
            for image in moving_square(30):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode())


def read_video(folder: Path, changed: Path) -> Any:
    from vadkit.core.video import read_frames

    frames, pixels = read_frames(folder / changed), hashlib.sha256()
    try:
        for number, image in frames:
            pixels.update(b"%d" % number + image.tobytes())
        found = frames.decoded
        return found.frames, found.fps, found.notes, pixels.hexdigest()
    finally:
        frames.close()


def make_trees(folder: Path) -> None:
    """UCF-Crime with UCFCrime2Local's lists, with its own, and a table of clips, of empty videos."""
    train, test = ["Assault001", "Robbery002", "Normal_Videos001"], ["Assault003", "Robbery004", "Normal_Videos_003"]
    boxes = "\n".join(f'0 1 1 9 9 {frame} {int(frame > 8)} 0 0 "x"' for frame in range(12))
    temporal = "Assault003_x264.mp4 Assault 5 9 -1 -1\nRobbery004_x264.mp4 Robbery 2 4 7 9\n"
    texts = {
        **{f"{root}/videos/{name}_x264.mp4": "" for root in ("local", "official") for name in (*train, *test)},
        **{f"local/annotations/{name}.txt": boxes for name in (*train, *test) if "Normal" not in name},
        **dict.fromkeys(("local/Train_split_AD.txt", "official/Anomaly_Train.txt"), "\n".join(train)),
        **dict.fromkeys(("local/Test_split_AD.txt", "official/Anomaly_Test.txt"), "\n".join(test)),
        "local/sources.csv": "\n".join(["name,source", *(f"{name},s{name[-1]}" for name in train)]),
        "official/Temporal_Anomaly_Annotation.txt": temporal + "Normal_Videos_003_x264.mp4 Normal -1 -1 -1 -1",
        "clips/clips.csv": "path,label,source,start,end,category\nfight/a.mp4,1,s1,3,9,Fighting\n"
        "fight/a.mp4,1,s1,15,20,Fighting\nfight/b.mp4,1,s2,,,\ncalm/c.mp4,0,s3,,,\n",
        **{f"clips/{name}.mp4": "" for name in ("fight/a", "fight/b", "calm/c")},
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read_tree(folder: Path, changed: Path) -> Any:
    from vadkit.core.parameters import make_config
    from vadkit.corpora import load_corpus
    from vadkit.workbook import checks

    root = changed.parts[0]
    kind = {"corpus": "folder", "split": "grouped_cv"} if root == "clips" else {"corpus": "ucf_crime"}
    corpus = load_corpus(make_config({**kind, "data_root": str(folder / root)}))
    checks.describe(corpus)
    return [(v.name, v.category, v.split, v.source, v.intervals, v.frame_labels(30).tolist()) for v in corpus.videos]


def make_scores(folder: Path) -> None:
    videos = {"Abuse001": (80, "17 40 -1 -1"), "Arson002": (81, "1 20 61 70"), "Normal_Videos_003": (43, "-1 -1 -1 -1")}
    files = {"scores.csv": ["video,class,frames,s0,s1,s2,s3"], "lengths.csv": ["name,frames"], "annotation.txt": []}
    (folder / "frames").mkdir()
    for name, (frames, spans) in videos.items():
        files["scores.csv"].append(f"{name}_x264,{name[:6].strip('0_')},{frames},0.1,0.9,0.4,0.2")
        files["lengths.csv"].append(f"{name},{frames}")
        files["annotation.txt"].append(f"{name}_x264.mp4 {name[:6].strip('0_')} {spans}")
        np.save(folder / "frames" / f"{name}_x264.npy", np.random.default_rng(0).random(frames))
    by_frame = {name: {str(16 * k): 0.1 for k in range(frames // 16)} for name, (frames, _) in videos.items()}
    (folder / "scores.json").write_text(json.dumps(by_frame))
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines))


def read_scores(folder: Path, changed: Path) -> Any:
    from vadkit.core.parameters import make_config
    from vadkit.evaluation import external
    from vadkit.report import external_report

    scores = folder / {".npy": "frames", ".json": "scores.json"}.get(changed.suffix, "scores.csv")
    given = external.read(scores, folder / "annotation.txt", lengths=folder / "lengths.csv")
    config = make_config({"bootstrap_resamples": 3})
    return external_report.as_text(given, external_report.evaluate(given, config), config)


def make_features(folder: Path) -> None:
    draw = np.random.default_rng(0)
    np.save(folder / "Abuse001_x264.npy", draw.random((6, 8), np.float32))
    np.save(folder / "Arson002_i3d.npy", draw.random((5, 10, 8), np.float32))
    np.savetxt(folder / "Normal_Videos_003.txt", draw.random((32, 8)), "%.4f")


def read_features(folder: Path, changed: Path) -> Any:
    from vadkit.corpora.video import Video
    from vadkit.views import published_features, segments

    names = {"Abuse001": 90, "Arson002": 80, "Normal_Videos_003": 400}
    videos = [Video(name, Path(name), name[:5], "test", name, frames=n, fps=30.0) for name, n in names.items()]
    files, astray = published_features.find_published(folder, videos)
    clips, problems = published_features.read_published(files, videos, lambda video, frames, bag: bag)
    bags = [segments.segment_bag(one.starts, one.features, 400, 8).features.tolist() for one in clips]
    return bags, len(problems) + len(astray)


def make_parameters(folder: Path) -> None:
    shutil.copytree(REPOSITORY / "params", folder, dirs_exist_ok=True)


def read_parameters(folder: Path, changed: Path) -> Any:
    """As a file, and each line as `-p name value`."""
    from vadkit.core.parameters import load_params, parse_override

    for line in (folder / changed).read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
        name, _, text = line.partition(":")
        try:
            parse_override(name, text.strip())
        except VadkitError as error:
            say(error)
    return load_params(folder / changed).model_dump()


def make_notebooks(folder: Path) -> None:
    for path in sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))[::5]:
        shutil.copy(path, folder)


def read_notebooks(folder: Path, changed: Path) -> Any:
    from vadkit.core.config import Config
    from vadkit.workbook import notebooks

    found = notebooks.find_notebooks(folder)
    problems = [notebooks.parameters_problems(one.content) for one in found]
    sound = [one.content for one, wrong in zip(found, problems, strict=True) if not wrong]
    differ = [notebooks.changed_parameters(one, Config().model_dump()) for one in sound]
    needed = [[n.name for n in notebooks.needs(one, found)] for one in notebooks.select(found, None, None)]
    notebooks.renew_parameters_cells(folder)
    return problems, differ, needed, [notebooks.code_cells(one.content) for one in found]


def make_tables(folder: Path) -> None:
    from vadkit.core.config import Config
    from vadkit.corpora.video import Problem
    from vadkit.report import rows
    from vadkit.workbook import receipts

    config = Config(profile="fuzz", output_root=str(folder))
    for name in ("02_a", "04_b"):
        key, numbers = ("", "table 1", "a system", f"metric {name}", "%", "ours"), (81.5, 80.0, 83.0, 3, 9)
        row = rows.ResultRow(*key, *numbers, "", None, "", "", "", config.fingerprint())
        rows.save_rows(config, name, [row])
        rows.save_problems(config, name, [Problem("a.mp4, line 3", f"odd, in {name}", left_out=True)])
        receipts.write_receipt(config.output_dir, name, "abc", {"seeds": [0]}, 1.0, ["results.csv"])
    shutil.copytree(REPOSITORY / "notebooks" / "recorded" / "demo", folder / "recorded")


def read_tables(folder: Path, changed: Path) -> Any:
    from vadkit.core.config import Config
    from vadkit.corpora import load_corpus
    from vadkit.report import rows
    from vadkit.systems import recorded, runner
    from vadkit.workbook import receipts

    if changed.parts[0] == "recorded":
        config = Config(corpus="recorded", data_root=str(folder / "recorded"), seeds=[0])
        run = runner.run(config, corpus := load_corpus(config), "2S-bag-ha")
        scored = [(one.name, one.confidence.tolist(), one.labels.tolist()) for one in run.by_seed()[0]]
        return scored, [part.tolist() for part in recorded.features(corpus)]
    config = Config(profile="fuzz", output_root=str(folder))
    shown, said = rows.split_current(rows.load_results(config))
    found = [repr(row) for row in rows.rows_of(shown)]
    stale = [receipts.why_stale(config.output_dir, name, "abc") for name in ("02_a", "04_b")]
    rows.save_problems(config, "05_c", [])
    return found, said, stale, [receipts.left_by(config.output_dir, name) for name in ("02_a", "04_b")]


def make_named(folder: Path) -> None:
    from conftest import moving_square, write_video

    for n in range(6):
        write_video(folder / "data" / ("fight", "noFight")[n % 2] / f"v{n}.mp4", moving_square(8))
    for name in ("params", "notebooks"):
        (folder / name).mkdir()
    (folder / "params" / "p.yaml").write_text("corpus: folder\nsplit: grouped_cv\ndata_root: data\n")


def read_named(folder: Path, changed: Path) -> Any:
    """What `vadkit data` prints, and the videos' samples."""
    from vadkit.corpora import load_corpus
    from vadkit.views import frames

    os.chdir(folder)
    config = the_config(folder, corpus="folder", split="grouped_cv", data_root="data")
    cli.main(["data", "params/p.yaml"])
    views, problems = frames.extract(load_corpus(config).videos, config)
    for problem in problems:
        say(VadkitError(f"{problem.where}: {problem.what}"))
    return len(views), len(problems)


def make_weights(folder: Path) -> None:
    import torch

    from vadkit.models.network import build_network

    state = build_network("i3d_rgb", "random", width=0.125, size=32).state_dict()
    torch.save(state, folder / "mine.pt")
    np.savez(folder / "mine.npz", **{name: value.numpy() for name, value in state.items()})


def read_weights(folder: Path, changed: Path) -> Any:
    from vadkit.models.network import build_network

    state = build_network("i3d_rgb", str(folder / changed), width=0.125, size=32).state_dict()
    return [float(value.double().sum()) for value in state.values()]


def make_detectors(folder: Path) -> None:
    from ultralytics import YOLO

    from vadkit.models import detector

    shutil.copy(detector.WORLD_WEIGHTS, folder / "mine.onnx")
    made = YOLO("yolov8n.yaml")  # with random weights
    made.model.names = dict(enumerate(detector.COCO_CLASSES))
    made.save(folder / "mine.pt")


def read_detector(folder: Path, changed: Path, weights: str = "") -> Any:
    import cv2
    from conftest import moving_square

    from vadkit.core.parameters import make_config
    from vadkit.views.objects import Detector

    values = {"detector_weights": weights or str(folder / changed), "cache_root": str(folder / "cache")}
    config = make_config({**values, "detector_size": 160, "detector_confidence": 0.05})
    return Detector(config).detect(cv2.resize(moving_square(1)[0], (320, 240))).tolist()


def make_assets(folder: Path) -> None:
    from vadkit.models import detector

    shutil.copytree(detector.ASSETS, folder, dirs_exist_ok=True)


def read_asset(folder: Path, changed: Path) -> Any:
    from vadkit.models import detector, network, pretrained

    detector.ASSETS = pretrained.ASSETS = folder
    detector.WORLD_WEIGHTS = folder / detector.WORLD_WEIGHTS.name
    if changed.suffix == ".onnx":
        return read_detector(folder, changed, "world")
    name = changed.stem.removeprefix("world_") if changed.suffix == ".npz" else "c3d"
    if pretrained.weights_file(name, "world").parent != folder:
        raise AssertionError("the damaged asset is not the one that is read")
    state = network.build_network(name, "world", width=pretrained.WORLD_WIDTH, size=32).state_dict()
    return [float(value.double().sum()) for value in state.values()]


def the_config(folder: Path, **changes: Any) -> Any:
    from tiny import live_config

    return live_config(folder, "fuzz", mil_segments=4, **changes)


def the_runs(folder: Path) -> list:
    """Two systems on eight videos, trained where the cache has them not."""
    from vadkit.corpora.video import Corpus, Video
    from vadkit.systems import runner

    videos = []
    for n, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        category, spans = ("Fighting", ((12, 36),)) if n % 2 else ("Normal", ())
        videos.append(Video(f"v{n}", folder / "videos" / f"v{n}.mp4", category, split, f"v{n}", spans))
    return [runner.run(the_config(folder), Corpus("tiny", tuple(videos)), name) for name in SYSTEMS]


def make_run(folder: Path) -> None:
    from conftest import moving_square, write_video
    from tiny import LIVE_FPS, live_corpus

    from vadkit.systems.record import save_models

    live_corpus(folder / "videos")
    write_video(folder / "new.mp4", moving_square(9), LIVE_FPS)
    save_models(*the_runs(folder))


def read_cache(folder: Path, changed: Path) -> Any:
    """The scores of the runs that the cache holds."""
    scored = [one for run in the_runs(folder) for one in run.by_seed()[0]]
    return [(one.name, one.index.tolist(), one.confidence.tolist()) for one in scored]


def read_model(folder: Path, changed: Path) -> Any:
    """The scores of a new video, by the recorded model that the file belongs to."""
    from vadkit.live.score import score
    from vadkit.systems.record import find_model

    run, table = folder / "outputs" / "fuzz", folder / "scored.csv"
    of = [n for n in SYSTEMS if n == changed.stem or changed.parent.name in (run / f"models/{n}.json").read_text()]
    verdict = score(folder / "new.mp4", find_model(run, of[0]), table=table)
    return verdict.share, table.read_text()


@dataclass(frozen=True)
class Kind:
    """make: writes undamaged files; read: what comes of them, after this one was damaged. imports: modules that both
    need. files: which are damaged; promised: of which a digest is kept, so that another result is a fault; ways: of
    damage, instead of the suffix's."""

    make: Callable[[Path], None]
    read: Callable[[Path, Path], Any]
    imports: str = ""
    files: str = r".*"
    promised: str = r"(?!)"
    ways: dict | None = None


NETWORKS = "torch torchvision vadkit.models.network tiny"
RUNS = f"{NETWORKS} vadkit.live.score vadkit.systems.trainer vadkit.systems.mil vadkit.systems.bag_trainer"
KINDS = {
    "video": Kind(make_videos, read_video, "conftest av vadkit.core.video"),
    "lists": Kind(make_trees, read_tree, "vadkit.workbook.checks", r".*(AD|Train|Test|sources|clips)\.(txt|csv)"),
    "annotations": Kind(make_trees, read_tree, "vadkit.workbook.checks", r".*(Annotation|annotations/.*)\.txt"),
    "scores": Kind(make_scores, read_scores, "vadkit.report.external_report"),
    "features": Kind(make_features, read_features, "vadkit.views.published_features"),
    "tables": Kind(make_tables, read_tables, "vadkit.systems.runner", r".*\.(csv|json|npz)", r"recorded/.*"),
    "parameters": Kind(make_parameters, read_parameters, "vadkit.core.parameters"),
    "notebooks": Kind(make_notebooks, read_notebooks, "vadkit.workbook.notebooks"),
    "names": Kind(make_named, read_named, NETWORKS + " vadkit.views.frames", r"data/.*", ways={"renamed": renamed}),
    "weights": Kind(make_weights, read_weights, NETWORKS),
    "detectors": Kind(make_detectors, read_detector, NETWORKS + " ultralytics.models.yolo.model"),
    "assets": Kind(make_assets, read_asset, NETWORKS + " ultralytics.models.yolo.model", promised=r".*"),
    "models": Kind(make_run, read_model, RUNS, r"(outputs/fuzz|cache)/models/.*", promised=r".*"),
    # not the pictures: nobody reads them while there are features
    "cache": Kind(make_run, read_cache, RUNS, r"cache/.*\.(npy|npz|json|pt)", promised=r".*"),
}
