"""Features of others: found by names, their clips by the video's length, and nothing dropped without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vadkit.core.errors import ConfigError, DataError
from vadkit.corpora.video import Video
from vadkit.views.published_features import find_published, read_published

FRAMES = {"Abuse028": 1412, "Abuse030": 1544, "Normal_Videos_003": 2822}


def videos(*names: str, frames=FRAMES) -> list[Video]:
    return [Video(n, Path(f"{n}.mp4"), "Abuse", "test", n, frames=frames.get(n), fps=30.0) for n in names or FRAMES]


def read(folder: Path, *names: str, frames=FRAMES, **options):
    """({name: (frames, bag)}, what is said of the others)"""
    listed = videos(*names, frames=frames)
    files, astray = find_published(folder, listed)
    found, problems = read_published(files, listed, lambda *one: one, **options)
    return {video.name: rest for video, *rest in found}, [p.what for p in (*astray, *problems)]


def clips(name: str, dims: int = 4, more: int = 0) -> np.ndarray:
    """(T, D), each row the number of its clip."""
    count = -(-FRAMES[name] // 16) + more
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], dims, 1)


def crops(rows: np.ndarray, axis: int, count: int = 10) -> np.ndarray:
    return np.stack([rows + crop for crop in range(count)], axis)


LAYOUTS = {
    "(T, D)": lambda name: {f"{name}.npy": clips(name)},
    "(1, T, D)": lambda name: {f"{name}_x264.npy": clips(name)[None]},
    "(T, 10, D)": lambda name: {f"{name}_x264_i3d.npy": crops(clips(name), 1) - 4.5},
    "(10, T, D)": lambda name: {f"{name}_x264_i3d.npy": crops(clips(name), 0) - 4.5},
    "one clip fewer": lambda name: {f"{name}.npy": clips(name, more=-1)},
    "ten files": lambda name: {f"{name}_x264__{c}.npy": clips(name) + c - 4.5 for c in range(10)},
    "half precision": lambda name: {f"{name}.npy": clips(name).astype(np.float16)},
    "streams": lambda name: {f"{name}_x264_{s}.npy": clips(name, 2) for s in ("rgb", "flow")},
    "streams in folders": lambda name: {f"{s}/{name}_x264.npy": clips(name, 2) for s in ("RGB", "Flow")},
    "flow has one fewer": lambda name: {f"{name}_rgb.npy": clips(name, 2), f"{name}_flow.npy": clips(name, 2, -1)},
    "by class": lambda name: {f"{name[:5]}/{name}_x264.npy": clips(name)},
}


def publish(folder: Path, files: dict[str, np.ndarray]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, content)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_axis_of_clips_is_found_by_the_length(tmp_path, layout):
    for name in FRAMES:
        publish(tmp_path, LAYOUTS[layout](name))
    found, said = read(tmp_path)
    assert not said and list(found) == list(FRAMES)
    for name, (frames, bag) in found.items():
        assert frames == FRAMES[name] and bag.features.shape == (len(bag.starts), 4)
        assert bag.features.dtype == np.float32 and np.allclose(bag.features, clips(name)[: len(bag)], atol=1e-3)
        assert bag.starts.tolist() == list(range(0, 16 * len(bag), 16)) and bag.starts[-1] < frames


@pytest.mark.parametrize("shape", [(32, 4), (1, 32, 4), (10, 32, 4), (32, 10, 4)])
def test_segments_are_equal_parts_of_any_length(tmp_path, shape):
    axis = shape.index(32)
    rows = np.arange(32.0).reshape([32 if k == axis else 1 for k in range(len(shape))])
    publish(tmp_path, {f"{name}.npy": np.broadcast_to(rows, shape) for name in FRAMES})
    found, said = read(tmp_path)
    assert not said
    for frames, bag in found.values():
        assert bag.features[:, 0].tolist() == list(range(32)) and bag.starts.tolist()[:2] == [0, frames // 32]


def test_other_numbers_of_segments_and_lengths_of_clips_are_parameters(tmp_path):
    publish(tmp_path, {f"{name}.npy": np.ones((8, 4)) for name in FRAMES})
    assert all("expected about" in what and "mil_segments" in what for what in read(tmp_path)[1])
    assert read(tmp_path, segments=8)[0]["Abuse028"][1].starts.tolist()[:2] == [0, 1412 // 8]
    publish(tmp_path, {f"{name}.npy": np.ones((count // 64, 4)) for name, count in FRAMES.items()})
    assert read(tmp_path, clip_frames=64)[0]["Abuse028"][1].starts.tolist()[:2] == [0, 64]


def test_what_fits_no_length_is_left_out_and_named(tmp_path):
    publish(tmp_path, {"Abuse028.npy": clips("Abuse028"), "Abuse030.npy": np.ones((7, 4))})
    found, said = read(tmp_path)
    assert list(found) == ["Abuse028"] and len(said) == 2
    assert "no features in" in said[0]
    assert all(
        word in said[1] for word in ("Abuse030.npy is of shape (7, 4)", "1544 frames", "about 96", "clip_frames")
    )


def test_two_axes_that_fit_are_decided_by_the_others_or_refused(tmp_path):
    lengths = {"Abuse028": 160, "Abuse030": 1544}
    publish(tmp_path, {"Abuse028.npy": np.arange(400.0).reshape(10, 10, 4)})
    found, said = read(tmp_path, *lengths, frames=lengths)
    assert not found and "two of its axes fit the length of Abuse028" in said[1] and "(clips, D)" in said[1]
    publish(tmp_path, {"Abuse030.npy": np.zeros((97, 10, 4))})
    found, said = read(tmp_path, *lengths, frames=lengths)
    assert not said and found["Abuse028"][1].features[0].tolist() == [18, 19, 20, 21]  # the mean over the second axis
    publish(tmp_path, {"Abuse030.npy": np.zeros((10, 97, 4))})
    found, said = read(tmp_path, *lengths, frames=lengths)
    assert not said and found["Abuse028"][1].features[0].tolist() == [180, 181, 182, 183]


def test_a_length_that_nobody_knows_is_that_of_the_clips(tmp_path):
    publish(tmp_path, {"Abuse028.npy": clips("Abuse028"), "Mine001.npy": np.ones((9, 4))})
    found, said = read(tmp_path, "Abuse028", "Mine001")
    assert found["Mine001"][0] == 144 and said == [
        "1 videos are of unknown length; 16 frames a clip are taken, 30 a second, the first: Mine001"
    ]
    publish(tmp_path, {"Mine001.npy": np.ones((9, 10, 4))})  # nothing says which axis
    assert "two of its axes fit" in read(tmp_path, "Abuse028", "Mine001")[1][0]
    publish(tmp_path, {"Abuse028.npy": crops(clips("Abuse028"), 1)})
    assert read(tmp_path, "Abuse028", "Mine001")[0]["Mine001"][0] == 144
    publish(tmp_path, {"Abuse028.npy": np.ones((32, 4)), "Mine001.npy": np.ones((32, 4))})
    assert "segments do not say how long Mine001 is" in read(tmp_path, "Abuse028", "Mine001")[1][0]


def test_arrays_and_text_are_read_by_name(tmp_path):
    lines = [" ".join(str(v) for v in (row, 1, 2, 3)) for row in range(32)]
    (tmp_path / "Normal_Videos_003_x264_C.txt").write_text("\n".join(lines) + "\n")
    publish(tmp_path, {"Abuse/Abuse028_x264_i3d.npy": crops(clips("Abuse028"), 1), "other.npy": np.ones((5, 4))})
    found, said = read(tmp_path)
    assert {name: bag.features.shape for name, (_, bag) in found.items()} == {
        "Abuse028": (89, 4),
        "Normal_Videos_003": (32, 4),
    }
    assert found["Normal_Videos_003"][1].features[7].tolist() == [7, 1, 2, 3]
    assert said == ["features of no video on the lists", f"no features in {tmp_path}"]


def test_crops_that_are_missing_or_differ_are_named(tmp_path):
    for name in ("Abuse028", "Abuse030"):
        publish(tmp_path, {f"{name}__{crop}.npy": clips(name) for crop in range(10 if name == "Abuse028" else 9)})
    found, said = read(tmp_path, "Abuse028", "Abuse030")
    assert len(found) == 2
    assert said == ["1 videos have fewer than 10 files, and are described by those, the first: Abuse030"]
    publish(tmp_path, {"Abuse030__3.npy": clips("Abuse030", more=1)})
    assert "are crops of different shapes, (97, 4) and (98, 4)" in read(tmp_path, "Abuse028", "Abuse030")[1][0]


def test_bad_features_are_named(tmp_path):
    def refused(said: str, **files) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, content in files.items():
            path = folder / name.replace("__", ".")
            np.save(path, content) if path.suffix == ".npy" else path.write_text(content)
        with pytest.raises((DataError, ConfigError), match=said):
            read(folder, "Abuse028", "Abuse030", strict=True)

    good = clips("Abuse028")
    refused("no features in")
    refused("expected 32 lines, one a segment, got 31", Abuse028__txt="1 2\n" * 31)
    refused("is not 32 lines of numbers .*columns changed from 2 to 1 at row 2", Abuse028__txt="1 2\n" + "1\n" * 31)
    refused("is not 32 lines of numbers", Abuse028__txt="a b\n" * 32)
    refused(r"expected numbers of shape \(clips, D\)", Abuse028__npy=np.ones(4))
    refused("1 of 356 numbers are not finite", Abuse028__npy=np.where(good * [1, 0, 0, 0] == 3, np.nan, good))
    refused("Abuse028 has features of width 4, Abuse030 of 3", Abuse028__npy=good, Abuse030__npy=clips("Abuse030", 3))
    refused(
        "Abuse028 has features of width 8, Abuse030 of 4",
        Abuse028_rgb__npy=good,
        Abuse028_flow__npy=good,
        Abuse030_rgb__npy=clips("Abuse030"),
    )
    refused("both features of Abuse028", Abuse028__npy=good, Abuse028_x264__npy=good)
    refused("both features of Abuse028", Abuse028__npy=good, Abuse028_rgb__npy=good)
    refused("not a .npy file", Abuse028__npy=np.array([{}], dtype=object))
    refused("none of the 1 files of features .* has the name of a listed video.*such as Abuse028.npy", other__npy=good)


def test_what_is_damaged_is_left_out_and_the_others_are_read(tmp_path):
    publish(tmp_path, {f"{name}.npy": clips(name) for name in FRAMES})
    whole = (tmp_path / "Abuse030.npy").read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:40], b""):
        (tmp_path / "Abuse030.npy").write_bytes(damage)
        found, said = read(tmp_path)
        assert list(found) == ["Abuse028", "Normal_Videos_003"] and len(said) == 1 and "Abuse030.npy is not" in said[0]


def test_one_file_is_not_the_features_of_two_videos(tmp_path):
    publish(tmp_path, {"Abuse028.npy": clips("Abuse028")})
    (tmp_path / "Abuse030.npy").symlink_to("Abuse028.npy")
    with pytest.raises(DataError, match="one file under two names"):
        read(tmp_path, "Abuse028", "Abuse030")
