"""Model files: an ONNX file of ours with more in it: features and what they are held against, or biases of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mien.errors import InputError, MissingExtraError, first_line
from mien.recognize.shift import FEATURES, REFERENCE_KEY, Reference, reference_key

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_LAYERS = ("Gemm", "MatMul", "QGemm", "MatMulInteger")
_PASSED = ("Add", "Identity", "Reshape", "DequantizeLinear", "QuantizeLinear", "Cast")  # between layer and output


def with_features(content: bytes, source: str) -> bytes:
    """The same network with a second output, the input of its last linear layer; answers stay bit for bit.

    Raises `InputError`, which names `source`, for a network that does not end in one linear layer.
    """
    model = _opened(content, source)
    if any(output.name == FEATURES for output in model.graph.output):
        return content
    from onnx import TensorProto, helper

    name = _before_last_layer(model, source)
    model.graph.node.append(helper.make_node("Identity", [name], [FEATURES]))
    model.graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", None]))
    return bytes(model.SerializeToString())


def with_reference(content: bytes, reference: Reference, source: str) -> bytes:
    """The same file with `reference` in its metadata, in place of the one for the same detector."""
    model, key = _opened(content, source), reference_key(reference.detector)
    kept = [(one.key, one.value) for one in model.metadata_props if one.key != key]
    del model.metadata_props[:]
    for name, value in [*kept, (key, reference.model_dump_json())]:
        model.metadata_props.add(key=name, value=value)
    return bytes(model.SerializeToString())


def with_biases(content: bytes, biases: Sequence[float], source: str) -> bytes:
    """The same network with a number added to each of its outputs `(O,)`, of all heads side by side.

    So whatever opens the file has them: this package, the page, a phone. References for `mien check` are left out: they
    are of faces that its promises no longer speak of.
    """
    model = _opened(content, source)
    import numpy as np
    from onnx import helper, numpy_helper

    graph, output = model.graph, model.graph.output[0].name
    inner = f"{output}_before_biases"
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = inner if name == output else name
    graph.initializer.append(numpy_helper.from_array(np.asarray(biases, dtype=np.float32), "biases_of_labels"))
    graph.node.append(helper.make_node("Add", [inner, "biases_of_labels"], [output]))
    _drop_references(model)
    return bytes(model.SerializeToString())


def without_references(content: bytes, source: str) -> bytes:
    """The same file without references for `mien check`, for a card under which its features are other means."""
    model = _opened(content, source)
    return bytes(model.SerializeToString()) if _drop_references(model) else content


def _drop_references(model: ModelProto) -> bool:
    """Whether there were any."""
    kept = [(one.key, one.value) for one in model.metadata_props if not one.key.startswith(REFERENCE_KEY)]
    some = len(kept) < len(model.metadata_props)
    del model.metadata_props[:]
    for key, value in kept:
        model.metadata_props.add(key=key, value=value)
    return some


def _opened(content: bytes, source: str) -> ModelProto:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing into a model file", "train") from error
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        raise InputError(f"{source}: not a model file ({first_line(error)})") from error


def _before_last_layer(model: ModelProto, source: str) -> str:
    """The name of what the last linear layer multiplies with its weights."""
    makers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
    name = model.graph.output[0].name
    while (node := makers.get(name)) is not None:
        if node.op_type in _LAYERS:
            return _of_numbers(node.input[0], makers)
        if node.op_type not in _PASSED:
            break
        name = next((one for one in node.input if one in makers), "")
    raise InputError(
        f"{source}: its network does not end in one linear layer, so it has no features to look at. "
        "An ensemble is looked at by one of its members"
    )


def _of_numbers(name: str, makers: dict[str, NodeProto]) -> str:
    """Past the steps that turn decimal numbers into whole ones."""
    while (node := makers.get(name)) is not None and node.op_type == "QuantizeLinear":
        name = node.input[0]
    return name
