"""Scoring as a video comes: the experiment's numbers, looking back only, and what is kept when it breaks off."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from conftest import REPOSITORY, moving_square, write_lossless, write_video
from hypothesis import given
from hypothesis import strategies as st
from streams import camera
from tiny import LIVE_FPS, broken_off, live_config, live_corpus, rows, served
from toys import call

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError, DataError, DiskError
from vadkit.core.video import read_frames
from vadkit.corpora.video import Video
from vadkit.evaluation import sas
from vadkit.live.analysers import make_analyser
from vadkit.live.analysers.rows import Grid
from vadkit.live.score import Shot, _Session, describe, score
from vadkit.systems import runner
from vadkit.systems.base import all_systems, find_system
from vadkit.systems.record import find_model, save_models
from vadkit.views import clips, frames
from vadkit.views.sampling import Walk, plan

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(one_thread, tmp_path_factory):
    """A run of three kinds of system on eight tiny videos: its folder, its videos, its scores."""
    root = tmp_path_factory.mktemp("live")
    corpus, scores = live_corpus(root), {}
    for profile, system, changes in (
        ("grid", "2S-no-bag", {}),
        (
            "window",
            "2S-no-bag",
            {
                "frame_window": True,
                "speed_stream": True,
                "flow_pair": "gap",
                "flow_scale": "fixed",
                "feature_scale": "standard",
            },
        ),
        ("tuned", "1S-no-bag", {"finetune_epochs": 1, "finetune_lr": 1e-3}),
    ):
        config = live_config(root, profile, **changes)
        run = runner.run(config, corpus, system)
        save_models(run)
        scores[profile] = (
            find_model(root / "outputs" / profile, system),
            {one.name: one for one in run.seeds[0].scores},
        )
    return root, scores


# --- the same numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["grid", "window", "tuned"])
def test_the_confidences_are_the_experiments(trained, tmp_path, profile):
    root, scores = trained
    model, batch = scores[profile]
    for name, one in batch.items():
        verdict = score(root / f"{name}.mp4", model, table=tmp_path / "a.csv")
        found = rows(tmp_path / "a.csv")
        assert np.array_equal(found[:, 0], one.index) and (verdict.frames, verdict.analysed) == (
            one.frames,
            len(one.index),
        )
        assert np.allclose(found[:, 2], one.confidence, atol=1e-4)
        assert np.allclose(found[:, 1], one.index / LIVE_FPS, atol=1e-3)


@pytest.mark.parametrize("profile", ["grid", "window"])
def test_of_a_variable_rate_the_experiments_frames_are_scored_at_their_times(trained, tmp_path, profile):
    model, stamps = trained[1][profile][0], [*range(20), *range(20, 120, 10), *range(120, 140)]
    path = write_lossless(tmp_path / "v.mkv", stamps, moving_square(len(stamps)), LIVE_FPS)
    (seen,), _ = frames.extract([Video("v", path, "Normal", "test", "v", ())], model.config, purpose="score")
    verdict = score(path, model, table=tmp_path / "v.csv", overlay=tmp_path / "v.mp4")
    found = rows(tmp_path / "v.csv")
    assert verdict.frames == len(stamps) and np.array_equal(found[:, 0], seen.index)
    assert np.allclose(found[:, 1], np.array(stamps)[seen.index] / LIVE_FPS, atol=2e-3)
    score(path, model, table=tmp_path / "w.csv")  # without a film only wanted frames are converted
    assert np.array_equal(rows(tmp_path / "w.csv"), found)
    with av.open(str(tmp_path / "v.mp4")) as film:
        shown = [frame.time for frame in film.decode(video=0)]
    assert np.allclose(shown[: len(stamps)], np.array(stamps) / LIVE_FPS, atol=0.02)


def test_later_frames_change_nothing_before_them(trained):
    root, scores = trained
    model, _ = scores["window"]

    def readings(change_from: int) -> list[float]:
        analyser = make_analyser(model, model.config, LIVE_FPS)
        found = []
        for number, image in read_frames(root / "v6.mp4"):
            reading = analyser.see(number, 255 - image if number >= change_from else image)
            found += [reading] if reading else []
        return [one.confidence for one in found if one.frame < 24]

    undisturbed = readings(99)
    assert readings(24) == undisturbed and len(undisturbed) == 8
    assert readings(20) != undisturbed


def test_memory_does_not_grow_with_the_video(trained):
    _, scores = trained
    model, _ = scores["window"]
    analyser = make_analyser(model, model.config, LIVE_FPS)
    held = []
    for number, image in enumerate(moving_square(60)):
        analyser.see(number, image)
        held.append(len(analyser.rows._streams._grays) + len(analyser.rows._streams._flows))
    assert max(held[20:]) <= max(held[:20]) <= 20


@given(
    fps=st.sampled_from([5.0, 10.0, 12.5, 23.976, 25.0, 30.0, 60.0]),
    rate=st.sampled_from([1.0, 3.0, 5.0, 30.0]),
    gap=st.sampled_from([0.02, 0.1, 0.5]),
    pair=st.sampled_from(["grid", "adjacent", "sampled", "gap"]),
    window=st.booleans(),
)
def test_the_plan_in_closed_form_is_the_plan_of_the_samples(fps, rate, gap, pair, window):
    config = Config(analysis_fps=rate, flow_pair=pair, flow_gap_seconds=gap, frame_window=window)
    video, grid, frames = Video("v", Path("v.mp4"), "Normal", "test", "v", ()), Grid(config, fps), 150
    index, starts = plan(video, frames, fps, config, "score")
    assert [n for n in range(frames) if grid.is_row(n)] == index.tolist()
    assert [grid.start(n) for n in index.tolist()] == starts.tolist()
    walk = Walk(video, fps, config, "score", frames)
    assert [(grid.wants(n), grid.last_use(n)) for n in range(frames)] == [
        (walk.wants(n), walk.last_use(n)) for n in range(frames)
    ]


def test_share_and_alarm_hold_until_the_next_analysed_frame(trained, tmp_path):
    root, scores = trained
    model, _ = scores["grid"]
    config = model.config.model_copy(update={"sas_reactivity": 40.0, "sas_tau": 0.05})
    verdict = score(root / "v7.mp4", model, table=tmp_path / "a.csv", config=config)
    alarm = rows(tmp_path / "a.csv")[:, 4].astype(bool)
    assert verdict.share == pytest.approx(np.repeat(alarm, 3)[: verdict.frames].mean()) and verdict.abnormal
    assert rows(tmp_path / "a.csv")[:, 3][alarm].min() > 0.5
    calm = score(root / "v7.mp4", model, config=model.config.model_copy(update={"sas_tau": 0.99}))
    assert (calm.share, calm.word) == (0.0, "normal")
    assert describe(calm, model)[-1] == "normal: in alarm for 0.0 % of 40 frames"


# --- the film ---------------------------------------------------------------------------------------------------------


def test_the_film_plays_in_a_browser_and_ends_with_the_verdict(trained, tmp_path):
    root, scores = trained
    seen: list[Shot] = []
    verdict = score(root / "v6.mp4", scores["grid"][0], overlay=tmp_path / "deep" / "o.mp4", table=tmp_path / "o.csv")
    with av.open(str(tmp_path / "deep" / "o.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.width) == ("h264", "yuv420p", 640)
        assert stream.average_rate == 12
        seen = [frame.to_ndarray(format="bgr24") for frame in film.decode(stream)]
    assert len(seen) == verdict.frames + 24
    assert seen[-1][:480].mean() < 0.6 * seen[verdict.frames - 1][:480].mean()
    data = (tmp_path / "deep" / "o.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert len(rows(tmp_path / "o.csv")) == verdict.analysed
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "o.csv", "o.mp4"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_of_a_video_that_breaks_off_what_came_is_kept(trained, tmp_path, capsys):
    root, scores = trained
    model, _ = scores["grid"]
    whole, cut = broken_off(tmp_path)
    verdict = score(cut, model, overlay=tmp_path / "o.mp4", table=tmp_path / "o.csv")
    assert "truncated or damaged" in verdict.broken and 10 < verdict.frames < 40
    score(whole, model, table=tmp_path / "w.csv")
    assert np.array_equal(rows(tmp_path / "o.csv"), rows(tmp_path / "w.csv")[: verdict.analysed])
    assert (tmp_path / "o.mp4").stat().st_size > 0
    code, out, err = call(
        capsys,
        "score",
        str(cut),
        "--run",
        str(root / "outputs" / "grid"),
        "--system",
        "2S-no-bag",
        "--csv",
        str(tmp_path / "c.csv"),
    )
    assert code == 2 and "truncated or damaged" in err and "what was written of them is kept" in err
    assert (
        out.splitlines()[-1].startswith(("normal:", "abnormal:")) and len(rows(tmp_path / "c.csv")) == verdict.analysed
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b"", "empty file"), (b"<html>not found</html>", "text, perhaps a web page")],
)
def test_what_is_no_video_leaves_no_file(trained, tmp_path, content, said):
    video = tmp_path / "in.mp4"
    if content is not None:
        video.write_bytes(content)
    with pytest.raises(DataError, match=said):
        score(video, trained[1]["grid"][0], overlay=tmp_path / "o.mp4", table=tmp_path / "o.csv")
    assert (
        not (tmp_path / "o.mp4").exists()
        and not (tmp_path / "o.csv").exists()
        and len(list(tmp_path.iterdir())) == (content is not None)
    )


def test_outputs_that_cannot_be_written_are_refused_before_any_work(trained, tmp_path):
    root, scores = trained
    model, video = scores["grid"][0], root / "v6.mp4"
    (tmp_path / "file").write_text("")
    before = video.read_bytes()
    for overlay, said in (
        ("file/o.mp4", "see to it that it can be read and written"),
        ("o.avi", "ends in .mp4"),
        (str(video), "is the video itself"),
    ):
        with pytest.raises((DataError, DiskError), match=said):
            score(video, model, overlay=tmp_path / overlay)
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        score(video, model, table=tmp_path / "d.csv")
    assert video.read_bytes() == before


def test_an_error_midway_leaves_the_former_files(trained, tmp_path, monkeypatch):
    root, scores = trained
    for name in ("o.mp4", "o.csv"):
        (tmp_path / name).write_text("former")
    monkeypatch.setattr(sas.SasStream, "update", lambda self, value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(root / "v6.mp4", scores["grid"][0], overlay=tmp_path / "o.mp4", table=tmp_path / "o.csv")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"o.mp4": "former", "o.csv": "former"}


def test_stopped_by_hand_it_keeps_what_came(trained, tmp_path):
    root, scores = trained
    calls = iter(range(99))
    verdict = score(
        root / "v6.mp4",
        scores["grid"][0],
        overlay=tmp_path / "o.mp4",
        table=tmp_path / "o.csv",
        stopped=lambda: next(calls) >= 10,
    )
    assert verdict.stopped and verdict.frames == 10 and len(rows(tmp_path / "o.csv")) == 4
    assert describe(verdict, scores["grid"][0])[-1].endswith("of 10 frames, stopped by hand")


# --- streams and the command ------------------------------------------------------------------------------------------


def test_a_stream_is_scored_as_the_file_is(trained, tmp_path):
    root, scores = trained
    with served(root) as address:
        streamed = score(f"{address}/v6.mp4", scores["grid"][0], table=tmp_path / "s.csv")
        with pytest.raises(DataError, match="does not open"):
            score(f"{address}/gone.mp4", scores["grid"][0])
    score(root / "v6.mp4", scores["grid"][0], table=tmp_path / "f.csv")
    assert streamed.frames == 40 and np.array_equal(rows(tmp_path / "s.csv"), rows(tmp_path / "f.csv"))


def test_a_stream_that_is_lost_is_no_quiet_end(trained, tmp_path, capsys):
    root, _ = trained
    given = ["--run", str(root / "outputs" / "grid"), "--system", "2S-no-bag", "--csv", str(tmp_path / "c.csv")]
    with camera([{"seconds": 2}]) as address:
        code, out, err = call(capsys, "score", address, *given)
    assert code == 2 and f"{address}: the stream was lost after 2.0 s: it ended" in err
    assert (
        out.splitlines()[-1].startswith(("normal:", "abnormal:"))
        and "50 frames" in err
        and len(rows(tmp_path / "c.csv")) > 5
    )


def test_the_command(trained, tmp_path, capsys):
    root, _ = trained
    folder = str(root / "outputs" / "grid")
    code, out, err = call(
        capsys,
        "score",
        str(root / "v6.mp4"),
        "--run",
        folder,
        "--system",
        "2S-no-bag",
        "--csv",
        str(tmp_path / "c.csv"),
        "-p",
        "flow_method",
        "farneback",
    )
    assert (code, err) == (0, "") and f"written: {tmp_path / 'c.csv'}" in out and "times real time" in out
    assert out.splitlines()[-1].split(":")[0] in ("normal", "abnormal")
    code, _, err = call(capsys, "score", str(root / "v6.mp4"), "--run", folder)
    assert code == 2 and "did you mean '2S-no-bag'" in err
    code, _, err = call(capsys, "score", str(root / "v6.mp4"), "--run", str(root / "outputs" / "nothing"))
    assert code == 2 and "vadkit run params/nothing.yaml" in err
    code, _, err = call(
        capsys, "score", str(root / "v6.mp4"), "--run", folder, "--system", "2S-no-bag", "-p", "flow_metod", "dis"
    )
    assert code == 2 and "did you mean 'flow_method'" in err


def test_several_videos_and_folders_are_scored_each_and_summed_up(trained, tmp_path, capsys):
    root, _ = trained
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, place in (("v6", "in"), ("v7", "in/deep")):
        shutil.copy(root / f"{name}.mp4", tmp_path / place)
    (tmp_path / "in" / "bad.mp4").write_bytes(b"<html>")
    given = ("--run", str(root / "outputs" / "grid"), "--system", "2S-no-bag")
    out_to = ("--csv", str(tmp_path / "csv"), "--summary", str(tmp_path / "all.csv"))
    code, out, err = call(capsys, "score", str(tmp_path / "in"), str(root / "v5.mp4"), *given, *out_to)
    assert code == 2 and err.count("\n") == 1 and "1 of 4 videos failed" in err and "bad.mp4" in err
    assert sorted(p.name for p in (tmp_path / "csv").iterdir()) == ["v5.csv", "v6.csv", "v7.csv"]
    with open(tmp_path / "all.csv") as file:
        lines = {Path(line["video"]).stem: line for line in csv.DictReader(file)}
    assert set(lines) == {"bad", "v5", "v6", "v7"} and "web page" in lines["bad"]["error"]
    for name in ("v5", "v6", "v7"):
        found = rows(tmp_path / "csv" / f"{name}.csv")
        assert (float(lines[name]["share_in_alarm"]) > 0) == found[:, 4].any()
        assert lines[name]["verdict"] == ("abnormal" if found[:, 4].any() else "normal") and not lines[name]["error"]
    assert "share_in_alarm" in out
    code, out, err = call(capsys, "score", str(root / "v5.mp4"), str(root / "v6.mp4"), *given)
    assert (code, err) == (0, "") and "times_real_time" in out


def test_what_several_videos_cannot_be_is_said_before_any_work(trained, tmp_path, capsys):
    root, _ = trained
    given = ("--run", str(root / "outputs" / "grid"), "--system", "2S-no-bag")
    (tmp_path / "empty").mkdir()
    shutil.copy(root / "v6.mp4", tmp_path)
    for arguments, said in (
        ([str(tmp_path / "empty")], "expected videos in this folder"),
        ([str(root / "v6.mp4"), str(tmp_path / "v6.mp4")], "would write the same files"),
        ([str(root / "v6.mp4"), str(root / "v7.mp4"), "--csv", str(tmp_path / "a.csv")], "give a folder"),
        (["/dev/video3"], "a camera is given by its number, 3"),
    ):
        code, out, err = call(capsys, "score", *arguments, *given)
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_the_true_rate_has_drawing_and_encoding_in_it(trained, tmp_path):
    root, scores = trained
    model = scores["grid"][0]
    verdict = score(root / "v6.mp4", model, overlay=tmp_path / "o.mp4")
    assert verdict.wall_s > sum(verdict.seconds.values()) and verdict.lag_s is None
    assert "drawing and encoding included" in describe(verdict, model)[-3]
    with served(root) as address:
        streamed = score(f"{address}/v6.mp4", model)
    assert streamed.lag_s >= 0 and "s behind the stream" in describe(streamed, model)[-3]


# --- what scoring may change ------------------------------------------------------------------------------------------

CHANGES = {
    "sas_tau": 0.1,
    "sas_reactivity": 3.0,
    "sas_bound": 5.0,
    "sas_variant": "as_printed",
    "device": "cpu",
    "picture_fps": 10.0,
    "inference": "torch",
    "analysis_fps": 2.0,
    "flow_method": "farneback",
    "clip_flow_method": "farneback",
    "i3d_score_every": 2,
}
SAS = {"sas_tau", "sas_reactivity", "sas_bound", "sas_variant"}
FREE = SAS | {"device", "cache_root", "picture_fps"}
OTHER = {str: lambda v: v + "x", int: lambda v: v + 32, float: lambda v: v + 0.0123, bool: lambda v: not v}
OTHER[list] = lambda v: [] if v else ["mine"]


@pytest.mark.parametrize(
    ("system", "changes", "beyond"),
    [
        ("2S-bag-ha", {}, {"inference", "flow_method"}),  # how often it looks is the time that its flow spans
        ("2S-bag-ha", {"flow_pair": "gap"}, {"inference", "flow_method", "analysis_fps"}),
        ("2S-bag-ha", {"finetune_epochs": 1}, {"flow_method"}),  # it takes images
        ("2S-bag-ha", {"inference": "openvino-int8"}, {"flow_method"}),
        ("1S-bag", {}, {"inference", "analysis_fps"}),  # sees no flow
        ("1S-bag", {"frame_window": True}, {"inference", "flow_method"}),
        ("C3D-ha", {}, {"inference", "analysis_fps"}),
        ("full-I3D", {}, {"inference", "analysis_fps", "clip_flow_method", "i3d_score_every"}),
        ("MIL learner", {}, {"inference", "flow_method"}),
        ("joint model", {"mil_features": "i3d"}, {"inference", "clip_flow_method"}),
        ("joint model", {"mil_features": "resnext3d"}, {"inference"}),
        ("container facts", {}, {"inference"}),
    ],
)
def test_a_system_lists_what_scoring_may_change(system, changes, beyond):
    assert set(find_system(system).scoring(Config(**changes))) == FREE | beyond


@pytest.mark.parametrize("flow_pair", ["grid", "adjacent", "sampled", "gap"])
def test_scoring_may_change_nothing_that_training_read(tmp_path, flow_pair):
    """But for another algorithm of the same flow, and another engine of the same features."""
    video = Video("v", write_video(tmp_path / "v.mp4", moving_square(4)), "Normal", "train", "v", ())
    config = Config(flow_pair=flow_pair, detector_weights="none")

    def read(config: Config, system) -> str:
        keys = [frames._key(video, config, "train")]
        if getattr(system, "on_clips", False):
            keys = [clips._key(video, stream, 32, config) for stream in clips.CLIP_STREAMS]
            keys.append(clips.plan_clips(video, 40, 12.0, config, "train"))
        return repr([[getattr(config, name) for name in system.parameters], keys])

    for system in all_systems().values():
        for name in {*system.scoring(config)} & {*CHANGES} - {"flow_method", "clip_flow_method"}:
            if name == "analysis_fps" and system.name.startswith("1S"):
                continue  # the key is of the flow as well, which it does not see
            changed = config.model_copy(update={name: CHANGES[name]})
            assert read(changed, system) == read(config, system), (system.name, name)


def test_what_scoring_cannot_change_is_refused_by_name_before_any_work(trained):
    model, _ = trained[1]["grid"]
    may = model.system.scoring(model.config)
    for name, value in model.config.model_dump().items():
        changed = OTHER[type(value)](value)
        if name not in may:
            with pytest.raises(
                ConfigError, match=rf"^{name}: 2S-no-bag scores as .* may change .*flow_method.* -p {name}"
            ):
                score("gone.mp4", model, config=model.config.model_copy(update={name: changed}))
        assert name in may or model.changed({name: value}) == model.config  # said once more
    assert set(may) <= {*CHANGES, "cache_root"}
    with pytest.raises(ConfigError, match="head_width, image_size: 2S"):
        model.changed({"sas_tau": 0.1, "head_width": 9, "image_size": 64})
    with pytest.raises(ConfigError, match="less than 1"):
        model.changed({"sas_tau": 7.0})


@pytest.mark.parametrize("name", ["flow_method", "analysis_fps", "sas_tau", "sas_reactivity", "sas_bound"])
def test_what_scoring_may_change_changes_it_and_is_said(trained, tmp_path, name):
    root, scores = trained
    model, _ = scores["window"]
    score(root / "v7.mp4", model, table=tmp_path / "a.csv")
    verdict = score(root / "v7.mp4", model, table=tmp_path / "b.csv", config=model.changed({name: CHANGES[name]}))
    first, second = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert first.shape != second.shape or not np.array_equal(first, second)
    assert f"{name} is {CHANGES[name]}, in training {getattr(model.config, name)}" in verdict.notes
    if name in SAS:
        assert np.array_equal(first[:, :3], second[:, :3])


@pytest.mark.parametrize(
    ("name", "value"),
    [("backbone", "resnet50"), ("head_width", "4096"), ("seeds", "[7]"), ("bag_scale", "log"), ("corpus", "folder")]
    + [("image_size", "224"), ("profile", "other"), ("workers", "7")],
)
def test_the_command_refuses_them_too(trained, capsys, name, value):
    root, _ = trained
    given = ["--run", str(root / "outputs" / "grid"), "--system", "2S-no-bag", "-p", name, value]
    code, out, err = call(capsys, "score", str(root / "v6.mp4"), *given)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert f"{name}: 2S-no-bag scores as it was trained" in err and f"vadkit run params/grid.yaml -p {name}" in err


def test_a_stream_without_a_frame_is_named_by_its_address():
    where, analyser = "rtsp://host/live/1", SimpleNamespace(seconds={}, reading=None)
    session = _Session(analyser, iter(()), where, lambda: False, None)
    with pytest.raises(DataError, match="^rtsp://host/live/1: no frame came"):
        list(session.shots(print))


def test_no_camera_is_said_plainly(trained):
    if shutil.which("v4l2-ctl") or list(Path("/dev").glob("video*")):
        pytest.skip("there may be a camera here")
    folder = str(trained[0] / "outputs" / "grid")
    command = [sys.executable, "-m", "vadkit", "score", "0", "--run", folder, "--system", "2S-no-bag"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("error: no camera 0") and done.stderr.count("\n") == 1
