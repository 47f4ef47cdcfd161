"""mien compare: runs on the same images, class by class and pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    FerplusOption,
    JsonOption,
    LabelsOption,
    Reading,
    SkipOption,
    SubjectsOption,
    VotesOption,
    known_truth,
    note,
    open_labeled,
    refuse,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.training.run import Run


def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more: run folders, .onnx files, bundled models.")],
    split: Annotated[str, typer.Option("--split", help="val, test or pooled.")] = "test",
    over_seeds: Annotated[
        bool,
        typer.Option(
            "--seeds", help="Compare recipes over their runs, which differ in the seed alone, two or more each."
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Compare on these faces. Runs need none: they keep their predictions."),
    ] = None,
    votes: VotesOption = None,
    ferplus: FerplusOption = None,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    truth: Annotated[
        str,
        typer.Option(
            "--truth", help="labels of the data, or people: the most frequent vote, of runs that learned from votes."
        ),
    ] = "labels",
    as_json: JsonOption = False,
) -> None:
    """Compare models on the same images: who wins where, and whether it is more than chance.

    Runs need no --data: they are compared on the predictions that mien evaluate kept. With several pairs p is
    corrected by Holm's method. Differences are second minus first.
    """
    from mien.errors import InputError
    from mien.evaluation.compare import DIFFERENCES
    from mien.evaluation.compare import compare as compare_models
    from mien.evaluation.printed import format_estimate, p_text, verdict
    from mien.model import Model
    from mien.training.run import Run

    if len(models) < 2:
        raise InputError(f"two or more models are compared, got {len(models)}")
    if over_seeds:
        of_models = {"--truth": truth != "labels", "--data": data}
        refuse(of_models, "for single models, and --seeds compares the predictions that runs keep, by labels")
        _compare_recipes([Run(Path(model)) for model in models], split, as_json)
        return
    opened = [Model.open(model) for model in models]
    faces, tagged = None, None
    if data is not None:
        size = max(model.card.preprocess.size for model in opened)
        how = Reading(labels, subjects, skip_unreadable)
        _, tagged, faces = open_labeled(data, how, votes, ferplus, size=size)
    distinct = len({model.name for model in opened}) == len(opened)
    comparison = compare_models(
        *opened,
        split=split,
        faces=faces,
        votes=tagged,
        names=() if distinct else models,
        truth=known_truth(truth) or "labels",
    )
    if as_json:
        say(comparison.model_dump_json(indent=2))
        return
    rows = [
        [row.label, f"{row.support:,}", *("–" if f1 is None else f"{f1:.3f}" for f1 in row.f1), row.winner or "–"]
        for row in comparison.per_class
    ]
    title = f"F1 per class on {comparison.split} (n={comparison.n:,})"
    table(title, ["class", "images", *comparison.models, "best"], rows)
    figures = [
        [
            f"{pair.second} − {pair.first}",
            *(format_estimate(getattr(pair, name)) for name in DIFFERENCES),
            p_text(pair.p_holm),
        ]
        for pair in comparison.pairs
    ]
    header = [
        "difference",
        *(name.removesuffix("_difference").replace("_", " ") for name in DIFFERENCES),
        "p, accuracy",
    ]
    table(f"paired differences on {comparison.split} (n={comparison.n:,}), 95 % bootstrap", header, figures)
    several = f", Holm over {len(comparison.pairs)} pairs" if len(comparison.pairs) > 1 else ""
    for pair in comparison.pairs:
        say(
            f"{verdict(pair)} (accuracy, {comparison.split}, n={comparison.n:,}; right only by {pair.first}: "
            f"{pair.only_first_right:,}, only by {pair.second}: {pair.only_second_right:,}; exact McNemar{several})"
        )


def _compare_recipes(runs: Sequence[Run], split: str, as_json: bool) -> None:
    from mien.evaluation.printed import figure_text, recipe_verdict
    from mien.evaluation.seeds import compare_over_seeds

    found = compare_over_seeds(*runs, split=split)
    if as_json:
        say(found.model_dump_json(indent=2))
        return
    rows = [
        [one.recipe, str(len(one.accuracies)), figure_text(one.mean), figure_text(one.spread),
         " ".join(map(figure_text, one.accuracies))]
        for one in found.recipes
    ]  # fmt: skip
    title = f"accuracy over seeds on {found.split} (n={found.n:,})"
    table(title, ["recipe", "seeds", "mean", "standard deviation", "each"], rows)
    for test in found.pairs:
        say(f"{recipe_verdict(test)} (mean accuracy over seeds; the interval covers the chance of seeds and of images)")
    for name in found.left_out:
        note(f"{name}: left out, one run does not show how results vary")
