"""Exports: a run as one ONNX file that holds its card, checked against torch on faces before it is written.

Shapes: N faces, C channels, S pixels, O outputs: the classes of each head, side by side. The file maps `images`
(N, C, S, S) to `logits` (N, O).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from mien.data.faceset import FaceSet
from mien.errors import InputError, MienError, MissingExtraError, first_line, not_writable, unknown_name
from mien.files import write_whole
from mien.logs import quieted
from mien.model import Classify, Model, Named
from mien.outputs import MODEL, check_output
from mien.quantize import calibration_faces, to_int8
from mien.recognize.classifier import CARD_KEY, Classifier
from mien.training.predict import outputs
from mien.training.run import Run

if TYPE_CHECKING:
    from onnx import ModelProto

Precision = Literal["float32", "float16", "int8"]
_TOLERANCE = {"float32": 1e-4, "float16": 1e-2}  # of a probability; int8 is judged by its accuracy
_FACES = 256  # that torch and the file must agree on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parity:
    """How the model and the file that was written differ, over `n` faces."""

    n: int
    largest: float  # difference of a probability, of any head
    same_emotion: int  # faces, of n, on which every head gives the same answer
    bytes: int  # of the file


def export(
    model: Named,
    faces: FaceSet,
    path: str | Path | None = None,
    precision: str = "float32",
    *,
    overwrite: bool = False,
) -> Parity:
    """Write a model to `path` (a run's own `model.onnx`, if None) once it and the file agree on up to 256 `faces`.

    `float16` stores the weights in half the room; they are widened when the file is opened, so it computes in float32.
    `int8` computes in 8 bits, with ranges from the train split of `faces`; how far its probabilities lie apart is told
    and not limited, since what it costs is accuracy: compare its predictions. Faces are those of val, or of whatever
    splits there are. A model file, which has no trainable weights, can be written in int8 alone. Raises `InputError`
    when probabilities differ by more than 1e-4 (float16: 1e-2), the network cannot be exported, or int8 finds no train
    split; and where `path` is the model itself or, without `overwrite`, no model of ours. Nothing is written then.
    """
    if precision not in get_args(Precision):
        raise unknown_name("precision", precision, get_args(Precision))
    opened = Model.open(model, device="cpu")
    place = _place(opened, path, overwrite=overwrite)
    if precision == "int8":
        calibration_faces(faces)  # before the work that is in vain without them
    content, outputs = _float32(opened, precision)
    if precision == "int8":
        content = to_int8(content, opened.card.preprocess, faces, opened.name)
    parity = _parity(outputs, Classifier.read(content, str(place)), faces, len(content))
    allowed = _TOLERANCE.get(precision, 1.0)
    if not parity.largest <= allowed:
        advice = " Leave out --float16" if precision == "float16" else ""
        raise InputError(
            f"{opened.name}: its ONNX form differs from torch by {parity.largest:.2g} in a probability, over "
            f"{parity.n} faces; at most {allowed:g} is accepted. Nothing was written.{advice}"
        )
    try:
        write_whole(place, content)
    except OSError as error:
        raise not_writable(place, error) from error
    return parity


def _place(model: Model, path: str | Path | None, *, overwrite: bool) -> Path:
    if path is not None:
        return model_place(path, model, overwrite=overwrite)
    if model.run is None:
        raise InputError(f"{model.name}: name the file to write: --to NEW.onnx. The given one is not changed")
    return model.run.folder / "model.onnx"


def model_place(path: str | Path, model: Model, *, overwrite: bool = False) -> Path:
    """Where a model file that is made of `model` may be written. Raises `InputError` as `mien.outputs` says it."""
    place = Path(path)
    check_output(place, MODEL, [model.place] if model.place else [], overwrite=overwrite)
    return place


def _float32(model: Model, precision: str) -> tuple[bytes, Classify]:
    """The file of a model before it is quantized, and what it must agree with."""
    if model.run is None:
        if precision != "int8":
            raise InputError(
                f"{model.name}: no trainable weights in an .onnx file, so it can be written with --int8 alone"
            )
        return model.content, model.outputs
    network, card = model.run.load_model(), model.card
    written = onnx_bytes(model.run, network, "float32" if precision == "int8" else precision)
    return written, lambda crops: outputs(network, card, list(crops))


def leave_onnx(run: Run, faces: FaceSet) -> None:
    """Write `model.onnx` at the end of a training. A run is whole without it: what goes wrong is a line in the log."""
    try:
        export(run, faces)
    except MienError as error:
        logger.warning("model.onnx was not written: %s", error)


def _parity(before: Classify, classifier: Classifier, faces: FaceSet, size: int) -> Parity:
    chosen = faces.select("val") if "val" in faces.splits else faces
    if not len(chosen):
        raise InputError(f"{faces.source}: has no face to check the export on")
    spread = np.unique(np.linspace(0, len(chosen) - 1, _FACES).astype(np.int64))
    images, card = list(chosen.gather(spread)), classifier.card
    said, now = before(images), classifier.probabilities(images)
    largest, same = 0.0, np.ones(len(images), dtype=bool)
    for truth in card.truths:
        ours, theirs = (card.answers(one, truth) for one in (said, now))
        largest = max(largest, float(np.abs(ours - theirs).max()))
        same &= ours.argmax(axis=1) == theirs.argmax(axis=1)
    return Parity(n=len(images), largest=largest, same_emotion=int(same.sum()), bytes=size)


def onnx_bytes(run: Run, network: torch.nn.Module, precision: str = "float32") -> bytes:
    """The file of `network` with the card of `run`, unchecked, in float32 or float16.

    Raises `InputError` where torch cannot export it.
    """
    card = run.card
    model = _traced(network, run, (2, card.preprocess.channels, card.preprocess.size, card.preprocess.size))
    if precision == "float16":
        _halve(model)
    model.producer_name = "mien"
    model.metadata_props.add(key=CARD_KEY, value=card.model_dump_json())
    content: bytes = model.SerializeToString()
    return content


def _traced(network: torch.nn.Module, run: Run, shape: tuple[int, ...]) -> ModelProto:
    try:
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ModuleNotFoundError as error:
        raise MissingExtraError("export to ONNX", "train") from error
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                network,
                (torch.zeros(shape),),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # each network has its own way to be beyond the exporter
        raise InputError(f"{run.folder}: torch cannot export this network to ONNX ({first_line(error)})") from error
    assert program is not None  # what the exporter gives when it is to write no file
    return program.model_proto


def _halve(model: ModelProto) -> None:
    """Store matrices and kernels as float16, each with a node that widens it; onnxruntime does that once, on opening.

    Vectors stay as they are: they take little room, and variances may be too small for float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    wide = [
        weight for weight in model.graph.initializer if weight.data_type == TensorProto.FLOAT and len(weight.dims) > 1
    ]
    for weight in wide:
        name = weight.name
        values = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        model.graph.node.insert(0, helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Without its progress and its remarks on packages that are not installed."""
    with quieted("torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
