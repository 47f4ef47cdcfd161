"""How often `mien adapt` refuses, and what it gains, on cameras and labels that are simulated with FER2013's val faces.

    python benchmarks/adapt.py --data fer2013.zip --votes ferplus.csv [--draws 100] [--faces 60] [--to adapt.json]

A camera is one corruption at its strongest; a taste is whose labels count: FER2013's, or the majority of FER+. Of each
pair, faces are drawn that the model is adapted on; the rest of val (without images that are in train) tells the true
gain. Test is not opened.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.cards import Head
from mien.confidence import is_unsure
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, relabeled
from mien.evaluation.adaption import Labeled, adapted, fit_biases, learn, neutral_of
from mien.evaluation.bootstrap import nll_per_image
from mien.evaluation.corruptions import Corruption, corrupt
from mien.evaluation.significance import wilson
from mien.evaluation.views import views_of
from mien.model import Model
from mien.predictions import Truth

Cell = tuple[Corruption | None, str, Truth]
CELLS: tuple[Cell, ...] = (  # camera, taste, head
    (None, "FER2013", "labels"),
    ("contrast", "FER2013", "labels"),
    ("resolution", "FER2013", "labels"),
    ("blur", "FER2013", "labels"),
    (None, "FER+", "people"),
    ("resolution", "FER+", "people"),
    (None, "FER+", "labels"),
    ("resolution", "FER+", "labels"),
    ("blur", "FER+", "labels"),
    (None, "FER2013", "people"),
    ("blur", "FER2013", "people"),
)


@dataclass(frozen=True, eq=False)
class Pool:
    """All faces of a camera with a taste, as one head sees them."""

    faces: Labeled
    head: Head
    truth: Truth

    def some(self, rows: np.ndarray) -> Labeled:
        given = self.faces
        return Labeled(given.labels[rows], given.said[:, rows], np.arange(len(rows)), given.neutral)

    def gains(self, given: Labeled, biases: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Of accuracy and of likelihood, and the answers."""
        before, after = (adapted(given.said, b, self.head.temperature) for b in (np.zeros_like(biases), biases))
        right = [said.argmax(axis=1) == given.labels for said in (before, after)]
        nll = [nll_per_image(given.labels, said).mean() for said in (before, after)]
        return float(right[1].mean() - right[0].mean()), float(nll[0] - nll[1]), after


def pools(model: Model, data: Path, votes: Path) -> dict[Cell, Pool]:
    card = model.card
    everything = FaceSet.open(data, size=card.preprocess.size)
    val = model.unseen(everything, "val")
    tagged = relabeled(val, Votes.open(votes), "majority")
    known = [label for label in tagged.label_set.labels if label != "contempt"]
    tagged = tagged.named({"contempt": None}) if len(known) < len(tagged.label_set.labels) else tagged
    tastes = {"FER2013": val.for_labels(card.labels, model.name), "FER+": tagged.for_labels(card.labels, model.name)}
    found: dict[Cell, Pool] = {}
    for camera, taste, truth in CELLS:
        faces = tastes[taste]
        crops = [image if camera is None else corrupt(image, camera, 5) for image in faces.images]
        said = views_of(model.content, card, crops, model.name)[..., card.columns(truth)]
        head = card.head(truth)
        given = Labeled(faces.labels, said, np.arange(len(faces)), neutral_of(head.labels))
        found[camera, taste, truth] = Pool(given, head, truth)
    return found


def simulate(pool: Pool, faces: int, draws: int) -> dict[str, object]:
    """A row of the table."""
    n, k = len(pool.faces.labels), len(pool.head.labels)
    best = fit_biases(pool.faces, pool.head.temperature, np.ones((1, n)), 2.0, np.zeros((1, k)))[0]
    ceiling = pool.gains(pool.faces, best)[:2]
    rows = []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(n)
        learned, threshold = learn(pool.some(order[:faces]), pool.head, pool.truth)
        rest = pool.some(order[faces:])
        accuracy, nll, said = pool.gains(rest, np.array(learned.biases))
        confident = np.array([threshold is not None and not is_unsure(p, threshold) for p in said.max(axis=1)])
        wrong = said.argmax(axis=1) != rest.labels
        risk = float(wrong[confident].mean()) if confident.any() else None
        within = learned.accuracy[1] <= accuracy <= learned.accuracy[2]
        rows.append((learned.certain, accuracy, nll, within, threshold is not None, risk, learned.baseline > 0))
    written = [row for row in rows if row[0]]
    kept = [row[5] for row in written if row[4] and row[5] is not None]
    gains = [row[1] for row in written]
    return {
        "n": n,
        "faces": faces,
        "draws": draws,
        "ceiling_accuracy": ceiling[0],
        "ceiling_nll": ceiling[1],
        "refused": draws - len(written),
        "refused_interval": wilson(draws - len(written), draws),
        "gain": _mean(gains),
        "gain_worst": min(gains, default=None),
        "written_and_worse": sum(gain < 0 for gain in gains),
        "nll_gain": _mean([row[2] for row in written]),
        "gain_of_all_draws": _mean([row[1] for row in rows]),
        "covered": sum(row[3] for row in rows),
        "thresholds": len(kept),
        "broken_risks": sum(risk > (pool.head.risk or 1) for risk in kept),
        "baselines": sum(row[6] for row in rows),
    }


def _mean(values: list[float]) -> tuple[float, float, float] | None:
    """With the normal 95 % interval of the mean over draws."""
    if len(values) < 2:
        return (values[0], values[0], values[0]) if values else None
    half = 1.96 * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return float(np.mean(values)), float(np.mean(values) - half), float(np.mean(values) + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--votes", type=Path, required=True)
    parser.add_argument("--model", default="mien-small")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--faces", type=int, default=60)
    parser.add_argument("--to", type=Path)
    asked = parser.parse_args()
    table = {}
    for (camera, taste, truth), pool in pools(Model.open(asked.model), asked.data, asked.votes).items():
        row = simulate(pool, asked.faces, asked.draws)
        table[f"{camera or 'clean'}, {taste}, {truth}"] = row
        print(f"{camera or 'clean'}, {taste}, {truth}: {json.dumps(row)}", flush=True)
    if asked.to:
        told = {"model": asked.model, "cells": table}
        asked.to.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
