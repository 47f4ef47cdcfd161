"""Messages: what an Arrow file says of its parts, checked before pyarrow sees it.

A stream is a row of messages: a description, as a flatbuffer, and a body of buffers. A file (Feather) is a stream
behind eight bytes. Buffers that are compressed unpack to what they say of themselves: 30 KB to gigabytes.
Source: https://arrow.apache.org/docs/format/Columnar.html and https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import os
import struct
from io import BufferedReader

_FILE = b"ARROW1\0\0"  # before the stream in a file
_CONTINUES = 0xFFFFFFFF  # before the length of a description, since format 0.15
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # of MessageHeader
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3  # fields of Message
_COMPRESSION, _DATA = 3, 1  # of RecordBatch and of DictionaryBatch


def is_compressed(file: BufferedReader) -> bool:
    """Whether any of its buffers may be; `file` is left where its stream begins. `ValueError` for what does not fit
    together.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = len(_FILE) if file.read(len(_FILE)) == _FILE else 0
    place, compressed = start, False
    try:
        while place < size:
            file.seek(place)
            length, before = _length(file)
            if not length:  # the end of the stream; in a file its description follows
                break
            if length > size - place:
                raise ValueError("has a part that is cut off")
            description = file.read(length)
            place += before + length + _body(description)
            compressed = compressed or _tells_of_compression(description)
    except struct.error as error:
        raise ValueError("has a description that cannot be read") from error
    file.seek(start)
    return compressed


def _length(file: BufferedReader) -> tuple[int, int]:
    """Of the description that follows, and of what stands before it."""
    (word,) = struct.unpack("<I", file.read(4))
    if word != _CONTINUES:
        return word, 4
    (length,) = struct.unpack("<I", file.read(4))
    return length, 8


def _body(description: bytes) -> int:
    """Its length in bytes."""
    length = _Table(description, 0).number(_BODY_LENGTH, "<q")
    if length < 0:
        raise ValueError("has a part of less than no bytes")
    return length


def _tells_of_compression(description: bytes) -> bool:
    message = _Table(description, 0)
    kind, batch = message.number(_HEADER_TYPE, "<B"), message.table(_HEADER)
    if kind == _DICTIONARY_BATCH and batch:
        batch = batch.table(_DATA)
    return kind in (_RECORD_BATCH, _DICTIONARY_BATCH) and batch is not None and batch.place_of(_COMPRESSION) > 0


class _Table:
    """A table of a flatbuffer: where its fields stand is told by a table of places before or behind it."""

    def __init__(self, data: bytes, reference: int) -> None:
        """`reference`: where the distance to the table stands."""
        self._data = data
        self._place = reference + self._unpacked("<I", reference)
        self._places = self._place - self._unpacked("<i", self._place)

    def place_of(self, field: int) -> int:
        """0 where the field is left out."""
        entry = 4 + 2 * field
        if entry + 2 > self._unpacked("<H", self._places):
            return 0
        distance = self._unpacked("<H", self._places + entry)
        return self._place + distance if distance else 0

    def number(self, field: int, how: str) -> int:
        place = self.place_of(field)
        return self._unpacked(how, place) if place else 0

    def table(self, field: int) -> _Table | None:
        place = self.place_of(field)
        return _Table(self._data, place) if place else None

    def _unpacked(self, how: str, place: int) -> int:
        if place < 0:
            raise ValueError("has a description that cannot be read")
        found: int = struct.unpack_from(how, self._data, place)[0]
        return found
