"""Network: an ONNX file looked through before anything of it is computed: no loops, no other files, no endless depth.

The file is a protocol buffer; only the few fields that matter are followed. Source: onnx.proto of ONNX 1.17 and
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mien.errors import InputError, printable, shortened

_ENDLESS = ("Loop", "Scan", "SequenceMap")  # repeat as often as a number in the file, or data, says
_MOST_NODES = 100_000  # the largest vision transformer that mien exports has 3,000
_DEEPEST = 8  # graphs within nodes within graphs
_LARGEST = 2**30  # bytes of one stored tensor
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5  # how a field is written
_GRAPH, _FUNCTIONS = 7, 25  # fields of ModelProto
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of GraphProto
_OP_TYPE, _ATTRIBUTE = 4, 5  # of NodeProto
_TENSORS, _GRAPHS, _SPARSES = (5, 10), (6, 11), (22, 23)  # of AttributeProto, one and several
_FUNCTION_NODE = 7  # of FunctionProto
_DIMS, _EXTERNAL, _LOCATION = 1, 13, 14  # of TensorProto


def check_network(content: bytes, source: str) -> None:
    """Raise `InputError`, which names `source`, where opening or asking the network could take no end or much memory.

    Bytes that are no protocol buffer are refused too; what else is wrong with them, the runtime says.
    """
    try:
        _Look(memoryview(content), source).model()
    except (IndexError, ValueError) as error:
        raise InputError(
            f"{source}: cannot be opened as an ONNX model (cut off, damaged or of another kind). "
            "Copy it again, or write it anew: mien export RUN"
        ) from error


class _Look:
    def __init__(self, content: memoryview, source: str) -> None:
        self._content, self._source, self._nodes = content, source, 0

    def model(self) -> None:
        for field, value in _fields(self._content):
            if field == _GRAPH and isinstance(value, memoryview):
                self._graph(value, 0)
            elif field == _FUNCTIONS and isinstance(value, memoryview):
                for inner, node in _fields(value):
                    if inner == _FUNCTION_NODE and isinstance(node, memoryview):
                        self._node(node, 0)

    def _graph(self, graph: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise self._refused("graphs that lie within each other more than 8 deep")
        for field, value in _fields(graph):
            if isinstance(value, int):
                continue
            if field == _NODE:
                self._node(value, depth)
            elif field == _INITIALIZER:
                self._tensor(value)
            elif field == _SPARSE:
                raise self._refused("a sparse tensor")

    def _node(self, node: memoryview, depth: int) -> None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise self._refused(f"more than {_MOST_NODES:,} nodes")
        for field, value in _fields(node):
            if isinstance(value, int):
                continue
            if field == _OP_TYPE and (kind := str(value, "utf-8", "replace")) in _ENDLESS:
                raise self._refused(f"a node of the kind {printable(kind)}, which may run without end")
            if field == _ATTRIBUTE:
                self._attribute(value, depth)

    def _attribute(self, attribute: memoryview, depth: int) -> None:
        for field, value in _fields(attribute):
            if isinstance(value, int):
                continue
            if field in _TENSORS:
                self._tensor(value)
            elif field in _GRAPHS:
                self._graph(value, depth + 1)
            elif field in _SPARSES:
                raise self._refused("a sparse tensor")

    def _tensor(self, tensor: memoryview) -> None:
        sizes: list[int] = []
        for field, value in _fields(tensor):
            if field == _EXTERNAL or (field == _LOCATION and value == 1):
                raise self._refused("weights that lie in another file")
            if field == _DIMS:
                sizes += [value] if isinstance(value, int) else _packed(value)
        # Each value takes at least half a byte of the file, whatever the tensor says of itself.
        if math.prod(sizes) > min(_LARGEST, 2 * len(tensor) + 2) or max(sizes, default=0) >= 2**63:
            raise self._refused(f"a tensor of {shortened(str(sizes), 80)} values without the values")

    def _refused(self, what: str) -> InputError:
        return InputError(
            f"{self._source}: holds {what}. Such networks are not opened; export the run again: mien export RUN"
        )


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
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


def _packed(values: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(values):
        value, place = _varint(values, place)
        found.append(value)
    return found
