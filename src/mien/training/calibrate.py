"""Calibrate: fit a finished run's temperature and threshold again, from the val predictions that it keeps."""

from __future__ import annotations

from mien.card import Card
from mien.confidence import RISK
from mien.errors import InputError
from mien.files import write_whole
from mien.recognize.classifier import with_card
from mien.training.run import Run


def calibrate(run: Run, risk: float = RISK) -> Card:
    """Write the card with temperature and threshold into the run folder, and into its `model.onnx` where there is one.

    `risk`: share of wrong answers, above 0 and below 1, that are let through without being marked unsure. Needs no
    image and trains nothing. Raises `InputError` where val predictions are missing or the risk is no such share.
    """
    val = run.predictions("val")
    if not val.leak_free.any():
        raise InputError(f"{run.folder}: every val image stands in train too, so nothing can be fitted on them")
    card = run.card.calibrated(val, risk)
    model = run.folder / "model.onnx"
    if model.is_file():
        write_whole(model, with_card(model.read_bytes(), card, str(model)))
    card.save(run.folder / "card.json")
    return card
