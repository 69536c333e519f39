from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadkit.views.flow import flow, flow_image, gray, no_flow, resized, standard_size

RIGHT, DOWN, LEFT, UP = 0.0, 90.0, 180.0, 270.0  # degrees, y pointing down


def textured(height: int = 240, width: int = 320) -> np.ndarray:
    noise = np.random.default_rng(3).standard_normal((height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def hue_degrees(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 0].astype(float) * 2


def towards(degrees: float, size: int = 8, speed: float = 3.0) -> np.ndarray:
    """A flow of one direction whose speed grows from left to right, so that min-max has a range."""
    ramp = np.linspace(0.5, 1.0, size, dtype=np.float32) * speed
    x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.stack(np.broadcast_arrays(ramp * x, ramp * y), axis=-1)[None].repeat(size, axis=0).astype(np.float32)


@pytest.mark.parametrize("method", ["farneback", "dis"])
@pytest.mark.parametrize(("shift", "degrees"), [((4, 0), RIGHT), ((0, 4), DOWN), ((-4, 0), LEFT), ((0, -4), UP)])
def test_a_translation_is_measured_in_pixels_and_its_hue_is_its_direction(method, shift, degrees):
    image = textured()
    moved = np.roll(image, shift, axis=(1, 0))
    found = flow(image, moved, method)
    assert found.dtype == np.float32 and found.shape == (240, 320, 2)
    inside = found[40:-40, 40:-40]
    assert np.allclose(np.median(inside, axis=(0, 1)), shift, atol=0.3)
    hue = hue_degrees(flow_image(found, "fixed"))[40:-40, 40:-40]
    assert abs(np.median((hue - degrees + 180) % 360) - 180) <= 6


@given(st.floats(0, 359.9))
def test_hue_names_the_direction(degrees):
    bright = flow_image(towards(degrees), "fixed", full_scale=0.1)[:, -1]
    off = (hue_degrees(bright[None]) - degrees + 180) % 360 - 180
    assert np.abs(off).max() <= 4  # hue has steps of 2 degrees, and RGB rounds


@given(
    st.integers(2, 12), st.integers(2, 12), st.floats(0, 1e6), st.integers(0, 2**32 - 1),
    st.sampled_from(["minmax", "fixed"]), st.sampled_from([None, 5, 16]),
)  # fmt: skip
def test_any_flow_gives_an_image(height, width, speed, seed, scale, size):
    field = (np.random.default_rng(seed).standard_normal((height, width, 2)) * speed).astype(np.float32)
    image = flow_image(field, scale, size=size)
    assert image.dtype == np.uint8
    assert image.shape == ((height, width, 3) if size is None else (size, size, 3))


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1000))
def test_minmax_forgets_speed_and_uses_the_whole_range(seed, factor):
    field = np.random.default_rng(seed).standard_normal((9, 9, 2)).astype(np.float32)
    image = flow_image(field, "minmax").astype(int)
    assert image.max(axis=2).max() >= 254 and image.max(axis=2).min() == 0
    assert (
        np.abs(flow_image(field * np.float32(factor), "minmax").astype(int) - image).max() <= 12
    )  # rounding near a hue's edge


def test_fixed_scale_keeps_speed_and_saturates():
    slow, fast, faster = (
        flow_image(towards(RIGHT, speed=speed), "fixed", full_scale=0.5)[:, -1].max() for speed in (1, 2, 4)
    )
    assert abs(int(fast) - 2 * int(slow)) <= 2 and faster == 255
    assert flow_image(towards(RIGHT, speed=40), "fixed", full_scale=0.5)[:, -1].max() == 255


@pytest.mark.parametrize("scale", ["minmax", "fixed"])
def test_no_motion_is_black(scale):
    assert not flow_image(np.zeros((6, 7, 2), np.float32), scale).any()
    assert not no_flow(6).any() and no_flow(6).shape == (6, 6, 3)


def test_identical_frames_are_dark_under_fixed_but_minmax_stretches_the_borders_noise():
    still = flow(textured(), textured())
    assert 0.01 < np.abs(still).max() < 0.3  # Farneback leaves a fraction of a pixel at the borders
    assert flow_image(still, "fixed").max() <= 8
    assert flow_image(still, "minmax").max() >= 254


def test_one_speed_everywhere_is_black_under_minmax_and_not_under_fixed():
    field = np.zeros((6, 7, 2), np.float32)
    field[..., 0] = 3.7
    assert not flow_image(field, "minmax").any()
    assert flow_image(field, "fixed", full_scale=1.0).max() > 100


def test_red_is_right_in_rgb():
    assert tuple(flow_image(towards(RIGHT), "fixed", full_scale=0.1)[0, -1]) == (255, 0, 0)


def test_frames_of_any_size_become_320_by_240():
    for height, width in [(240, 320), (1080, 1920), (47, 63), (360, 300)]:
        frame = np.full((height, width, 3), 77, np.uint8)
        assert standard_size(frame).shape == (240, 320, 3)
        assert gray(frame).shape == (240, 320) and (gray(frame) == 77).all()
    fits = np.zeros((240, 320, 3), np.uint8)
    assert standard_size(fits) is fits
    assert resized(fits, 16, 8).shape == (8, 16, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flow(textured(), textured(), "lucas"), "'farneback' or 'dis'"),
        (lambda: flow(textured(), textured(100, 100)), "one size"),
        (lambda: flow(textured().astype(float), textured()), "uint8"),
        (lambda: flow_image(np.zeros((4, 4), np.float32)), r"\(H, W, 2\)"),
        (lambda: flow_image(np.zeros((4, 4, 2), np.float32), "log"), "'minmax' or 'fixed'"),
        (lambda: flow_image(np.full((4, 4, 2), np.nan, np.float32)), "not finite"),
    ],
)
def test_what_is_no_flow_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
