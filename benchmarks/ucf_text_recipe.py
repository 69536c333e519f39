"""How sentences become features, tried on training videos alone: `vadkit features text` has what won.

    python benchmarks/ucf_text_recipe.py data/uca [--tries "768 dimensions,1024 dimensions"]

Five folds of UCF-Crime's official training videos, stratified by class. A logistic regression on 32 segments of each
video is taught the video's label; a video's score is that of its highest segment, or the mean of its three highest.
Figures are AUCs over the videos held out. Test videos take no part. TF-IDF and SVD are fitted on all training videos'
sentences, without a label. Prints a line a try.
"""

from __future__ import annotations

import argparse
import math
import warnings

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import normalize

from vadkit.corpora.public_lists import listed
from vadkit.views.sampling import segment_starts
from vadkit.views.segments import segment_bag
from vadkit.views.text_features import CLIP_FRAMES, read, timed_rows

SEGMENTS, FOLDS, STEPS = 32, 5, 60
TRIES = {
    "256 dimensions": {},
    "64 dimensions": {"dimensions": 64},
    "128 dimensions": {"dimensions": 128},
    "512 dimensions": {"dimensions": 512},
    "768 dimensions": {"dimensions": 768},
    "1024 dimensions": {"dimensions": 1024},
    "256, counts as they are": {"sublinear_tf": False},
    "256, without stop words": {"stop_words": "english"},
    "256, pairs of words too": {"ngram_range": (1, 2)},
    "512, pairs of words too": {"dimensions": 512, "ngram_range": (1, 2)},
    "256, words in 5 sentences": {"min_df": 5},
    "256, sentences of length 1": {"unit": True},
    "256, gaps are zero": {"gaps": True},
}


def weights_of(timed: list, frames: int, gaps: bool) -> sparse.csr_matrix:
    """How much each sentence gives to each segment. Shape: -> (segments, sentences)."""
    rows = -(-frames // CLIP_FRAMES)
    weights = timed_rows(timed, np.eye(len(timed), dtype=np.float32), rows)
    if gaps:
        covered = np.zeros(rows, bool)
        for start, end, _ in timed:
            covered[int(start // CLIP_FRAMES) : math.ceil(end / CLIP_FRAMES)] = True
        weights[~covered] = 0
    return sparse.csr_matrix(segment_bag(segment_starts(frames, rows), weights, frames, SEGMENTS).features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--tries", default=",".join(TRIES).replace("256, ", "256; ").replace("512, ", "512; "))
    options = parser.parse_args()
    public = listed("ucf-crime")
    said = {name: one for name, one in read(options.source, public).videos.items() if public[name].split == "train"}
    sentences = [text for timed in said.values() for *_, text in timed]
    labels, classes = ([getattr(public[name], what) for name in said] for what in ("label", "category"))
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, classes))
    labels, operators = np.array(labels), {}
    warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps, the same for all
    for name in (one.strip().replace(";", ",") for one in options.tries.split(",")):
        how = {"dimensions": 256, "unit": False, "gaps": False} | TRIES[name]
        dimensions, unit, gaps = (how.pop(key) for key in ("dimensions", "unit", "gaps"))
        if gaps not in operators:
            parts = [weights_of(timed, public[video].frames, gaps) for video, timed in said.items()]
            operators[gaps] = sparse.block_diag(parts, format="csr")
        counted = TfidfVectorizer(**{"sublinear_tf": True, "min_df": 2} | how, dtype=np.float32).fit_transform(
            sentences
        )
        vectors = TruncatedSVD(dimensions, random_state=0).fit_transform(counted)
        bags = normalize(operators[gaps] @ (normalize(vectors) if unit else vectors)).reshape(len(said), SEGMENTS, -1)
        scores = np.zeros((len(said), SEGMENTS))
        for taught, held in folds:
            model = LogisticRegression(max_iter=STEPS)
            model.fit(np.concatenate(bags[taught]), np.repeat(labels[taught], SEGMENTS))
            scores[held] = model.decision_function(np.concatenate(bags[held])).reshape(-1, SEGMENTS)
        highest, three = roc_auc_score(labels, scores.max(1)), roc_auc_score(labels, np.sort(scores, 1)[:, -3:].mean(1))
        print(f"{name:<28} highest {highest:.4f}  three highest {three:.4f}", flush=True)


if __name__ == "__main__":
    main()
