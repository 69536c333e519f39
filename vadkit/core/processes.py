"""One function over many tasks, in processes of this machine or on the workers of a Dask cluster.

The tasks fill the cache and return little. Workers of a cluster therefore need the same code, the cache and the videos
by the same paths, on a file system that all of them share; each task looks before it begins.
"""

import logging
import os
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vadkit.core.code import package_digest
from vadkit.core.config import Config, resolve
from vadkit.core.digests import digest
from vadkit.core.errors import ConfigError, RunError, VadkitError

CONNECT_SECONDS = 10
RETRIES = 2  # of a task that failed by no fault of ours: a shared disk hiccups


class Cluster(NamedTuple):
    """A scheduler's address, and the folders that its workers must see as this machine does."""

    address: str
    cache: Path
    data: Path | None = None


def cluster_of(config: Config) -> Cluster | None:
    """Where config.scheduler sends tasks; None for this machine."""
    data = resolve(config.data_root) if config.data_root else None
    return None if config.scheduler == "local" else Cluster(config.scheduler, config.cache_dir, data)


def several(config: Config) -> bool:
    """Whether tasks are done side by side."""
    return config.workers > 1 or config.scheduler != "local"


def each(
    function: Callable[..., Any],
    tasks: Sequence[Sequence[Any]],
    workers: int,
    cluster: Cluster | None = None,
    threads: bool = False,
) -> Iterator[Any]:
    """`function(*task)` for every task; yields what it returns, as tasks finish. Put the longest first.

    In `workers` processes of one thread, on a cluster's workers where there is one, or in this process where there is
    one worker or task; threads: in threads of this process, which share its GPU. What `function` raises is raised here,
    and the tasks that were not begun are dropped. Fresh processes, not forks: torch and OpenCV do not survive a fork
    with their threads running. Raises RunError where a worker or the scheduler died, ConfigError for no scheduler.
    """
    if len(tasks) < 2 or (workers == 1 and cluster is None):
        yield from (function(*task) for task in tasks)
        return
    if cluster is not None and not threads:
        yield from _on_cluster(function, tasks, cluster)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    backend, own = ("threading", {}) if threads else ("loky", {"initializer": follow, "initargs": (os.getpid(),)})
    pool = Parallel(
        min(workers, len(tasks)), backend, "generator_unordered", batch_size=1, pre_dispatch="2*n_jobs", **own
    )
    with warnings.catch_warnings():
        # processes of an earlier step that idled too long
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        outcomes = pool(delayed(function)(*task) for task in tasks)
        try:
            for outcome in outcomes:  # noqa: UP028 - `yield from` would close it before the filter below
                yield outcome
        except TerminatedWorkerError as error:
            remedy = f"what was finished is kept: run it again, with fewer than {workers} workers where it repeats"
            raise RunError(f"a worker process was killed, for want of memory perhaps; {remedy}") from error
        finally:
            warnings.simplefilter("ignore")  # joblib warns that tasks were cancelled, which is what an error wants
            outcomes.close()


def _on_cluster(function: Callable[..., Any], tasks: Sequence[Sequence[Any]], cluster: Cluster) -> Iterator[Any]:
    client = connected(cluster.address)
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm import CommClosedError

    cluster.cache.mkdir(parents=True, exist_ok=True)
    mark = cluster.cache / f".seen-by-workers-{os.getpid()}-{secrets.token_hex(4)}"
    mark.touch()
    expected = package_digest(), mark, cluster.data, _listing(cluster.data, cluster.cache)
    futures = client.map(
        _task, *zip(*((expected, function, task) for task in tasks), strict=True), pure=False, retries=RETRIES
    )
    kept = "what was finished is kept, and the same command goes on from there"
    try:
        for future in as_completed(futures, loop=client.loop):
            outcome = future.result()
            if isinstance(outcome, VadkitError):
                raise outcome
            yield outcome
    except KilledWorker as error:
        remedy = "give its workers more memory, or fewer threads"
        raise RunError(f"{error.last_worker.address} and others were killed by one task; {remedy}; {kept}") from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise RunError(f"the scheduler at {cluster.address} was lost; start it again: {kept}") from error
    except ImportError as error:  # a worker cannot even read the task
        raise RunError(f"the workers of {cluster.address} lack {error.name}; install the same vadkit there") from error
    finally:
        with suppress(Exception):  # the connection may be gone
            client.cancel(futures, force=True)
        client.close(timeout=2)
        mark.unlink(missing_ok=True)


def connected(address: str) -> Any:
    """A client of a scheduler, with workers; close it. Raises ConfigError for none."""
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(f"scheduler is {address}, but Dask is not installed; pip install 'vadkit[scale]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a lost connection is said once, by us
    remedy = f"`dask scheduler` and `dask worker {address}` start them, scheduler: local does without"
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise ConfigError(f"no scheduler answers at {address}; {remedy}") from None
    if not client.scheduler_info()["workers"]:
        client.close()
        raise ConfigError(f"the scheduler at {address} has no workers; {remedy}")
    return client


def _task(expected: tuple, function: Callable[..., Any], task: Sequence[Any]) -> Any:
    """On a worker: the task's outcome, or the user's error, which trying again would not mend."""
    import socket

    version, mark, data, listing = expected
    here = f"a worker on {socket.gethostname()}"
    if package_digest() != version:
        return RunError(f"{here} has other code of vadkit than this machine; install the same version there")
    if not mark.exists():
        remedy = "set cache_root to a folder that all workers see by the same path"
        return RunError(f"{here} does not see the cache {mark.parent}; {remedy}")
    if _listing_of(data, mark) != listing:
        return RunError(f"{here} does not see in {data} what this machine does; put data_root on a shared file system")
    import cv2

    cv2.setNumThreads(1)
    try:
        return function(*task)
    except VadkitError as error:
        return error


def _listing(folder: Path | None, cache_dir: Path) -> str:
    """A digest of the files below a folder, by name and size: a video that a worker alone lacks would be left out."""
    files = folder.rglob("*") if folder is not None and folder.is_dir() else ()
    files = (one for one in files if one.is_file() and not one.is_relative_to(cache_dir))
    return digest(sorted((str(one.relative_to(folder)), one.stat().st_size) for one in files))


@cache
def _listing_of(folder: Path | None, mark: Path) -> str:
    """The same, looked at once by a worker for all the tasks of one call, which has its own mark."""
    return _listing(folder, mark.parent)


def follow(parent: int = 0) -> None:
    """Make this process a worker: it ends when its parent does, however that ends, and OpenCV takes one thread, for it
    has a core to itself. parent: its id, for it may be dead already; otherwise the parent that it has now."""
    import cv2

    cv2.setNumThreads(1)
    parent = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
