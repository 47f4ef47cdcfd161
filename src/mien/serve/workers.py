"""Workers: threads that recognize, and a bounded number of places for requests that want them.

A request takes a place before its body is read. When none is free it is refused at once, so neither the memory of the
server nor the wait of those inside grows without end.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from mien.errors import InputError
from mien.serve.refusal import RefusedError

T = TypeVar("T")
_LONGEST_ADVICE = 60  # seconds that a client is told to wait
_MEMORY = 0.9  # weight of the past in the mean time of a job


class Workers:
    """`threads` jobs at a time, and `waiting` more requests inside."""

    def __init__(self, threads: int, waiting: int) -> None:
        if threads < 1:
            raise InputError(f"threads {threads}: expected 1 or more")
        self.threads, self.places = threads, threads + waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mien-worker")
        self._lock = threading.Lock()
        self._inside = 0
        self._job_s = 0.1

    @property
    def inside(self) -> int:
        """Requests that have a place now."""
        return self._inside

    def enter(self) -> Place:
        """A place, to be used as a context. Raises `RefusedError` 503, with when to come back, if all are taken."""
        with self._lock:
            if self._inside >= self.places:
                wait = math.ceil(self._job_s * self._inside / self.threads)
                raise RefusedError(
                    503,
                    f"the server is busy with {self._inside} requests; try again later",
                    retry_after=min(max(wait, 1), _LONGEST_ADVICE),
                )
            self._inside += 1
        return Place(self)

    def close(self) -> None:
        """Drop the jobs that wait; those that run end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        return self._pool.submit(self._timed, job)

    def _timed(self, job: Callable[[], T]) -> T:
        start = time.monotonic()
        try:
            return job()
        finally:
            with self._lock:
                self._job_s = _MEMORY * self._job_s + (1 - _MEMORY) * (time.monotonic() - start)

    def _leave(self, _: object = None) -> None:
        with self._lock:
            self._inside -= 1


class Place:
    """A request's place. It is free again when the context has ended and its job, if it began, has ended too."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._job: Future[Any] | None = None

    def run(self, job: Callable[[], T]) -> Future[T]:
        """Let a worker do `job`; one for each place."""
        assert self._job is None
        future = self._workers._submit(job)
        self._job = future
        future.add_done_callback(self._workers._leave)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._job is None:
            self._workers._leave()
        else:
            self._job.cancel()  # a job whose request has given up need not begin
