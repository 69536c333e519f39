from __future__ import annotations

from matplotlib import pyplot as plt

from vadkit.report.style import alternative_text


def test_the_alternative_text_says_what_a_figure_shows():
    figure, (curve, drawing) = plt.subplots(1, 2)
    figure.suptitle("Two panels")
    figure.text(0.1, 0.9, "(a) detected: Arson001")
    curve.plot([0, 1], label="confidence")
    curve.set(title="One video", xlabel="time (s)", ylabel="score")
    drawing.text(0.5, 0.5, "frame")
    drawing.text(0.2, 0.2, "flow\nimage")
    said = "Figure: Two panels; (a) detected: Arson001; One video score over time (s) (confidence); frame, flow image"
    assert alternative_text(figure) == said
    plt.close(figure)


def test_pictures_without_a_word_are_counted():
    figure, _ = plt.subplots(1, 3)
    assert alternative_text(figure) == "Figure of 3 pictures"
    plt.close(figure)
