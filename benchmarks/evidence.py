"""The full evidence for several models on FER2013's PrivateTest, as docs/evidence.md: one command, from what is kept.

python benchmarks/evidence.py --data fer2013.zip --votes ferplus.csv --to docs/evidence mien-small mien-tiny cnn-v2 \
    vit-v1.6.7-dinov2-small-112px

Every model is a folder under `results/`. Robustness is measured where its weights are at hand: as a bundled model, or
as `model.safetensors` in that folder; explanations too. Says how long each model took.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from docs_page import write_docs_page

from mien import FaceSet, Run, Votes
from mien.cards import Alignment, Card
from mien.evaluation.compare import compare_predictions
from mien.evaluation.evidence import Asked, Evidence, evidence
from mien.evaluation.leaks import strict_score
from mien.evaluation.looks import looks
from mien.evaluation.printed import NONE, format_estimate, verdict
from mien.evaluation.shift import shift_alarm
from mien.evaluation.stability import stability
from mien.evaluation.suspects import suspects
from mien.explanation.explain import CAVEAT, Explainer
from mien.files import write_whole
from mien.images import Pixels, read
from mien.model import Classify, Model
from mien.predictions import Predictions
from mien.recognize.align import FER2013, upright_crops
from mien.recognize.catalog import SCORES
from mien.recognize.detector import Detector
from mien.recognize.naming import bundled
from mien.recognize.vendored import vendored_folder
from mien.report.abstention import abstention_side_by_side
from mien.report.calibration import calibration_sentence, calibration_side_by_side
from mien.report.explanations import explained
from mien.report.layout import Cell, Page, Picture, Section, Table
from mien.report.looks import looks_sentences
from mien.report.people import ceiling_sentences, people_side_by_side
from mien.report.robustness import examples, robustness_sentences, robustness_side_by_side
from mien.report.sets import sets_side_by_side
from mien.report.shift import shift_side_by_side
from mien.report.stability import stability_side_by_side
from mien.report.suspects import suspect_sentences
from mien.report.words import spoken

RESULTS = Path(__file__).parents[1] / "results"
SPLIT = "test"


@dataclass(frozen=True)
class Looked:
    """A model, what it answered, and what is known of it."""

    name: str
    card: Card
    predictions: Predictions  # the network's own
    found: Evidence
    seconds: float


def look(name: str, faces: FaceSet, votes: Votes, most: int | None) -> Looked:
    run, started = Run(RESULTS / name), perf_counter()
    predictions = run.predictions(SPLIT)
    classify = opened(run)
    print(f"{name}: {'all' if classify else 'without robustness, its weights are not at hand'}", flush=True)
    found = evidence(
        predictions,
        name,
        run.card,
        Asked(faces=faces.select(SPLIT) if classify else None, classify=classify, most=most, votes=votes),
    )
    found = with_more(found, run, faces)
    seconds = perf_counter() - started
    print(f"{name}: {seconds:.0f} s", flush=True)
    return Looked(name, run.card, predictions, found, seconds)


def with_more(found: Evidence, run: Run, faces: FaceSet) -> Evidence:
    """With the score on new photos, the shift alarm and the looks at test, where they are not known yet."""
    model, test = Model.open(run.name if run.name in bundled() else run), faces.select(SPLIT)
    shift = found.shift
    if shift is None and found.robustness is not None and model.watched is not None:
        shift = shift_alarm(model.watched, test, found.robustness)
    stable, classify = found.stability, opened(run)
    if stable is None and classify is not None:
        stable = stability(classify, test, run.card, SPLIT)
    strict = found.strict or strict_score(run.predictions(SPLIT), faces, run.card.temperature)
    looked = looks(Model.open(run), test.fingerprint)
    return found.model_copy(update={"shift": shift, "stability": stable, "strict": strict, "looks": looked})


def kept(name: str, folder: Path, faces: FaceSet, votes: Votes) -> Looked:
    """What an earlier call measured that takes long, and the rest anew."""
    run = Run(RESULTS / name)
    before = Evidence.model_validate_json((folder / f"{name}.json").read_bytes())
    assert before.evaluation.temperature == run.card.temperature, f"{name}: measured at another temperature"
    found = evidence(run.predictions(SPLIT), name, run.card, Asked(votes=votes)).with_measured(before)
    found = with_more(found, run, faces)
    seconds = json.loads((folder / "seconds.json").read_text())
    return Looked(name, run.card, run.predictions(SPLIT), found, seconds[name])


def opened(run: Run) -> Classify | None:
    if run.name in bundled():
        return Model.open(run.name).outputs
    if not run.weights_file.is_file():
        return None
    return Model.open(run).outputs


def page(models: Sequence[Looked], faces: FaceSet, commands: Sequence[str]) -> Page:
    found = {one.name: one.found for one in models}
    return Page(
        "Evidence: what the models can do, and what they cannot",
        f"{faces.source}, PrivateTest, n = {len(models[0].predictions):,}; every figure with its 95 % interval",
        (
            Section("In one minute", tables=(minute(models),)),
            Section("Verdict", points=tuple(verdicts(models))),
            Section("Scores", tables=(scores(models),)),
            Section("Comparison", points=tuple(comparisons(models))),
            calibration_side_by_side(found),
            abstention_side_by_side(found),
            *sets_side_by_side(found),
            people_side_by_side(found),
            robustness_side_by_side(found),
            corrupted(),
            shift_side_by_side(found),
            stability_side_by_side(found),
            explanations(models),
            doubts(faces),
            Section("How often test was opened", points=tuple(openings(models))),
            Section("How long it took", points=tuple(costs(models)), code=tuple(commands)),
        ),
    )


def minute(models: Sequence[Looked]) -> Table:
    """One line a question, for whoever reads no more."""
    person = format_estimate(models[0].found.humans.one.human)
    questions: list[tuple[str, Callable[[Evidence], str]]] = [
        ("How often does it give the label of the data?", lambda one: format_estimate(one.evaluation.scores.accuracy)),
        ("… of photos that are new to it?", lambda one: format_estimate(one.strict.scores.accuracy)),
        (f"How often does it agree with one person? (A person with another: {person})",
         lambda one: format_estimate(one.humans.one.model)),
        ("Is its confidence the chance to be right?",
         lambda one: "yes" if one.evaluation.calibration.as_good_as_perfect else "not quite"),
        ("How many faces does it answer, and how many of those wrongly by the label?", answered),
        ("How many labels hold the truth with 90 %?",
         lambda one: f"{one.sets.size.value:.1f} of 7" if one.sets else NONE),
        ("How often is it right on blurred, dark, turned, covered faces?",
         lambda one: format_estimate(one.robustness.mean) if one.robustness else "not measured"),
        ("How often does the answer flip when its crop moves by a pixel or two?",
         lambda one: format_estimate(one.stability.heads[0].mean) if one.stability else "not measured"),
        ("Which of the changes that cost five points does the alarm tell?",
         lambda one: f"{one.shift.costly - len(one.shift.missed)} of {one.shift.costly}" if one.shift else "no alarm"),
        ("How often was test opened for it and its relatives?",
         lambda one: f"{one.looks.own + one.looks.relatives} times"),
    ]  # fmt: skip
    rows = tuple((Cell(words), *(Cell(answer(one.found)) for one in models)) for words, answer in questions)
    return Table(("", *(one.name for one in models)), rows, "The number of images of each figure stands below.")


def answered(found: Evidence) -> str:
    there = found.abstention.at_threshold
    return f"{100 * there.coverage:.0f} %, {format_estimate(there.risk)}"


def verdicts(models: Sequence[Looked]) -> list[str]:
    points = []
    for one in models:
        found = one.found
        assert found.humans
        told = [f"{one.name}: {spoken(found.evaluation)}", calibration_sentence(found.evaluation)]
        told.append(f"Against people: {ceiling_sentences(found.humans)[0]}")
        if found.robustness:
            told += robustness_sentences(found.robustness)[:2]
        points.append(". ".join(part.rstrip(".") for part in told) + ".")
    return points


def scores(models: Sequence[Looked]) -> Table:
    rows = []
    for one in models:
        evaluation = one.found.evaluation
        of = evaluation.scores
        assert evaluation.leak_free
        strict = one.found.strict
        assert strict
        assert strict.scores
        new = strict.scores.accuracy
        figures = (of.accuracy, evaluation.leak_free.accuracy, new, of.macro_f1, of.mean_class_accuracy, of.nll)
        rows.append((Cell(one.name), *(Cell(format_estimate(figure)) for figure in figures)))
    leak_free = int(models[0].predictions.leak_free.sum())
    strict = models[0].found.strict
    assert strict
    assert strict.scores
    header = (
        "Model", "Accuracy", f"Leak-free, n = {leak_free:,}", f"New photos, n = {strict.scores.n:,}", "Macro F1",
        "Mean class accuracy", "NLL",
    )  # fmt: skip
    note = "At the temperature of each card. One training each. Leak-free: without images whose pixels stand in the "
    note += "training or validation set. New photos: also without those that show a photo of these sets again."
    return Table(header, tuple(rows), note)


def openings(models: Sequence[Looked]) -> list[str]:
    return [f"{one.name}: {' '.join(looks_sentences(one.found.looks))}" for one in models if one.found.looks]


def comparisons(models: Sequence[Looked]) -> list[str]:
    answers = [(one.name, one.predictions.tempered(one.card.temperature)) for one in models]
    found = compare_predictions(answers)
    points = [f"{verdict(pair)}." for pair in found.pairs]
    return [*points, f"Exact McNemar, Holm over {len(points)} pairs; intervals of the paired bootstrap."]


def corrupted() -> Section:
    """The portrait of the package under every corruption and severity."""
    face = portrait(FER2013)
    picture = Picture.of("corruptions", examples(face), "A face under ten corruptions at five severities.")
    return Section("What the corruptions look like", pictures=(picture,))


def explanations(models: Sequence[Looked]) -> Section:
    """Which pixels of the portrait the models hang their answers on."""
    shown = []
    for one in models:
        folder = RESULTS / one.name
        at_hand = (folder / "model.safetensors").is_file() or one.name in bundled()
        if at_hand:
            explainer = Explainer(folder if (folder / "model.safetensors").is_file() else one.name)
            (found,) = explainer([portrait(one.card.alignment or FER2013)])
            shown.append((f"{one.name}, {found.method}", found))
    missing = [one.name for one in models if not any(title.startswith(f"{one.name},") for title, _ in shown)]
    text = f"{CAVEAT} Not at hand: {', '.join(missing)}." if missing else CAVEAT
    alt = "The portrait, maps of what the answers hang on, and probabilities."
    return Section("Explanation", text=(text,), pictures=(Picture.of("explained", explained(shown), alt),))


def portrait(alignment: Alignment) -> Pixels:
    image = read(vendored_folder("pictures") / "astronaut.jpg")
    _, (face,) = upright_crops(image, Detector("default"), alignment)
    return face


def doubts(faces: FaceSet) -> Section:
    started = perf_counter()
    found = suspects(faces, SPLIT)
    print(f"suspects: {perf_counter() - started:.0f} s", flush=True)
    return Section("Labels in doubt", points=suspect_sentences(found))


def costs(models: Sequence[Looked]) -> list[str]:
    return [
        f"{one.name}: {one.seconds:.0f} s{'' if one.found.robustness else ', without robustness'}." for one in models
    ]


def bundled_scores(folder: Path) -> str:
    """The figures that `mien models` tells of the bundled models, from the evidence in `folder`."""
    told = {}
    for name in bundled():
        found = Evidence.model_validate_json((folder / f"{name}.json").read_text(encoding="utf-8"))
        scores, clean = found.evaluation.scores, found.evaluation.leak_free
        assert clean
        assert found.humans
        figures = {
            "accuracy": (scores.accuracy, scores.n),
            "leak_free": (clean.accuracy, clean.n),
            "people": (found.humans.one.model, found.humans.n),
        }
        told[name] = {figure: {**value.model_dump(), "n": n} for figure, (value, n) in figures.items()}
    return json.dumps(told, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes", required=True)
    parser.add_argument("--to", type=Path, required=True, help="folder; the page itself goes beside it, as FOLDER.md")
    parser.add_argument("--most", type=int, default=None, help="faces for robustness; all if left out")
    parser.add_argument("--kept", action="store_true", help="write the page again from what --to holds")
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    faces, votes = FaceSet.open(options.data, size=224), Votes.open(options.votes)
    if options.kept:
        models = [kept(name, options.to, faces, votes) for name in options.models]
    else:
        models = [look(name, faces, votes, options.most) for name in options.models]
    for one in models:
        write_whole(options.to / f"{one.name}.json", one.found.model_dump_json(indent=1) + "\n")
    write_whole(options.to / "seconds.json", json.dumps({one.name: round(one.seconds) for one in models}) + "\n")
    write_whole(vendored_folder("weights") / SCORES, bundled_scores(options.to))
    command = f"python benchmarks/evidence.py --data {Path(options.data).name} --votes {Path(options.votes).name} "
    command += f"--to docs/evidence {' '.join(options.models)}"
    write_docs_page(page(models, faces, [command]), options.to)


if __name__ == "__main__":
    main()
