"""Model files that answer nonsense, ask for gigabytes or run without end: refused by name, in little memory."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien import InputError, Recognizer
from mien.recognize import classifier
from mien.recognize.classifier import Classifier
from mien.recognize.vendored import read_vendored

Change = Callable[[onnx.GraphProto], None]


def tiny() -> onnx.ModelProto:
    return onnx.load_model_from_string(read_vendored("weights", "mien-tiny.onnx"))


def before_the_end(graph: onnx.GraphProto) -> tuple[str, str]:
    """Names of what the last node gives, from now on, and of the output, which nothing gives yet."""
    output = graph.output[0].name
    last = next(node for node in graph.node if output in node.output)
    last.output[list(last.output).index(output)] = "before"
    return "before", output


def weights_are(value: float) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        kernel = next(one for one in graph.initializer if len(one.dims) == 4)
        array = np.full_like(numpy_helper.to_array(kernel), value)
        kernel.CopyFrom(numpy_helper.from_array(array, kernel.name))

    return change


def large(kind: str) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        logits, output = before_the_end(graph)
        graph.initializer.append(numpy_helper.from_array(np.array([1, 40_000, 40_000], np.int64), "shape"))
        nodes = [helper.make_node("ReduceSum", [logits], ["sum"], keepdims=0)]
        nodes += [helper.make_node(kind, ["shape"] if kind == "ConstantOfShape" else ["sum", "shape"], ["large"])]
        nodes += [helper.make_node("ReduceSum", ["large"], ["all"], keepdims=0)]
        graph.node.extend([*nodes, helper.make_node("Add", [logits, "all"], [output])])

    return change


def endless(graph: onnx.GraphProto) -> None:
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    going = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("on", "still")]
    body = helper.make_graph([helper.make_node("Identity", ["on"], ["still"])], "b", [count, going[0]], [going[1]])
    graph.initializer.append(numpy_helper.from_array(np.array(2**62, np.int64), "times"))
    graph.initializer.append(numpy_helper.from_array(np.array(True), "begin"))
    graph.node.append(helper.make_node("Loop", ["times", "begin"], [], body=body))


def elsewhere(graph: onnx.GraphProto) -> None:
    one = graph.initializer[0]
    one.ClearField("raw_data")
    one.data_location = TensorProto.EXTERNAL
    one.external_data.add(key="location", value="weights.bin")


def many(graph: onnx.GraphProto) -> None:
    graph.initializer[0].dims[0] = 2**40


def deep(graph: onnx.GraphProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    for _ in range(30):
        inner = helper.make_graph([helper.make_node("If", ["begin"], [], then_branch=inner)], "g", [], [])
    graph.node.extend(inner.node)


def calling(graph: onnx.GraphProto) -> None:
    logits, output = before_the_end(graph)
    graph.node.append(helper.make_node("F29", [logits], [output], domain="f"))


def with_functions(model: onnx.ModelProto) -> None:
    """Each calls the one before it twice: 2**29 nodes in a few bytes."""
    versions = [helper.make_opsetid("", model.opset_import[0].version), helper.make_opsetid("f", 1)]
    model.opset_import.append(versions[1])
    model.functions.append(
        helper.make_function("f", "F0", ["a"], ["c"], [helper.make_node("Identity", ["a"], ["c"])], versions)
    )
    for number in range(1, 30):
        before = f"F{number - 1}"
        twice = [helper.make_node(before, [a], [b], domain="f") for a, b in (("a", "b"), ("b", "c"))]
        model.functions.append(helper.make_function("f", f"F{number}", ["a"], ["c"], twice, versions))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (weights_are(np.nan), "not numbers or not finite"),
        (weights_are(np.inf), "not numbers or not finite"),
        (large("ConstantOfShape"), "cannot be computed"),
        (large("Expand"), "cannot be computed"),
        (endless, "Loop, which may run without end"),
        (elsewhere, "weights that lie in another file"),
        (many, "values without the values"),
        (deep, "more than 8 deep"),
    ],
    ids=["nan", "infinity", "constant", "expanded", "loop", "external", "dims", "deep"],
)
def test_it_is_refused_when_it_is_opened(change: Change, why: str, tmp_path: Path) -> None:
    model = tiny()
    change(model.graph)
    file = tmp_path / "strange.onnx"
    file.write_bytes(model.SerializeToString())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=why) as refused:
        Recognizer(file)
    assert str(refused.value).startswith(str(file))
    assert len(str(refused.value)) < 1000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 600  # MiB


def test_functions_that_call_each_other_are_refused(tmp_path: Path) -> None:
    """onnxruntime writes each call out before it answers: this file of 0.8 MB would keep it for days."""
    model = tiny()
    calling(model.graph)
    with_functions(model)
    file = tmp_path / "strange.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"strange\.onnx: holds functions of its own"):
        Recognizer(file)


def test_a_file_that_is_larger_than_any_model_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "film.onnx"
    with file.open("wb") as empty:
        empty.truncate(2**31 + 1)  # takes no room
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for place in (file, tmp_path):
        if place is tmp_path:
            file.rename(tmp_path / "model.onnx")
        with pytest.raises(InputError, match=r"\.onnx: has 2,147,483,649 bytes, and no model file is larger than"):
            Recognizer(place)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 100  # MiB


def test_a_network_that_fails_on_some_pictures_alone_is_refused_at_its_answer() -> None:
    """1 / (the brightest value that is shown, less that of white) is infinite for a white picture."""
    model = tiny()
    found = Classifier.read(model.SerializeToString(), "it")
    white = float(found.card.preprocess([np.full((8, 8), 255, np.uint8)]).max())
    logits, output = before_the_end(model.graph)
    model.graph.initializer.append(numpy_helper.from_array(np.array([white], np.float32), "white"))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", [model.graph.input[0].name], ["most"], keepdims=0),
            helper.make_node("Sub", ["most", "white"], ["less"]),
            helper.make_node("Reciprocal", ["less"], ["share"]),
            helper.make_node("Add", [logits, "share"], [output]),
        ]
    )
    strange = Classifier.read(model.SerializeToString(), "it")
    assert np.isfinite(strange.classify([np.full((8, 8), 99, np.uint8)])).all()
    with pytest.raises(InputError, match="it: its network answers with values that are not numbers or not finite"):
        strange.classify([np.full((8, 8), 255, np.uint8)])


def test_a_large_file_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_SMALL", 10)
    model = tiny()
    assert Classifier.read(model.SerializeToString(), "it").card.labels[0] == "angry"
    weights_are(np.nan)(model.graph)
    with pytest.raises(InputError, match="not finite"):
        Classifier.read(model.SerializeToString(), "it")


def test_a_card_that_makes_no_numbers_is_refused() -> None:
    model = tiny()
    entry = model.metadata_props[0]
    for wrong in ("Infinity", "NaN", "-1"):
        entry.value = entry.value.replace('"temperature":', f'"temperature":{wrong},"old":', 1)
        with pytest.raises(InputError, match="its card: not a card that this version reads"):
            Classifier.read(model.SerializeToString(), "it")
        model = tiny()
        entry = model.metadata_props[0]
    entry.value = "[" * 100_000
    with pytest.raises(InputError, match="its card: not a card"):
        Classifier.read(model.SerializeToString(), "it")
