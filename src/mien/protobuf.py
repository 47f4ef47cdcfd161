"""Protobuf: the fields of a protocol buffer, read without its schema, as of an ONNX file where onnx is not installed.

Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5  # how a field is written


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field: a part of the message, or a whole number. `ValueError` where it makes none."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        how = tag & 7
        if how == _VARINT:
            number, place = _varint(message, place)
            yield tag >> 3, number
            continue
        if how == _LENGTH:
            length, place = _varint(message, place)
        elif how in (_EIGHT, _FOUR):
            length = 8 if how == _EIGHT else 4
        else:
            raise ValueError(f"no such kind of field: {how}")
        if length > end - place:
            raise ValueError("a field ends behind its message")
        yield tag >> 3, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A whole number and the place behind it; `IndexError` at the end of the message."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a whole number of more than 64 bits")


def packed(values: memoryview) -> list[int]:
    """Whole numbers, one behind another."""
    found, place = [], 0
    while place < len(values):
        value, place = _varint(values, place)
        found.append(value)
    return found
