"""Every printed number and statement beside what this run has of its own.

    rows = [*rows_of(results), *setting_rows(config, samples), *corpus_rows(config, corpus, samples)]
    check(config, rows)  # a line a claim: printed, from the paper's own tables, ours, verdict

Three kinds of printed number have no notebook that measures them: settings, which are parameters here; sizes of the
data, which are counted; and constants of the code. Their rows are made here. `listing` is the same for a reader without
a run (docs/reproduction.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vadkit.core.config import Config
from vadkit.corpora.video import NORMAL, Corpus
from vadkit.evaluation.metrics import THRESHOLD
from vadkit.report import comparable, published, tables
from vadkit.report.published import Published
from vadkit.report.rows import ResultRow, number_row
from vadkit.systems.base import find_system
from vadkit.views import sampling
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH
from vadkit.views.objects import COCO_CLASSES

if TYPE_CHECKING:
    from vadkit.views.frames import Samples

UCF_FPS = 30.0  # at which the released strides are stated
SPLITS = {"train": "train", "validation": "val", "test": "test"}  # of the released code: ours
Key = tuple[str, str, str]


def clip_rate(config: Config, samples: Sequence[Samples]) -> float:
    """Frames a second within a clip: whole frames apart, so as near to `clip_fps` as the videos' median rate allows."""
    fps = float(np.median([one.fps for one in samples]))
    return fps / sampling.stride_frames(fps, config.clip_fps)


def clip_rows(config: Config, samples: Sequence[Samples]) -> list[ResultRow]:
    """What section 4.5 states of C3D's clips beside what this run takes.

    samples: of the run's videos, or their clips, for the rate.
    """
    rate = clip_rate(config, samples)
    values: dict[Key, float] = {
        ("section 4.5", "C3D-ha", "image_size"): config.c3d_size,
        ("section 4.5", "C3D-ha", "segment_frames"): config.clip_frames,
        ("section 4.5", "C3D-ha", "sampling_fps"): rate,
        ("section 4.5", "C3D-ha", "anomalous_overlap"): config.clip_frames - config.clip_shift_anomalous,
        ("section 4.5", "C3D-ha", "normal_overlap"): config.clip_frames - config.clip_shift_normal,
        ("claim 4.5a", "C3D-ha", "fps"): rate,
        ("claim 4.5b", "C3D-ha", "segment_seconds"): config.clip_frames / rate,
        ("claim 4.5c", "C3D-ha", "anomalous_shift"): config.clip_shift_anomalous,
        ("claim 4.5d", "C3D-ha", "normal_shift"): config.clip_shift_normal,
    }
    return _rows(config, "petrocchi2021", values)


