"""One function over many tasks, in processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def each(function: Callable[..., Any], tasks: Sequence[Sequence[Any]], workers: int) -> Iterator[Any]:
    """`function(*task)` for every task; yields what it returns, as tasks finish.

    In `workers` processes, or in this one where there is one of either. What `function` raises is raised here, and the tasks that were
    not begun are dropped. Fresh processes, not forks: torch and OpenCV do not survive a fork with their threads running.
    """
    if workers == 1 or len(tasks) < 2:
        yield from (function(*task) for task in tasks)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(
        n_jobs=min(workers, len(tasks)),
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="2*n_jobs",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "A worker stopped", UserWarning
        )  # processes of an earlier step that idled too long
        outcomes = parallel(delayed(_with_one_thread)(function, task) for task in tasks)
        try:
            for outcome in outcomes:  # noqa: UP028 - `yield from` would close it before the filter below
                yield outcome
        finally:
            warnings.simplefilter("ignore")  # joblib warns that tasks were cancelled, which is what an error wants
            outcomes.close()


def _with_one_thread(function: Callable[..., Any], task: Sequence[Any]) -> Any:
    """Each process has a core to itself; more threads only get in each other's way."""
    import cv2

    cv2.setNumThreads(1)
    return function(*task)
