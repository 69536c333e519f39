"""Rows as a page shows them: tables of ours beside the printed values, comparisons as sentences, metrics by name."""

from collections.abc import Sequence

import pandas as pd

from vadkit.evaluation.bootstrap import Comparison
from vadkit.report.comparable import OTHER_VIDEOS
from vadkit.report.rows import ResultRow, rows_of

LABELS = {
    "fl_auc": "FL-AUC",
    "pair_averaged_auc": "AUC, mean over pairs of videos",
    "ap": "average precision",
    "trapezoidal_ap": "area under precision and recall by trapezoids",
    "latency_aware_ap": "latency-aware AP, our reading",
    "video_ap": "video AP, mean confidence",
    "pointing_hits": "share of hits",
    "anomalous_only_auc": "AUC, anomalous videos only",
    "hard_vs_normal_auc": "AUC, soft frames left out",
    "macro_class_auc": "AUC, mean of classes",
    "false_alarm_rate": "false alarms, normal frames",
    "vl_f1": "VL-F1",
    "vl_tpr": "VL-TPR",
    "vl_fpr": "VL-FPR",
    "detection_delay_s": "delay of detected spans",
    "spans_detected": "spans detected",
    "spans_early": "spans with an early alarm",
    "video_auc": "video AUC, mean confidence",
    "video_auc_sas": "video AUC, largest SAS",
    "macro_f1": "macro F1",
    "mean_ap": "mAP",
    "detection_accuracy": "accuracy, anomalous or not",
    "classification_accuracy": "accuracy, class",
    "video_auc_by_clip": "video AUC, folds by clip",
    "video_auc_by_source": "video AUC, folds by source",
}


def table(rows: Sequence[ResultRow] | pd.DataFrame) -> pd.DataFrame:
    """Rows for a notebook's page: "ours [low, high]" beside the printed value. Takes rows or `load_results`' frame.

    Columns that would be empty throughout are left out. A number that is not comparable has no difference beside it.
    """
    shown = []
    for r in rows_of(rows):
        line = {"item": r.item, "system": r.system, "metric": label(r.metric, r.unit)}
        line["ours [interval]" if r.origin == "ours" else "from the paper's numbers"] = number_text(r)
        comparable = r.difference is not None and r.verdict != "not comparable"
        difference = f"{r.difference:+.{_decimals(r)}f}" if comparable else ""
        line |= {"printed": r.published, "difference": difference, "verdict": r.verdict}
        shown.append(line | {"reason": "" if r.reason == OTHER_VIDEOS else r.reason})  # every page says it at its top
    frame = pd.DataFrame(shown).fillna("")
    return frame[[c for c in frame if c in ("system", "metric") or (frame[c] != "").any()]]


def wide_table(rows: Sequence[ResultRow] | pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """One line a system, as the papers' tables: for each metric ours, beside the printed value that it may stand by."""
    shown = [r for r in rows_of(rows) if r.metric in metrics and r.origin == "ours"]
    frame = pd.DataFrame(index=pd.Index(dict.fromkeys(r.system for r in shown), name="system"))
    for r in sorted(shown, key=lambda r: metrics.index(r.metric)):
        frame.loc[r.system, label(r.metric, r.unit)] = number_text(r)
        frame.loc[r.system, f"{label(r.metric)}, printed"] = r.published if r.verdict != "not comparable" else ""
    return frame.replace("", None).dropna(axis="columns", how="all").fillna("")


def sentence(what: str, found: Comparison) -> str:
    """A comparison in plain words, of a against b: how much, how sure, and what follows. what: its subject."""
    name = label(found.metric)
    if found.difference is None or found.ci_low is None or found.ci_high is None:
        return f"{what}: no statement on {name}: {found.reason}."
    factor, unit = (1.0, found.unit) if found.unit else (100.0, "points")
    change, low, high = (factor * x for x in (found.difference, found.ci_low, found.ci_high))
    follows = f"the interval leaves zero out: {'higher' if low > 0 else 'lower'} on these videos"
    if low <= 0 <= high:
        follows = "the interval contains zero, so these videos cannot tell the two apart"
    return f"{what} changes {name} by {change:+.1f} {unit} [{low:+.1f}, {high:+.1f}]; {follows}."


def label(metric: str, unit: str = "") -> str:
    """A metric's name for a page, with its unit in brackets."""
    if unit:
        unit = "points" if unit == "%" and metric.endswith("_difference") else unit
        return f"{label(metric)} ({unit})"
    for suffix, text in (("_relative_change", "relative change of {}"), ("_difference", "difference of {}")):
        if metric.endswith(suffix):
            return text.format(label(metric.removesuffix(suffix)))
    if metric.startswith("auc_"):
        return f"AUC, {metric.removeprefix('auc_')}"
    return LABELS.get(metric, metric.replace("_", " "))


def number_text(row: ResultRow) -> str:
    """ "82.6 [78.0, 86.1]"; without brackets where there is no interval, "none" where there is no value."""
    if row.value is None:
        return "none"
    digits = _decimals(row)
    text = f"{row.value:.{digits}f}"
    if row.ci_low is None or row.ci_high is None or row.ci_low == row.ci_high == row.value:
        return text
    return f"{text} [{row.ci_low:.{digits}f}, {row.ci_high:.{digits}f}]"


def _decimals(row: ResultRow) -> int:
    printed = len(row.published.partition(".")[2]) if row.published else 0
    whole = row.value is not None and float(row.value).is_integer() and row.ci_low is None
    return printed if whole else max(printed, 2 if row.unit == "s" else 1)
