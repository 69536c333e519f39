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
    said = "Figure: Two panels; (a) detected: Arson001; One video: score over time (s) (confidence); frame, flow image"
    assert alternative_text(figure) == said
    plt.close(figure)


def test_the_alternative_text_names_the_systems_once_and_reads_the_legend():
    figure, (auc, f1) = plt.subplots(1, 2, sharey=True)
    auc.set_yticks([0, 1], ["2S-bag", "1S-bag"])
    auc.set(xlabel="FL-AUC (%)")
    f1.set(xlabel="VL-F1 (%)")
    auc.plot([80, 70], [0, 1], label="mean of seeds")
    f1.plot([60, 50], [0, 1], label="mean of seeds")
    figure.legend(["mean of seeds", "interval"])
    figure.draw_without_rendering()
    said = "Figure: FL-AUC (%) of 2S-bag, 1S-bag (mean of seeds); VL-F1 (%); legend: interval"
    assert alternative_text(figure) == said
    plt.close(figure)


def test_a_panel_beside_another_has_its_axis():
    figure, (loss, auc) = plt.subplots(1, 2, sharey=True)
    loss.set(title="2S-bag", xlabel="epoch", ylabel="AUC (%)")
    auc.set(title="1S-bag", xlabel="epoch")
    assert alternative_text(figure) == "Figure: 2S-bag: AUC (%) over epoch; 1S-bag: AUC (%) over epoch"
    plt.close(figure)


def test_pictures_are_counted():
    figure, panels = plt.subplots(1, 3)
    for panel in panels:
        panel.imshow([[0, 1]])
        panel.set_axis_off()
    assert alternative_text(figure) == "Figure with 3 pictures"
    panels[0].set_title("frame 7, hard")
    assert alternative_text(figure) == "Figure with 3 pictures: frame 7, hard"
    plt.close(figure)
