"""Source: what a job looks at, as a list in a fixed order: pictures by name, pictures in Parquet files, videos.

The list is the same on every machine and at every start, so its parts can be counted off by number.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mien.errors import InputError, MissingExtraError, first_line
from mien.image_files import SUFFIXES
from mien.recognize.inputs import VIDEO_SUFFIXES, is_video, named_places, pictures, pictures_and_videos
from mien.recognize.journal import identity
from mien.scale import places
from mien.walk import is_hidden, told

LISTS = (".txt", ".parquet")
_NAMES = ("source", "path", "url", "uri", "file", "filename", "file_name")  # columns that name a picture
_PICTURES = ("image", "bytes", "picture", "content", "png", "jpg")  # columns that hold encoded ones
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One picture or video. `source`: its name in tables. `place`: the file; `row`: in it, of a Parquet file."""

    source: str
    place: str
    row: int | None = None
    video: bool = False
    error: str | None = None  # why a place that was named gives none


def items(names: Sequence[str], *, as_video: bool = False) -> Iterator[Item]:
    """What `names` (files, folders, patterns, lists, addresses) hold, one by one: pictures in order, then videos.

    Local folders give what `mien recognize` finds in them, under the same names, each file once. Raises `InputError`
    for a name that gives nothing and for a list that cannot be read.
    """
    known: set[str] = set()
    videos: list[Item] = []
    for item in _all(names, as_video=as_video):
        who = item.place if places.is_address(item.place) else identity(item.place)
        who = who if item.row is None else f"{who}#{item.row}"
        if who in known:
            continue
        known.add(who)
        if item.video:
            videos.append(item)
        else:
            yield item
    yield from videos


def _all(names: Sequence[str], *, as_video: bool) -> Iterator[Item]:
    for name in names:
        if PurePosixPath(name).suffix.lower() in LISTS and not places.is_folder(name):
            yield from _listed(name, as_video=as_video)
        elif places.is_address(name):
            yield from _at_address(name, as_video=as_video)
        else:
            yield from _local(name, as_video=as_video)


def digest(listed: Sequence[Item]) -> str:
    """A fingerprint of the list."""
    hashed = hashlib.sha256()
    for item in listed:
        hashed.update(repr((item.source, item.place, item.row, item.video)).encode("utf-8", "surrogateescape"))
    return hashed.hexdigest()


def picture_bytes(table_file: str, rows: Sequence[int]) -> dict[int, bytes | str]:
    """Encoded pictures in these rows of a Parquet file, or why there is none."""
    file = _parquet(table_file)
    column, _ = _columns(file, table_file)
    wanted, found, start = sorted(rows), dict[int, bytes | str](), 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if here := [row for row in wanted if start <= row < end]:
            values = file.read_row_group(group, columns=[column]).column(column)
            for row in here:
                value = values[row - start].as_py()
                data = value.get("bytes") if isinstance(value, dict) else value
                found[row] = data if isinstance(data, bytes) and data else f"{table_file}: row {row} holds no picture"
        start = end
    return found


def _local(name: str, *, as_video: bool) -> Iterator[Item]:
    found = named_places([name])
    if any(place.is_dir() and is_video(place) for place in found):
        raise InputError(f"{name}: is no picture, video or folder")
    for place in found:
        if as_video and not place.is_dir():
            yield Item(str(place), str(place), video=True)
            continue
        with_pictures, videos = pictures_and_videos([place])
        for one in pictures(with_pictures, videos_too=True):
            yield Item(str(one.path), str(one.path), error=one.error)
        for video in videos:
            yield Item(str(video), str(video), video=True)


def _at_address(name: str, *, as_video: bool) -> Iterator[Item]:
    if glob.has_magic(name.partition("?")[0] if name.startswith("http") else name):
        yield from _fitting(name, as_video=as_video)
    elif not places.is_folder(name):
        yield _named(name, as_video=as_video)
    else:
        yield from _chosen(name, places.files_in(name, below=True), as_video=as_video)


