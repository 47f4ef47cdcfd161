"""The picture of the data set has every count where it belongs."""

from __future__ import annotations

from mien.report.data import label_distribution


def test_label_distribution_draws_every_count_in_label_order() -> None:
    figure = label_distribution({"train": {"b": 30, "a": 1210}, "test": {"a": 5}}, ["b", "a"])
    train, test = figure.axes
    assert [bar.get_width() for bar in train.patches] == [30, 1210]
    assert [bar.get_width() for bar in test.patches] == [0, 5]  # a class without an image
    assert [text.get_text() for text in train.texts] == ["30 (2%)", "1,210 (98%)"]
    assert [text.get_text() for text in train.get_yticklabels()] == ["b", "a"]
    assert train.yaxis_inverted()  # the first label on top
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["train, n = 1,240", "test, n = 5"]
