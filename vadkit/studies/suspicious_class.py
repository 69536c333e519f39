"""What a third, suspicious class (beyond the paper, its section 6) makes of hard, soft and normal test frames."""

from functools import partial

import numpy as np
import pandas as pd
import torch

from vadkit.systems.material import suspicion
from vadkit.systems.runner import Run
from vadkit.systems.scorer import confidences

KINDS = ("hard anomaly", "soft, near a hard one", "anomalous video, further off", "normal video")


def beliefs(run: Run) -> pd.DataFrame:
    """The three classes' probabilities on each kind of analysed test frame, means over frames and models.

    Columns: frames (how many, of one model), normal, suspicious, hard; a line for each of KINDS that has a frame.
    "Near": less than config.suspicious_seconds from a hard frame. Raises ValueError for a system without a suspicious
    class.
    """
    if not run.system.suspicious:
        raise ValueError(f"{run.system.name} has no suspicious class; give the run of 2S-bag-suspicious")
    config, inputs = run.config, run.system.inputs(run.config)
    kinds, found = [], []
    for seed in run.seeds:
        for fold in seed.folds:
            probabilities = confidences(inputs, fold.path, partial(torch.softmax, dim=1))
            for one in fold.sides.test:
                rows = one.rows("score", config)
                near = suspicion(one, rows, config.suspicious_seconds) > 0
                kinds.append(np.where(one.labels[rows] == 1, 0, np.where(near, 1, 2 if one.video.label else 3)))
                found.append(probabilities(one, rows))
    models = sum(len(seed.folds) for seed in run.seeds) if config.split == "official" else len(run.seeds)
    table = pd.DataFrame(np.concatenate(found).astype(float), columns=["normal", "suspicious", "hard"])
    by_kind = table.groupby(np.concatenate(kinds))
    means = by_kind.mean()
    means.insert(0, "frames", by_kind.size() // models)
    return means.rename(index=dict(enumerate(KINDS))).rename_axis("kind")
