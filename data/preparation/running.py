"""How a step runs: what is in the cache is taken from there, the rest is spread over workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from data.preparation.cache import StepCache
from data.preparation.executors import Executor, run_with_progress

_MOST_IN_CHUNK = 16
_CHUNKS_PER_WORKER = 4

Task = TypeVar("Task")
TaskIn = TypeVar("TaskIn", contravariant=True)


@runtime_checkable
class Worker(Protocol[TaskIn]):
    """Does the work of a step; holds models that are costly to load."""

    def __call__(self, task: TaskIn) -> Any:
        """Return the result of a task as plain JSON data, or such a result as `Unkept`."""


@runtime_checkable
class Step(Protocol[TaskIn]):
    """A piece of the preparation. It travels to other processes, so it holds settings only."""

    @property
    def name(self) -> str:
        """Folder of its results in the cache."""

    def key(self, task: TaskIn, cache: StepCache, may_read: bool) -> str | None:
        """Return what the result depends on; None if it takes reading, or cannot be known."""

    def worker(self) -> Worker[TaskIn]:
        """Return a worker."""


@dataclass(frozen=True)
class Unkept:
    """A result that holds for this run only: the next one does the task again."""

    result: Any
    """As plain JSON data."""


@dataclass(frozen=True)
class _RunChunk(Generic[Task]):
    """What is sent to a worker process beside the tasks."""

    step: Step[Task]
    folder: Path

    def __call__(self, tasks: Sequence[Task]) -> list[Any]:
        cache = StepCache(self.folder)
        worker: Worker[Task] | None = None
        results = []
        for task in tasks:
            key = self.step.key(task, cache, may_read=True)
            result = cache.get(self.step.name, key) if key else None
            if result is None:
                worker = worker or self.step.worker()
                result = worker(task)
                if isinstance(result, Unkept):
                    result = result.result
                elif key:
                    # At once, not at the end of the chunk: a killed run goes on from here.
                    cache.put(self.step.name, key, result)
            results.append(result)
        return results


def run_step(
    step: Step[Task], tasks: Sequence[Task], cache: StepCache, executor: Executor
) -> list[Any]:
    """Return the results of all tasks, in order.

    Args:
        step: What to do.
        tasks: With what.
        cache: Where results are kept.
        executor: Where the work is done.
    """
    keys = [step.key(task, cache, may_read=False) for task in tasks]
    results = [cache.get(step.name, key) if key else None for key in keys]
    missing = [number for number, result in enumerate(results) if result is None]
    if not missing:
        return results
    size = -(-len(missing) // (_CHUNKS_PER_WORKER * executor.workers))
    size = max(1, min(size, _MOST_IN_CHUNK))
    numbers = [missing[start : start + size] for start in range(0, len(missing), size)]
    chunks = [[tasks[number] for number in chunk] for chunk in numbers]
    done = run_with_progress(executor, _RunChunk(step, cache.folder), chunks, step.name)
    for chunk, made in zip(numbers, done, strict=True):
        for number, result in zip(chunk, made, strict=True):
            results[number] = result
    return results
