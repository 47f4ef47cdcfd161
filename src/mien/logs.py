"""Logs: how loud other packages may be while we use them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quieted(package: str) -> Iterator[None]:
    """Let the logger of `package` say errors alone, and put its level back at the end."""
    talker = logging.getLogger(package)
    level = talker.level
    talker.setLevel(logging.ERROR)
    try:
        yield
    finally:
        talker.setLevel(level)
