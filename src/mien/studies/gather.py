"""Gather: everything that a report on many runs shows, from a folder of runs, and what is measured for it."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from torch import nn

from mien.data.audit import audit
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.leaks import THRESHOLD, near_duplicates
from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation.classes import ClassTests, class_tests
from mien.evaluation.compare import Comparison, compare_predictions
from mien.evaluation.evaluate import score
from mien.evaluation.evidence import Asked, Evidence, evidence
from mien.evaluation.latency import Latency, load_latencies, save_latencies, time_networks
from mien.evaluation.seeds import RecipeComparison, compare_over_seeds, same_recipe
from mien.files import write_whole
from mien.model import SPLITS, Model
from mien.models.ensemble import EnsembleNet
from mien.outputs import check_output, json_with
from mien.predictions import Predictions
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Expected
from mien.report.content import DataReport, NotRun, RunReport, StudyReport
from mien.report.families import questions
from mien.report.layout import check_page
from mien.studies.page import write_report
from mien.studies.runs import Faces, of_size
from mien.training.hardware import Hardware, detect
from mien.training.run import Run

LATENCIES = "latency.json"
_DATA = "data.json"

logger = logging.getLogger(__name__)


def report(
    folder: Path,
    title: str,
    commands: Sequence[str],
    names: Sequence[str] | None = None,
    not_run: Sequence[NotRun] = (),
) -> Path:
    """Write `report.html`, `report.md` and pictures into a study's folder; the path of the HTML."""
    return write_report(gather(folder, title, commands, names, not_run), folder)


def gather(
    folder: Path,
    title: str,
    commands: Sequence[str],
    names: Sequence[str] | None = None,
    not_run: Sequence[NotRun] = (),
) -> StudyReport:
    """Everything that a report shows, from a folder of runs: a study's own, or `results/`.

    Scores are computed from the predictions there; weights are not needed. `names` keeps to these runs.
    """
    found = [Run(path.parent) for path in sorted(folder.glob("*/card.json"))]
    kept = {run: kept_predictions(run) for run in found if names is None or run.name in names}
    if not kept:
        raise InputError(f"{folder}: holds no finished run. Train some: mien study --data PATH --out {folder}")
    latencies = load_latencies(folder / LATENCIES)
    runs = [_report_run(run, predictions, latencies.get(run.name)) for run, predictions in kept.items()]
    by_name = {
        run.name: {split: found.tempered(run.card.temperature) for split, found in predictions.items()}
        for run, predictions in kept.items()
    }
    data = _read_data(folder / _DATA)
    if not data.is_fer2013:  # the study's figures say nothing of other data
        runs = [replace(run, recipe=_without_figures(run.recipe)) for run in runs]
        not_run = [replace(one, recipe=_without_figures(one.recipe)) for one in not_run]
    return StudyReport(
        title=title,
        commands=commands,
        data=data,
        runs=runs,
        not_run=not_run,
        comparisons=_comparisons(by_name),
        seeds=_over_seeds(kept),
        on_new_photos=_on_new_photos(questions(runs) if data.is_fer2013 else (), by_name, data),
        class_tests=_class_tests(questions(runs) if data.is_fer2013 else (), by_name),
        environment=environment(),
    )


def _without_figures(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"expected": Expected()})  # type: ignore[call-arg]


def _report_run(run: Run, predictions: Mapping[str, Predictions], latency: Latency | None) -> RunReport:
    card = run.card
    evaluations = {split: score(found, run.name, temperature=card.temperature) for split, found in predictions.items()}
    final = "test" if "test" in predictions else "val"
    found = evidence(predictions[final], run.name, card, evaluation=evaluations[final])
    if measured := _measured(run, final):
        found = found.with_measured(measured)
    return RunReport(
        name=run.name,
        recipe=run.recipe,
        card=card,
        history=run.history,
        evaluations=evaluations,
        latency=latency,
        evidence=found,
    )


def _measured(run: Run, split: str) -> Evidence | None:
    """What `mien evaluate --report` or `mien study --evidence` left in the run folder, at the card's temperature."""
    file = _evidence_file(run, split)
    if not file.is_file():
        return None
    try:
        found = Evidence.model_validate_json(file.read_bytes())
    except ValidationError as error:  # damaged, or of another version
        logger.warning("%s: left out, cannot be read (%s)", file, str(error).splitlines()[0])
        return None
    return found if found.evaluation.temperature == run.card.temperature else None


def measure_evidence(
    runs: Sequence[Run], faces: Faces, votes: Votes | None = None, progress: Progress | None = None
) -> None:
    """Robustness of each run, and its place beside people where there are `votes`, kept in the run folder.

    What was measured before with this card stays; robustness of a part of the faces is measured again, of all.
    """
    for run in runs:
        seen = of_size(faces, run.card.preprocess.size)
        split = "test" if (seen.splits == "test").any() else "val"
        before = _measured(run, split)
        done = before.robustness if before else None
        whole = done is not None and done.n == done.of
        if before and whole and bool(before.humans) >= bool(votes):
            continue
        if not whole:
            logger.info("%s: robustness", run.name)
        found = evidence(
            Model.open(run).kept(split),
            run.name,
            run.card,
            Asked(votes=votes)
            if whole
            else Asked(faces=seen.select(split), classify=Model.open(run).outputs, votes=votes),
            progress=progress,
        )
        if before:
            found = found.with_measured(before)
        write_whole(_evidence_file(run, split), found.model_dump_json(indent=2) + "\n")


def _evidence_file(run: Run, split: str) -> Path:
    return run.folder / "report" / f"evidence-{split}.json"


