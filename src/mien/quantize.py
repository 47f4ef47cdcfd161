"""Quantize: an ONNX model in 8-bit whole numbers, with ranges taken from train faces.

Weights are signed and rounded channel by channel to 7 bits, so that no sum overflows on processors without VNNI;
activations are unsigned, which is the only kind that is faster than float32 on x86. Ranges of activations are the
99.999 % percentiles: among these, minimum and maximum, and entropy, they lost the least accuracy on the val faces of
FER2013, by a few thousandths (docs/experiments.md).
Source: Jacob et al. 2018, arXiv:1712.05877, for the arithmetic; onnxruntime.quantization does the work.
Shapes: N faces, C channels, S pixels.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.errors import InputError, MissingExtraError, first_line
from mien.logs import quieted
from mien.preprocess import Preprocess
from mien.scratch import temporary_folder

FACES = 512  # of train, that ranges are taken from
_BATCH = 32


def to_int8(content: bytes, preprocess: Preprocess, faces: FaceSet, source: str, *, seed: int = 0) -> bytes:
    """The ONNX file `content` in 8 bits; input, output and metadata stay as they are.

    `faces`: up to 512 of their train split, drawn with `seed`, are shown to the model to see how far its activations
    reach. `source` names the model in errors. Raises `InputError` without a train split, or for a network that
    onnxruntime cannot quantize.
    """
    train = calibration_faces(faces)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[:FACES])
    shown = _Shown(train, chosen, preprocess)
    try:
        with _quiet_quantizer(), temporary_folder() as folder:
            return _quantized(content, shown, Path(folder))
    except ModuleNotFoundError as error:
        raise MissingExtraError("export to int8", "train") from error
    except Exception as error:  # onnxruntime and onnx have many ways to fail on a network
        raise InputError(f"{source}: onnxruntime cannot quantize this network ({first_line(error)})") from error


def calibration_faces(faces: FaceSet) -> FaceSet:
    """The faces that ranges may be taken from: those of train. Raises `InputError` where there are none."""
    train = faces.select("train")
    if not len(train):
        raise InputError(
            f"{faces.source}: has no train split, and int8 takes the ranges of its numbers from the training set. "
            "Give the data that the run was trained on"
        )
    return train


class _Shown:
    """Batches `(B, C, S, S)` of calibration faces, made when asked for; onnxruntime's `CalibrationDataReader`."""

    def __init__(self, faces: FaceSet, chosen: npt.NDArray[np.int64], preprocess: Preprocess) -> None:
        self._faces, self._preprocess = faces, preprocess
        self._batches = [chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH)]
        self._left = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        batch = next(self._left, None)
        return None if batch is None else {"images": self._preprocess(list(self._faces.gather(batch)))}


def _quantized(content: bytes, shown: _Shown, folder: Path) -> bytes:
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    whole, prepared, small = (folder / f"{name}.onnx" for name in ("whole", "prepared", "small"))
    whole.write_bytes(content)
    quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(small),
        shown,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"CalibStridedMinMax": 1},  # one batch at a time, or all activations are in memory at once
    )
    return small.read_bytes()


@contextmanager
def _quiet_quantizer() -> Iterator[None]:
    """Without what it prints, and without the handler that its `logging.warning` would give to the root logger."""
    root = logging.getLogger()
    silent = logging.NullHandler()
    root.addHandler(silent)
    try:
        with quieted("root"), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.removeHandler(silent)
