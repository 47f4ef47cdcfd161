"""mien card: the model card of a run or a model file, from what was measured before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli.console import note, say

if TYPE_CHECKING:
    from mien.card import Card
    from mien.evaluation.evaluate import Evaluation
    from mien.evaluation.evidence import Evidence
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
    from mien.recognize.recognizer import is_model_file
    from mien.report.evidence import parts
    from mien.report.html import write_page
    from mien.report.model_card import model_card

    if Path(model).is_dir() and not is_model_file(model):
        name, described, recipe, evaluations, found = _of_run(Path(model), evidence)
        folder = out or Path(model) / "report"
    else:
        name, described, recipe, evaluations, found = _of_file(model, evidence)
        folder = out or Path(f"{name}-report")
    main = next((one for one in found if one.evaluation.split == "test"), next(iter(found), None))
    if main is None:
        note(f"no robustness, groups or people in it: they come with mien evaluate {model} --data PATH --report")
    page = model_card(name, described, evaluations, recipe=recipe, parts=parts(main) if main else ())
    file = write_page(page, folder, _NAME)
    say(f"model card: {file}, {file.with_suffix('.md')}")


_Told: TypeAlias = "tuple[str, Card, Recipe | None, list[Evaluation], list[Evidence]]"


def _of_run(folder: Path, evidence: Sequence[Path] | None) -> _Told:
    """Scores of all that the run keeps predictions of; evidence where there is some."""
    from mien.evaluation.evaluate import score
    from mien.training.run import Run

    run = Run(folder)
    described = run.card
    splits = [split for split in ("test", "val") if run.predictions_file(split).is_file()]
    evaluations = [score(run.predictions(split), run.name, temperature=described.temperature) for split in splits]
    files = list(evidence or sorted((folder / "report").glob("evidence-*.json")))
    return run.name, described, run.recipe, evaluations, _read(files, run.name, described)


def _of_file(model: str, evidence: Sequence[Path] | None) -> _Told:
    """What evidence says of a file that keeps nothing itself."""
    from mien.errors import InputError
    from mien.recipes.recipe import Recipe, names
    from mien.recognize.recognizer import Recognizer

    name = Path(model).stem
    described = Recognizer(model).card
    files = list(evidence or sorted(Path(f"{name}-report").glob("evidence-*.json")))
    if not files:
        raise InputError(
            f"{model}: a model file keeps no figures. Measure it first: mien evaluate {model} --data PATH --report"
        )
    found = _read(files, name, described)
    recipe = Recipe.load(described.recipe) if described.recipe in names() else None
    return name, described, recipe, [one.evaluation for one in found], found


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