def _fitting(pattern: str, *, as_video: bool) -> Iterator[Item]:
    """Files whose name fits a pattern; `*` and `?` do not reach over a slash, `**` does."""
    steady = pattern[: min(pattern.find(sign) for sign in "*?[" if sign in pattern)].rpartition("/")[0]
    if steady.count("/") < 2 or not places.is_folder(steady):
        raise InputError(f"{pattern}: {steady} is no folder; a pattern has to begin with one")
    fits = re_of(pattern).fullmatch
    found = places.files_in(steady, below=True)
    fitting = [name for name in found if fits(name) and not is_hidden(name.removeprefix(steady).lstrip("/"))]
    if not fitting:
        raise InputError(f"{pattern}: no file fits this pattern")
    for name in fitting:
        yield _named(name, as_video=as_video)


def re_of(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern.

    >>> bool(re_of("s3://b/*.jpg").fullmatch("s3://b/a.jpg")), bool(re_of("s3://b/*.jpg").fullmatch("s3://b/c/a.jpg"))
    (True, False)
    """
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    return re.compile("".join(words.get(part, part if part.startswith("[") else re.escape(part)) for part in parts))


def _chosen(folder: str, names: Iterator[str], *, as_video: bool) -> Iterator[Item]:
    """The pictures and videos of a folder at an address; what is left out is counted, and the log says so."""
    left_out: Counter[str] = Counter()
    found = False
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if is_hidden(name.removeprefix(folder).lstrip("/")):
            continue
        if suffix in SUFFIXES or suffix in VIDEO_SUFFIXES:
            found = True
            yield _named(name, as_video=as_video)
        else:
            left_out[suffix or "no suffix"] += 1
    if left_out:
        logger.warning("%s: left out, as no pictures: %s", folder, told(left_out))
    if not found:
        raise InputError(
            f"{folder}: no pictures or videos found in it (known: {', '.join((*SUFFIXES, *VIDEO_SUFFIXES))})"
        )


def _named(name: str, *, as_video: bool = False) -> Item:
    suffix = PurePosixPath(name.partition("?")[0] if name.startswith("http") else name).suffix.lower()
    return Item(name, name, video=as_video or suffix in VIDEO_SUFFIXES)


def _listed(name: str, *, as_video: bool) -> Iterator[Item]:
    """The lines of a text file, or the rows of a Parquet file: names of pictures, or pictures themselves.

    Names that are no addresses and not absolute are relative to where the command runs, as on the command line.
    """
    if name.lower().endswith(".txt"):
        try:
            lines = places.content(name).decode("utf-8-sig").splitlines()
        except (places.Missing, UnicodeDecodeError) as error:
            raise InputError(f"{name}: this list cannot be read ({first_line(error)})") from error
        chosen = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not chosen:
            raise InputError(f"{name}: this list is empty; expected a path or an address a line")
        yield from (_named(one, as_video=as_video) for one in chosen)
        return
    file = _parquet(name)
    held, named = _columns(file, name)
    row = 0
    for batch in file.iter_batches(columns=[named or held or ""]):
        if not named:
            yield from (Item(f"{name}#{row + i}", name, row + i) for i in range(len(batch)))
        else:
            for i, one in enumerate(batch.column(0).to_pylist()):
                source = one.get("path") if isinstance(one, dict) else one
                if held:
                    yield Item(str(source or f"{name}#{row + i}"), name, row + i)
                else:
                    yield _named(str(source), as_video=as_video)
        row += len(batch)


def _parquet(name: str) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{name}: reading Parquet", "parquet") from error
    try:
        if places.is_address(name):
            return places.patient(name, lambda: pq.ParquetFile(places.opened(name)))
        return pq.ParquetFile(name)
    except (places.Missing, OSError, pa.ArrowException) as error:
        raise InputError(f"{name}: cannot be read as Parquet ({first_line(error)})") from error


def _columns(file: Any, name: str) -> tuple[str | None, str | None]:
    """The columns that hold encoded pictures and that name them."""
    import pyarrow as pa

    schema = file.schema_arrow
    kinds = {field.name: field.type for field in schema}
    held = next((one for one in _PICTURES if one in kinds and _holds_bytes(kinds[one])), None)
    named = next((one for one in _NAMES if one in kinds and pa.types.is_string(kinds[one])), None)
    if held is None and named is None:
        raise InputError(
            f"{name}: has no column of pictures ({', '.join(_PICTURES)}) or of their names ({', '.join(_NAMES)}), but "
            f"{', '.join(kinds)}"
        )
    return held, named


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):  # as Hugging Face writes pictures
        return any(field.name == "bytes" for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
