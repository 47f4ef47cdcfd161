"""What it saves to see a mirror image only below a confidence: time, and accuracy on faces that did not choose it.

    python benchmarks/mirror_images.py mien-small --data fer2013.zip --votes ferplus.csv

The confidence is chosen on the val images that are not in train, as `mien calibrate --mirror-below auto` does. Then it
is chosen anew on halves of them, drawn by chance, and each head's accuracy is taken on the other half. Times are of two
open files, one that always sees both and one with the rule, that take turns on one thread with the same val faces: in
batches of 32, and one face at a time.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from time import perf_counter

import numpy as np

from mien import FaceSet, Votes
from mien.evaluation.printed import format_estimate, points_text
from mien.evaluation.views import Views
from mien.model import Model
from mien.predictions import Truth
from mien.recognize.classifier import Classifier
from mien.recognize.speed import BATCH, machine

TIMED, ROUNDS = 512, 9  # faces


def halves(views: Views, draws: int, seed: int = 0) -> tuple[list[float], dict[Truth, list[float]]]:
    """What each half chooses (1 where it keeps all), and by head the change of accuracy on the other half."""
    chance, n = np.random.default_rng(seed), len(views.beside)
    chosen: list[float] = []
    changes: dict[Truth, list[float]] = {}
    for _ in range(draws):
        mixed = chance.permutation(n)
        one, other = (
            replace(views, said=views.said[:, rows], beside=views.beside.keep(rows))
            for rows in (mixed[: n // 2], mixed[n // 2 :])
        )
        below = one.chosen("auto")
        chosen.append(1.0 if below is None else below)
        for head in other.rule(below, draws=1).heads:
            changes.setdefault(head.truth, []).append(head.rule_change.value)
    return chosen, changes


def timed(model: Model, below: float | None, faces: FaceSet) -> dict[tuple[str, int], float]:
    """Milliseconds per face, always and with the rule, by faces a call.

    The two take turns at each 32 faces, so that what slows the machine for a while slows both; of each 32 the median of
    the rounds counts.
    """
    rows = np.linspace(0, len(faces) - 1, TIMED).astype(np.int64)  # of all classes: files are sorted by them
    crops = list(faces.gather(rows))
    opened = {
        name: Classifier.read(
            model.content, model.name, threads=1, card=model.card.model_copy(update={"mirror_below": one})
        )
        for name, one in (("always", None), ("rule", below))
    }
    took: dict[tuple[str, int], list[list[float]]] = {(name, size): [] for name in opened for size in (BATCH, 1)}
    for i in range(ROUNDS + 1):
        for each in took.values():
            each.append([])
        for start in range(0, TIMED, BATCH):
            some = crops[start : start + BATCH]
            for name, size in list(took)[:: -1 if i % 2 else 1]:
                begin = perf_counter()
                for at in range(0, BATCH, size):
                    opened[name].classify(some[at : at + size])
                took[name, size][i].append(perf_counter() - begin)
    # The first round asks for memory.
    return {key: 1e3 * float(np.median(each[1:], axis=0).sum()) / TIMED for key, each in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes")
    parser.add_argument("--draws", type=int, default=200)
    given = parser.parse_args()

    model = Model.open(given.model)
    faces = FaceSet.open(given.data, size=model.card.preprocess.size)
    views = Views.of(model, faces, Votes.open(given.votes) if given.votes else None)
    below = views.chosen("auto")
    found = views.rule(below)
    print(f"{machine()}\n{model.name}: below {below}, seen twice {found.seen_twice:.3f} of {found.n:,}")
    for head in found.heads:
        print(
            f"{head.truth}: always {format_estimate(head.always)}, rule {format_estimate(head.rule)} "
            f"({points_text(head.rule_change)}), never {format_estimate(head.never)} ({points_text(head.never_change)})"
        )
    chosen, changes = halves(views, given.draws)
    print(f"halves, {given.draws}: 5, 50 and 95 % of what they choose {np.percentile(chosen, [5, 50, 95]).round(2)}")
    for truth, each in changes.items():
        low, high = 100 * np.percentile(each, [2.5, 97.5])
        print(f"{truth}: change on the other half {100 * np.mean(each):+.3f} points, 95 % {low:.2f} to {high:.2f}")
    took = timed(model, below, model.unseen(faces, "val"))
    for size in (BATCH, 1):
        always, rule = took["always", size], took["rule", size]
        print(f"{size} a call: always {always:.3f} ms a face, with the rule {rule:.3f}, ratio {rule / always:.3f}")


if __name__ == "__main__":
    main()
