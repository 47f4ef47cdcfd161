"""mien calibrate: the temperature, the threshold and the prediction sets of a model, fitted again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    LabelsOption,
    OverwriteOption,
    Reading,
    SubjectsOption,
    VotesOption,
    note,
    open_faces,
    open_votes,
    progress,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.cards import Head
    from mien.evaluation.views import MirrorRule
    from mien.model import Model
    from mien.predictions import Predictions


def calibrate(
    model: Annotated[str, typer.Argument(help="Run folder; or a .onnx file or a bundled model, with --data and --to.")],
    risk: Annotated[
        float | None,
        typer.Option(
            "--risk",
            help="Share of wrong answers that is let through; what the card says, or 0.2, and 0.1 for what people see.",
        ),
    ] = None,
    sets: Annotated[
        float | None,
        typer.Option(
            "--sets",
            help="Make sets of labels that hold the truth with this probability, such as 0.9, in each class; what the "
            "card says if left out.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Labeled faces with a val split, for a model file: it keeps none.")
    ] = None,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    votes: VotesOption = None,
    mirror_below: Annotated[
        str | None,
        typer.Option(
            "--mirror-below",
            help="Of a model file that sees mirror images: see them only below this confidence. auto: the lowest at "
            "which no head loses accuracy on val; always: see all.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write, for a model file: the given one is not changed.")
    ] = None,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference",
            help="Instead: give the model file a reference of its val faces, for mien check. Needs --data.",
        ),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Fit temperature, threshold and sets of each head again, on val images that are not in the training set."""
    from mien.actions import calibration
    from mien.evaluation.views import check_rule, wanted_rule
    from mien.model import Model
    from mien.outputs import MODEL, check_output

    opened = Model.open(model)
    if to is not None and opened.run is None:
        check_output(to, MODEL, [one for one in (model, data, votes) if one], overwrite=overwrite)
    if reference:
        _check_alone({"--risk": risk, "--sets": sets, "--votes": votes, "--mirror-below": mirror_below})
        _refer(opened, data, Reading(labels, subjects), to, overwrite=overwrite)
        return
    rule = None if mirror_below is None else wanted_rule(mirror_below)
    if rule is not None:
        check_rule(opened, rule, voted=votes is not None)  # before the data are opened, which takes long
    faces, tagged = None, None
    if data is not None:
        everything = open_faces(data, Reading(labels, subjects), size=opened.card.preprocess.size)
        tagged, faces = open_votes(votes, everything, None)
    fitted = calibration(opened, risk, faces, tagged, to, sets=sets, mirror_below=rule, overwrite=overwrite)
    card, kept = fitted.card, fitted.val
    if opened.card.sets and card.sets is None:
        note(f"no prediction sets any more: too few val images for those of the card, {opened.card.sets.level:g}")
    if fitted.views is not None:
        _tell_views(model, fitted.views.rule(card.mirror_below), chosen=rule == "auto")
    _tell(model, "", kept, card.head("labels"))
    _tell_sets(card.head("labels"), kept.tempered(card.temperature), "the label")
    if card.people and kept.people is not None and kept.people.votes.any():
        _tell(model, ", what people see", kept.by_votes(), card.people)
        people = kept.answers("people").tempered(card.people.temperature)
        _tell_sets(card.people, people, "what a tagger drawn at random sees")
    elif card.people:
        note("the people's head stays as it is: it is fitted on taggers' votes (--votes FILE)")
    if to is not None:
        say(f"written: {to}")


def _check_alone(others: dict[str, object]) -> None:
    from mien.errors import InputError

    if given := [name for name, value in others.items() if value is not None]:
        raise InputError(
            f"--reference fits nothing else: leave out {', '.join(given)}, or run the command once for each"
        )


def _refer(model: Model, data: str | None, how: Reading, to: Path | None, *, overwrite: bool) -> None:
    from mien.actions import reference
    from mien.errors import InputError

    if data is None:
        raise InputError("--reference is made of val faces: name the data that the model was measured on, --data PATH")
    faces = open_faces(data, how, size=model.card.preprocess.size)
    with progress() as bar:
        found = reference(model, faces, to, overwrite=overwrite, progress=bar)
    for one in found:
        cut = "as they came" if one.detector == "none" else "cut anew, as the faces of photos are"
        say(
            f"reference of {one.faces:,} val faces, {cut}: {one.false_alarms} false alarms in {one.looked:,} draws of "
            f"{one.drawn} others"
        )
    say(f"written: {to or model.name}")


def _tell_views(model: str, rule: MirrorRule, *, chosen: bool) -> None:
    """Of which faces the mirror image is seen, and what becomes of each head's accuracy."""
    from mien.evaluation.printed import format_estimate, points_text
    from mien.evaluation.views import GRID

    if rule.below is not None:
        how = f"below a confidence of {rule.below:g}" + (", chosen on these images" if chosen else "")
        say(f"{model}: mirror images are seen {how}: of {100 * rule.seen_twice:.1f} % of {rule.n:,} val images")
    elif chosen:
        say(
            f"{model}: mirror images are seen of all faces, as no confidence from {GRID[0]:.2f} to {GRID[-1]:.2f} "
            "keeps every head's accuracy"
        )
    else:
        say(f"{model}: mirror images are seen of all faces")
    rows = []
    for one in rule.heads:
        rows.append([f"{one.truth}, mirror images of all", format_estimate(one.always), "", f"{one.n:,}"])
        if rule.below is not None:
            change = points_text(one.rule_change)
            rows.append([f"{one.truth}, below {rule.below:g}", format_estimate(one.rule), change, f"{one.n:,}"])
        rows.append([f"{one.truth}, of none", format_estimate(one.never), points_text(one.never_change), f"{one.n:,}"])
    table("accuracy on val, images not in train", ["head", "accuracy", "change, paired", "n"], rows)


def _tell(run: str, which: str, kept: Predictions, head: Head) -> None:
    """What was fitted for one head, on its predictions beside its truth."""
    from mien.confidence import FEWEST_IMAGES
    from mien.evaluation.abstention import abstention

    given = kept.keep(kept.leak_free).tempered(head.temperature)
    if len(given) < FEWEST_IMAGES:
        how = f"since only {len(given)} val images are not in the training set"
    else:
        how = f"fitted on {len(given):,} val images that are not in the training set"
    say(f"{run}{which}: temperature {head.temperature:.3f}, {how}")
    there = abstention(given, head.threshold).at_threshold
    if there is None or there.risk is None:
        say(f"no threshold keeps a risk of {head.risk:g} with 95 % probability on val: all will be marked unsure")
        return
    say(
        f"threshold {there.threshold:.3f}: {100 * there.coverage:.0f} % of them are answered, "
        f"{100 * there.risk.value:.1f} % of those wrong (wanted: at most {100 * (head.risk or 0):g} %, "
        "with 95 % probability)"
    )


def _tell_sets(head: Head, said: Predictions, truth: str) -> None:
    """What the sets of one head are, on the images that they were fitted on."""
    if head.sets is None:
        return
    size = head.sets.holds(said.probabilities[said.leak_free]).sum(axis=1).mean()
    say(f"sets that hold {truth} with {100 * head.sets.level:g} %, in each class: {size:.2f} labels on average")
    few = [
        f"{label} ({images:g} images)"
        for label, images, threshold in zip(head.labels, head.sets.images, head.sets.thresholds, strict=True)
        if threshold == 0
    ]
    if few:
        note(f"in every set, since too few images can tell when to leave it out: {', '.join(few)}")
