"""mien adapt: biases of the labels, learned from few labeled faces of one's own camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    DataOption,
    JsonOption,
    LabelsOption,
    OverwriteOption,
    Reading,
    SkipOption,
    SubjectsOption,
    note,
    open_faces,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.cards import Card


def adapt(
    model: Annotated[str, typer.Argument(help="Bundled model, .onnx file, or run folder. It is not changed.")],
    data: DataOption,
    to: Annotated[Path, typer.Option("--to", help="Model file to write, .onnx.")],
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Write it also where no gain can be told from these faces.")
    ] = False,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn a bias of each label from a few dozen labeled faces of one camera, and say what it gains on others.

    The faces' shares of labels are learned too: take faces as they come. Nothing is written where no gain can be told.
    """
    from mien.actions import adapt as learn
    from mien.model import Model
    from mien.outputs import MODEL, check_output

    opened = Model.open(model, device="cpu")
    check_output(to, MODEL, [one for one in (model, data, subjects) if one], overwrite=overwrite)
    faces = open_faces(data, Reading(labels, subjects, skip_unreadable), size=opened.card.preprocess.size)
    card = learn(opened, faces, to, anyway=anyway, overwrite=overwrite)
    assert card.adapted is not None
    if as_json:
        say(card.adapted.model_dump_json(indent=2))
    else:
        _tell(card, opened.card)
    counts = [count for count in card.adapted.faces.values() if count]
    if max(counts) - min(counts) <= 1:
        note(
            "every label has as many faces: so the file expects every emotion as often as any other. Unless your "
            "camera sees them so, adapt on faces as they come"
        )
    note(f"written: {to}")


def _tell(card: Card, before: Card) -> None:
    from mien.errors import InputError

    adapted = card.adapted
    if adapted is None:
        raise InputError("the card says nothing of an adaption")
    for one in adapted.heads:
        head = card.head(one.truth)
        rows = [
            [label, f"{bias:+.2f}", str(adapted.faces.get(label, 0))]
            for label, bias in zip(head.labels, one.biases, strict=True)
        ]
        table(f"{one.truth}: biases, in nats", ["label", "bias", "faces"], rows)
        value, low, high = (100 * gain for gain in one.accuracy)
        say(
            f"{one.truth}: on faces left out {100 * one.before:.1f} % right before, {100 * one.after:.1f} % after: "
            f"{value:+.1f} points [{low:.1f}, {high:.1f}]; negative log-likelihood lower by {one.nll[0]:.3f} "
            f"[{one.nll[1]:.3f}, {one.nll[2]:.3f}] nats" + ("" if one.certain else ": no gain that can be told")
        )
        old = before.head(one.truth)
        if head.threshold is not None:
            say(f"{one.truth}: threshold {head.threshold:.3f}, fitted again for a risk of {head.risk:g}")
        elif old.threshold is not None:
            say(
                f"{one.truth}: no threshold any more: these faces cannot tell one that keeps a risk of {old.risk:g}, "
                "so no answer is marked unsure. Set one of your own: --abstain"
            )
    unchanged = [truth for truth in card.truths if truth not in {one.truth for one in adapted.heads}]
    for truth in unchanged:
        which = ", which answers where nobody asks for one," if truth == card.truth else ""
        say(f"{truth}: no gain can be told, so this head{which} stays as it is")
