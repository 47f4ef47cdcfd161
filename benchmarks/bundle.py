"""Bundle: a finished run becomes the bundled model of its folder's name.

    python benchmarks/bundle.py runs/mien-small --data fer2013.zip

Writes `weights/NAME.onnx` (float16) and `starts/NAME` (float16 weights to train on from, card, recipe, what was
seen) in `src/mien/recognize`, and both SHA256SUMS. With `--card` the network in the file stays as it is, byte for byte,
and only its card becomes that of the run, as after `mien calibrate RUN --sets 0.9 --data fer2013.zip`. With
`--reference` it only gets its features as a second output and the references of `mien check`. Figures are another
matter: keep_results.py and evidence.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np
from gpu_pack import halved
from safetensors.numpy import load_file, save_file

from mien import FaceSet, Recognizer, Run, export
from mien.actions import reference
from mien.files import write_whole
from mien.recognize.classifier import Classifier, with_card
from mien.recognize.vendored import vendored_folder
from mien.scratch import temporary_folder

LICENSE = "Weights: Apache-2.0. Code: Apache-2.0."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True, help="on whose faces the file must answer as the run does")
    parser.add_argument("--card", action="store_true", help="write the run's card into the file that is there")
    parser.add_argument("--reference", action="store_true", help="write features and references into that file")
    given = parser.parse_args()
    if given.card:
        _write_card(Run(given.run))
        return
    if given.reference:
        _write_reference(Run(given.run), FaceSet.open(given.data, size=48))
        return
    run = Run.open(given.run)
    run.card.model_copy(update={"license": LICENSE}).save(run.folder / "card.json")
    faces = FaceSet.open(given.data, size=run.card.preprocess.size)
    weights, starts = vendored_folder("weights"), vendored_folder("starts")
    parity = export(run, faces, weights / f"{run.name}.onnx", "float16")
    print(parity)
    start = starts / run.name
    start.mkdir(exist_ok=True)
    for name in ("card.json", "recipe.yaml", "seen.npz"):
        write_whole(start / name, (run.folder / name).read_bytes())
    save_file(halved(load_file(run.weights_file)), start / run.weights_file.name, {"format": "pt"})
    _write_sums(starts, starts.glob("*/*.safetensors"))
    _write_reference(run, faces)


def _write_card(run: Run) -> None:
    weights, starts = vendored_folder("weights"), vendored_folder("starts")
    file, card = weights / f"{run.name}.onnx", run.card
    before = Recognizer(file, detector="none").card
    assert (before.training, before.labels) == (card.training, card.labels), "another run's file"
    write_whole(file, with_card(file.read_bytes(), card, str(file)))
    card.save(starts / run.name / "card.json")
    _write_sums(weights, weights.glob("*.onnx"))


def _write_reference(run: Run, faces: FaceSet) -> None:
    weights = vendored_folder("weights")
    file = weights / f"{run.name}.onnx"
    crops = list(faces.gather(np.arange(64)))
    before = Classifier.open(file).probabilities(crops)
    with temporary_folder() as folder:
        new = Path(folder) / file.name
        for one in reference(run.name, faces, new):
            print(f"{one.detector}: {one.faces} faces, {one.false_alarms} false alarms in {one.looked} draws")
        assert np.array_equal(Classifier.open(new).probabilities(crops), before), "it answers otherwise"
        write_whole(file, new.read_bytes())
    _write_sums(weights, weights.glob("*.onnx"))


def _write_sums(folder: Path, files: Iterable[Path]) -> None:
    """As `sha256sum` writes them."""
    lines = [
        f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in sorted(files)
    ]
    write_whole(folder / "SHA256SUMS", "".join(lines))


if __name__ == "__main__":
    main()
