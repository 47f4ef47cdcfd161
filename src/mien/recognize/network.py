"""Network: an ONNX file looked through before anything of it is computed: no loops, no other files, no endless depth.

The file is a protocol buffer; only the few fields that matter are followed. Source: onnx.proto of ONNX 1.17.
"""

from __future__ import annotations

import math

from mien.errors import InputError, printable, shortened
from mien.protobuf import fields, packed

_ENDLESS = ("Loop", "Scan", "SequenceMap")  # repeat as often as a number in the file, or data, says
_MOST_NODES = 100_000  # the largest vision transformer that mien exports has 3,000
_DEEPEST = 8  # graphs within nodes within graphs
_LARGEST = 2**30  # bytes of one stored tensor
_GRAPH, _FUNCTIONS = 7, 25  # fields of ModelProto
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of GraphProto
_OP_TYPE, _ATTRIBUTE = 4, 5  # of NodeProto
_TENSORS, _GRAPHS, _SPARSES = (5, 10), (6, 11), (22, 23)  # of AttributeProto, one and several
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
        for field, value in fields(self._content):
            if field == _GRAPH and isinstance(value, memoryview):
                self._graph(value, 0)
            elif field == _FUNCTIONS:
                raise self._refused("functions of its own, which could call each other a billion times")

    def _graph(self, graph: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise self._refused("graphs that lie within each other more than 8 deep")
        for field, value in fields(graph):
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
        for field, value in fields(node):
            if isinstance(value, int):
                continue
            if field == _OP_TYPE and (kind := str(value, "utf-8", "replace")) in _ENDLESS:
                raise self._refused(f"a node of the kind {printable(kind)}, which may run without end")
            if field == _ATTRIBUTE:
                self._attribute(value, depth)

    def _attribute(self, attribute: memoryview, depth: int) -> None:
        for field, value in fields(attribute):
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
        for field, value in fields(tensor):
            if field == _EXTERNAL or (field == _LOCATION and value == 1):
                raise self._refused("weights that lie in another file")
            if field == _DIMS:
                sizes += [value] if isinstance(value, int) else packed(value)
        # Each value takes at least half a byte of the file, whatever the tensor says of itself.
        if math.prod(sizes) > min(_LARGEST, 2 * len(tensor) + 2) or max(sizes, default=0) >= 2**63:
            raise self._refused(f"a tensor of {shortened(str(sizes), 80)} values without the values")

    def _refused(self, what: str) -> InputError:
        return InputError(
            f"{self._source}: holds {what}. Such networks are not opened; export the run again: mien export RUN"
        )
