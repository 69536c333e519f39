"""False alarms of a trained system on normal videos, before and after calibration; and are these like its training?

    python benchmarks/calibration.py street.avi normal.mp4 ... --run outputs/demo

Each video is scored once; its confidences are then replayed. Two trials: calibrated on the first half and measured on
the second; and calibrated on all of it, repeated for ten minutes, then measured on ten minutes more of the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from vadkit.core.errors import DataError
from vadkit.live import calibration
from vadkit.live.score import score
from vadkit.systems.record import find_model

LOOP_SECONDS = 600.0


def trial(footage: np.ndarray, later: np.ndarray, step_s: float, config, wanted: float) -> dict:
    """False alarms in later footage of a camera that was calibrated on some; and what it is told."""
    hours = len(later) * step_s / 3600
    before = calibration.replayed(later, config)
    line = {"before an hour": calibration.openings(before) / hours, "in alarm before": float((before > 0.5).mean())}
    try:
        found = calibration.chosen(footage, step_s, config, wanted)
    except DataError as error:
        return line | {"note": str(error)}
    level = float(logit(found.tau) - logit(config.sas_tau))
    alarms = calibration.openings(calibration.replayed(later, config, level))
    line |= {"after": alarms, "after an hour": alarms / hours, "at most": calibration.most_an_hour(alarms, hours)}
    return line | {"tau": found.tau, "note": found.note}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--run", required=True)
    parser.add_argument("--system", default="2S-bag-ha")
    parser.add_argument("--wanted", type=float, default=0.1, help="false alarms an hour")
    given = parser.parse_args()
    lines = []
    for video in given.videos:
        trained, seen = find_model(given.run, given.system, 0, video), []
        verdict = score(video, trained, each=lambda one, seen=seen: seen.append((one.time_s, one.confidence)))
        times, confidence = np.array(seen).T
        step_s, name = times[-1] / (len(times) - 1), Path(video).name
        about = {"video": name, "minutes": times[-1] / 60, "median confidence": float(np.median(confidence))}
        print(f"{name}: {verdict.unlike or 'nothing says that it is unlike the training videos'}")
        half, repeats = len(confidence) // 2, int(np.ceil(LOOP_SECONDS / times[-1]))
        looped = np.tile(confidence, repeats)
        for what, footage, later in (
            ("second half", confidence[:half], confidence[half:]),
            ("looped", looped, looped),
        ):
            lines.append({**about, "trial": what, **trial(footage, later, step_s, trained.config, given.wanted)})
            print(f"{name}, {what}: {lines[-1].pop('note', '')}", flush=True)
    frame = pd.DataFrame(lines)
    print(frame.round(3).to_string(index=False))
    print(json.dumps({"run": given.run, "system": given.system, "trials": lines}))


if __name__ == "__main__":
    main()
