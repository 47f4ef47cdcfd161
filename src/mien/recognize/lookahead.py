"""Lookahead: an iterator that a thread of its own goes through, while what it gave before is in use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE = 0.1  # seconds after which a waiting thread looks whether it is to stop


@dataclass(frozen=True)
class _End:
    """The iterator is at its end, or has raised."""

    error: BaseException | None = None


class _Held(Generic[T]):
    """Room for one item; a newer one takes the place of an older one that nobody took."""

    def __init__(self, merge: Callable[[T, T], T]) -> None:
        self._merge, self._change = merge, threading.Condition()
        self._item: T | _End | None = None

    def put(self, item: T | _End) -> None:
        with self._change:
            old = self._item
            if old is None or isinstance(old, _End) or isinstance(item, _End):
                self._item = item
            else:
                self._item = self._merge(old, item)
            self._change.notify()

    def get(self) -> T | _End:
        with self._change:
            while self._item is None:
                self._change.wait(1.0)  # with an end, so that Ctrl-C comes through on Windows too
            item, self._item = self._item, None
            return item


def ahead(items: Iterator[T], size: int) -> Iterator[T]:
    """The same items in order; the thread is at most `size` of them ahead. Errors are raised where they are used."""
    waiting: queue.Queue[T | _End] = queue.Queue(size)
    stopped = threading.Event()

    def put(item: T | _End) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=_PATIENCE)
                return
            except queue.Full:
                continue

    def get() -> T | _End:
        while True:
            try:
                return waiting.get(timeout=1.0)  # with an end, for the same reason
            except queue.Empty:
                continue

    return _given(items, put, get, stopped)


def newest(items: Iterator[T], merge: Callable[[T, T], T]) -> Iterator[T]:
    """The newest item each time, for what does not wait, as a camera.

    `merge(old, new)` gives what stands for both where `old` was never taken. Errors are raised where items are used.
    """
    held: _Held[T] = _Held(merge)
    return _given(items, held.put, held.get, threading.Event())


def _given(
    items: Iterator[T], put: Callable[[T | _End], None], get: Callable[[], T | _End], stopped: threading.Event
) -> Iterator[T]:
    def fill() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(_End())
        except BaseException as error:  # any: it is raised again in the other thread
            put(_End(error))

    reader = threading.Thread(target=fill, name="mien-lookahead", daemon=True)
    reader.start()
    try:
        while not isinstance(item := get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        reader.join(2)  # seconds; a camera may hang, and the program ends without it
