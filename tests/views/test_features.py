from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from vadkit.core.compute import device_of
from vadkit.core.errors import ConfigError
from vadkit.core.parameters import make_config
from vadkit.corpora.video import Video
from vadkit.models import network as networks
from vadkit.views import features as module
from vadkit.views.features import extract_features, features_of
from vadkit.views.frames import extract

pytestmark = pytest.mark.usefixtures("one_thread")


def quick(tmp_path, **values):
    return make_config(
        {
            "detector_weights": "none",
            "workers": 1,
            "image_size": 64,
            "cache_root": str(tmp_path / "cache"),
            "device": "cpu",
            **values,
        }
    )


@pytest.fixture
def samples(tmp_path, tiny_video):
    videos = [Video(f"v{n}", tiny_video(f"{n}.mp4", frames=30 + 20 * n), "Normal", "test", "s") for n in range(2)]
    return extract(videos, quick(tmp_path))[0]


def test_features_are_the_backbones_of_each_image(tmp_path, samples):
    config = quick(tmp_path)
    network = networks.build_network(config.backbone)
    for stream in ("frame", "flow"):
        found = pooled(samples[1], stream, config)
        assert found.shape == (len(samples[1]), network.feature_dim) and found.dtype == np.float16
        with torch.inference_mode():
            direct = network(
                networks.preprocess(samples[1].images(stream, range(len(samples[1]))), config.backbone)
            ).numpy()
        assert np.abs(found - direct).max() < 0.01
    assert np.abs(pooled(samples[1], "frame", config) - pooled(samples[1], "flow", config)).max() > 0.1


def test_features_are_computed_once_and_the_same_each_time(tmp_path, samples, monkeypatch):
    import shutil

    config = quick(tmp_path)
    first = np.array(pooled(samples[0], "frame", config))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_build", lambda *args: pytest.fail("computed again"))
        assert np.array_equal(pooled(samples[0], "frame", config), first)
    shutil.rmtree(config.cache_dir / "features")
    assert np.array_equal(pooled(samples[0], "frame", config), first)


def test_threads_do_not_matter_and_are_left_as_they_were(tmp_path, samples):
    torch.set_num_threads(2)
    try:
        two = np.array(pooled(samples[0], "frame", quick(tmp_path / "two")))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert np.array_equal(two, pooled(samples[0], "frame", quick(tmp_path / "one")))


