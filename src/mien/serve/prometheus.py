"""Metrics: what the server counts about itself, in the format of Prometheus. Never a name or a pixel."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from mien.serve.schema import RecognizeResponse

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds


class Metrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self, inside: Callable[[], float]) -> None:
        """`inside`: asked for the number of requests that have a place, when somebody looks."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "mien_requests", "Requests by path and code.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "mien_request_seconds", "From a request's arrival to its answer.", ["path"], buckets=_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._pictures = Counter("mien_pictures", "Pictures by outcome.", ["outcome"], registry=self._registry)
        self._faces = Counter("mien_faces", "Faces recognized.", registry=self._registry)
        Gauge("mien_requests_inside", "Requests that have a place.", registry=self._registry).set_function(inside)

    def request(self, path: str, status: int, seconds: float) -> None:
        """`path` is one of a few: every new one takes memory for good."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def answered(self, response: RecognizeResponse) -> None:
        for picture in response.images:
            self._pictures.labels("unreadable" if picture.error else "recognized").inc()
            self._faces.inc(len(picture.faces) + picture.more_faces)

    def text(self) -> bytes:
        return generate_latest(self._registry)
