"""Model card: what a model is, what it is for, what it scores, and where its limits are.

The order of its sections is that of Mitchell et al., Model cards for model reporting, FAT* 2019.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mien.cards import Card
from mien.confidence import SURETY
from mien.errors import InputError
from mien.evaluation.evaluate import Evaluation, figure_text, format_estimate, score
from mien.evaluation.evidence import Evidence
from mien.model import Model
from mien.models.family import family
from mien.recipes.recipe import Recipe, names
from mien.report import groups
from mien.report.confidence import range_if_perfect
from mien.report.evidence import parts as evidence_parts
from mien.report.html import write_page
from mien.report.layout import Page, Section
from mien.report.protocol import settings
from mien.report.scores import classes_section, figures_section, weakest_class
from mien.report.uses import NO_USES, RESPONSIBILITY, USES
from mien.report.wording import listed

_NAME = "model-card"
logger = logging.getLogger(__name__)

_CALIBRATED = ", and temperature and threshold of the confidence, by the images that are not in train."
_NOT_MEASURED: Mapping[str, str] = {
    groups.TITLE: "Groups of people are not told apart here: how the error rate differs by age, sex, skin, culture or "
    "glasses is unknown until it is measured on labeled data that say so (mien evaluate … --groups).",
    "Robustness": "Bad light, blur, noise, turned and covered faces are not measured here.",
}


def write_model_card(model: Model, files: Sequence[Path], folder: Path) -> Path:
    """Write the card of `model` into `folder` as Markdown and HTML, with what the evidence in `files` says of it.

    The path of the HTML. Raises `InputError` where nothing is known of the model, or evidence is not of it.
    """
    found = _read(files, model.name, model.card)
    evaluations = _evaluations(model, found)
    main = next((one for one in found if one.evaluation.split == "test"), next(iter(found), None))
    if main is None:
        logger.warning(
            "no robustness, groups or people in it: they come with mien evaluate %s --data PATH --report", model.name
        )
    page = model_card(
        model.name, model.card, evaluations, recipe=_recipe(model), parts=evidence_parts(main) if main else ()
    )
    return write_page(page, folder, _NAME)


def _evaluations(model: Model, found: Sequence[Evidence]) -> list[Evaluation]:
    """Scores of all that a run keeps predictions of; of a file that keeps nothing, what evidence says."""

    if model.run is not None:
        splits = [split for split in ("test", "val") if model.run.predictions_file(split).is_file()]
        return [score(model.kept(split), model.name, temperature=model.card.temperature) for split in splits]
    if not found:
        raise InputError(
            f"{model.name}: a model file keeps no figures. Measure it first: "
            f"mien evaluate {model.name} --data PATH --report"
        )
    return [one.evaluation for one in found]


def _recipe(model: Model) -> Recipe | None:

    if model.run is not None:
        return model.run.recipe
    return Recipe.load(model.card.recipe) if model.card.recipe in names() else None


def _read(files: Sequence[Path], name: str, described: Card) -> list[Evidence]:
    """Raises `InputError` for what is no evidence, or not of this model with this card."""

    found = []
    for file in files:
        try:
            one = Evidence.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            raise InputError(f"{file}: no such file. mien evaluate … --report writes evidence-SPLIT.json") from error
        except ValidationError as error:
            raise InputError(f"{file}: not what mien evaluate --report wrote ({error})") from error
        _check_it_is_of(one, name, described, file)
        found.append(one)
    return found


def _check_it_is_of(one: Evidence, name: str, described: Card, file: Path) -> None:

    there = one.abstention.at_threshold
    told = (
        ("model", Path(one.evaluation.model).name.removesuffix(".onnx"), name),
        ("labels", one.evaluation.labels, described.labels),
        ("temperature", one.evaluation.temperature, described.temperature),
        ("threshold", there.threshold if there else None, described.threshold),
        ("wanted risk", one.abstention.wanted, described.risk),
        *_of_people(one, described),
    )
    for what, measured, ours in told:
        if measured != ours:
            raise InputError(
                f"{file}: measured with {what} {measured}, the card of {name} has {ours}. Measure again (mien evaluate "
                f"{name} --data PATH --report), name another file (--evidence), or remove this one"
            )


def _of_people(one: Evidence, described: Card) -> list[tuple[str, object, object]]:
    """The same of a people's head, where evidence was measured with votes."""
    if one.people is None:
        return []
    there, head = one.people.abstention.at_threshold, described.people
    return [
        ("people's labels", one.people.labels, head.labels if head else ()),
        ("people's temperature", one.people.temperature, head.temperature if head else None),
        ("people's threshold", there.threshold if there else None, head.threshold if head else None),
    ]


