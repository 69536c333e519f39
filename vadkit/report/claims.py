"""Every printed number and statement beside what this run has of its own.

Three kinds of printed number have no notebook that measures them: settings, which are parameters here; sizes of the
data, which are counted; and constants of the code. Their rows are made here, as published.csv says.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from vadkit.core.config import Config
from vadkit.corpora.video import NORMAL, Corpus
from vadkit.evaluation.metrics import THRESHOLD
from vadkit.report import comparable, published, tables
from vadkit.report.published import Published
from vadkit.report.rows import ResultRow, number_row
from vadkit.systems.base import find_system
from vadkit.views.flow import FLOW_HEIGHT, FLOW_WIDTH
from vadkit.views.frames import Samples
from vadkit.views.objects import COCO_CLASSES
from vadkit.views.sampling import plan, stride_frames

UCF_FPS = 30.0  # at which the released strides are stated
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # ours: the released code's


def clip_rate(config: Config, samples: Sequence[Samples]) -> float:
    """Frames a second within a clip: whole frames apart, so as near to `clip_fps` as the videos' median rate allows."""
    fps = float(np.median([one.fps for one in samples]))
    return fps / stride_frames(fps, config.clip_fps)


def setting_rows(config: Config, samples: Sequence[Samples]) -> list[ResultRow]:
    """The run's settings and the code's constants beside those that the papers and the released code state.

    samples: of the run's videos, or their clips, for the rate.
    """
    rate, (anomalous, normal) = clip_rate(config, samples), config.training_fps
    head_epochs, finetune_epochs = find_system("2S-bag-ha-no-es").fixed_epochs
    by_metric = {  # those that are not the value of a parameter
        "classes": len(COCO_CLASSES),
        "anomalous_fps": anomalous,
        "normal_fps": normal,
        "anomalous_stride": stride_frames(UCF_FPS, anomalous),
        "normal_stride": stride_frames(UCF_FPS, normal),
        "weight_normal": 1,
        "head_epochs": head_epochs,
        "finetune_epochs": finetune_epochs if config.finetune_epochs else 0,
        "fps": rate,
        "sampling_fps": rate,
        "segment_seconds": config.clip_frames / rate,
        "anomalous_overlap": config.clip_frames - config.clip_shift_anomalous,
        "normal_overlap": config.clip_frames - config.clip_shift_normal,
        "threshold": THRESHOLD,
        "LB": -config.sas_bound,
        "sas_start": -config.sas_bound,
        "sas_stride": stride_frames(UCF_FPS, config.analysis_fps),
        **dict.fromkeys(("width", "decoded_width"), FLOW_WIDTH),
        **dict.fromkeys(("height", "decoded_height"), FLOW_HEIGHT),
    }
    rows = []
    for one in published.load():
        where, _, parameter = one.ours.partition(" ")
        if where in ("code", "parameter"):
            value = by_metric[one.metric] if one.metric in by_metric else getattr(config, parameter)
            rows.append(number_row(config, value, one.unit, *one.key))
    return rows


def corpus_rows(config: Config, corpus: Corpus, samples: Sequence[Samples]) -> list[ResultRow]:
    """Sizes of the data beside the printed ones: videos and classes by list, frames that training takes of a class.

    samples: of the videos that can be used. Without official lists there are only the classes.
    """
    classes = {v.category for v in corpus.videos}
    values: dict[tuple[str, str], float] = {
        ("UCF-Crime", "anomaly_classes"): len(classes - {NORMAL}),
        ("UCF-Crime", "classes"): len(classes),
        ("UCFCrime2Local", "classes"): len({v.category for v in corpus.of("train", "val", "all")}),
    }
    if samples:
        values["UCF-Crime", "fps"] = float(np.median([one.fps for one in samples]))
    if config.split == "official":
        of_test = config.validation == "test_parity"
        train, val, test = (len(corpus.of(split)) for split in SPLITS)
        values["UCFCrime2Local", "train_videos"] = train if of_test else train + val
        values["UCFCrime2Local", "test_videos"] = test + val if of_test else test
        if of_test and test + val:
            values["training", "validation_share"] = val / (test + val)
        for split, released in SPLITS.items():
            counts = _sampled(config, [one for one in samples if one.video.split == split])
            values |= {(released, f"sampled_frames_{category}"): count for category, count in counts.items()}
    return [
        number_row(config, values[one.system, one.metric], one.unit, *one.key)
        for one in published.load()
        if one.ours == "corpus" and (one.system, one.metric) in values
    ]


def _sampled(config: Config, samples: Sequence[Samples]) -> Counter[str]:
    """Frames at the run's training rates: hard ones by class, all others as Normal, as the released code counts."""
    counts = Counter({NORMAL: 0})
    for one in samples:
        index = np.unique(plan(one.video, one.frames, one.fps, config, "train", one.times)[0])
        hard = int(one.video.frame_labels(one.frames)[index].sum())
        counts[NORMAL] += len(index) - hard
        if one.video.label:
            counts[one.video.category] += hard
    return counts


# --- claims ------------------------------------------------------------------------------------------------------


def check(config: Config, rows: Sequence[ResultRow]) -> pd.DataFrame:
    """A line for each claim of the papers: printed, from the paper's own numbers, ours with its interval, verdict.

    rows: all of the run; those of other parameters are skipped. Ours is the row of that claim, or of the table whose
    number the text repeats; without one the line says which notebook makes it.
    """
    ours, lines = _ours(config, rows), []
    for one in published.check_claims():
        c = one.claim
        row, number, verdict = _row_of(c, ours), _missing(c), ""
        if row is not None:
            same = row.verdict != "not comparable" and not comparable.why_not(config, c)
            number, verdict = tables.number_text(row), c.judge(row.value, row.ci_low, row.ci_high, comparable=same)
        computed = f"{one.computed:.{c.decimals + 1}f}"
        line = (f"{c.item}: {c.system}", tables.label(c.metric, c.unit), c.text, computed, one.verdict, number, verdict)
        lines.append(line)
    columns = ["claim", "what", "printed", "from the paper's numbers", "arithmetic", "ours [interval]", "verdict"]
    return pd.DataFrame(lines, columns=columns)


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


def _missing(one: Published) -> str:
    return one.ours if one.ours.startswith("none") else f"no row yet ({one.ours})"
