"""Workers: threads that recognize, and a bounded number of places for requests that want them.

A request takes a place before its body is read. When none is free it is refused at once, so neither the memory of the
server nor the wait of those inside grows without end. Work comes in small jobs, a picture each, and is fair: clients
take turns, and so do the requests of one client.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from mien.errors import InputError
from mien.serve.refusal import RefusedError

T = TypeVar("T")
Job = tuple[Callable[[], Any], "Future[Any]"]
_LONGEST_ADVICE = 60  # seconds that a client is told to wait
_WHEN_STOPPING = 5  # the same, when another server has to be started first
_MEMORY = 0.9  # weight of the past in the mean time that a request works


class Workers:
    """`threads` jobs at a time, and `waiting` more requests inside."""

    def __init__(self, threads: int, waiting: int) -> None:
        if threads < 1:
            raise InputError(f"threads {threads}: expected 1 or more")
        self.threads, self.places = threads, threads + waiting
        self.stopping = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mien-worker")
        self._lock = threading.Lock()
        self._lines: OrderedDict[str, deque[Job]] = OrderedDict()  # of jobs that wait, by client; the first is next
        self._running = 0
        self._inside = 0
        self._work_s = 0.1

    @property
    def inside(self) -> int:
        """Requests that have a place now."""
        return self._inside

    def enter(self, client: str) -> Place:
        """A place, to be used as a context. Raises `RefusedError`, with when to come back, if there is none."""
        with self._lock:
            if self._inside >= self.places:
                wait = math.ceil(self._work_s * self._inside / self.threads)
                raise RefusedError(
                    "busy",
                    f"the server is busy with {self._inside} requests; try again later",
                    retry_after=min(max(wait, 1), _LONGEST_ADVICE),
                )
            self._inside += 1
        return Place(self, client)

    def stop(self) -> None:
        """Those inside are served; the guard lets nobody in any more."""
        self.stopping = True

    def refuse_when_stopping(self) -> None:
        if self.stopping:
            raise RefusedError("stopping", "the server is about to stop; try again later", retry_after=_WHEN_STOPPING)

    def close(self) -> None:
        """Drop the jobs that wait; those that run end by themselves."""
        with self._lock:
            self._lines.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _add(self, client: str, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            self._lines.setdefault(client, deque()).append((job, future))
            self._begin()
        return future

    def _begin(self) -> None:
        """Give a job to each thread that is free: the first of the client whose turn it is, who then is the last."""
        while self._running < self.threads and self._lines:
            client, line = self._lines.popitem(last=False)
            job, future = line.popleft()
            if line:
                self._lines[client] = line
            if future.set_running_or_notify_cancel():
                self._running += 1
                self._pool.submit(self._do, job, future)

    def _do(self, job: Callable[[], Any], future: Future[Any]) -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)
        with self._lock:
            self._running -= 1
            self._begin()

    def _leave(self, worked_s: float) -> None:
        with self._lock:
            self._work_s = _MEMORY * self._work_s + (1 - _MEMORY) * worked_s
            self._inside -= 1


class Place:
    """A request's place. It is free again when the context has ended and its job, if one runs then, has ended too."""

    def __init__(self, workers: Workers, client: str) -> None:
        self._workers, self._client = workers, client
        self._job: Future[Any] | None = None
        self._worked_s = 0.0

    def run(self, job: Callable[[], T]) -> Future[T]:
        """Let a worker do `job`, when it is this client's turn; one after another."""
        assert self._job is None or self._job.done()
        self._job = self._workers._add(self._client, lambda: self._timed(job))
        return self._job

    def _timed(self, job: Callable[[], T]) -> T:
        start = time.monotonic()
        try:
            return job()
        finally:
            self._worked_s += time.monotonic() - start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._job is None:
            self._workers._leave(self._worked_s)
        else:
            self._job.cancel()  # a job whose request has given up need not begin
            self._job.add_done_callback(lambda _: self._workers._leave(self._worked_s))
