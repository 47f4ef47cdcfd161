"""Model card: what a model is, what it is for, what it scores, and where its limits are.

The order of its sections is that of Mitchell et al., Model cards for model reporting, FAT* 2019. Its text is
`templates/model_card.md`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mien.cards import Card
from mien.confidence import SURETY
from mien.errors import InputError
from mien.evaluation.evaluate import Evaluation, score
from mien.evaluation.evidence import Evidence
from mien.evaluation.looks import Looks, looks
from mien.evaluation.printed import figure_text, format_estimate
from mien.model import Model
from mien.models.family import family
from mien.recipes.recipe import Recipe, names
from mien.recognize.naming import bundled
from mien.report.calibration import range_if_perfect
from mien.report.layout import Page, Section, check_page, templates, write_page
from mien.report.model_page import parts as evidence_parts
from mien.report.scores import classes_section, figures_section, weakest_class
from mien.report.settings import settings
from mien.report.words import AI_ACT, LEAK_FREE, listed
from mien.training.start import open_start

_NAME = "model-card"
logger = logging.getLogger(__name__)


def write_model_card(model: Model, files: Sequence[Path], folder: Path, *, overwrite: bool = False) -> Path:
    """Write the card of `model` into `folder` as Markdown and HTML, with what the evidence in `files` says of it.

    The path of the HTML. Raises `InputError` where nothing is known of the model, evidence is not of it, or somebody
    else's files are in the way, without `overwrite`.
    """
    check_page(folder, _NAME, overwrite=overwrite)
    page, _ = card_page(model, files)
    return write_page(page, folder, _NAME, overwrite=overwrite)


def card_page(model: Model, files: Sequence[Path]) -> tuple[Page, list[Evaluation]]:
    """The card of `model` as a page, with what the evidence in `files` says of it, and the evaluations that it shows.

    Raises `InputError` where nothing is known of the model, or evidence is not of it.
    """
    found = read_evidence(files, model.name, model.card)
    evaluations = evaluations_of(model, found)
    main = next((one for one in found if one.evaluation.split == "test"), next(iter(found), None))
    if main is None:
        logger.warning(
            "no robustness, groups or people in it: they come with mien evaluate %s --data PATH --report", model.word
        )
    page = model_card(
        model.name,
        model.card,
        evaluations,
        recipe=recipe_of(model),
        parts=evidence_parts(main) if main else (),
        evidence=main,
        opened=looks(model),
    )
    return page, evaluations


def evaluations_of(model: Model, found: Sequence[Evidence]) -> list[Evaluation]:
    """Scores of all that a run keeps predictions of; of a file that keeps nothing, what evidence says."""
    if model.run is not None:
        splits = [split for split in ("test", "val") if model.run.predictions_file(split).is_file()]
        return [score(model.kept(split), model.name, temperature=model.card.temperature) for split in splits]
    if not found:
        raise InputError(
            f"{model.name}: a model file keeps no figures. Measure it first (mien evaluate {model.word} --data PATH "
            "--report) and name what that wrote: --evidence NAME-report/evidence-test.json"
        )
    return [one.evaluation for one in found]


def recipe_of(model: Model) -> Recipe | None:
    """As it was trained, where that is known."""
    if model.run is not None:
        return model.run.recipe
    if model.name in bundled():
        return open_start(model.name).recipe  # as it was trained, settings of its own included
    if model.origin and (model.origin.folder / "recipe.yaml").is_file():
        return model.origin.recipe
    return Recipe.load(model.card.recipe) if model.card.recipe in names() else None


def read_evidence(files: Sequence[Path], name: str, described: Card) -> list[Evidence]:
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
        *_of_sets(one, described),
        *_of_people(one, described),
    )
    for what, measured, ours in told:
        if measured != ours:
            raise InputError(
                f"{file}: measured with {what} {measured}, the card of {name} has {ours}. Measure again (mien evaluate "
                "MODEL --data PATH --report), name another file (--evidence), or remove this one"
            )


def _of_sets(one: Evidence, described: Card) -> list[tuple[str, object, object]]:
    """The same of prediction sets; without a leak-free image evidence says nothing of them."""
    if one.evaluation.leak_free is None:
        return []
    return [("sets of", one.sets.level if one.sets else None, described.sets.level if described.sets else None)]


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
    evidence: Evidence | None = None,
    opened: Looks | None = None,
) -> Page:
    """The card of the model `name` as a page, which `write_page` writes as Markdown and HTML.

    `evaluations` are of one split each; classes and calibration are shown of `test`, or else of the first. `recipe` is
    told where it is known. `parts` are further evidence, such as robustness and groups: they stand after the figures,
    and what they measure is not named among what is unknown. `evidence`: whose leaks and looks stand
    beside the figures; `opened`: the looks as they are now. Raises `InputError` without an evaluation, or with one of
    other labels.
    """
    if not evaluations:
        raise InputError(f"{name}: a model card needs figures. Make them: mien evaluate MODEL --data PATH")
    for evaluation in evaluations:
        if evaluation.labels != card.labels:
            raise InputError(
                f"{name}: its card has the labels {', '.join(card.labels)}, its evaluation on {evaluation.split} "
                f"{', '.join(evaluation.labels)}. Evaluate it again: mien evaluate MODEL --data PATH"
            )
    main = next((evaluation for evaluation in evaluations if evaluation.split == "test"), evaluations[0])
    filters = {
        "count": "{:,}".format,
        "estimate": format_estimate,
        "figure": figure_text,
        "listed": listed,
        "percent": lambda share: f"{100 * share:.3g} %",
        "range_if_perfect": range_if_perfect,
        "settings": settings,
        "weakest_class": weakest_class,
    }
    # A value stays on one line, and so within its place in the template.
    environment = templates().overlay(finalize=lambda value: " ".join(str(value).split()))
    environment.filters = {**environment.filters, **filters}
    text = environment.get_template("model_card.md").render(
        name=name,
        card=card,
        how=card.training,
        recipe=recipe,
        changes=recipe.changes if recipe else None,
        family=family(recipe, card.architecture) if recipe else None,
        main=main,
        measured={part.title for part in parts},
        surety=SURETY,
        ai_act=AI_ACT,
        leak_free=LEAK_FREE,
    )
    return _page(
        text,
        {"<figures>": (figures_section(evaluations, evidence, opened), classes_section(main)), "<evidence>": parts},
    )


def _page(text: str, ready: Mapping[str, Sequence[Section]]) -> Page:
    """The template's Markdown as a page; `ready` are sections by the line that they stand for."""
    title, _, rest = text.removeprefix("# ").partition("\n")
    subtitle, *written = rest.split("\n## ")
    sections: list[Section] = []
    for one in written:
        heading, *lines = one.splitlines()
        said = [line for line in map(str.rstrip, lines) if line and line not in ready]
        sections.append(
            Section(
                heading,
                text=tuple(line for line in said if not line.startswith(("- ", "    "))),
                points=tuple(line.removeprefix("- ") for line in said if line.startswith("- ")),
                code=tuple(line.strip() for line in said if line.startswith("    ")),
            )
        )
        sections += [section for line in lines for section in ready.get(line, ())]
    return Page(title, subtitle.strip(), tuple(sections))
