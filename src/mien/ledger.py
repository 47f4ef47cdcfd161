"""Ledger: a line for each time that a test split was opened, each line holding the hash of the one before.

A changed, removed or inserted line shows, as long as nobody computes all later hashes anew; a ledger that is cut off at
its end shows where its last hash (`Ledger.head`) was written down elsewhere, as reports and cards do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien import formats
from mien.errors import InputError
from mien.files import write_whole
from mien.scratch import held_alone

LEDGER = "test-ledger.jsonl"  # in a run folder
START = "0" * 64  # what stands for the hash before the first line
_WAIT_S = 30.0  # for another process that is writing a line
_LARGEST = 64 * 2**20  # bytes


class Look(BaseModel):
    """What was asked of which model on which test images, and when. `before` and `line` are set by `append`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = formats.LEDGER
    line: int = Field(default=0, ge=0)  # counted from 1
    at: str  # UTC, to the second; of reconstructed lines the day or time that is known
    what: str  # evaluate, ensemble
    kept: Literal["at once", "reconstructed"] = "at once"  # the latter was written later, from what was still known
    model: str
    weights: str  # sha256 of the file of weights, 64 hex digits; empty where it is not known any more
    recipe: str
    extends: tuple[str, ...] = ()  # names of the recipes under it, nearest first
    start: str | None = None  # the model whose weights it began with
    members: tuple[str, ...] = ()  # of an ensemble
    data: str  # name of the source, without its folder
    fingerprint: str  # of the test images and their labels
    n: int = Field(ge=0)
    commit: str | None = None  # of the program that looked
    note: str = ""
    before: str = START  # sha256 of the line before, without its end of line

    @property
    def key(self) -> tuple[str, str]:
        """Alike for looks that can show nothing new: the same weights on the same images."""
        return self.weights or f"{self.model} {self.at}", self.fingerprint


@dataclass(frozen=True)
class Ledger:
    """What a file holds; `broken` says where the chain is not whole, a sentence each."""

    looks: tuple[Look, ...]
    head: str  # hash of the last line
    broken: tuple[str, ...]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(file: Path) -> Ledger:
    """What `file` holds; nothing where there is none. Raises `InputError` where it cannot be read at all."""
    return _parsed(_lines(file), str(file))


def append(file: Path, look: Look) -> Look:
    """Add a line, whole or not at all, whoever else writes at the same time; the line as it stands there.

    A chain that is broken stays so, and what follows is chained to its last line. Raises `InputError` where the file is
    held for too long or is of a newer mien, and `OSError` where it cannot be written.
    """
    with _held(file):
        lines = _lines(file)
        head = _parsed(lines, str(file)).head
        added = look.model_copy(update={"line": len(lines) + 1, "before": head})
        text = json.dumps(added.model_dump(mode="json"), ensure_ascii=False)
        write_whole(file, "".join(f"{line}\n" for line in (*lines, text)))
    return added


def extend(file: Path, looks: tuple[Look, ...]) -> int:
    """Add those of `looks` that `file` does not hold yet, in their order; how many."""
    known = {_told(look) for look in read(file).looks}
    new = [look for look in looks if _told(look) not in known]
    for look in new:
        append(file, look)
    return len(new)


def _told(look: Look) -> str:
    return look.model_copy(update={"line": 0, "before": START}).model_dump_json()


def _lines(file: Path) -> list[str]:
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError(f"{file}: is no ledger, with more than {_LARGEST:,} bytes. Move it away")
        text = file.read_bytes().decode("utf-8", errors="backslashreplace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    return text.removesuffix("\n").split("\n") if text else []


def _parsed(lines: list[str], source: str) -> Ledger:
    looks, broken, head = [], [], START
    for number, line in enumerate(lines, start=1):
        try:
            told = json.loads(line)
            formats.check(told.get("format") if isinstance(told, dict) else None, formats.LEDGER, source)
            look = Look.model_validate(told)
        except (ValueError, RecursionError, ValidationError):
            broken.append(f"line {number} is not a line of a ledger")
        else:
            if look.before != head:
                broken.append(f"line {number} does not follow the line before it, which was changed, removed or added")
            elif look.line != number:
                broken.append(f"line {number} says that it is line {look.line}")
            looks.append(look)
        head = sha256(line.encode("utf-8")).hexdigest()
    return Ledger(tuple(looks), head, tuple(broken))


@contextmanager
def _held(file: Path) -> Iterator[None]:
    """While this lasts nobody else writes `file`; waits for one who does."""
    until = time.monotonic() + _WAIT_S
    while True:
        holder = held_alone(file)
        try:
            holder.__enter__()
        except InputError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            break
    try:
        yield
    finally:
        holder.__exit__(None, None, None)
