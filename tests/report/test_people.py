"""The section of the human ceiling: its table and picture hold the figures that were found."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.votes import Votes
from mien.evaluation.people import HumanCeiling, human_ceiling
from mien.evaluation.printed import format_estimate
from mien.labels import FER7
from mien.predictions import Predictions
from mien.report.people import ceiling_section, ceiling_sentences, tagger_and_model
from mien.report.style import BLUE, ORANGE

COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "fear", "unknown")  # nobody could vote disgust
N = 400


@pytest.fixture(scope="module")
def found() -> HumanCeiling:
    rng = np.random.default_rng(0)
    table = np.array([rng.multinomial(10, row) for row in rng.dirichlet(np.full(len(COLUMNS), 0.3), N)])
    probs = rng.dirichlet(np.ones(7), N)
    names, no = np.array([f"{i}.png" for i in range(N)], dtype=np.str_), np.zeros(N, dtype=bool)
    labels = rng.choice([0, 2, 3, 4, 5, 6], N)
    model = Predictions("val", FER7.labels, names, names, labels, probs.astype(np.float32), no, no)
    votes = Votes("made-up.csv", COLUMNS, {str(name): row for name, row in zip(names, table, strict=True)})
    return human_ceiling(model, votes, draws=100)


def test_the_table_holds_every_class_and_all_together(found: HumanCeiling, quick: None) -> None:
    section = ceiling_section(found)
    assert section.points == ceiling_sentences(found)
    (table,) = section.tables
    assert [row[0].text for row in table.rows] == [*FER7.labels, "all"]
    happy, disgust, together = table.rows[3], table.rows[1], table.rows[-1]
    row = found.per_class[3]
    assert row.human
    assert row.model
    assert row.labels
    assert row.confirmed
    figures = [format_estimate(figure) for figure in (row.human, row.model, row.labels, row.confirmed)]
    assert [cell.text for cell in happy[1:]] == [f"{row.images:.0f}", *figures]
    assert happy[-1].detail == f"n = {row.labeled}"
    assert [cell.text for cell in disgust[1:]] == ["0", "–", "–", "–", "–"]
    assert [cell.text for cell in together[1:]] == [
        f"{found.n}",
        *(format_estimate(figure) for figure in (found.rest.human, found.rest.model, found.rest.labels)),
        format_estimate(found.labels_majority),
    ]
    assert "On val" in table.note


def test_the_picture_stands_where_the_figures_do(found: HumanCeiling) -> None:
    left, right = tagger_and_model(found).axes
    asked = [row for row in found.per_class if row.label != "disgust"]
    assert [tick.get_text().split()[0] for tick in left.get_yticklabels()] == [row.label for row in asked]
    assert left.yaxis_inverted()
    for color, figures in ((ORANGE, [row.human for row in asked]), (BLUE, [row.model for row in asked])):
        lines = [line for line in left.get_lines() if line.get_color() == color]
        bars, dots = ([line for line in lines if len(line.get_xdata()) == n] for n in (2, 1))
        assert [list(bar.get_xdata()) for bar in bars] == [[x.low, x.high] for x in figures if x]
        assert [dot.get_xdata()[0] for dot in dots] == [x.value for x in figures if x]
    dots = [line.get_xydata()[0] for line in right.get_lines() if len(line.get_xdata()) == 1]
    expected = [x.value for group in found.by_doubt for x in (group.human, group.model, group.accuracy)]
    assert [y for _, y in dots] == expected
    assert [round(x) for x, _ in dots] == [q for q in range(len(found.by_doubt)) for _ in range(3)]
    assert right.get_xticklabels()[-1].get_text().endswith(f"n = {found.by_doubt[-1].n}")


def test_the_legend_names_all_three(found: HumanCeiling) -> None:
    (legend,) = tagger_and_model(found).legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["one tagger", "the model", "the model against the labels"]


def test_the_section_has_its_picture(found: HumanCeiling) -> None:
    (picture,) = ceiling_section(found).pictures
    assert picture.name == "human-ceiling"
    assert picture.png.startswith(b"\x89PNG")