def _over_seeds(kept: Mapping[Run, Mapping[str, Predictions]]) -> RecipeComparison | None:
    split = "test" if all("test" in found for found in kept.values()) else "val"
    # Of two runs with one seed, as after a training that was repeated, the first counts.
    groups = [list({run.recipe.seed: run for run in reversed(group)}.values()) for group in same_recipe(list(kept))]
    several = [group[::-1] for group in groups if len(group) > 1]
    return compare_over_seeds(*(run for group in several for run in group), split=split) if len(several) > 1 else None


def kept_predictions(run: Run) -> dict[str, Predictions]:
    """Predictions on val, and on test and both pooled where they were made."""
    splits = SPLITS if run.predictions_file("test").is_file() else ("val",)
    return {split: Model.open(run).kept(split) for split in splits}


def _comparisons(predictions: Mapping[str, Mapping[str, Predictions]]) -> dict[str, Comparison]:
    """By split, over the splits that every run (name → split → predictions) has."""
    if len(predictions) < 2:
        return {}
    shared = [split for split in SPLITS if all(split in kept for kept in predictions.values())]
    return {split: compare_predictions([(name, kept[split]) for name, kept in predictions.items()]) for split in shared}


def _class_tests(
    asked: Sequence[Sequence[str]], predictions: Mapping[str, Mapping[str, Predictions]]
) -> ClassTests | None:
    """Class by class, the runs that answer the study's question, in this order; on val where one has no test."""
    names = list(dict.fromkeys(name for names in asked for name in names))
    split = "test" if all("test" in predictions[name] for name in names) else "val"
    return class_tests({name: predictions[name][split] for name in names})


def _on_new_photos(
    asked: Sequence[Sequence[str]], predictions: Mapping[str, Mapping[str, Predictions]], data: DataReport
) -> Comparison | None:
    """The runs that answer the study's question on test images whose photo stands nowhere in train or val."""
    names = list(dict.fromkeys(name for names in asked for name in names))
    if len(names) < 2 or "test" not in (data.near or {}) or not all("test" in predictions[name] for name in names):
        return None
    assert data.near is not None
    kept = []
    for name in names:
        found = predictions[name]["test"]
        new_N = found.leak_free.copy()
        new_N[list(data.near["test"])] = False
        kept.append((name, found.keep(new_N)))
    return compare_predictions(kept) if len(kept[0][1]) else None


def check_free(folder: Path) -> None:
    """Raise `InputError` where a study would write over somebody else's files in `folder`."""
    check_page(folder, overwrite=None)
    check_output(folder / _DATA, json_with("source", "fingerprint", "labels", "counts"), overwrite=None)
    check_output(folder / LATENCIES, json_with("ms_single", "ms_batch", "batch", of_entries=True), overwrite=None)


def keep_data(folder: Path, faces: FaceSet) -> None:
    """Describe the faces for the report, unless it was done before: to look for the same photos takes a while."""
    path = folder / _DATA
    try:
        told = _read_data(path) if path.is_file() else None
    except InputError:  # damaged
        told = None
    same = told is not None and (told.source, told.fingerprint) == (faces.source, faces.fingerprint)
    if told is None or not same or told.near is None:
        write_whole(path, json.dumps(asdict(describe_data(faces)), indent=2) + "\n")


def _read_data(path: Path) -> DataReport:
    try:
        return TypeAdapter(DataReport).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path}: missing or damaged ({error}). Run the study again; it trains nothing twice"
        ) from error


def describe_data(faces: FaceSet) -> DataReport:
    found = audit(faces)
    repeated = {
        f"{words} images that also stand in {earlier}": count
        for (words, _, earlier), count in ((key.partition(" in "), count) for key, count in found.shared.items())
        if found.images[words]
    }
    repeated["groups of identical images with different labels"] = len(found.conflicts)
    return DataReport(
        source=faces.source,
        fingerprint=faces.fingerprint,
        labels=faces.label_set.labels,
        counts={split: counts for split, counts in faces.counts().items() if sum(counts.values())},
        repeated=repeated,
        leak_free=found.leak_free,
        near=_near(faces),
    )


def _near(faces: FaceSet) -> dict[str, tuple[int, ...]]:
    found = {}
    for later, earlier in (("val", ("train",)), ("test", ("train", "val"))):
        places = np.flatnonzero(faces.splits == later)
        pairs = [pair for split in earlier for pair in near_duplicates(faces, later, split)]
        near = sorted({pair.later for pair in pairs if pair.similarity >= THRESHOLD})
        found[later] = tuple(int(place) for place in np.searchsorted(places, near))
    return found


def environment() -> dict[str, str]:
    """Of the program that writes the report; each run's card says what it was trained with."""
    packages = ("mien", "torch", "lightning", "numpy", "scikit-learn", "scipy")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: metadata.version(name) for name in packages},
    }


def time_runs(runs: Sequence[Run], folder: Path, hardware: Hardware | None = None) -> None:
    """Time all runs side by side on this machine, unless it was done for the same runs before."""
    path = folder / LATENCIES
    known = set(load_latencies(path)) >= {run.name for run in runs}
    if known and path.stat().st_mtime > max(run.weights_file.stat().st_mtime for run in runs):
        return
    networks = {run.name: (_whole(run), run.card.preprocess) for run in runs}
    save_latencies(path, time_networks(networks, device=(hardware or detect()).device))


def _whole(run: Run) -> nn.Module:
    """The run's network, with the mirror images that it sees."""
    network = run.load_model()
    return EnsembleNet([network], (True,), run.card.widths) if run.card.mirror else network
