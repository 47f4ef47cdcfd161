"""Fine-tuning a bundled model on 200 faces: beside the model as it is, and beside a training from zero.

    python benchmarks/fine_tune.py --data fer2013.zip --votes ferplus.csv [--own] --to fine_tune.json

Each draw writes 200 train faces of FER2013 under the eight labels of FER+ (majority protocol) into class folders, as
somebody with faces of their own would have them: five of each class, the others by chance. `small-ft` trains on them
from the bundled weights and from zero; FaceSet takes a tenth of them as val. All answers are held against the FER+
labels of val or test, with paired intervals. With `--own` the labels are five classes of one's own, whose names the
model does not know; the unchanged model is then read by adding up its answers, which somebody with other classes could
not do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mien import FaceSet, Predictions, Recipe, Recognizer, Run, Votes
from mien.data.votes import relabeled
from mien.evaluation.compare import compare_predictions
from mien.evaluation.evaluate import score
from mien.evaluation.printed import format_estimate, verdict
from mien.labels import LabelSet, canonical
from mien.training.hardware import Hardware
from mien.training.predict import predict
from mien.training.start import open_start
from mien.training.targets import Sources
from mien.training.train import train

FACES, EACH = 200, 5
OWN = {
    "neutral": "calm", "happiness": "amused", "surprise": "startled", "fear": "startled", "sadness": "low",
    "anger": "hostile", "disgust": "hostile", "contempt": "hostile",
}  # fmt: skip
WORDS = tuple(sorted(set(OWN.values())))  # as folders are sorted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes", required=True)
    parser.add_argument("--model", default="mien-small", help="bundled model to begin with")
    parser.add_argument("--recipe", default="small-ft")
    parser.add_argument("--split", default="test", choices=("val", "test"), help="val, while a recipe is being chosen")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--set", dest="settings", action="append", default=[], help="of the recipe, for both trainings")
    parser.add_argument("--zero-epochs", type=int, default=120, help="of the training from zero; 0 leaves it out")
    parser.add_argument(
        "--own", action="store_true", help="five classes with names that no model knows, made of the eight"
    )
    parser.add_argument("--to", type=Path, help="file for all figures, as JSON")
    how = parser.parse_args()
    everything = relabeled(FaceSet.open(how.data, size=48), Votes.open(how.votes), "majority")
    unchanged = as_it_is(how.model, everything.select(how.split))
    if how.own:
        unchanged, everything = in_own_words(unchanged), regrouped(everything)
    asked = everything.select(how.split)
    print(f"{how.model} as it is: {told(unchanged)}", flush=True)
    rows = []
    for draw in range(how.draws):
        with tempfile.TemporaryDirectory() as folder:
            mine = FaceSet.open(write_faces(everything.select("train"), draw, Path(folder) / "mine"), size=48)
            tuned = trained(how.recipe, how.settings, mine, asked, Path(folder) / "tuned", draw, open_start(how.model))
            found = {"as it is": unchanged, "fine-tuned": tuned}
            if how.zero_epochs:
                settings = [*how.settings, f"epochs={how.zero_epochs}", "optimizer.lr=0.02", "start=null"]
                found["from zero"] = trained(how.recipe, settings, mine, asked, Path(folder) / "zero", draw)
        pairs = compare_predictions(list(found.items())).pairs
        print(f"draw {draw}: {'; '.join(f'{name} {told(one)}' for name, one in found.items())}", flush=True)
        for pair in pairs:
            print(f"  {verdict(pair)}", flush=True)
        rows.append(
            {
                "draw": draw,
                "scores": {name: score(one, name).scores.model_dump() for name, one in found.items()},
                "pairs": [pair.model_dump() for pair in pairs],
            }
        )
    if how.to:
        kept = {"model": how.model, "recipe": how.recipe, "split": how.split, "settings": how.settings, "draws": rows}
        how.to.write_text(json.dumps({**kept, "own": how.own}, indent=1) + "\n")


def told(found: Predictions) -> str:
    scores = score(found, "model").scores
    return (
        f"accuracy {format_estimate(scores.accuracy)}, macro F1 {format_estimate(scores.macro_f1)} (n = {scores.n:,})"
    )


def as_it_is(model: str, asked: FaceSet) -> Predictions:
    """The answers of a model of seven labels to a question of eight: the eighth, contempt, it never gives."""
    recognizer = Recognizer(model, detector="none")
    probs_N8 = np.zeros((len(asked), len(asked.label_set)), dtype=np.float32)
    said = recognizer.classify(list(asked.images))
    for column, label in enumerate(recognizer.labels):
        place = canonical(label, asked.label_set)
        assert place is not None
        probs_N8[:, asked.label_set.labels.index(place)] = said[:, column]
    return predictions(asked, probs_N8)


def regrouped(faces: FaceSet) -> FaceSet:
    """The same faces under five words of one's own."""
    place = np.array([WORDS.index(OWN[label]) for label in faces.label_set.labels])
    return replace(faces, label_set=LabelSet("own", WORDS), labels=place[faces.labels])


def in_own_words(found: Predictions) -> Predictions:
    """Answers of eight labels, added up to those of the five words: the best that the unchanged model can do there."""
    place = np.array([WORDS.index(OWN[label]) for label in found.label_names])
    probs = np.stack([found.probabilities[:, place == k].sum(axis=1) for k in range(len(WORDS))], axis=1)
    return replace(found, label_names=WORDS, labels=place[found.labels], probabilities=probs)


def predictions(asked: FaceSet, probs_NK: np.ndarray) -> Predictions:
    nowhere = np.zeros(len(asked), dtype=bool)
    return Predictions(
        split=str(asked.splits[0]),
        label_names=asked.label_set.labels,
        names=asked.names,
        hashes=asked.hashes,
        labels=asked.labels,
        probabilities=probs_NK,
        in_train=nowhere,
        in_val=nowhere,
    )


def write_faces(train_faces: FaceSet, draw: int, folder: Path) -> Path:
    """A folder for each class with its faces among the `FACES` of this draw."""
    order = np.random.default_rng(draw).permutation(len(train_faces))
    labels = train_faces.labels[order]
    first = np.concatenate([order[labels == k][:EACH] for k in range(len(train_faces.label_set))])
    chosen = np.concatenate([first, order[~np.isin(order, first)][: FACES - len(first)]])
    for place in chosen:
        file = folder / train_faces.label_set.labels[train_faces.labels[place]] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), train_faces.gather(np.array([place]))[0])
    return folder


def trained(
    recipe: str, settings: list[str], mine: FaceSet, asked: FaceSet, out: Path, draw: int, start: Run | None = None
) -> Predictions:
    run = train(Recipe.load(recipe, [*settings, f"seed={draw}"]), mine, out, Sources(start=start))
    return predict(run, replace(asked, label_set=mine.label_set), str(asked.splits[0]), Hardware("cpu", "float32"))


if __name__ == "__main__":
    main()
