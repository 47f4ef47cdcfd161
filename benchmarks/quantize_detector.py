"""CenterFace in 8 bits: made from the float32 file, and held against it on canvases of real faces.

    python benchmarks/quantize_detector.py make centerface.onnx centerface-int8.onnx --data fer2013.zip
    python benchmarks/quantize_detector.py compare centerface.onnx centerface-int8.onnx --data fer2013.zip

`make` takes ranges from canvases of train faces: minimum and maximum; weights are signed and rounded channel by channel
to 7 bits, so that no sum overflows on processors without VNNI. What comes after the last narrowing (the three
enlargements and the answers) stays in float32: eyes move less, for a twentieth more time.
`compare` counts on canvases of val faces what each file finds, upright and turned, and what else it takes for a face;
how far the eyes of one lie from those of the other, and how many of the faces that both found the bundled model then
recognizes as they are labeled; and times both, picture by picture in turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from canvases import Canvas, Placed, canvases
from onnx import version_converter
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mien import FaceSet, Recognizer
from mien.evaluation import photos
from mien.recognize import detector as module
from mien.recognize.align import FER2013, upright_crop
from mien.recognize.detector import Detection, Detector

_OPSET = 17  # the file's own, 9, has no quantization channel by channel
_EXACT = 9  # convolutions at the end that stay in float32
_SHOWN = 60  # canvases that ranges are taken from


def make(source: Path, to: Path, faces: FaceSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raised, prepared = Path(folder) / "raised.onnx", Path(folder) / "prepared.onnx"
        onnx.save(version_converter.convert_version(onnx.load(source), _OPSET), raised)
        quant_pre_process(str(raised), str(prepared), skip_symbolic_shape=True)
        whole = onnx.load(prepared)
        for number, node in enumerate(whole.graph.node):
            node.name = f"{node.op_type}-{number}"  # the file's own have no names, and those left out are named
        onnx.save(whole, prepared)
        last = [node.name for node in whole.graph.node if node.op_type.startswith("Conv")][-_EXACT:]
        quantize_static(
            str(prepared),
            str(to),
            _Shown(whole.graph.input[0].name, canvases(faces, _SHOWN, seed=1)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=last,
            extra_options={"CalibStridedMinMax": 1},
        )
    made = onnx.load(to)
    for other in [one for one in made.opset_import if one.domain]:  # named by the preparation, used by no node
        made.opset_import.remove(other)
    onnx.checker.check_model(made)
    onnx.save(made, to)
    print(f"{to}: {to.stat().st_size:,} bytes of {source.stat().st_size:,}")


class _Shown:
    """What the network is given of each canvas; onnxruntime's `CalibrationDataReader`."""

    def __init__(self, name: str, shown: Iterable[Canvas]) -> None:
        self._name = name
        self._batches = [module._batch(module._fitted(one.image, module.DETECT_SIZE, multiple=32)[0]) for one in shown]
        self._left = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else {self._name: batch}


def opened(path: Path, threads: int) -> Detector:
    """The default detector with this file in place of its own."""
    own = module.read_vendored
    module.read_vendored = lambda *_: path.read_bytes()
    try:
        return Detector("default", threads=threads)
    finally:
        module.read_vendored = own


def matched(found: list[Detection], faces: Sequence[Placed]) -> tuple[dict[int, Detection], int]:
    """By number of the face: what was found there; and how many finds are no face."""
    pairs = photos.matched([one.box for one in found], [face.box for face in faces])
    there = {number: found[index] for number, index in enumerate(pairs) if index is not None}
    return there, len(found) - len(there)


def compare(paths: list[Path], faces: FaceSet, count: int, threads: int) -> None:
    detectors = [opened(path, threads) for path in paths]
    seconds: list[list[float]] = [[], []]
    shown, hits, false = [0, 0], [[0, 0], [0, 0]], [0, 0]  # by upright or turned; hits by file
    apart: list[float] = []
    recognizer, right, both = Recognizer(), [0, 0], 0
    for number, canvas in enumerate(canvases(faces, count, seed=2)):
        there: list[dict[int, Detection]] = [{}, {}]
        for which in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            found = detectors[which](canvas.image)
            seconds[which].append(time.perf_counter() - began)
            there[which], other = matched(found, canvas.faces)
            false[which] += other
            hits[which][number % 2] += len(there[which])
        shown[number % 2] += len(canvas.faces)
        for face in there[0].keys() & there[1].keys():
            eyes = [one[face].points[:2] for one in there]
            apart.extend(np.linalg.norm(eyes[0] - eyes[1], axis=1) / canvas.faces[face].side)
            crops = [upright_crop(canvas.image, one[face], recognizer.card.alignment or FER2013) for one in there]
            answers = recognizer.of_all_heads(crops)[:, recognizer.card.columns("labels")].argmax(axis=1)
            right = [
                count + int(one == faces.labels[canvas.faces[face].number])
                for count, one in zip(right, answers, strict=True)
            ]
            both += 1
    for which, path in enumerate(paths):
        upright, turned = (
            f"{hits[which][kind]} of {shown[kind]} {word}" for kind, word in ((0, "upright"), (1, "turned"))
        )
        print(f"{path.name}: {upright}, {turned}, {false[which]} that are none, "
              f"{1000 * median(seconds[which]):.1f} ms a picture (median)")  # fmt: skip
    share = median(two / one for one, two in zip(*seconds, strict=True))
    print(f"{threads} threads: the second takes {share:.2f} of the first's time (median of pairs)")
    print(f"of {both} faces that both found, {right[0]} and {right[1]} are recognized as labeled")
    print(f"eyes apart, of the face's side: median {np.median(apart):.4f}, 95 % {np.quantile(apart, 0.95):.4f}, "
          f"most {max(apart):.4f} (n = {len(apart)})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "compare"))
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--data", required=True, help="FER2013, or other faces cut as tightly")
    parser.add_argument("--canvases", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    how = parser.parse_args()
    everything = FaceSet.open(how.data, size=48)
    if how.what == "make":
        make(how.first, how.second, everything.select("train"))
    else:
        compare([how.first, how.second], everything.select("val"), how.canvases, how.threads)


if __name__ == "__main__":
    main()
