"""The threshold of one camera, from normal footage of it, for a wanted rate of false alarms an hour.

Where a model's confidences are high throughout, as on a camera unlike its training videos, no threshold of the anomaly
score helps: it is at its upper bound. So the camera's own level is taken off each confidence's logit before the score
adds it up (`evaluation.sas.at_level`), which is written as the confidence tau that stands in the place of sas_tau.

The level is an extrapolation: of every ten seconds the lowest level that keeps the score quiet, and of these, as
maxima, a Gumbel distribution by its moments; the level that as many exceed as alarms are wanted. It is chosen on the
first two thirds of the footage, replayed on the rest, and never below the level of training. All of it is ours.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import chi2, gumbel_r

from vadkit.core.config import Config
from vadkit.core.disk import write_atomic
from vadkit.core.errors import ConfigError, DataError, reading
from vadkit.evaluation.sas import ALARM, at_level, sigmoidal_anomaly_score
from vadkit.live.score import Verdict, score
from vadkit.systems.record import TrainedModel

FOLDER = "calibration"
BLOCK_SECONDS = 10.0
CHOSEN = 2 / 3  # of the footage; the rest is kept apart
LEAST_SECONDS = 60.0
LEVELS = np.arange(-17.0, 17.0, 0.1)  # a confidence in single precision has no larger logit below 1
BLIND = 12.0  # a level; an event would need confidences above 0.99999
PATIENCE_SECONDS = 10.0  # within which an alarm is still one
SURE = 0.95


@dataclass(frozen=True)
class Calibration:
    """tau: takes the place of sas_tau (`Analyser.alarm_above`); note: where it comes from; model: by its folder's name;
    alarms: that began in the part kept apart, by the level chosen on the other; alarms_before: by that of training."""

    tau: float
    note: str
    model: str
    alarms_before: int
    alarms: int


def calibrate(
    source: str, trained: TrainedModel, minutes=10.0, an_hour=0.1, config: Config | None = None, stopped=lambda: False
) -> tuple[Calibration, Verdict]:
    """Watch normal footage for so long, or to a file's end, and choose its threshold; also what `score` says of it.

    Raises as `score` and `chosen`, and DataError for footage of less than a minute.
    """
    seen: list[tuple[float, float]] = []
    enough = lambda: stopped() or bool(seen) and seen[-1][0] >= 60 * minutes  # noqa: E731
    keep = lambda one: seen.append((one.time_s, one.confidence))  # noqa: E731
    verdict = score(source, trained, config=config, stopped=enough, each=keep)
    if verdict.broken:
        raise DataError(f"{verdict.broken}\n  nothing is calibrated on a part")
    times, confidence = np.array(seen).T
    if times[-1] < LEAST_SECONDS:
        got = f"expected at least {LEAST_SECONDS:g} s of normal footage, got {times[-1]:.0f} s"
        raise DataError(f"{source}: {got}; give a longer file, or watch for longer")
    step_s = times[-1] / (len(times) - 1)
    return chosen(confidence, step_s, config or trained.config, an_hour, trained.path.name), verdict


def chosen(confidence: np.ndarray, step_s: float, config: Config, an_hour: float, model: str = "") -> Calibration:
    """The calibration by confidences of normal footage. step_s: seconds from one to the next. Raises DataError where no
    level keeps them quiet, ConfigError for a rate or sas_tau of 0."""
    if not an_hour > 0 or not config.sas_tau > 0:
        raise ConfigError(f"expected a rate of alarms and sas_tau above 0, got {an_hour:g} and {config.sas_tau:g}")
    first, kept = np.split(confidence, [round(CHOSEN * len(confidence))])
    level = level_of(first, step_s, config, an_hour)
    before, alarms = (openings(replayed(kept, config, one)) for one in (0.0, level))
    minutes, apart = (len(part) * step_s / 60 for part in (confidence, kept))
    below = most_an_hour(alarms, apart / 60)
    checked = f"{alarms or 'none'} in the {apart:.1f} min kept apart: below {below:.0f} an hour with {100 * SURE:.0f} %"
    if alarms:
        level = level_of(confidence, step_s, config, an_hour)
        checked += "; chosen anew on all of it, which nothing checks"
    steps = max(1, round(PATIENCE_SECONDS / step_s))
    step = config.sas_bound / (steps * config.sas_reactivity)  # of a whole one, that passes 0 in that time
    enough = config.sas_tau + (1 - config.sas_tau) * min(step, 1.0)
    tau, needed = (float(at_level(one, -level)) for one in (config.sas_tau, enough))
    wanted = f"calibrated on {minutes:.1f} min of this camera for {an_hour:g} false alarms an hour, by extrapolation"
    digits = 2 + max(0, math.ceil(-math.log10(max(1 - needed, 1e-9)) - 1))  # that tell it from 1
    within = f"an alarm takes confidences of {needed:.{digits}f} for {PATIENCE_SECONDS:g} s ({steps} analysed frames)"
    note = f"{wanted}; {checked}; {within}" + (": the system is blind on this camera" if level > BLIND else "")
    return Calibration(tau, note, model, before, alarms)


def level_of(confidence: np.ndarray, step_s: float, config: Config, an_hour: float) -> float:
    """The level that so many blocks an hour exceed, by extrapolation. Raises DataError where none keeps them quiet."""
    steps = max(1, round(BLOCK_SECONDS / step_s))
    starts = np.arange(0, max(len(confidence) - steps // 2, 1), steps)
    loud = [np.logical_or.reduceat(replayed(confidence, config, one) > ALARM, starts) for one in LEVELS]
    needed = np.append(LEVELS, np.inf)[np.sum(loud, axis=0)]  # by block: a higher level is never louder
    if not np.isfinite(needed).all():
        why = "its confidences are 1 for seconds on end; this system cannot watch this camera"
        raise DataError(f"no threshold keeps {len(confidence) * step_s / 60:.1f} min of the footage quiet: {why}")
    spread = max(float(needed.std()), 1e-6) * math.sqrt(6) / math.pi
    exceeded = min(an_hour * BLOCK_SECONDS / 3600, 0.5)
    return max(0.0, float(needed.max()), float(gumbel_r.isf(exceeded, needed.mean() - np.euler_gamma * spread, spread)))


def replayed(confidence: np.ndarray, config: Config, level: float = 0.0) -> np.ndarray:
    """The anomaly score of confidences at a level. Shape: (n,) -> (n,)."""
    bound, values = config.sas_bound, at_level(confidence, level)
    bounds = (-bound, bound)
    return sigmoidal_anomaly_score(values, config.sas_tau, config.sas_reactivity, bounds, -bound, config.sas_variant)


def openings(sas: np.ndarray, before: float = 0.0) -> int:
    """How many alarms begin. before: the score until then."""
    over = np.append(before, sas) > ALARM
    return int(np.sum(~over[:-1] & over[1:]))


def most_an_hour(alarms: int, hours: float) -> float:
    """What the true rate is below with 95 % confidence, by Poisson's law: 18 an hour where ten minutes had none."""
    return float(chi2.ppf(SURE, 2 * alarms + 2) / 2 / hours) if hours > 0 else math.inf


def path_of(run: str | Path, camera: str) -> Path:
    """Where a camera's calibration is stored."""
    return Path(run) / FOLDER / (re.sub(r"[^\w.-]+", "_", camera)[:100] + ".json")


def write(run: str | Path, camera: str, found: Calibration) -> Path:
    """Store a camera's calibration beside a run, whole, in the place of an earlier one."""
    path = path_of(run, camera)
    write_atomic(path, json.dumps(asdict(found), indent=1) + "\n")
    return path


def calibrated(run: str | Path, camera: str, trained: TrainedModel) -> Calibration | None:
    """A camera's calibration; None where there is none by this very model. Raises DataError for a damaged file."""
    path = path_of(run, camera)
    if not path.is_file():
        return None
    with reading(path, "a camera's calibration", "delete it and calibrate again"):
        found = Calibration(**json.loads(path.read_text(encoding="utf-8")))
        if not 0 < found.tau < 1:
            raise ValueError(f"tau is {found.tau}")
    return found if found.model == trained.path.name else None
