"""The section of suspects: its sentences and table say what was found, its picture shows the very faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mien import FaceSet
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.suspects import LabelIssues, Suspect, Suspects
from mien.report import suspects as report
from mien.report.suspects import most_suspicious, suspect_sentences, suspects_section


def found_in(faces: FaceSet, names: Sequence[str], *, issues: int | None = None, conflicts: int = 1) -> Suspects:
    """The named images of train are suspicious, each of them said to be happy."""
    train = faces.select("train")
    label_of = {str(n): faces.label_set.labels[i] for n, i in zip(train.names, train.labels, strict=True)}
    ranked = tuple(
        Suspect(name=n, label=label_of[n], suggested="happy", quality=i / 200, conflict=i < conflicts)
        for i, n in enumerate(names)
    )
    return Suspects(
        source=faces.source,
        split="train",
        n=112,
        backbone="dinov2-small",
        size=98,
        folds=5,
        seed=3,
        accuracy=Estimate(value=0.5, low=0.4, high=0.6),
        issues=len(ranked) if issues is None else issues,
        per_class=tuple(
            LabelIssues(
                label=label,
                images=int((train.labels == k).sum()),
                issues=sum(one.label == label for one in ranked),
            )
            for k, label in enumerate(faces.label_set.labels)
        ),
        ranked=ranked,
    )


@pytest.fixture(scope="module")
def sad(drawn_faces: FaceSet) -> list[str]:
    train = drawn_faces.select("train")
    return [str(name) for name in train.names[train.labels == train.label_set.labels.index("sad")]]


def test_the_sentences(drawn_faces: FaceSet, sad: list[str]) -> None:
    first, second, third = suspect_sentences(found_in(drawn_faces, sad[:4]))
    assert first == (
        "Of 112 images of train cleanlab doubts the label of 4 (3.6 %). The classifier behind it (logistic regression "
        "on frozen dinov2-small features at 98 pixels, 5 folds, identical images in one fold, seed 3) gives the label "
        "itself to .500 [.400, .600] of the images."
    )
    assert second == f"Most doubted is sad: 4 of the {len(sad)} images labeled so."
    assert third.startswith("1 of the 4 listed images stands in the data with the same pixels under another label")


def test_what_a_list_leaves_out_is_said(drawn_faces: FaceSet) -> None:
    names = [str(name) for name in drawn_faces.select("train").names[:61]]
    words = suspect_sentences(found_in(drawn_faces, names, issues=501, conflicts=0))
    assert words[-2:] == (
        "The list shows the 500 most doubtful.",
        "The picture shows the first 60, the label that stands in the data over the suggested one.",
    )
    assert not any("star" in line for line in words)
    assert len(suspect_sentences(found_in(drawn_faces, names[:60], issues=500, conflicts=0))) == 2


def test_the_table(drawn_faces: FaceSet, sad: list[str], quick: None) -> None:
    section = suspects_section(found_in(drawn_faces, sad[:4]), drawn_faces)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in section.tables[0].rows}
    assert list(rows) == list(drawn_faces.label_set.labels)
    share = f"{4 / len(sad):.3f}".removeprefix("0")
    assert rows["sad"] == [str(len(sad)), "4", share, "happy (4 of 4)"]
    assert rows["fear"][1:] == ["0", ".000", "–"]
    assert "not a list of errors" in section.text[0]


def test_the_picture_shows_the_named_faces_in_order(
    drawn_faces: FaceSet, sad: list[str], monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    seen: list[tuple[np.ndarray, Suspect]] = []
    monkeypatch.setattr(report, "most_suspicious", lambda shown: (seen.extend(shown), most_suspicious(shown))[1])
    names = [sad[3], sad[0], sad[5]]
    (picture,) = suspects_section(found_in(drawn_faces, names), drawn_faces).pictures
    assert picture.name == "suspects"
    assert [suspect.name for _, suspect in seen] == names
    for image, suspect in seen:
        (row,) = np.flatnonzero((drawn_faces.names == suspect.name) & (drawn_faces.splits == "train"))
        assert np.array_equal(image, drawn_faces.images[row])


def test_faces_with_both_labels(drawn_faces: FaceSet, sad: list[str]) -> None:
    ranked = found_in(drawn_faces, sad[:12]).ranked
    rng = np.random.default_rng(0)
    shown = [(rng.integers(0, 256, (48, 48, 3) if i else (48, 48), dtype=np.uint8), s) for i, s in enumerate(ranked)]
    axes = most_suspicious(shown).axes
    assert len(axes) == 20
    assert [np.array_equal(a.images[0].get_array(), image) for a, (image, _) in zip(axes, shown, strict=False)] == [
        True
    ] * 12
    assert {a.images[0].get_interpolation() for a in axes[:12]} == {"nearest"}
    assert [text.get_text() for text in axes[0].texts] == ["sad *", "→ happy"]
    assert [text.get_text() for text in axes[1].texts] == ["sad", "→ happy"]
    assert not any(a.axison for a in axes[12:])
    assert sum(bool(a.images) for a in most_suspicious(shown * 6).axes) == 60
    with pytest.raises(InputError, match="no suspicious face"):
        most_suspicious([])


def test_nothing_found_is_no_picture(drawn_faces: FaceSet) -> None:
    section = suspects_section(found_in(drawn_faces, []), drawn_faces)
    assert section.pictures == ()
    assert len(section.points) == 1
    assert "doubts the label of 0 (0.0 %)" in section.points[0]


def test_other_data_are_refused(drawn_faces: FaceSet, sad: list[str]) -> None:
    other = replace(drawn_faces, names=np.char.add("x", drawn_faces.names))
    with pytest.raises(InputError, match=rf"its train split has no image {sad[0]}, which was found in"):
        suspects_section(found_in(drawn_faces, sad[:2]), other)