def model_card(
    name: str,
    card: Card,
    evaluations: Sequence[Evaluation],
    *,
    recipe: Recipe | None = None,
    parts: Sequence[Section] = (),
) -> Page:
    """The card of the model `name` as a page, which `html.write_page` writes as Markdown and HTML.

    `evaluations` are of one split each; classes and calibration are shown of `test`, or else of the first. `recipe` is
    told where it is known. `parts` are further evidence, such as robustness and groups: they stand after the figures,
    and what they measure is not named among what is unknown. Raises `InputError` without an evaluation, or with one of
    other labels.
    """
    if not evaluations:
        raise InputError(f"{name}: a model card needs figures. Make them: mien evaluate {name} --data PATH")
    for evaluation in evaluations:
        if evaluation.labels != card.labels:
            raise InputError(
                f"{name}: its card has the labels {', '.join(card.labels)}, its evaluation on {evaluation.split} "
                f"{', '.join(evaluation.labels)}. Evaluate it again: mien evaluate {name} --data PATH"
            )
    main = next((evaluation for evaluation in evaluations if evaluation.split == "test"), evaluations[0])
    sections = (
        Section("Model", points=_model(card, recipe)),
        Section("What it is for", points=USES),
        Section("What it is not for", points=NO_USES),
        _training(card, recipe),
        figures_section(evaluations),
        classes_section(main),
        Section("Confidence", points=_confidence(card, main)),
        *parts,
        Section("Limits", points=_limits(main, {part.title for part in parts})),
        Section("Responsible use", points=RESPONSIBILITY),
        _again(name, card),
    )
    accuracy = f"{main.split} accuracy {format_estimate(main.scores.accuracy)}, n = {main.scores.n:,}"
    return Page(
        f"Model card: {name}", f"Facial expression recognition, {len(card.labels)} classes; {accuracy}", sections
    )


def _model(card: Card, recipe: Recipe | None) -> tuple[str, ...]:
    size, color = card.preprocess.size, "gray" if card.preprocess.color == "gray" else "color"
    points = [
        f"Recipe {card.recipe}" + (f" ({family(recipe, card.architecture)}): {recipe.describe}" if recipe else ".")
    ]
    if card.members:
        points.append(f"An ensemble: the mean of the probabilities of {listed(card.members)}.")
    points.append(f"{card.parameters:,} parameters.")
    points.append(f"Input: one face, cut out and upright, {size} × {size} pixels, {color}.")
    if card.alignment:
        points.append(
            f"Faces are cut as its train faces are: eyes {figure_text(card.alignment.eye_distance, 2)} of the side "
            f"apart, their middle {figure_text(card.alignment.eye_y, 2)} of the side from the top."
        )
    points.append(f"Output: a probability for each of {listed(card.labels)}; they add up to 1.")
    if card.people:
        more = [label for label in card.people.labels if label not in card.labels]
        also = f", {listed(more)} too" if more else ""
        points.append(
            "It has two heads. One (labels) answers with the label that its training data would give, the other "
            f"(people) with the shares of people who see each emotion{also}; {card.truth} answers where nobody asks "
            "for one. Figures name the head that they are of: labels, where they say nothing."
        )
    if card.mirror:
        points.append("It sees each face and its mirror image, and answers with the mean.")
    if card.backbone:
        points.append(f"Its weights started from {card.backbone}; what that has learned, and from whom, comes along.")
    if card.training.start:
        points.append(f"Its weights started from the run {card.training.start}.")
    own = "FER2013: DbCL 1.0 on Kaggle" if "fer2013" in card.training.data.lower() else card.training.data
    points.append(f"License: {card.license} Data: their own terms ({own}).")
    return tuple(points)


