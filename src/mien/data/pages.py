"""Pages: what a Parquet file says of its parts, checked before pyarrow sees it.

1 KB can claim to hold gigabytes, and parts that are not there end pyarrow's process (26.0). Source: parquet.thrift of
Parquet 2.11, and https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BufferedReader
from typing import Any, TypeAlias

_MAGIC = b"PAR1"
_MOST_RATIO = 20  # unpacked to packed, of one page; pictures are packed already
_FREE = 32 * 2**20  # bytes that a page may unpack to, however small it is
_LARGEST = 2**28  # bytes of one unpacked page
_ROW = 4  # bytes of a file that a row takes at least
_PAGE_HEADER = 65_536  # bytes that are looked at: it may hold the smallest and largest value
_FOOTER = 16 * 2**20
_DEEPEST = 16
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DICTIONARY = 2  # of PageType

Struct: TypeAlias = dict[int, Any]  # by the number of the field


def check_pages(file: BufferedReader, columns: Sequence[str]) -> int:
    """Bytes of the largest dictionary of values in `columns`, which will be read; 0 without one.

    `ValueError` for what unpacks to too much, or does not fit together.
    """
    try:
        return _checked(file, columns)
    except (AttributeError, IndexError, TypeError) as error:  # a field of another kind than it should be
        raise ValueError("has a description that cannot be read") from error


def _checked(file: BufferedReader, columns: Sequence[str]) -> int:
    size = file.seek(0, os.SEEK_END)
    footer = _footer(file, size)
    leaves = sum(1 for element in _list(footer, 2) if not element.get(5))
    rows = footer.get(3, -1)
    if not isinstance(rows, int) or not 0 <= rows <= 1000 + size // _ROW:
        raise ValueError(f"claims {rows:,} rows in {size:,} bytes")
    largest = 0
    for group in _list(footer, 4):
        chunks = _list(group, 1)
        if len(chunks) != leaves:
            raise ValueError(f"has {len(chunks)} columns in a part, and {leaves} in all")
        for chunk in chunks:
            column = chunk.get(3)
            if not isinstance(column, dict) or b"" in (path := column.get(3, [b""])):
                raise ValueError("has a column without a description")
            if path[0].decode("utf-8", "replace") in columns:
                largest = max(largest, _check_column(file, column, size))
    file.seek(0)
    return largest


def _footer(file: BufferedReader, size: int) -> Struct:
    if size < 12:
        raise ValueError("is cut off")
    file.seek(size - 8)
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or not 0 < length <= min(size - 12, _FOOTER):
        raise ValueError("has no description of its columns at its end")
    file.seek(size - 8 - length)
    return _Thrift(file.read(length)).struct()


def _list(struct: Struct, field: int) -> list[Struct]:
    found = struct.get(field)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("has no description of its columns")
    return found


def _check_column(file: BufferedReader, column: Struct, size: int) -> int:
    packed_size, place, dictionary = (column.get(field) for field in (7, 9, 11))
    if not isinstance(packed_size, int) or not isinstance(place, int):
        raise ValueError("has a column without a place")
    if isinstance(dictionary, int) and 0 < dictionary < place:
        place = dictionary
    end, largest = place + packed_size, 0
    if place < 0 or packed_size < 0 or end > size:
        raise ValueError("has pages beyond its end")
    while place < end:
        file.seek(place)
        reader = _Thrift(file.read(min(_PAGE_HEADER, end - place)))
        header = reader.struct()
        kind, unpacked, packed = (header.get(field, -1) for field in (1, 2, 3))
        if not 0 <= packed <= end - place or not 0 <= unpacked <= min(_LARGEST, _FREE + _MOST_RATIO * packed):
            raise ValueError(f"has a page of {packed:,} bytes that unpacks to {unpacked:,}")
        if kind == _DICTIONARY:
            largest = max(largest, unpacked)
        place += reader.place + packed
    return largest


class _Thrift:
    """Structs in the compact protocol. Every value takes at least a byte, so memory is bounded by the length."""

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def struct(self, depth: int = 0) -> Struct:
        if depth > _DEEPEST:
            raise ValueError(f"has a description of more than {_DEEPEST} parts within each other")
        found: Struct = {}
        field = 0
        while byte := self._byte():
            delta, kind = byte >> 4, byte & 15
            field = field + delta if delta else self._zigzag()
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind not in (_LIST, _SET):
            raise ValueError("has a description that cannot be read")
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self._data) - self.place or depth > _DEEPEST:
            raise ValueError("has a list that is longer than its description")
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _bytes(self, length: int) -> bytes:
        if length > len(self._data) - self.place:
            raise ValueError("has a description that is cut off")
        self.place += length
        return self._data[self.place - length : self.place]

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("has a description that cannot be read")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
