"""mien calibrate: the temperature and the threshold of a finished run, fitted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import say

if TYPE_CHECKING:
    from mien.card import Head
    from mien.predictions import Predictions


def calibrate(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    risk: Annotated[
        float | None,
        typer.Option("--risk", help="Share of wrong answers that is let through; what the card says, or 0.2."),
    ] = None,
) -> None:
    """Fit temperature and threshold on the val predictions that a run keeps; for a risk of your own."""
    from mien.confidence import RISK
    from mien.training.calibrate import calibrate as fit
    from mien.training.run import Run

    opened = Run.open(run)
    risk = risk if risk is not None else opened.card.risk or RISK
    card = fit(opened, risk)
    kept = opened.predictions("val")
    _tell(run, "", kept, card.head("labels"), risk)
    if card.people and kept.people is not None and kept.people.votes.any():
        _tell(run, ", what people see", kept.by_votes(), card.people, risk)


def _tell(run: str, which: str, kept: Predictions, head: Head, risk: float) -> None:
    """What was fitted for one head, on its predictions beside its truth."""
    from mien.confidence import FEWEST_IMAGES
    from mien.evaluation.abstain import abstention

    given = kept.keep(kept.leak_free).tempered(head.temperature)
    if len(given) < FEWEST_IMAGES:
        how = f"since only {len(given)} val images are not in train"
    else:
        how = f"fitted on {len(given):,} val images that are not in train"
    say(f"{run}{which}: temperature {head.temperature:.3f}, {how}")
    there = abstention(given, head.threshold).at_threshold
    if there is None or there.risk is None:
        say(f"no answer of this model keeps a risk of {risk:g} with 95 % surety on val: all will be marked unsure")
        return
    say(
        f"threshold {there.threshold:.3f}: {100 * there.coverage:.0f} % of them are answered, "
        f"{100 * there.risk.value:.1f} % of those wrong (wanted: at most {100 * risk:g} %, with 95 % surety)"
    )
