"""How much of the annotated box a tube's window holds, and what is said where there is no box or no such frame."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vadkit.core.errors import DataError
from vadkit.corpora.video import Video
from vadkit.studies import tube_localization

BOX = [80, 60, 160, 120]  # in pixels of 320x240


@pytest.fixture
def tubes(tmp_path, tiny_video):
    """Windows of five clips of one video; a box is seen from frame 5, in the middle of 64x48 pixels."""
    boxes = tmp_path / "boxes.txt"
    boxes.write_text("".join(f'0 16 12 32 24 {frame} {int(frame < 5)} 0 0 "Assault"\n' for frame in range(12)))
    video = Video("a", tiny_video(frames=12), "Assault", "train", "a", ((5, 12),), boxes)
    windows = np.array([BOX, BOX, [80, 60, 120, 120], [0, 0, 120, 90], [200, 0, 300, 50]])
    index, taken = np.array([2, 5, 6, 7, 11]), np.array([0, 1, 2, 4])
    return SimpleNamespace(video=video, frames=12, index=index, windows=windows, taken=taken)


def test_of_the_box_a_window_holds_what_lies_in_both(tubes):
    shares = tube_localization.share_inside(tubes, [0, 1, 2, 3, 4])
    assert np.isnan(shares[0]) and shares[1:].tolist() == [1, 0.5, 0.25, 0]
    found = tube_localization.localized([tubes]).loc["a"]
    assert found.to_dict() == {"clips": 4, "hard": 3 / 4, "searched": 4 / 5, "inside": 0.5}
    tubes.taken = tubes.taken[:1]
    assert np.isnan(tube_localization.localized([tubes]).inside["a"])


def test_without_boxes_there_is_nothing_to_lie_beside(tubes):
    tubes.video = Video("a", tubes.video.path, "Assault", "train", "a", ((5, 12),))
    assert np.isnan(tube_localization.share_inside(tubes, [1])).all()
    assert len(tube_localization.localized([tubes])) == 0


def test_a_picture_shows_both_and_names_a_frame_that_is_gone(tubes):
    image = tube_localization.picture(tubes, 2)
    assert image.shape == (240, 320, 3) and tuple(image[90, 120]) == tube_localization.WINDOW
    assert tuple(image[90, 160]) == tube_localization.BOX
    tubes.index = tubes.index + 10
    with pytest.raises(DataError, match=r"tiny.mp4: expected a frame 16, the video ends after 12"):
        tube_localization.picture(tubes, 2)


def test_an_example_of_an_anomaly_shows_it(tubes):
    assert tube_localization.example([tubes], "Assault") == (tubes, 2)
    with pytest.raises(DataError, match="no tube of a Robbery video"):
        tube_localization.example([tubes], "Robbery")
