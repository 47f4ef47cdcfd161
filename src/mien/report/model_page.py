"""Evidence page: what is known of one model, the verdict first."""

from __future__ import annotations

from mien.cards import Card
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import format_estimate
from mien.report.abstention import abstention_section, abstention_sentence
from mien.report.calibration import calibration_section, calibration_sentence
from mien.report.groups import gap_sentences, groups_section
from mien.report.layout import Page, Section
from mien.report.looks import looks_sentences
from mien.report.people import ceiling_section, ceiling_sentences, head_section, head_sentences
from mien.report.priors import prior_section
from mien.report.robustness import robustness_section, robustness_sentences
from mien.report.scores import classes_section, figures_section, weakest_class
from mien.report.sets import sets_section, sets_sentences
from mien.report.shift import look_sentence, shift_section
from mien.report.stability import stability_section, stability_sentences
from mien.report.words import INTERVALS, listed, spoken, strict_sentence


def evidence_page(found: Evidence, card: Card) -> Page:
    """Verdict, figures, then every part that was measured, and the protocol behind them."""
    evaluation = found.evaluation
    sections = (
        Section("Verdict", points=verdict_points(found)),
        figures_section([evaluation], found),
        classes_section(evaluation),
        *parts(found),
        Section("Protocol", points=_protocol(evaluation, card)),
    )
    told = f"Trained on {card.training.data}; figures of {evaluation.split}, n = {evaluation.scores.n:,}"
    return Page(f"{evaluation.model}: what it can do, and what it cannot", told, sections)


def parts(found: Evidence) -> tuple[Section, ...]:
    """The sections of what was measured beside the scores; they fit a model card too."""
    return (
        calibration_section(found.evaluation),
        abstention_section(found.evaluation.model, found.abstention),
        *((sets_section(found.sets),) if found.sets else ()),
        *((prior_section(found.prior),) if found.prior else ()),
        *((ceiling_section(found.humans),) if found.humans else ()),
        *((robustness_section(found.robustness),) if found.robustness else ()),
        *((stability_section(found.stability),) if found.stability else ()),
        *((shift_section(found.shift),) if found.shift else ()),
        *((groups_section(found.groups),) if found.groups else ()),
        *((head_section(found.people),) if found.people else ()),
        *((sets_section(found.people.sets),) if found.people and found.people.sets else ()),
    )


def verdict_points(found: Evidence) -> tuple[str, ...]:
    """A sentence of each part, the scores first."""
    evaluation = found.evaluation
    points = [f"{evaluation.model}: {spoken(evaluation)}."]
    if evaluation.leak_free and evaluation.leak_free != evaluation.scores:
        points.append(
            "Leak-free, on images that training and selection never saw: "
            f"{format_estimate(evaluation.leak_free.accuracy)}, n = {evaluation.leak_free.n:,}."
        )
    points += [strict_sentence(found.strict)] if found.strict else []
    points += looks_sentences(found.looks) if found.looks else ()
    points += [look_sentence(found.look)] if found.look else []
    points += [*_weakest(evaluation), calibration_sentence(evaluation), abstention_sentence(found.abstention)]
    if found.sets:
        points.append(sets_sentences(found.sets)[0])
    if found.humans:
        points.append(ceiling_sentences(found.humans)[0])
    if found.people:
        points += [f"What people see: {line}" for line in head_sentences(found.people)]
    if found.robustness:
        points.append(robustness_sentences(found.robustness)[0])
    if found.stability:
        points += stability_sentences(found.stability)[:2]
    if found.groups:
        points.append(gap_sentences(found.groups)[0])
    return tuple(points)


def _weakest(evaluation: Evaluation) -> list[str]:
    absent = [one.label for one in evaluation.per_class if not one.support]
    told = [weakest_class(evaluation), f"No image of {listed(absent)} here: nothing is known of it." if absent else ""]
    return [words for words in told if words]


def _protocol(evaluation: Evaluation, card: Card) -> tuple[str, ...]:
    how = card.training
    return (
        f"Fitted on the training set of {how.data} ({how.train_images:,} images), selected on val "
        f"({how.val_images:,}); these figures are of {evaluation.split}.",
        *(
            ("Temperature and threshold were fitted on val images that are not in the training set.",)
            if card.risk
            else ()
        ),
        INTERVALS,
        "It names the apparent expression in a picture, not what a person feels. Read docs/responsible-use.md.",
    )
