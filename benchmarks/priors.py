"""Other shares of classes: what a prior gains or costs on val of FER2013, drawn at ten other mixes.

    python benchmarks/priors.py --data fer2013.zip mien-small mien-tiny cnn-v2 --json priors.json

Every model is a folder under `results/`, asked for what it keeps of val; test is not opened. Each draw resamples the
val images that are not in train, within their classes, and then takes faces at the shares of the mix. Intervals are the
2.5 and 97.5 percentiles over draws. The temperature was fitted on the same images, which flatters calibration a little.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mien import FaceSet, Run
from mien.evaluation.priors import share_estimates
from mien.files import write_whole
from mien.labels import FER7
from mien.recognize.prior import estimated, reweighted
from mien.training.shares import with_shares

RESULTS = Path(__file__).parents[1] / "results"
FACES, DRAWS, DRAWS_OF_INTERVALS = 1000, 200, 10
LABELS = FER7.labels


def mixes(train: np.ndarray) -> dict[str, np.ndarray]:
    """Ten of them: each class half of all, all alike, no rare ones, and calm faces with few others."""
    found = {"balanced": np.full(7, 1 / 7)}
    for k, label in enumerate(LABELS):
        rest = np.where(np.arange(7) == k, 0, train)
        found[f"half {label}"] = np.where(np.arange(7) == k, 0.5, 0.5 * rest / rest.sum())
    found["happy and neutral alone"] = np.isin(LABELS, ("happy", "neutral")) / 2
    found["calm"] = np.array([0.03, 0.01, 0.02, 0.17, 0.70, 0.04, 0.03])
    return found


def spread(values: np.ndarray) -> list[float]:
    return [round(float(one), 4) for one in (values.mean(), *np.percentile(values, [2.5, 97.5]))]


def measure(name: str, faces: FaceSet, rng: np.random.Generator) -> dict[str, object]:
    run = Run(RESULTS / name)
    card = with_shares(run.card, faces, None, balanced=run.recipe.data.imbalance != "none")
    assert card.shares
    train, kept = np.array(card.shares), run.predictions("val")
    kept = kept.keep(kept.leak_free).tempered(card.temperature)
    rows = [np.flatnonzero(kept.labels == k) for k in range(7)]
    told: dict[str, object] = {"train": card.shares, "n": len(kept)}
    for mix, shares in {"as in train": train, **mixes(train)}.items():
        gains: dict[str, list[float]] = {}
        errors, inside = [], []
        for draw in range(DRAWS):
            counts = rng.multinomial(FACES, shares)
            resampled = [rng.choice(one, size=len(one)) for one in rows]
            picked = np.concatenate([rng.choice(one, size=n) for one, n in zip(resampled, counts, strict=True)])
            said, truth = kept.probabilities[picked].astype(np.float64), kept.labels[picked]
            guess = estimated(said, train)
            errors.append(np.abs(guess - shares).max())
            right = (said.argmax(axis=1) == truth).mean()
            gains.setdefault("train", []).append(right)
            for which, wanted in (("true shares", shares), ("estimate", guess), ("balanced", np.full(7, 1 / 7))):
                moved = reweighted(said, train, wanted)
                gains.setdefault(which, []).append((moved.argmax(axis=1) == truth).mean() - right)
            if draw < DRAWS_OF_INTERVALS:
                intervals = share_estimates(said, train, draws=100)
                inside += [one.low <= share <= one.high for one, share in zip(intervals, shares, strict=True)]
        told[mix] = {
            "shares": [round(float(one), 4) for one in shares],
            "accuracy at the train shares": spread(np.array(gains.pop("train"))),
            "change": {which: spread(np.array(values)) for which, values in gains.items()},
            "largest error of a share": spread(np.array(errors)),
            "intervals that hold the share": round(float(np.mean(inside)), 3),
        }
        print(name, mix, json.dumps(told[mix]), flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    faces = FaceSet.open(given.data, size=48)
    found = {name: measure(name, faces, np.random.default_rng(0)) for name in given.models}
    if given.json:
        write_whole(given.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
