"""Listen: one address, and the application behind it until somebody stops it. Connections are few and never idle long.

uvicorn counts requests and gives connections without one all the time they want; both are mended here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import signal
import socket
import sys
import time
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.errors import InputError
from mien.serve.limits import Limits
from mien.serve.refusal import KINDS, PROBLEM_TYPE, problem_fields
from mien.serve.workers import Workers

_BACKLOG = 128
_HEAD_S = 10.0  # for the head of a request to arrive
_STALL_S = 30.0  # for a client to take 64 KiB of an answer
_SENDING_S = 5  # for the last answers to be sent, once all are ready
_OTHER_FILES = 64  # that the process has open beside connections


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound to `host`, a name or an address, and `port`, 0 for any free one.

    Raises `InputError` when the port is taken or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"host '{host}' port {port}: no such address ({error})") from error
    try:
        if sys.platform != "win32":  # where it would let two programs listen on one port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise InputError(
            f"cannot listen on {host} port {port} ({error.strerror}). Choose another: --port, 0 for any that is free"
        ) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """`http://127.0.0.1:8000`."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_private(bound: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def listen(app: FastAPI, bound: socket.socket, limits: Limits) -> None:
    """Answer until SIGINT, SIGTERM or SIGHUP; then those inside get their answers, and the others are sent away.

    `app` is one of `create_app`. A second SIGINT ends it at once. Raises `InputError` where the system allows too few
    open files for `limits.connections`.
    """
    _allow_files(limits.connections)
    workers: Workers = app.state.workers
    config = uvicorn.Config(
        app,
        http=_bounded(limits.connections),
        ws="none",
        lifespan="on",
        backlog=_BACKLOG,
        access_log=False,  # the guard writes the line: uvicorn's own would hold whatever a client asks for
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_SENDING_S,
    )
    server = _Server(config, workers, limits.seconds)
    # uvicorn would raise the signal again at its end, which would end us before the last word.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, server.handle_exit)
    server.run(sockets=[bound])


class _Server(uvicorn.Server):
    """Goes on listening after a signal while requests are inside, to tell new ones to come back later."""

    def __init__(self, config: uvicorn.Config, workers: Workers, seconds: float) -> None:
        super().__init__(config)
        self._workers, self._seconds = workers, seconds
        self._latest: float | None = None

    async def on_tick(self, counter: int) -> bool:
        if not await super().on_tick(counter):
            return False
        now = time.monotonic()
        if self._latest is None:
            self._workers.stop()
            self._latest = now + self._seconds + 1  # all have their answer by then, if only that it was too slow
        return self.force_exit or self._workers.inside == 0 or now > self._latest


def _bounded(most: int) -> type[asyncio.Protocol]:
    class Connection(_Connection):
        most_connections = most

    return Connection


class _Connection(H11Protocol):
    """A connection that is closed when there are too many, or when its client keeps us waiting."""

    most_connections: int

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head: asyncio.TimerHandle | None = None  # runs while the head of a request is awaited
        self._stall: asyncio.TimerHandle | None = None  # runs while the client takes nothing of the answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._say("busy", "too many connections; try again later", b"Retry-After: 1\r\n")
        else:
            self._head = self.loop.call_later(_HEAD_S, transport.close)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head = _stop(self._head)
        elif self._head is None:
            self._head = self.loop.call_later(_HEAD_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head, self._stall = _stop(self._head), _stop(self._stall)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stall = _stop(self._stall)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._say("bad_request", msg)

    def _say(self, code: str, detail: str, headers: bytes = b"") -> None:
        """Send a problem to a client with which no request has begun, and close."""
        status, _ = KINDS[code]
        body = json.dumps(problem_fields(code, detail)).encode()
        head = f"HTTP/1.1 {status} \r\nContent-Type: {PROBLEM_TYPE}\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(head.encode() + headers + b"Connection: close\r\n\r\n" + body)
        self.transport.close()


def _stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """The timer that runs then: none."""
    if timer is not None:
        timer.cancel()
    return None


def _allow_files(connections: int) -> None:
    """Let this process have as many open files as all connections need, so that it never runs out of them."""
    if sys.platform == "win32":
        return
    import resource

    wanted = connections + 3 * _BACKLOG + _OTHER_FILES  # those too many are open for a moment
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise InputError(
            f"{connections} connections need {wanted} open files, and the system allows {hard}: raise it "
            f"(ulimit -n, LimitNOFILE), or take fewer: --max-connections {max(1, hard - wanted + connections)}"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
