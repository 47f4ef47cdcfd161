"""Every line of docs/results.json is recomputed from the predictions kept under results/, with scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from mien.labels import FERPLUS8
from mien.predictions import Predictions

ROOT = Path(__file__).parents[1]
LINES = json.loads((ROOT / "docs" / "results.json").read_text())


def kept(run: str, split: str) -> dict[str, np.ndarray]:
    """Labels, probabilities and a leak-free mask, put together here rather than by the program."""
    names = ("val", "test") if split == "pooled" else (split,)
    parts = [Predictions.load(ROOT / "results" / run / "predictions" / f"{name}.npz") for name in names]
    arrays = {
        key: np.concatenate([getattr(part, key) for part in parts])
        for key in ("labels", "probabilities", "in_train", "in_val")
    }
    leaks = arrays["in_train"] | (arrays["in_val"] & (split == "test"))
    return {**arrays, "clean": ~leaks}


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['run']}-{line['split']}")
def test_line_follows_from_its_predictions(line: dict) -> None:
    arrays = kept(line["run"], line["split"])
    labels, predicted = arrays["labels"], arrays["probabilities"].argmax(axis=1)
    right = labels == predicted
    assert line["n"] == len(labels)
    assert line["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert line["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-6)
    assert line["weighted_f1"] == pytest.approx(f1_score(labels, predicted, average="weighted"), abs=1e-6)
    assert line["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-6)
    card = json.loads((ROOT / "results" / line["run"] / "card.json").read_text())
    normal = arrays["probabilities"].astype(np.float64) ** (1 / card["temperature"])
    assert line["nll"] == pytest.approx(log_loss(labels, normal / normal.sum(axis=1, keepdims=True)), abs=1e-4)
    assert line["leak_free_n"] == arrays["clean"].sum()
    assert line["leak_free_accuracy"] == pytest.approx(right[arrays["clean"]].mean(), abs=1e-6)
    # A 95 % interval of a mean: close to the normal approximation of the binomial.
    half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / len(labels))
    assert line["interval"] == pytest.approx([right.mean() - half, right.mean() + half], abs=0.004)


def test_lines_are_complete() -> None:
    wanted = {"recipe", "seed", "split", "n", "accuracy", "macro_f1", "interval", "leak_free_accuracy", "device"}
    assert all(wanted | {"minutes", "commit"} <= line.keys() for line in LINES)
    assert {line["recipe"] for line in LINES} >= {"cnn-v1", "cnn-v2", "cnn-v2.1"}
    assert all(
        {(line["run"], split) for split in ("val", "test", "pooled")} <= {(o["run"], o["split"]) for o in LINES}
        for line in LINES
    )


def test_the_official_counts() -> None:
    counts = {line["split"]: (line["n"], line["leak_free_n"]) for line in LINES}
    assert counts == {"val": (3589, 3309), "test": (3589, 3275), "pooled": (7178, 6610)}


FERPLUS = sorted((ROOT / "results" / "ferplus").glob("*/evaluation-test.json"))


@pytest.mark.parametrize("file", FERPLUS, ids=lambda file: file.parent.name)
def test_ferplus_figures_follow_from_their_predictions(file: Path) -> None:
    told = json.loads(file.read_text())
    found = Predictions.load(file.parent / "predictions" / "test.npz")
    right = found.labels == found.predicted
    assert found.label_names == FERPLUS8.labels
    assert told["scores"]["n"] == len(found) == 3152  # of the majority protocol, in the file of votes that we have
    assert told["scores"]["accuracy"]["value"] == pytest.approx(right.mean(), abs=1e-6)
    expected = f1_score(found.labels, found.predicted, average="macro")
    assert told["scores"]["macro_f1"]["value"] == pytest.approx(expected, abs=1e-6)


def test_ferplus_is_there() -> None:
    assert FERPLUS
