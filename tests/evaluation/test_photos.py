"""Photos: the rule of matching on boxes made by hand, figures counted by hand, and a real face found and missed."""

from __future__ import annotations

from itertools import permutations
from math import hypot, inf, sqrt
from pathlib import Path

import cv2
import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from mien import InputError, Recognizer
from mien.data.marks import Box, Mark, read_marks
from mien.evaluation.photos import (
    MarkedFace,
    PhotoScores,
    evaluate_photos,
    matched,
    outcomes,
    score_photos,
    size_of,
)
from mien.images import read
from mien.recognize.faces import Face
from mien.recognize.vendored import vendored_folder
from mien.report.photos import part_rows, photo_sentences

PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"
ON_IT = (170, 70, 110, 140)  # its face, marked by hand


@pytest.mark.parametrize(
    ("found", "marked", "expected"),
    [
        ([], [(0, 0, 10, 10)], [None]),
        ([(0, 0, 10, 10)], [], []),
        ([(0, 0, 10, 10)], [(0, 0, 10, 10)], [0]),
        # The middle .34 and .36 sides away.
        ([(34, 0, 100, 100)], [(0, 0, 100, 100)], [0]),
        ([(36, 0, 100, 100)], [(0, 0, 100, 100)], [None]),
        ([(25, 25, 100, 100)], [(0, 0, 100, 100)], [None]),  # .354 aslant
        # Around the same middle, 2.4 and 2.6 times as large or small.
        ([(-120, -120, 240, 240)], [(-50, -50, 100, 100)], [0]),
        ([(-130, -130, 260, 260)], [(-50, -50, 100, 100)], [None]),
        ([(-20.5, -20.5, 41, 41)], [(-50, -50, 100, 100)], [0]),
        ([(-19.5, -19.5, 39, 39)], [(-50, -50, 100, 100)], [None]),
        # A head with its hair, of which a detector takes eyes to chin: their overlap is .44.
        ([(20, 45, 60, 95)], [(0, 0, 100, 130)], [0]),
        # Two finds on one face: the nearer is it, the other is false.
        ([(10, 0, 100, 100), (2, 0, 100, 100)], [(0, 0, 100, 100)], [1]),
        # Two faces side by side; the nearest for both is the same, and all are paired that can be.
        ([(20, 0, 100, 100), (-12, 0, 100, 100)], [(0, 0, 100, 100), (30, 0, 100, 100)], [1, 0]),
        ([(300, 0, 50, 50), (0, 0, 50, 50)], [(0, 0, 50, 50), (150, 0, 50, 50), (300, 0, 50, 50)], [1, None, 0]),
        ([(0, 0, 0, 0)], [(0, 0, 10, 10)], [None]),
    ],
)
def test_which_found_face_is_which_marked_one(found: list[Box], marked: list[Box], expected: list[int | None]) -> None:
    assert matched(found, marked) == expected


def by_trying_all(found: list[Box], marked: list[Box]) -> tuple[int, float]:
    """The most pairs, and of so many the least sum of distances."""

    def apart(one: Box, mark: Box) -> float:
        side, other = sqrt(mark[2] * mark[3]), sqrt(one[2] * one[3])
        far = hypot(one[0] + one[2] / 2 - mark[0] - mark[2] / 2, one[1] + one[3] / 2 - mark[1] - mark[3] / 2) / side
        return far if far <= 0.35 and 0.4 <= other / side <= 2.5 else inf

    best = (0, 0.0)
    slots = [*range(len(found)), *([-1] * len(marked))]
    for chosen in set(permutations(slots, len(marked))):
        costs = [apart(found[i], marked[m]) for m, i in enumerate(chosen) if i >= 0]
        if inf not in costs:
            best = max(best, (len(costs), -sum(costs)))
    return best


def test_as_many_as_can_be_are_paired_and_then_the_nearest() -> None:
    rng = np.random.default_rng(0)
    several = 0
    for _ in range(60):
        found, marked = (
            [tuple(map(float, (*rng.uniform(0, 40, 2), *rng.uniform(40, 110, 2)))) for _ in range(rng.integers(1, 4))]
            for _ in range(2)
        )
        pairs = matched(found, marked)  # type: ignore[arg-type]
        there = [(m, i) for m, i in enumerate(pairs) if i is not None]
        assert len({i for _, i in there}) == len(there)
        number, cost = by_trying_all(found, marked)  # type: ignore[arg-type]
        assert len(there) == number
        own = [
            hypot(found[i][0] + found[i][2] / 2 - marked[m][0] - marked[m][2] / 2,
                  found[i][1] + found[i][3] / 2 - marked[m][1] - marked[m][3] / 2) / sqrt(marked[m][2] * marked[m][3])
            for m, i in there
        ]  # fmt: skip
        assert sum(own) == pytest.approx(-cost)
        several += number > 1
    assert several > 10


def face(emotion: str, box: tuple[int, int, int, int]) -> Face:
    return Face("x", emotion, {emotion: 1.0}, box, 0.9, unsure=False)


