"""Listen: one address, and the application behind it until somebody stops it."""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys

from fastapi import FastAPI

from mien.errors import InputError

_BACKLOG = 256
_GRACE = 5  # seconds that open requests have when the server is stopped


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


def listen(app: FastAPI, bound: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM; then what is open has a few seconds to end."""
    import uvicorn

    # The guard writes the log line: uvicorn's own would hold the names of uploaded files.
    config = uvicorn.Config(
        app, access_log=False, log_config=None, lifespan="on", server_header=False, timeout_graceful_shutdown=_GRACE
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    uvicorn.Server(config).run(sockets=[bound])
