"""Access: who may ask this server: under which names, from which pages of browsers, and with which token."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from mien.errors import InputError

SHORTEST_TOKEN = 8  # characters
_PORTS = {"http": 80, "https": 443}
_STEP_S, _MOST_S = 0.5, 5.0  # that a wrong token waits longer than the one before it, and the longest
_FORGOTTEN_S = 60.0  # after which a wrong token no longer counts
_REMEMBERED = 1000  # addresses with wrong tokens


@dataclass(frozen=True)
class Access:
    """`token`: at least 8 characters of ASCII; None: everybody may ask.

    `hosts`: names of this server beside those of this machine to itself and the address that a connection came to;
    `*.example.org` stands for all names below. `cors_origins`: pages of other sites (`https://example.org`) that may
    ask and read the answers. `root_path`: the prefix (`/mien`) under which a proxy offers this server. Raises
    `InputError` for what cannot be any of these.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    root_path: str = ""

    def __post_init__(self) -> None:
        if self.token is not None:
            _check_token(self.token)
        for host in self.hosts:
            if _name_of(host.removeprefix("*.")) != host.removeprefix("*.").lower().strip("[]"):
                raise InputError(f"allowed host '{host}': expected a name without port, as mien.example.org")
        for origin in self.cors_origins:
            if _origin_of(origin) is None or origin != origin.lower():
                raise InputError(f"CORS origin '{origin}': expected scheme, name and port, as https://example.org")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise InputError(f"root path '{self.root_path}': expected a slash at its beginning and none at its end")

    def knows_host(self, headers: Headers, bound: str) -> bool:
        """Whether a request means this server; `bound` is the address that its connection came to.

        A page of somebody else's whose name was made to point here (DNS rebinding) still sends its own name.
        """
        name = _name_of(headers.get("host", ""))
        if name is None:
            return False
        return (
            _is_loopback(name)
            or _plain(name) == _plain(bound)
            or any(name == host.lower().strip("[]") for host in self.hosts)
            or any(host.startswith("*.") and name.endswith(host[1:].lower()) for host in self.hosts)
        )

    def admits_origin(self, headers: Headers) -> bool:
        """Whether a request comes from no page, from a page of this server, or from one that is named."""
        told = headers.getlist("origin")
        if not told:
            return True
        if len(told) > 1:
            return False
        if told[0] in self.cors_origins:
            return True
        origin = _origin_of(told[0])
        # By name and port alone: in front of a proxy the scheme is another one.
        return origin is not None and origin[1:] == _authority(headers.get("host", ""), origin[0])

    def admits_token(self, headers: Headers) -> bool:
        """Whether a request bears the token, where one is asked for. Takes the same time for all wrong ones."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())
        return same and scheme.lower() == "bearer"


class Failures:
    """Wrong tokens by address: every further one of a minute waits longer for its answer. A right one never waits."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, client: str) -> float:
        """Note a wrong token; seconds to wait before the answer."""
        now = time.monotonic()
        count, last = self._seen.pop(client, (0, now))
        count = 1 if now - last > _FORGOTTEN_S else count + 1
        self._seen[client] = (count, now)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return min(_STEP_S * count, _MOST_S)


def _check_token(token: str) -> None:
    if not token:
        raise InputError("the token is empty. Give one of 8 characters or more, or --no-token to serve everybody")
    if len(token) < SHORTEST_TOKEN:
        raise InputError(f"a token of {len(token)} characters can be guessed: take {SHORTEST_TOKEN} or more")
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise InputError(
            "no client could send this token in a header: take letters, digits and signs of ASCII, and no space at its "
            "ends"
        )


def _authority(host: str, scheme: str) -> tuple[str, int] | None:
    """Name and port of a `Host` header."""
    origin = _origin_of(f"{scheme}://{host}")
    return None if origin is None else origin[1:]


def _name_of(host: str) -> str | None:
    authority = _authority(host, "http")
    return None if authority is None else authority[0]


def _origin_of(text: str) -> tuple[str, str, int] | None:
    """Scheme, name and port; None for what is no origin, as `null` of a page without one."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.scheme not in _PORTS or parts.username is not None:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _plain(address: str) -> str:
    """An IPv4 address that was told as one of IPv6 (`::ffff:192.0.2.1`) as it is usually written."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address.lower()
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