def _training(card: Card, recipe: Recipe | None) -> Section:
    how = card.training
    merged = ", identical ones counted once" if recipe and recipe.data.repeats == "merge" else ""
    points = [
        f"train of {how.data} fits the weights: {how.train_images:,} images{merged}. Fingerprint of train and val: "
        f"{how.fingerprint}.",
        f"val, {how.val_images:,} images, chose epoch {how.best_epoch} of {how.epochs}"
        + ("." if card.risk is None else _CALIBRATED),
        "test is opened by evaluate alone, once everything is chosen.",
        "Leak-free figures leave out images whose pixels stand in train, for test also those in val.",
    ]
    if how.votes:
        points.append(f"It also learned from the votes of several taggers on the train images ({how.votes}).")
    if recipe and recipe.targets.teacher:
        points.append("It also learned from the answers of another model, its teacher.")
    if recipe and not card.members:
        points.append(f"Training: {settings(recipe)}.")
    points.append(f"Seed {how.seed}; {how.device}, {how.precision}; {how.minutes:,.1f} minutes.")
    return Section("Training data and protocol", points=tuple(points))


def _confidence(card: Card, evaluation: Evaluation) -> tuple[str, ...]:
    points, found = [], evaluation.calibration
    if found:
        meaning = "what chance makes" if found.as_good_as_perfect else "more than chance makes"
        points.append(
            f"Expected calibration error on {evaluation.split}, n = {found.n:,}: {figure_text(found.ece)}, {meaning} "
            f"(a perfectly calibrated model shows {range_if_perfect(found)}). In bins of equal mass "
            f"{figure_text(found.ece_mass)}, classwise {figure_text(found.classwise_ece)}. "
            f"Brier score {figure_text(found.brier)}, from 0, perfect, to 2."
        )
    points.append(
        "No temperature is applied."
        if card.temperature == 1
        else f"Temperature {card.temperature:.3f}, fitted on val, is part of every answer."
    )
    if card.threshold is None:
        points.append("It has no threshold: no answer is marked unsure.")
        return tuple(points)
    if card.risk is None:
        kept = "."
    elif card.threshold >= 1:
        kept = f": none of val kept the share of wrong answers within {_percent(card.risk)}, so every answer is."
    else:
        kept = (
            f". It is set by val so that at most {_percent(card.risk)} of the other answers are wrong on images of "
            f"the same kind, with {_percent(SURETY)} surety."
        )
    points.append(f"Answers with a confidence below {figure_text(card.threshold)} are marked unsure{kept}")
    if card.people and card.people.threshold is not None and card.people.risk is not None:
        points.append(
            f"What people see: temperature {card.people.temperature:.3f}, fitted on the single votes of val; unsure "
            f"below {figure_text(card.people.threshold)}, set so that at most {_percent(card.people.risk)} of the "
            f"other answers are not what most people see, with {_percent(SURETY)} surety."
        )
    return tuple(points)


def _limits(evaluation: Evaluation, measured: set[str]) -> tuple[str, ...]:
    points = [
        "Labels are what taggers saw in a picture. They are noisy, people disagree about many faces, and a few words "
        "do not hold all that a face can show.",
        f"All figures are of the same kind of picture that it was trained on. {weakest_class(evaluation)}".strip(),
        *(words for title, words in _NOT_MEASURED.items() if title not in measured),
        "The figures are of faces already cut out. In use a detector finds them first, and it misses some.",
        "A face that fits no class still gets one; so does a picture without a face.",
    ]
    return tuple(points)


def _again(name: str, card: Card) -> Section:
    versions = ", ".join(f"{package} {version}" for package, version in card.training.versions.items())
    commit = f"Commit {card.training.commit}. " if card.training.commit else ""
    text = f"{commit}Made with {versions}. Same seed and same machine give the same numbers. "
    text += "Settings that were changed by hand stand in the recipe.yaml of the run."
    return Section("How to make it again", text=(text,), code=_commands(name, card))


def _commands(name: str, card: Card) -> tuple[str, ...]:
    """What the card knows of them; values that were set by hand stand in the run's recipe.yaml."""
    how = card.training
    if card.members:
        members = " ".join(f"runs/{member}" for member in card.members)
        return (f"mien ensemble {members} --out runs/{name}", f"mien evaluate runs/{name} --data {how.data}")
    train = f"mien train {card.recipe} --data {how.data} --out runs/{name} --seed {how.seed}"
    train += f" --votes {how.votes}" if how.votes else ""
    train += f" --start {how.start}" if how.start else ""
    return (train, f"mien evaluate runs/{name} --data {how.data}")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