def counted() -> PhotoScores:
    """Two photos: six marked faces, four of them found, one without a label; and two false ones on one photo."""
    first = [
        Mark((0, 0, 20, 20), "happy", "a"),
        Mark((100, 0, 50, 50), "sad", "a"),
        Mark((200, 0, 50, 50), "sad", "b"),
        Mark((300, 0, 100, 100), None, "b"),
    ]
    finds = [
        face("sad", (100, 0, 50, 50)), face("happy", (200, 0, 50, 50)), face("fear", (300, 0, 100, 100)),
        face("fear", (500, 0, 9, 9)), face("sad", (102, 0, 50, 50)),
    ]  # fmt: skip
    told, false = outcomes("1.jpg", first, finds)
    second = [Mark((0, 0, 200, 200), "happy", "b"), Mark((250, 0, 30, 30), "fear")]
    more, others = outcomes("2.jpg", second, [face("happy", (0, 0, 190, 190))])
    return score_photos(("m", "default"), ("fear", "happy", "sad"), 3, [*told, *more], [*false, *others])


def test_figures_counted_by_hand() -> None:
    found = counted()
    whole = found.whole
    assert (whole.marked, whole.labeled, whole.read, found.found) == (6, 5, 3, 6)
    assert whole.missed
    assert whole.missed.value == 2 / 6
    assert (whole.missed.low, whole.missed.high) == pytest.approx(proportion_confint(2, 6, method="wilson"))
    assert whole.accuracy_found
    assert whole.accuracy_found.value == 2 / 3
    assert whole.accuracy
    assert whole.accuracy.value == 2 / 5
    assert (whole.accuracy.low, whole.accuracy.high) == pytest.approx(proportion_confint(2, 5, method="wilson"))
    assert found.false
    assert found.false.value == 2 / 6
    assert found.photos_with_false.value == 1 / 3
    assert [(one.name, one.marked) for one in found.by_size] == [
        ("below 24 pixels", 1), ("24 to 47 pixels", 1), ("48 to 95 pixels", 2), ("96 to 191 pixels", 1),
        ("192 pixels or more", 1),
    ]  # fmt: skip
    assert [(one.name, one.marked, one.missed and one.missed.value) for one in found.by_group] == [
        ("a", 2, 0.5), ("b", 3, 0.0),
    ]  # fmt: skip
    assert {one.box for one in found.false_faces} == {(500, 0, 9, 9), (102, 0, 50, 50)}
    assert PhotoScores.model_validate_json(found.model_dump_json()) == found


def test_sentences_and_rows_of_these_figures() -> None:
    found = counted()
    missed, false, accuracy, few = photo_sentences(found)
    assert missed == "Missed: .333 [.097, .700] of 6 marked faces in 3 photos."
    assert false.startswith("False: .333 [.097, .700] of 6 found faces are marked by nobody; .333 [.061, .792] of the")
    assert accuracy.startswith("Photo in, emotion out: accuracy .400 [.118, .769] over 5 labeled faces, missed ones")
    assert accuracy.endswith("; .667 [.208, .939] over the 3 that are found.")
    assert "So few faces" in few
    assert [row[0] for row in part_rows(found)][-2:] == ["group a (few)", "group b (few)"]


def test_nothing_marked_nothing_found_nothing_labeled() -> None:
    nothing = score_photos(("m", "fast"), ("happy",), 1, [], [])
    assert photo_sentences(nothing)[:3] == (
        "No face is marked in 1 photo.",
        "Nothing was taken for a face.",
        "No marked face has a label, so nothing is said of emotions.",
    )
    blind = [MarkedFace(source="x", box=(0, 0, 9, 9), label="happy", group="", found=False, answer=None)]
    assert "none was found" in photo_sentences(score_photos(("m", "fast"), ("happy",), 1, blind, []))[2]


def test_where_sizes_begin() -> None:
    assert [size_of(side) for side in (1, 23.9, 24, 95.9, 96, 5000)] == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("detector", ["default", "fast"])
def test_a_real_face_is_found_and_one_that_is_not_there_is_missed(detector: str, tmp_path: Path) -> None:
    picture = read(PORTRAIT)
    gray = np.full_like(picture, 90)
    cv2.imwrite(str(tmp_path / "face.png"), picture[..., ::-1])
    cv2.imwrite(str(tmp_path / "none.png"), gray)
    csv = tmp_path / "marks.csv"
    x, y, width, height = ON_IT
    csv.write_text(
        "source,x,y,width,height,label\n"
        f"face.png,{x},{y},{width},{height},happy\nface.png,400,400,60,60,sad\nnone.png,,,,,\n"
    )
    recognizer = Recognizer("mien-tiny", detector=detector, truth="labels", threads=1)  # type: ignore[arg-type]
    found = evaluate_photos(recognizer, read_marks(csv, recognizer.labels), ("mien-tiny", detector), csv)
    assert (found.photos, found.found, len(found.false_faces)) == (2, 1, 0)
    assert [(one.found, one.answer) for one in found.faces] == [(True, "happy"), (False, None)]
    assert found.whole.accuracy
    assert found.whole.accuracy.value == 0.5


def test_a_box_beyond_the_picture_stops(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((30, 30), dtype=np.uint8))
    csv = tmp_path / "marks.csv"
    csv.write_text("source,x,y,width,height,label\nsmall.png,0,0,31.5,9,happy\n")
    recognizer = Recognizer("mien-tiny", threads=1)
    with pytest.raises(InputError, match=r"line 2: the box x 0, y 0, 31\.5 × 9 reaches beyond small.png"):
        evaluate_photos(recognizer, read_marks(csv, recognizer.labels), ("mien-tiny", "default"), csv)
