"""The section of groups says what the figures say, marks small groups, and draws every group where it stands."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mien.evaluation.bootstrap import Estimate
from mien.evaluation.groups import Gap, Groups, GroupScore
from mien.report.groups import accuracy_by_group, gap_sentences, groups_section
from mien.report.style import BLUE, FAINT


def about(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def gap(plain: float, p: float, same_mix: float | None, p_same_mix: float | None, names: str = "ab") -> Gap:
    return Gap(
        higher=names[0],
        lower=names[1],
        difference=about(plain),
        p_value=p,
        same_mix=None if same_mix is None else about(same_mix),
        p_same_mix=p_same_mix,
        detectable=0.123,
    )


def groups(
    largest: Gap | None, clearest: Gap | None = None, same_mix: Gap | None = None, n: Mapping[str, int] | None = None
) -> Groups:
    sizes = n or {"a": 300, "b": 700}
    return Groups(
        split="test",
        n=sum(sizes.values()),
        without_group=1,
        labels=("happy", "sad", "fear"),
        scores=tuple(
            GroupScore(
                name=name,
                n=size,
                accuracy=about(0.5 + i / 10),
                macro_f1=about(0.4),
                mean_class_accuracy=about(0.45),
                overconfidence=about(-0.02),
                shares=(0.75, 0.25, 0.0) if i == 0 else (0.2, 0.3, 0.5),
            )
            for i, (name, size) in enumerate(sizes.items())
        ),
        largest=largest,
        clearest=clearest or largest,
        clearest_same_mix=same_mix or largest,
    )


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (
            gap(0.081, 0.0004, 0.07, 0.012),
            "Largest gap: a above b by 8.1 points [3.1, 13.1], p < .001; at the same mix of emotions 7.0 points "
            "[2.0, 12.0], p = .012: more than chance, and more than the mix of emotions.",
        ),
        (
            gap(0.081, 0.03, 0.011, 0.4),
            "Largest gap: a above b by 8.1 points [3.1, 13.1], p = .030; at the same mix of emotions 1.1 points "
            "[-3.9, 6.1], p = .40: more than chance; the mix of emotions explains most of it.",
        ),
        (gap(0.081, 0.03, 0.06, 0.2), "more than chance; whether the mix of emotions explains it cannot be told."),
        (gap(0.081, 0.03, -0.06, 0.02), "more than chance, and the mix of emotions turns it round."),
        (gap(0.01, 0.8, 0.09, 0.01), "p = .010: hidden by the mix of emotions."),
        (
            gap(0.01, 0.8, 0.02, 0.6),
            "p = .60: cannot tell them apart. With these numbers of images a test of this pair alone "
            "would show a true gap of 12.3 points four times in five.",
        ),
        (gap(0.0, 1.0, 0.0, 1.0), "cannot tell them apart."),
        (gap(0.2, 0.01, None, None), "by 20.0 points [15.0, 25.0], p = .010. The two share no emotion"),
        (None, "No two groups have 30 images each, so no gap is tested."),
    ],
)
def test_the_sentence_says_what_the_tests_say(one: Gap | None, sentence: str) -> None:
    (found,) = gap_sentences(groups(one))
    assert sentence in found


def test_surer_pairs_follow_the_largest() -> None:
    largest = gap(0.2, 0.3, 0.1, 0.5)
    surer, within = gap(0.1, 0.001, 0.02, 0.5, "cd"), gap(0.05, 0.3, 0.2, 0.004, "ef")
    first, second, third = gap_sentences(groups(largest, surer, within))
    assert first.startswith("Largest gap: a above b by 20.0 points")
    assert second.startswith("Surest gap: c above d by 10.0 points")
    assert third.startswith("Surest gap at the same mix of emotions: e above f by 5.0 points")
    assert len(gap_sentences(groups(largest, gap(0.1, 0.06, 0.1, 0.5, "cd"), gap(0.1, 0.2, 0.1, 0.05, "ef")))) == 1
    assert len(gap_sentences(groups(largest, surer, surer.model_copy()))) == 2


def test_the_tables_hold_the_figures(quick: None) -> None:
    section = groups_section(groups(gap(0.1, 0.2, 0.1, 0.2), n={"a": 29, "b": 1300}))
    figures, mixes = section.tables
    a, b = figures.rows
    assert [cell.text for cell in b] == [
        "b", "1,300", ".600 [.550, .650]", ".400 [.350, .450]", ".450 [.400, .500]", "-.020 [-.070, .030]"
    ]  # fmt: skip
    assert [cell.detail for cell in a] == ["", "few", "", "2 of 3 classes", "", ""]
    assert not any(cell.detail for cell in b)
    assert mixes.header == ("Share of the group", "happy", "sad", "fear")
    assert [[cell.text for cell in row] for row in mixes.rows] == [["a", ".75", ".25", "–"], ["b", ".20", ".30", ".50"]]
    assert section.points == (
        "Fewer than 30 images, marked “few” and left out of the tests: a.",
        "1 image of test is in no group.",
    )


def test_the_picture_marks_small_groups() -> None:
    found = groups(None, n={"a": 29, "a group with a long name indeed": 1300})
    (axes,) = accuracy_by_group(found).axes
    bars = [line for line in axes.get_lines() if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert [list(bar.get_xdata()) for bar in bars] == [pytest.approx([0.45, 0.55]), pytest.approx([0.55, 0.65])]
    small, large = (line for line in axes.get_lines() if line.get_marker() == "o")
    assert (small.get_xydata().tolist(), large.get_xydata().tolist()) == ([[0.5, 0.0]], [[0.6, 1.0]])
    assert (small.get_markerfacecolor(), small.get_markeredgecolor()) == ("white", FAINT)
    assert (large.get_markerfacecolor(), large.get_markeredgecolor()) == (BLUE, BLUE)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["a (n = 29, few)", "a group with a long nam… (n = 1,300)"]
    assert axes.yaxis_inverted()
    dashed = next(line for line in axes.get_lines() if line.get_linestyle() == "--")
    assert dashed.get_xdata()[0] == pytest.approx((29 * 0.5 + 1300 * 0.6) / 1329)


def test_many_groups_are_drawn_as_the_largest(quick: None) -> None:
    found = groups(None, n={f"g{i:02}": 10 + i for i in range(40)})
    (axes,) = accuracy_by_group(found).axes
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == [f"g{i:02}" for i in range(10, 40)]
    section = groups_section(found)
    assert section.points[-1] == "The picture shows the 30 largest of 40 groups."
    assert section.points[0].endswith("g08, g09 and others.")
    assert len(section.tables[0].rows) == 40
