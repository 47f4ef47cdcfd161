"""mien evaluate: what was measured, as figures and sentences on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.cli.console import note, say, table

if TYPE_CHECKING:
    from mien.evaluation.evidence import Evidence
    from mien.evaluation.groups import Groups

_FIGURES = ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll")


def show(found: Evidence) -> None:
    """Tables of scores, of classes and of confusions, and a sentence of each other part."""
    from mien.evaluation.printed import format_estimate

    evaluation = found.evaluation
    scores, leak_free = evaluation.scores, evaluation.leak_free
    if leak_free is None:
        note(f"no leak-free figure: every image of {evaluation.split} is also in the training set or in val")
    header = ["", f"{evaluation.split} (n={scores.n:,})"]
    strict = found.strict.scores if found.strict else None
    if leak_free:
        header.append(f"leak-free (n={leak_free.n:,})")
    if strict:
        header.append(f"new photos (n={strict.n:,})")
    rows = [
        [name.replace("_", " "), *(format_estimate(getattr(s, name)) for s in (scores, leak_free, strict) if s)]
        for name in _FIGURES
    ]
    table(f"{evaluation.model} on {evaluation.split}, 95 % bootstrap intervals", header, rows)
    _show_sentences(found)
    per_class = [
        [row.label, f"{row.support:,}", *(_figure(value) for value in (row.precision, row.recall, row.f1))]
        for row in evaluation.per_class
    ]
    table("per class", ["class", "images", "precision", "recall", "F1"], per_class)
    matrix = [
        [label, *(f"{count:,}" for count in counts)]
        for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True)
    ]
    table("confusion matrix (rows: true, columns: predicted)", ["", *evaluation.labels], matrix)
    if evaluation.split == "pooled":
        say("pooled includes the images that the best epoch was chosen on: for comparison with the study only")


def _show_sentences(found: Evidence) -> None:
    from mien.report.abstention import abstention_sentence
    from mien.report.calibration import calibration_sentence
    from mien.report.groups import gap_sentences
    from mien.report.looks import looks_sentences
    from mien.report.people import ceiling_sentences, head_sentences
    from mien.report.sets import sets_sentences
    from mien.report.shift import look_sentence
    from mien.report.stability import stability_sentences
    from mien.report.words import strict_sentence

    if found.strict:
        say(f"leaks: {strict_sentence(found.strict)}")
    if found.looks:
        say(f"looks at test: {' '.join(looks_sentences(found.looks))}")
    if found.look:
        say(f"shift: {look_sentence(found.look)}")
    say(f"calibration: {calibration_sentence(found.evaluation)}")
    say(f"abstention: {abstention_sentence(found.abstention)}")
    if found.sets:
        say(f"sets: {' '.join(sets_sentences(found.sets))}")
    if found.prior:
        from mien.report.priors import prior_sentences

        say(f"prior {found.prior.prior}: {' '.join(prior_sentences(found.prior))}")
    if found.humans:
        say(f"people: {' '.join(ceiling_sentences(found.humans))}")
    if found.people:
        say(f"people's head: {' '.join(head_sentences(found.people))}")
    if found.stability:
        say(f"stability: {' '.join(stability_sentences(found.stability))}")
    if found.groups:
        _show_groups(found.groups)
        say(f"groups: {' '.join(gap_sentences(found.groups))}")


def _show_groups(groups: Groups) -> None:
    from mien.evaluation.printed import format_estimate

    rows = [
        [f"{one.name}{' (few)' if one.few else ''}", f"{one.n:,}", format_estimate(one.accuracy),
         format_estimate(one.macro_f1)]
        for one in groups.scores
    ]  # fmt: skip
    table("groups", ["group", "images", "accuracy", "macro F1"], rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
