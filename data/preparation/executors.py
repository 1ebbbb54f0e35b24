"""Where the steps run: in this process, in one process a core, or on a Dask cluster."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data.errors import InputError
from data.preparation.config import PrepareConfig

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS = 20


@runtime_checkable
class Executor(Protocol):
    """Runs a function over chunks of work."""

    workers: int
    """Chunks that run at the same time."""

    def run(
        self, function: Callable[[Any], Any], chunks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each chunk and its result, as they are done."""

    def close(self, at_once: bool) -> None:
        """End the workers; `at_once` without waiting for what they are doing."""


class InThisProcess:
    """One chunk after the other; what `workers=1` means."""

    workers = 1

    def run(
        self, function: Callable[[Any], Any], chunks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each chunk and its result."""
        yield from ((number, function(chunk)) for number, chunk in enumerate(chunks))

    def close(self, at_once: bool) -> None:
        """Nothing to end."""


class Processes:
    """A pool of processes, started when there is work; ended at once when the run is."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(
        self, function: Callable[[Any], Any], chunks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each chunk and its result, as they are done."""
        if self._pool is None:
            # Spawned, not forked: a fork of a process whose threads ran can deadlock.
            self._pool = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), _begin_worker
            )
        numbers: dict[Future[Any], int] = {
            self._pool.submit(function, chunk): number for number, chunk in enumerate(chunks)
        }
        for future in as_completed(numbers):
            yield numbers[future], future.result()

    def close(self, at_once: bool) -> None:
        """End the processes, without waiting for their chunks if the run was stopped."""
        if self._pool is None:
            return
        if at_once:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
        self._pool.shutdown(cancel_futures=True)


class Dask:
    """The workers of a Dask cluster; they must see the same files under the same paths.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                f"executor=dask needs Dask ({error}): pip install 'timbre-voice[dask]'"
            ) from error
        try:
            self._client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"scheduler={address}: no Dask scheduler answers there ({error}); start one with "
                "`dask scheduler` and workers with `dask worker ADDRESS`"
            ) from error
        self.workers = max(1, sum(self._client.nthreads().values()))

    def run(
        self, function: Callable[[Any], Any], chunks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each chunk and its result, as they are done."""
        from distributed import as_completed as as_completed_there

        futures = [self._client.submit(function, chunk, pure=False) for chunk in chunks]
        numbers = {future.key: number for number, future in enumerate(futures)}
        for future in as_completed_there(futures, loop=self._client.loop):
            yield numbers[future.key], future.result()

    def close(self, at_once: bool) -> None:
        """Leave the cluster; what it has not begun yet is forgotten with the futures."""
        self._client.close()


@contextmanager
def open_executor(config: PrepareConfig) -> Iterator[Executor]:
    """The executor that the configuration asks for; an exception ends its workers at once."""
    executor: Executor
    workers = config.workers or _cores()
    if config.executor == "dask":
        executor = Dask(config.scheduler or "")
    else:
        executor = InThisProcess() if workers == 1 else Processes(workers)
    try:
        yield executor
    except BaseException:
        executor.close(at_once=True)
        raise
    executor.close(at_once=False)


def _cores() -> int:
    """The cores that this process may use; only Linux tells which of the machine's those are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_with_progress(
    executor: Executor,
    function: Callable[[Any], Any],
    chunks: Sequence[Sequence[Any]],
    title: str,
) -> list[Any]:
    """Run all chunks and return their results in order; shows a bar on a terminal.

    Args:
        executor: Where.
        function: What; takes a chunk.
        chunks: Work, in pieces.
        title: What the bar is called.
    """
    results: list[Any] = [None] * len(chunks)
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    items = sum(map(len, chunks))
    if not sys.stderr.isatty():
        _LOG.info("%s: %d to do, %d workers", title, items, executor.workers)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not sys.stderr.isatty()
    ) as progress:
        bar = progress.add_task(title, total=items)
        for number, result in executor.run(function, chunks):
            results[number] = result
            progress.advance(bar, len(chunks[number]))
    return results


def _begin_worker() -> None:
    """Leave Ctrl-C to the main process, one thread a core, and do not outlive the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
