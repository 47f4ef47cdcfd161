"""Outputs: the one rule for files that a command is told to write, checked before any work.

The suffix fits what is written; what the command reads is never written over, whatever name it goes by; any other file
that is there already is replaced only if it has the mark of an earlier output of the same kind, or if that is asked
for with `--overwrite`. Files within a run folder are the run's own and need no check.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError, not_writable
from mien.protobuf import fields
from mien.scratch import new_folders, remove_dead

MARK = "mien"  # PNG: tEXt chunk "Software"; JPEG: comment; Parquet: key of the metadata; HTML: meta "generator"
MODEL_MARK = "mien.card"  # ONNX: key of the metadata
FILM_MARK = b"\0\0\0\x10freemien-mp4"  # MP4: an empty box at the end, which players skip
TABLE_START = "source,frame,time_s,"  # CSV: the columns with which every table of faces has begun
_SUMMARY_STARTS = ("source,face_id,first_s,", "source,length_s,faces,", "group,videos,videos_with_face,")
_PARQUET_MARK = b"\x18\x04mien\x18\x05table"  # key and value of the metadata, in the footer's compact Thrift
_METADATA = 14  # field of ModelProto
LARGEST_MODEL = 2**31  # bytes: no protocol buffer is larger
_HEAD = 1 << 16  # bytes in which the marks of small files stand


@dataclass(frozen=True)
class Kind:
    """What may be written: how it is told by its suffix, and by what is in it."""

    suffixes: tuple[str, ...]
    expected: str  # sentence for another suffix
    is_ours: Callable[[Path], bool]  # of a file that is there; may raise OSError
    is_picture: bool = False  # such as commands find in a folder that they are given


def check_output(path: Path, kind: Kind, inputs: Iterable[str | Path] = (), *, overwrite: bool | None = False) -> None:
    """Raise `InputError` where `path` must not be written, or cannot be. Leaves nothing: who writes makes the folder.

    `inputs`: what the command reads, files and folders; names of something else, as of bundled models, do no harm.
    `overwrite`: None where the command has no such option.
    """
    suffix = path.suffix if kind is MODEL else path.suffix.lower()  # a model is known by its suffix as it is
    if suffix not in kind.suffixes:
        near = path.with_suffix(kind.suffixes[0]) if path.name else kind.suffixes[0]
        raise InputError(f"{path}: {kind.expected}, as {near}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    for one in inputs:
        _check_not_read(path, Path(one), kind)
    check_ours(path, kind, overwrite=overwrite)
    remove_dead(path.parent)
    check_folder(path.parent, path)


def check_folder(folder: Path, told: Path | None = None) -> None:
    """Raise `InputError`, of `told` or the folder, where no folder is and none can be made. None is left behind.

    A command that fails after this, for whatever reason, then has changed nothing.
    """
    try:
        with new_folders(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(told or folder, error) from error


def check_ours(path: Path, kind: Kind, *, overwrite: bool | None = False) -> None:
    """Raise `InputError` for a file that is there and is somebody else's, unless it may be replaced."""
    try:
        if not path.exists() or (path.is_file() and (overwrite or kind.is_ours(path))):
            return
        found = "exists and was not written by mien as such a file" if path.is_file() else "is no ordinary file"
    except OSError as error:
        raise InputError(
            f"{path}: exists and cannot be read ({error.strerror or error}). Choose another name"
        ) from error
    replace = ", or replace it with --overwrite" if path.is_file() and overwrite is not None else ""
    raise InputError(f"{path}: {found}. Choose another name{replace}")


def _check_not_read(path: Path, read: Path, kind: Kind) -> None:
    if is_same(path, read):
        raise InputError(f"{path}: is read by this command, so nothing is written over it. Choose another name")
    if kind.is_picture and read.is_dir() and path.resolve().is_relative_to(read.resolve()):
        raise InputError(f"{path}: lies in {read}, whose pictures are read; name another place for what is written")


