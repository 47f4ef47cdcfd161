"""mien card: the model card of a run or a model file, from what was measured before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import note, say

if TYPE_CHECKING:
    from mien.card import Card
    from mien.evaluation.evaluate import Evaluation
    from mien.evaluation.evidence import Evidence
    from mien.model import Model
    from mien.recipes.recipe import Recipe

_NAME = "model-card"


def card(
    model: Annotated[str, typer.Argument(help="Run folder, a .onnx file that mien export wrote, or a bundled model.")],
    evidence: Annotated[
        list[Path] | None,
        typer.Option(
            "--evidence", help="What mien evaluate --report wrote: evidence-SPLIT.json. A run's own, if left out."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for it: the run's report, or NAME-report, if left out.")
    ] = None,
) -> None:
    """Write a model card (Mitchell et al. 2019) as Markdown and HTML. Opens no data: it tells what is known already."""
    from mien.model import Model
    from mien.report.evidence import parts
    from mien.report.html import write_page
    from mien.report.model_card import model_card

    opened = Model.open(model)
    folder = opened.run.folder / "report" if opened.run else Path(f"{opened.name}-report")
    found = _read(list(evidence or sorted(folder.glob("evidence-*.json"))), opened.name, opened.card)
    evaluations = _evaluations(opened, found)
    main = next((one for one in found if one.evaluation.split == "test"), next(iter(found), None))
    if main is None:
        note(f"no robustness, groups or people in it: they come with mien evaluate {model} --data PATH --report")
    page = model_card(opened.name, opened.card, evaluations, recipe=_recipe(opened), parts=parts(main) if main else ())
    file = write_page(page, out or folder, _NAME)
    say(f"model card: {file}, {file.with_suffix('.md')}")


def _evaluations(model: Model, found: Sequence[Evidence]) -> list[Evaluation]:
    """Scores of all that a run keeps predictions of; of a file that keeps nothing, what evidence says."""
    from mien.errors import InputError
    from mien.evaluation.evaluate import score

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
    from mien.recipes.recipe import Recipe, names

    if model.run is not None:
        return model.run.recipe
    return Recipe.load(model.card.recipe) if model.card.recipe in names() else None


def _read(files: Sequence[Path], name: str, described: Card) -> list[Evidence]:
    """Raises `InputError` for what is no evidence, or not of this model with this card."""
    from pydantic import ValidationError

    from mien.errors import InputError
    from mien.evaluation.evidence import Evidence

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
    from mien.errors import InputError

    there = one.abstention.at_threshold
    told = (
        ("model", Path(one.evaluation.model).name.removesuffix(".onnx"), name),
        ("labels", one.evaluation.labels, described.labels),
        ("temperature", one.evaluation.temperature, described.temperature),
        ("threshold", there.threshold if there else None, described.threshold),
        ("wanted risk", one.abstention.wanted, described.risk),
    )
    for what, measured, ours in told:
        if measured != ours:
            raise InputError(
                f"{file}: measured with {what} {measured}, the card of {name} has {ours}. Measure again (mien evaluate "
                f"{name} --data PATH --report), name another file (--evidence), or remove this one"
            )
