"""A model's page and its parts, of kept runs on the real data: what they say is what the numbers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.cards import Card
from mien.errors import InputError
from mien.evaluation.evidence import Evidence, evidence
from mien.predictions import Predictions
from mien.report.abstention import abstention_section, abstention_sentence, abstention_side_by_side, risk_coverage
from mien.report.calibration import calibration_section, calibration_sentence, calibration_side_by_side, reliability
from mien.report.model_page import evidence_page, verdict_points
from mien.report.people import people_side_by_side
from mien.report.robustness import robustness_side_by_side

RESULTS = Path(__file__).parents[2] / "results"


def of(name: str) -> tuple[Evidence, Card, Predictions]:
    card = Card.load(RESULTS / name / "card.json")
    predictions = Predictions.load(RESULTS / name / "predictions" / "test.npz")
    return evidence(predictions, name, card), card, predictions


@pytest.fixture(scope="module")
def tiny() -> tuple[Evidence, Card, Predictions]:
    return of("mien-tiny")


@pytest.fixture(scope="module")
def cnn() -> tuple[Evidence, Card, Predictions]:
    return of("cnn-v2")


def test_the_verdict_comes_first_and_every_point_has_its_count(tiny: tuple[Evidence, Card, Predictions]) -> None:
    found, card, predictions = tiny
    page = evidence_page(found, card)
    assert [section.title for section in page.sections] == [
        "Verdict", "Figures", "Class by class", "Calibration", "Abstention", "Prediction sets",
        "Protocol",
    ]  # fmt: skip
    points = verdict_points(found)
    right = (predictions.predicted == predictions.labels).mean()
    assert points[0].startswith(f"mien-tiny: test accuracy .{round(1000 * right)} [")
    assert all("n = " in point or " images" in point for point in points)
    recall = [(predictions.predicted[predictions.labels == k] == k).mean() for k in range(7)]
    assert f"It does worst on {card.labels[int(np.argmin(recall))]}: recall " in points[2]


def test_a_class_without_an_image_is_told(tiny: tuple[Evidence, Card, Predictions]) -> None:
    _, card, predictions = tiny
    found = evidence(predictions.keep(predictions.labels != 1), "mien-tiny", card)
    assert "No image of disgust here: nothing is known of it." in verdict_points(found)[3]


def test_calibration_is_told_before_and_after(
    tiny: tuple[Evidence, Card, Predictions], cnn: tuple[Evidence, Card, Predictions]
) -> None:
    assert calibration_sentence(tiny[0].evaluation).startswith(
        "The confidence can be read as the chance of being right"
    )
    assert calibration_sentence(cnn[0].evaluation).startswith("The confidence is off by more than chance explains")
    (table,) = calibration_section(cnn[0].evaluation).tables
    before, after = cnn[0].evaluation.untempered, cnn[0].evaluation.calibration
    assert before is not None
    assert after is not None
    assert [row[1].text for row in table.rows] == [f".{round(1000 * one.ece):03d}" for one in (before, after)]
    assert before.ece > 2 * after.ece


def test_the_diagram_shows_the_bins(cnn: tuple[Evidence, Card, Predictions]) -> None:
    found, card, predictions = cnn
    after = found.evaluation.calibration
    assert after is not None
    figure = reliability("m", after, found.evaluation.untempered)
    curves = {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}
    answers = predictions.tempered(card.temperature)
    top = answers.probabilities.max(axis=1)
    inside = (top > 14 / 15) & (top <= 1)
    expected = (top[inside].mean(), (answers.predicted == answers.labels)[inside].mean())
    assert tuple(np.asarray(curves["as answered"])[-1]) == pytest.approx(expected)
    assert len(np.asarray(curves["before temperature"])) == len(found.evaluation.untempered.bins)  # type: ignore[union-attr]
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == len(predictions)
    with pytest.raises(InputError, match="has no bins"):
        reliability("m", after.model_copy(update={"bins": ()}))


def test_abstention_in_words_and_in_the_picture(tiny: tuple[Evidence, Card, Predictions]) -> None:
    found, card, predictions = tiny
    given = predictions.tempered(card.temperature).probabilities.max(axis=1) >= card.threshold
    wrong = (predictions.predicted != predictions.labels)[given].mean()
    sentence = abstention_sentence(found.abstention)
    assert (
        f"{100 * given.mean():.0f} % of the images are answered (test, n = 3,589), .{round(1000 * wrong)} [" in sentence
    )
    assert sentence.endswith("The wanted risk is .20, fitted on val, and is kept here.")
    assert len(abstention_section("m", found.abstention).tables[0].rows) == 10
    figure = risk_coverage("m", found.abstention)
    x, y = figure.axes[0].get_lines()[0].get_data()
    assert (x[-1], y[-1]) == pytest.approx((1, (predictions.predicted != predictions.labels).mean()))
    bare = found.abstention.model_copy(update={"at_threshold": None, "wanted": None})
    assert "mien calibrate RUN" in abstention_sentence(bare)
    risk_coverage("m", bare)


def test_models_side_by_side(tiny: tuple[Evidence, Card, Predictions], cnn: tuple[Evidence, Card, Predictions]) -> None:
    found = {"mien-tiny": tiny[0], "cnn-v2": cnn[0]}
    (table,) = calibration_side_by_side(found).tables
    assert [(row[0].text, row[4].text) for row in table.rows] == [("mien-tiny", "yes"), ("cnn-v2", "no")]
    assert [point.split(":")[0] for point in abstention_side_by_side(found).points] == ["mien-tiny", "cnn-v2"]
    for empty in (people_side_by_side(found), robustness_side_by_side(found)):
        assert (empty.tables, empty.points, empty.pictures) == ((), (), ())