def is_same(one: Path, other: Path) -> bool:
    """Whether both are there and are one file, by whatever name or link."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them is not there, or is the name of something else
        return False


def _png(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            size = int.from_bytes(head[:4], "big")
            if head[4:] == b"tEXt" and size < 100:
                if file.read(size) == b"Software\0" + MARK.encode():
                    return True
                file.seek(4, os.SEEK_CUR)
            else:
                file.seek(size + 4, os.SEEK_CUR)
    return False


def _jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return False
        while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
            size = int.from_bytes(head[2:], "big") - 2
            if size < 0:
                return False
            if head[1] == 0xFE and file.read(size) == MARK.encode():
                return True
            if head[1] != 0xFE:
                file.seek(size, os.SEEK_CUR)
    return False


def _copy(path: Path) -> bool:
    return _png(path) if path.suffix.lower() == ".png" else _jpeg(path)


def _onnx(path: Path) -> bool:
    """`metadata_props` is field 14 of the model; its entries begin with a key, which is their field 1."""
    if path.stat().st_size >= LARGEST_MODEL:
        return False
    key = b"\x0a" + bytes([len(MODEL_MARK)]) + MODEL_MARK.encode()
    try:
        found = [value for field, value in fields(memoryview(path.read_bytes())) if field == _METADATA]
    except (IndexError, ValueError):
        return False
    return any(isinstance(value, memoryview) and value[: len(key)] == key for value in found)


def _mp4(path: Path) -> bool:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < len(FILM_MARK):
            return False
        file.seek(-len(FILM_MARK), os.SEEK_END)
        return file.read() == FILM_MARK


def _parquet(path: Path) -> bool:
    """The footer stands before its length and the name of the format."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        file.seek(max(end - 8, 0))
        tail = file.read(8)
        size = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or size > min(end, 1 << 24):
            return False
        file.seek(end - 8 - size)
        return _PARQUET_MARK in file.read(size)


def _table(path: Path) -> bool:
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    if path.suffix.lower() == ".csv":
        return _head(path).startswith(TABLE_START.encode())
    return {"source", "frame", "time_s", "format"} <= _keys(_head(path).partition(b"\n")[0])


def _summary(path: Path) -> bool:
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    if path.suffix.lower() == ".csv":
        return _head(path).startswith(tuple(start.encode() for start in _SUMMARY_STARTS))
    first = _keys(_head(path).partition(b"\n")[0])
    return any(set(start.strip(",").split(",")) <= first for start in _SUMMARY_STARTS)


def _page(path: Path) -> bool:
    """HTML; the second is what pages had before they named their generator."""
    head = _head(path)
    return f'name="generator" content="{MARK}"'.encode() in head or (
        b"content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in head
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _keys(text: bytes) -> set[str]:
    """Of a JSON object; none of anything else."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    return set(told) if isinstance(told, dict) else set()


PICTURE = Kind((".png",), "pictures are written as PNG; let the name end in .png", _png, is_picture=True)
COPY = Kind((".jpg", ".jpeg", ".png"), "copies are written as JPEG or PNG", _copy, is_picture=True)
MODEL = Kind((".onnx",), "a model file ends in .onnx; choose such a name", _onnx)
FILM = Kind((".mp4",), "films are written as MP4; expected a name that ends in .mp4", _mp4)
TABLE = Kind((".csv", ".jsonl", ".parquet"), "tables are written as .csv, .jsonl or .parquet", _table)
SUMMARY = Kind(TABLE.suffixes, TABLE.expected, _summary)
PAGE = Kind((".html",), "pages are written as .html", _page)


def csv_with(*columns: str) -> Kind:
    """A CSV whose header holds these columns."""

    def is_ours(path: Path) -> bool:
        header = _head(path).partition(b"\n")[0].decode("utf-8", "replace").strip()
        return set(columns) <= set(header.split(","))

    return Kind((".csv",), "tables are written as .csv", is_ours)


def json_with(*keys: str, of_entries: bool = False) -> Kind:
    """A JSON object with these keys; or, with `of_entries`, one whose values each have them, if there are any."""

    def is_ours(path: Path) -> bool:
        content = path.read_bytes()
        if not of_entries:
            return set(keys) <= _keys(content)
        return content.strip() == b"{}" or (
            bool(_keys(content))
            and all(isinstance(entry, dict) and set(keys) <= set(entry) for entry in json.loads(content).values())
        )

    return Kind((".json",), "numbers are written as .json", is_ours)
