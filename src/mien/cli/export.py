"""mien export: a model as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    LabelsOption,
    OverwriteOption,
    Reading,
    SkipOption,
    SubjectsOption,
    note,
    open_faces,
    progress,
    refuse,
    say,
)

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.evaluation.bootstrap import Estimate
    from mien.model import Model
    from mien.predictions import Predictions


def export(
    model: Annotated[str, typer.Argument(help="Run folder; or a .onnx file or a bundled model, with --int8.")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Labeled faces; only with --web can it be left out, for a model file."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write; model.onnx in the run folder if left out.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--float16", help="Store the weights in half the space; it still computes in float32.")
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Compute in 8 bits, calibrated on the training set in --data; tells the change in accuracy on val.",
        ),
    ] = False,
    web: Annotated[
        Path | None,
        typer.Option("--web", help="Folder to write instead: a page that computes with this model in the browser."),
    ] = None,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model as an ONNX file with its card inside, once both agree on faces of --data."""
    from mien.errors import InputError
    from mien.exports import export as write
    from mien.model import Model
    from mien.outputs import MODEL, check_output

    if half and int8:
        raise InputError("--float16 and --int8 are two kinds of file: export twice, each with its own --to")
    if web is not None:
        of_file = {"--to": to, "--float16": half, "--int8": int8}
        refuse(of_file, "for a file, and --web writes a page with one in float16")
        _write_web(model, data, web, Reading(labels, subjects, skip_unreadable), overwrite=overwrite)
        return
    if data is None:
        raise InputError("--data is missing: the faces on which the file must answer as the model does")
    opened = Model.open(model, device="cpu")
    if to is not None:
        check_output(to, MODEL, [model, data], overwrite=overwrite)
    faces = open_faces(data, Reading(labels, subjects, skip_unreadable), size=opened.card.preprocess.size)
    precision = "int8" if int8 else "float16" if half else "float32"
    parity = write(opened, faces, to, precision, overwrite=overwrite)
    place = to if to is not None or opened.run is None else opened.run.folder / "model.onnx"
    assert place is not None  # a model file is written with --to alone
    say(f"{place}: {parity.bytes / 1e6:.2f} MB")
    say(
        f"against {'torch' if opened.run else model} on {parity.n} faces: largest difference of a probability "
        f"{parity.largest:.1e}, same emotion in {parity.same_emotion} of {parity.n}"
    )
    if int8:
        _say_accuracy(opened, faces, place)
        _say_speed(opened, place, parity.bytes)


def _write_web(model: str, data: str | None, folder: Path, how: Reading, *, overwrite: bool) -> None:
    """The page with this model: a model file as it is, a run in float16 once it agrees with it on faces of `data`."""
    from mien.page.site import write_site
    from mien.recognize.naming import is_model_file, model_content

    content = model_content(model) if data is None or is_model_file(model) else _in_half(model, data, how)
    size = write_site(folder, model, content, overwrite=overwrite)
    say(f"{folder}: a page of {size / 1e6:.1f} MB for any static host. See it: python -m http.server -d {folder}")


def _in_half(model: str, data: str, how: Reading) -> bytes:
    import tempfile

    from mien.exports import export as write
    from mien.model import Model

    opened = Model.open(model, device="cpu")
    faces = open_faces(data, how, size=opened.card.preprocess.size)
    with tempfile.TemporaryDirectory(prefix="mien-export-") as folder:
        file = Path(folder) / "model.onnx"
        write(opened, faces, file, "float16")
        return file.read_bytes()


def _say_accuracy(model: Model, faces: FaceSet, place: Path) -> None:
    """The accuracy of the 8-bit file on val beside that of the model before, on faces that training never saw."""
    from mien.evaluation.compare import compare_predictions
    from mien.evaluation.evaluate import score
    from mien.evaluation.printed import format_estimate

    if not len(faces.select("val")):
        note("accuracy: not measured, the data has no val faces")
        return
    first, second = _val_predictions(model, faces, place)
    clean = first.leak_free
    if not clean.any():
        note("accuracy: not measured, every val face is in the training set too")
        return
    float32, int8 = first.keep(clean), second.keep(clean)
    (pair,) = compare_predictions([("float32", float32), ("int8", int8)]).pairs
    accuracies = [format_estimate(score(part, "model").scores.accuracy) for part in (float32, int8)]
    left_out = f", without {int((~clean).sum()):,} that are in the training set" if not clean.all() else ""
    say(f"accuracy on {int(clean.sum()):,} val faces{left_out}: float32 {accuracies[0]}, int8 {accuracies[1]}")
    say(f"change: {_points(pair.accuracy_difference)} (95 % interval, paired bootstrap)")


def _val_predictions(model: Model, faces: FaceSet, place: Path) -> tuple[Predictions, Predictions]:
    """Of the model in float32 and of the file, on the same val faces; both know what the model was trained on."""
    from dataclasses import replace

    from mien.model import Model
    from mien.training.hardware import Hardware
    from mien.training.predict import predict

    with progress() as bar:
        if model.run is None:
            first = model.predictions(faces, "val", progress=bar)
        else:
            first = predict(model.run, faces, "val", Hardware("cpu", "float32"), bar)
        second = Model.open(place.resolve()).predictions(faces, "val", progress=bar)
    return first, replace(second, in_train=first.in_train, in_val=first.in_val)


def _say_speed(model: Model, place: Path, size: int) -> None:
    """Size and milliseconds of both files, the one of float32 made for it where there is none."""
    from mien.exports import onnx_bytes
    from mien.recognize.classifier import Classifier
    from mien.recognize.speed import BATCH, milliseconds

    content = model.content if model.run is None else onnx_bytes(model.run, model.run.load_model())
    models = {
        "float32": Classifier.read(content, "float32", threads=1),
        "int8": Classifier.open(place, threads=1),
    }
    took = milliseconds(models)
    say(f"size: {len(content) / 1e6:.2f} MB in float32, {size / 1e6:.2f} MB in int8")
    for i, how in enumerate(("one face a call", f"{BATCH} faces a call")):
        float32, int8 = took["float32"][i], took["int8"][i]
        say(f"{how}, one core: {float32:.3f} ms a face in float32, {int8:.3f} in int8: {_ratio(float32 / int8)}")


def _points(change: Estimate) -> str:
    """A difference of accuracies in points, each with its sign."""
    value, low, high = (round(100 * x, 1) + 0.0 for x in (change.value, change.low, change.high))  # no -0.0
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _ratio(times: float) -> str:
    return f"{times:.1f} times as fast" if times >= 1.05 else f"no gain on this machine ({times:.2f} times as fast)"
