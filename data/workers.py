"""Loaders' worker processes: who ends them, and when."""

import atexit
import multiprocessing
import signal


def leave_signals_to_the_trainer(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM in a loader's worker process.

    A terminal or a job scheduler signals the whole process group; a worker that died of it would
    end the run with an error before the trainer has saved. Workers end when the trainer does.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _kill_workers() -> None:
    """End workers that outlive their loader.

    Python would send them SIGTERM, which they ignore, and wait for ever. (Registered after
    `multiprocessing`'s own function, hence run before it.)
    """
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
