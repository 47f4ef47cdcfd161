"""Job: what a folder of parts is made of and how, written into it before the first part, so that only the same job
goes on in it.

The folder holds `_job.json` (what is done how, and the fingerprint of the list), `_sources.parquet` (the list, a row
group a part) and `part-0000000.parquet` …; names that begin with `_` are passed over by readers of Parquet folders.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from mien import formats
from mien.errors import InputError
from mien.recognize.naming import model_content
from mien.recognize.recognizer import Recognizer
from mien.recognize.stream import TOGETHER
from mien.recognize.track import SMOOTH_S
from mien.recognize.video import Pace
from mien.scale import places
from mien.scale.source import Item, digest

PART = 256  # pictures of a part: half a minute of one core with the default detector
JOB, SOURCES = "_job.json", "_sources.parquet"
_COLUMNS = ("source", "place", "row", "video", "error")


@dataclass(frozen=True)
class How:
    """How pictures and videos are looked at, beside what the recognizer says itself."""

    require_face: bool = False
    every: int = 1
    fps: float | None = None
    smooth_s: float = SMOOTH_S
    part: int = PART

    def __post_init__(self) -> None:
        if self.part < 1 or self.part % TOGETHER:
            # So that faces come before the network in the same company as in a job without parts.
            raise InputError(f"part {self.part}: expected a multiple of {TOGETHER} pictures")
        _ = self.pace

    @property
    def pace(self) -> Pace:
        return Pace(self.every, self.fps)


@dataclass(frozen=True)
class Job:
    """A job in its folder `out`, a path or an address that all machines of it see as the same."""

    out: str
    how: How
    labels: tuple[str, ...]
    settings: Mapping[str, str | int | float | None]
    starts: tuple[int, ...]  # where each part begins in the list, and the end of the last
    sources: str  # fingerprint of the list

    @classmethod
    def planned(cls, out: str, how: How, recognizer: Recognizer, listed: Sequence[Item]) -> Job:
        """Nothing is read or written."""
        model = recognizer.__getstate__()["model"]
        settings = {**recognizer.settings, "weights": sha256(model_content(model)).hexdigest()[:16]}
        return cls(out, how, recognizer.labels, settings, tuple(_starts(listed, how.part)), digest(listed))

    @classmethod
    def read(cls, out: str) -> Job:
        """The job of a folder. Raises `InputError` where there is none, or one of a newer mien."""
        file = places.joined(out, JOB)
        try:
            told = json.loads(places.content(file, 2**31))
            formats.check(told["format"], formats.PARTS, file)
            return cls(
                out=out,
                how=How(**told["how"]),
                labels=tuple(told["labels"]),
                settings=told["settings"],
                starts=tuple(told["starts"]),
                sources=told["sources"],
            )
        except places.Missing as error:
            raise InputError(
                f"{out}: holds no job ({JOB} is not there). Name the --out of mien recognize --engine, and where "
                "several machines work on it, a place that all of them see: s3://, gs:// or a shared folder"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: is not what mien writes. Choose another --out") from error

    @cached_property
    def fingerprint(self) -> str:
        """Of all that the rows depend on."""
        return sha256(json.dumps(self._told(), sort_keys=True).encode()).hexdigest()

    @property
    def pictures(self) -> int:
        return self.starts[-1]

    @property
    def parts(self) -> range:
        return range(len(self.starts) - 1)

    def size(self, part: int) -> int:
        return self.starts[part + 1] - self.starts[part]

    def file(self, part: int) -> str:
        return places.joined(self.out, name_of(part))

    def items(self, part: int) -> list[Item]:
        """What stands in a part, from the list in the folder."""
        import pyarrow.parquet as pq

        file = places.joined(self.out, SOURCES)
        rows = places.patient(file, lambda: pq.ParquetFile(places.opened(file)).read_row_group(part)).to_pylist()
        return [Item(**row) for row in rows]

    def done(self) -> set[int]:
        """Parts that are in the folder; each is whole or not there."""
        names = set(places.names_in(self.out))
        return {part for part in self.parts if name_of(part) in names}

    def begin(self, listed: Sequence[Item], *, overwrite: bool = False) -> set[int]:
        """Make the folder this job's, or go on in it; the parts that are done.

        Raises `InputError` where it holds another job, or something else; with `overwrite` its parts are removed.
        """
        if overwrite:
            self._clear()
        names = set(places.names_in(self.out))
        if JOB in names:
            _check_same(Job.read(self.out), self)
            return self.done()
        if any(not name.startswith((".mien-", "_", "part-")) for name in names):
            raise InputError(f"{self.out}: holds other files. Name a folder that is empty, new, or of this job")
        if any(name.startswith("part-") for name in names):
            raise InputError(f"{self.out}: holds parts but not their {JOB}. Choose another --out, or --overwrite")
        places.write(places.joined(self.out, SOURCES), _table(listed, self.starts))
        places.write(places.joined(self.out, JOB), self._text())  # last: where it stands, the list does
        return set()

    def _clear(self) -> None:
        names = places.names_in(self.out)
        if names and JOB not in names and not all(name.startswith((".mien-", "_", "part-")) for name in names):
            raise InputError(f"{self.out}: holds other files than a job's, so nothing in it is replaced")
        # The job first: parts without it are nobody's.
        for name in [JOB, *(name for name in names if name.startswith("part-") or name == SOURCES)]:
            places.remove(places.joined(self.out, name))

    def _told(self) -> dict[str, Any]:
        return {
            "how": asdict(self.how), "settings": dict(self.settings), "labels": list(self.labels),
            "sources": self.sources, "starts": list(self.starts),
        }  # fmt: skip

    def _text(self) -> bytes:
        whole = {"format": formats.PARTS, "mien": version("mien"), "fingerprint": self.fingerprint, **self._told()}
        return json.dumps(whole, indent=None).encode()


def name_of(part: int) -> str:
    """Of a part's file."""
    return f"part-{part:07d}.parquet"


def _starts(listed: Sequence[Item], part: int) -> Iterator[int]:
    """Pictures are counted off; a video is a part of its own, since its looks build on each other."""
    held = 0
    for i, item in enumerate(listed):
        if i == 0 or held == part or item.video or listed[i - 1].video:
            yield i
            held = 0
        held += 1
    yield len(listed)


def _table(listed: Sequence[Item], starts: Sequence[int]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = (pa.string(), pa.string(), pa.int64(), pa.bool_(), pa.string())
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema) as writer:
        for start, end in pairwise(starts):
            rows = [asdict(item) for item in listed[start:end]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=max(1, len(rows)))
    return buffer.getvalue()


def _check_same(before: Job, now: Job) -> None:
    if before.fingerprint == now.fingerprint:
        return
    then, today = {**before.settings, **asdict(before.how)}, {**now.settings, **asdict(now.how)}
    other = [f"{key} was {then.get(key)}, now {value}" for key, value in today.items() if then.get(key) != value]
    if before.sources != now.sources:
        other.append(f"its list of {before.pictures:,} pictures and videos is not that of now, of {now.pictures:,}")
    raise InputError(
        f"{now.out}: holds another job ({'; '.join(other)}). Give the same inputs and options to go on, choose another "
        "--out, or begin anew with --overwrite"
    )