def setting_rows(config: Config, samples: Sequence[Samples]) -> list[ResultRow]:
    """The run's settings and the code's constants beside those that the papers and the released code state.

    samples: as for `clip_rows`, whose rows are among these.
    """
    anomalous, normal = config.training_fps
    epochs = find_system("2S-bag-ha-no-es").fixed_epochs
    values: dict[Key, float] = {
        ("section 3.1", "detector", "classes"): len(COCO_CLASSES),
        ("section 4.2", "training", "image_size"): config.image_size,
        ("section 4.2", "training", "anomalous_fps"): anomalous,
        ("section 4.2", "training", "normal_fps"): normal,
        ("claim 3.3", "training", "normal_fps"): normal,
        ("section 4.2", "training", "alpha"): config.hard_mining_alpha,
        ("section 4.2", "training", "weight_normal"): 1,
        ("section 4.2", "training", "weight_anomaly"): config.anomaly_weight,
        ("section 4.2", "training", "head_lr"): config.head_lr,
        ("section 4.2", "training", "finetune_lr"): config.finetune_lr,
        ("section 4.2", "training", "patience"): config.patience,
        ("section 4.2", "training", "dropout"): config.dropout,
        ("section 4.6", "2S-bag-ha-no-es", "head_epochs"): epochs[0],
        ("section 4.6", "2S-bag-ha-no-es", "finetune_epochs"): epochs[1] if config.finetune_epochs else 0,
        ("section 5.1", "SAS", "threshold"): THRESHOLD,
        ("section 5.1", "SAS", "tau"): config.sas_tau,
        ("section 5.1", "SAS", "v"): config.sas_reactivity,
        ("section 5.1", "SAS", "UB"): config.sas_bound,
        ("section 5.1", "SAS", "LB"): -config.sas_bound,
        ("released code", "settings", "batch_size"): config.batch_size,
        ("released code", "settings", "anomalous_stride"): sampling.stride_frames(UCF_FPS, anomalous),
        ("released code", "settings", "normal_stride"): sampling.stride_frames(UCF_FPS, normal),
        ("released code", "settings", "detector_confidence"): config.detector_confidence,
        ("released code", "settings", "sas_stride"): sampling.stride_frames(UCF_FPS, config.analysis_fps),
        ("released code", "settings", "sas_start"): -config.sas_bound,
        ("released code", "settings", "decoded_width"): FLOW_WIDTH,
        ("released code", "settings", "decoded_height"): FLOW_HEIGHT,
    }
    size = {("section IV.A", "preprocessing", "width"): FLOW_WIDTH}
    size["section IV.A", "preprocessing", "height"] = FLOW_HEIGHT
    return _rows(config, "petrocchi2021", values) + clip_rows(config, samples) + _rows(config, "raqeeb", size)


def corpus_rows(config: Config, corpus: Corpus, samples: Sequence[Samples]) -> list[ResultRow]:
    """Sizes of the data beside the printed ones: videos and classes by list, frames that training takes of a class.

    samples: of the videos that can be used, for their rates and lengths. Without official lists there is nothing to set
    beside them, but the classes.
    """
    classes = {v.category for v in corpus.videos}
    anomalies = len(classes - {NORMAL})
    values: dict[Key, float] = {
        ("section 4.1", "UCF-Crime", "anomaly_classes"): anomalies,
        ("claim 4.1", "UCF-Crime", "classes"): len(classes),
        ("section 4.1", "UCFCrime2Local", "classes"): len({v.category for v in corpus.of("train", "val", "all")}),
    }
    if samples:
        values["section 3.3", "UCF-Crime", "fps"] = float(np.median([one.fps for one in samples]))
    if config.split == "official":
        of_test = config.validation == "test_parity"
        train, val, test = (len(corpus.of(split)) for split in ("train", "val", "test"))
        values["section 4.1", "UCFCrime2Local", "train_videos"] = train if of_test else train + val
        values["section 4.1", "UCFCrime2Local", "test_videos"] = test + val if of_test else test
        if of_test and test + val:
            values["section 4.2", "training", "validation_share"] = val / (test + val)
        for split, cached in SPLITS.items():
            for category, count in _sampled(config, [one for one in samples if one.video.split == cached]).items():
                key = ("released code", split, f"sampled_frames_{category}")
                if published.lookup("petrocchi2021", *key):
                    values[key] = count
    second = {("section III", "UCF-Crime", "anomaly_classes"): anomalies}
    return _rows(config, "petrocchi2021", values) + _rows(config, "raqeeb", second)


def _sampled(config: Config, samples: Sequence[Samples]) -> dict[str, int]:
    """Frames at the run's training rates: hard ones by class, all others as Normal, as the released code counts."""
    counts: dict[str, int] = {NORMAL: 0}
    for one in samples:
        index = np.unique(sampling.plan(one.video, one.frames, one.fps, config, "train")[0])
        hard = int(one.video.frame_labels(one.frames)[index].sum())
        counts[NORMAL] += len(index) - hard
        if one.video.label:
            counts[one.video.category] = counts.get(one.video.category, 0) + hard
    return counts


