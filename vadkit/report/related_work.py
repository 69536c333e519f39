"""Related work as its authors claim it, and as others got it who ran it again: one table, one figure.

Claims on differing features, protocols and checkpoints, several chosen on the test set: never a ranking, and never
beside a number of ours. The rows and where each was checked are in `published.csv`.
"""

import re
from itertools import cycle

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from vadkit.report import published, style
from vadkit.report.published import Published
from vadkit.report.style import BLACK, COLOURS, GREY, PAGE_WIDTH, styled

AUC, AP = "ucf_crime_auc", "xd_violence_ap"


def table() -> pd.DataFrame:
    """A line a system: what it learns from, where it was published, claims in percent, reruns, and what to know."""
    rows, lines = published.related(), {}
    for one in (r for r in rows if r.kind == "claimed"):
        line = lines.setdefault(one.system, {"learns from": one.item, "published": one.place})
        line[{AUC: "UCF-Crime AUC", AP: "XD-Violence AP"}[one.metric]] = one.text
        line.setdefault("checked, and what to know", one.note)
    for one in (r for r in rows if r.kind == "rerun"):
        line = lines[one.system]
        line["AUC, rerun by others"] = ", ".join(filter(None, (line.get("AUC, rerun by others"), one.text)))
    frame = pd.DataFrame.from_dict(lines, orient="index").rename_axis("system").fillna("")
    return frame[[*frame.columns.drop("checked, and what to know"), "checked, and what to know"]]


@styled
def auc_over_years() -> Figure:
    """UCF-Crime frame AUC as claimed, the years down the page, by what a system learns from; reruns are hollow."""
    rows = sorted((r for r in published.related() if r.metric == AUC), key=lambda r: (_year(r), r.item))
    claimed = [r for r in rows if r.kind == "claimed"]
    place = {r.system: k for k, r in enumerate(claimed)}
    looks = dict(zip(dict.fromkeys(r.item for r in claimed), zip(COLOURS, cycle("os^Dvd")), strict=False))
    figure, axes = plt.subplots(figsize=(PAGE_WIDTH, 1.4 + 0.21 * len(claimed)))
    for one in claimed:
        again = [r.value for r in rows if r.kind == "rerun" and r.system == one.system]
        axes.hlines(place[one.system], min([one.value, *again]), one.value, color="#bbbbbb", linewidth=1)
        hollow = {"color": BLACK, "markerfacecolor": "white", "markersize": 5, "linestyle": ""}
        axes.plot(again, [place[one.system]] * len(again), "o", **hollow, label="rerun by others")
        colour, marker = looks[one.item]
        axes.plot(one.value, place[one.system], marker, color=colour, markersize=6, label=one.item)
    for first in (k for k in range(1, len(claimed)) if _year(claimed[k]) != _year(claimed[k - 1])):
        axes.axhline(first - 0.5, color=GREY, linewidth=0.6)
    axes.set_yticks(range(len(claimed)), [f"{r.system}   {_year(r)}" for r in claimed])
    axes.set(xlabel="frame AUC on UCF-Crime (%), as others state it", ylim=(len(claimed) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    style.legend_below(figure, 3, order=(*looks, "rerun by others"))
    return figure


def _year(one: Published) -> int:
    return int(re.search(r"20\d\d", one.place)[0])