def test_the_cache_is_read_only(tmp_path, samples):
    found = pooled(samples[0], "frame", quick(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_batches_do_not_matter(tmp_path, samples, monkeypatch):
    config = quick(tmp_path)
    whole = np.array(pooled(samples[1], "frame", config), np.float32)
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 2)
    parts = np.array(pooled(samples[1], "frame", quick(tmp_path / "other")), np.float32)
    assert np.abs(whole - parts).max() < 0.005


def test_a_stream_that_is_not_there_is_refused(tmp_path, samples):
    with pytest.raises(ValueError, match="one of frame, flow"):
        pooled(samples[0], "bag", quick(tmp_path))


def pooled(sample, stream, config):
    return features_of(sample, stream, networks.network_of(config, config.backbone), config)


def both(config):
    return dict.fromkeys(("frame", "flow"), networks.network_of(config, config.backbone))


def test_extracting_many_fills_the_cache_and_reports(tmp_path, samples, monkeypatch):
    seen, config = [], quick(tmp_path)
    extract_features(samples, both(config), config, lambda done, total, what: seen.append((done, total, what)))
    monkeypatch.setattr(module, "_build", lambda *args: pytest.fail("computed again"))
    for stream in ("frame", "flow"):
        assert [len(pooled(one, stream, config)) for one in samples] == [len(one) for one in samples]
    assert [done for done, _, _ in seen] == [1, 2, 3, 4] and {total for _, total, _ in seen} == {4}
    assert "v1" in seen[0][2], "the longest is begun first"
    assert {f"{stream} of {name}" for stream in ("frame", "flow") for name in ("v0", "v1")} == {
        what.split(" on ")[1] for *_, what in seen
    }


def test_processes_give_what_one_process_gives(tmp_path, samples, monkeypatch):
    import shutil

    config = quick(tmp_path)
    alone = {stream: [np.array(pooled(one, stream, config)) for one in samples] for stream in ("frame", "flow")}
    shutil.rmtree(tmp_path / "cache" / "features")
    monkeypatch.setattr(module, "WORTH_PROCESSES", 0)
    seen = []
    extract_features(samples, both(config), quick(tmp_path, workers=2), lambda done, total, what: seen.append(done))
    for stream, arrays in alone.items():
        assert all(np.array_equal(a, pooled(one, stream, config)) for a, one in zip(arrays, samples, strict=True))
    assert seen == [1, 2, 3, 4]


def test_parts_of_a_long_view_give_the_features_of_the_whole(tmp_path, samples, monkeypatch):
    config = quick(tmp_path)
    network = networks.network_of(config, config.backbone)
    whole = [np.array(features_of(one, "frame", network, config)) for one in samples]
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    extract_features(samples, {"frame": network}, config)
    for one, expected in zip(samples, whole, strict=True):
        found = features_of(one, "frame", network, config)
        assert np.array_equal(found, expected) and not found.flags.writeable


@pytest.mark.skipif(not find_spec("openvino"), reason="no OpenVINO")  # importing it here would let it report its use
def test_an_engine_gives_torchs_features_in_every_process(tmp_path, samples, monkeypatch):
    import shutil

    config, plain = quick(tmp_path, workers=2), quick(tmp_path, inference="torch")
    exact = {stream: [np.array(pooled(one, stream, plain)) for one in samples] for stream in ("frame", "flow")}
    shutil.rmtree(tmp_path / "cache" / "features")
    monkeypatch.setattr(module, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(module, "WORTH_EXPORT", 0)
    extract_features(samples, both(config), config)
    assert len(list((tmp_path / "cache" / "engines").iterdir())) == 1, "both streams are seen by one network"
    for stream, arrays in exact.items():
        for expected, one in zip(arrays, samples, strict=True):
            found = pooled(one, stream, config).astype(np.float32)
            assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_a_key_follows_weights_and_samples_and_nothing_else(tmp_path, samples):
    def key(sample=samples[0], stream="frame", **values):
        config = quick(tmp_path, **values)
        return module._key(sample, stream, networks.network_of(config, config.backbone), config, (0, len(sample)))

    assert key() == key(seeds=[3], head_width=64, dropout=0.1)
    assert key() != key(samples[1]) and key() != key(stream="flow")
    assert (
        key()
        != key(backbone="resnet18", backbone_weights="random")
        != key(backbone="resnet50", backbone_weights="random")
    )
    assert key(inference="torch") == key(inference="auto"), "the same features"
    assert key(inference="openvino-int8") != key()


def test_features_that_overflow_are_an_error_and_leave_no_entry(tmp_path, samples, monkeypatch):
    config = quick(tmp_path)
    monkeypatch.setattr(module, "frozen", lambda *args: lambda images: torch.full((len(images), 4), 1e9))
    with pytest.raises(FloatingPointError, match="v0"), np.errstate(over="ignore"):
        pooled(samples[0], "frame", config)
    assert list((config.cache_dir / "features").iterdir()) == []


def test_a_device_that_is_not_there_is_an_error(tmp_path):
    assert device_of(quick(tmp_path)) == "cpu"
    if torch.cuda.is_available():
        assert device_of(quick(tmp_path, device="cuda")) == device_of(quick(tmp_path, device="auto")) == "cuda"
    else:
        assert device_of(quick(tmp_path, device="auto")) == "cpu"
        with pytest.raises(ConfigError, match="device: cpu"):
            device_of(quick(tmp_path, device="cuda"))