def _rows(config: Config, paper: str, values: Mapping[Key, float]) -> list[ResultRow]:
    rows = []
    for key, value in values.items():
        printed = published.lookup(paper, *key)
        if printed is None:
            raise ValueError(f"published.csv has no row {paper} | {' | '.join(key)} to set {value} beside")
        rows.append(number_row(config, value, printed.unit, paper, *key))
    return rows


# --- claims ------------------------------------------------------------------------------------------------------


def check(config: Config, rows: Sequence[ResultRow]) -> pd.DataFrame:
    """A line a claim of the papers: printed, by the paper's own numbers, ours with its interval, verdict.

    rows: all of the run; those of other parameters are skipped, since nothing here says under which they were made.
    Ours is the row of that claim; where the text repeats a table's number, the table's row. Without one the line says
    which notebook makes it.
    """
    ours = _ours(config, rows)
    lines = []
    for one in published.check_claims():
        c = one.claim
        row = _row_of(c, ours)
        lines.append(
            {
                "claim": f"{c.item}: {c.system}",
                "what": f"{tables.label(c.metric)} ({c.unit})" if c.unit else tables.label(c.metric),
                "printed": c.text,
                "from the paper's numbers": f"{one.computed:.{c.decimals + 1}f}",
                "arithmetic": one.verdict,
                "ours [interval]": _missing(c) if row is None else tables.number_text(row),
                "verdict": "" if row is None else _judge(config, c, row),
            }
        )
    return pd.DataFrame(lines)


def uncovered(config: Config, rows: Sequence[ResultRow]) -> list[tuple[Published, str]]:
    """The printed numbers without a row of these parameters, and which notebook makes one, or why none does."""
    ours = _ours(config, rows)
    return [(one, _missing(one)) for one in published.load() if _row_of(one, ours) is None]


def _ours(config: Config, rows: Sequence[ResultRow]) -> dict[tuple[str, ...], ResultRow]:
    current = config.fingerprint()
    return {(r.paper, r.item, r.system, r.metric): r for r in rows if r.origin == "ours" and r.config == current}


def _row_of(one: Published, ours: Mapping[tuple[str, ...], ResultRow]) -> ResultRow | None:
    """Our row of a printed number: its own, that of the table or section it repeats, or such a comparison."""
    items = [one.item, *re.findall(r"table \d", f"{one.place} {one.formula}"), "section VI", "ablation"]
    return next((ours[key] for item in items if (key := (one.paper, item, one.system, one.metric)) in ours), None)


def _judge(config: Config, one: Published, row: ResultRow) -> str:
    same = row.verdict != "not comparable" and not comparable.why_not(config, one)
    return one.judge(row.value, row.ci_low, row.ci_high, comparable=same)


def _missing(one: Published) -> str:
    return one.ours if one.ours.startswith("none") else f"no row yet ({one.ours})"


# --- for a reader without a run ----------------------------------------------------------------------------------


def listing() -> str:
    """Every printed number as Markdown, a table a paper: what, where, printed, by the paper's own numbers, ours."""
    computed = {c.claim.key: f"{c.computed:.{c.claim.decimals + 1}f}, {c.verdict}" for c in published.check_claims()}
    parts = []
    for paper, title in published.PAPERS.items():
        columns = ("item", "system", "number", "printed", "from the paper's own numbers", "ours")
        parts += [f"### {title}", "", f"| {' | '.join(columns)} |", "| --- | --- | --- | --- | --- | --- |"]
        for one in published.load():
            if one.paper == paper:
                unit = {"%": " %", "share": "", "": ""}.get(one.unit, f" {one.unit}")
                ours = re.sub(r"^parameter (.*)", r"`\1`", one.ours)
                number, own = one.metric.replace("_", " "), computed.get(one.key, "")
                parts.append(f"| {one.item} | {one.system} | {number} | {one.text}{unit} | {own} | {ours} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(listing())
