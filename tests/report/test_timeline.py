"""Summary and timeline: shares of time, changes, and the picture of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.recognize.faces import Face
from mien.recognize.rows import Row
from mien.recognize.summary import BINS, COURSES, Summary
from mien.report.style import png_bytes, save
from mien.report.timeline import timeline

LABELS = ("happy", "neutral", "sad")


def row(face_id: int, emotion: str, time_s: float, *, p: float = 0.8, unsure: bool = False) -> Row:
    values = {label: p if label == emotion else (1 - p) / 2 for label in LABELS}
    return Row(Face("v", emotion, values, (0, 0, 9, 9), 0.9, unsure), face_id, 0, time_s)


def test_shares_are_shares_of_time_also_at_uneven_times() -> None:
    summary = Summary(LABELS)
    for time_s, emotion in ((0.0, "happy"), (0.5, "sad"), (2.0, "sad"), (2.5, "happy")):
        summary.add([row(1, emotion, time_s, unsure=time_s == 2.0)], time_s)
    summary.end(3.0)
    [face] = summary.faces
    assert face.seconds == pytest.approx({"happy": 1.0, "neutral": 0.0, "sad": 2.0})
    assert face.shares == pytest.approx({"happy": 1 / 3, "neutral": 0.0, "sad": 2 / 3})
    assert (face.changes, face.first_s, face.last_s) == (2, 0.0, 3.0)
    assert face.unsure_s == pytest.approx(0.5)


def test_a_face_counts_while_it_is_seen() -> None:
    summary = Summary(LABELS)
    for i in range(100):  # 10 s; face 1 from 1 to 3 s and from 6 to 7 s, face 2 from 6 s on
        time_s = i / 10
        rows = [row(1, "happy" if i < 30 else "sad", time_s)] if 10 <= i < 30 or 60 <= i < 70 else []
        rows += [row(2, "neutral", time_s)] if i >= 60 else []
        summary.add(rows, time_s)
    summary.end()
    one, two = summary.faces
    assert one.seconds == pytest.approx({"happy": 2.0, "neutral": 0.0, "sad": 1.0})
    assert (one.first_s, one.changes) == (1.0, 1)
    assert one.last_s == pytest.approx(7.0)
    assert two.seen_s == pytest.approx(4.0)
    assert summary.without_face_s == pytest.approx(1.0 + 3.0)
    assert one.as_dict()["shares"] == {"happy": 0.6667, "neutral": 0.0, "sad": 0.3333}


def test_one_look_stands_for_a_frame() -> None:
    summary = Summary(LABELS, step_s=0.04)
    summary.add([row(1, "sad", 0.0)], 0.0)
    summary.end()
    assert summary.faces[0].shares["sad"] == 1
    assert summary.faces[0].seen_s == pytest.approx(0.04)


def test_a_course_of_hours_is_as_small_as_one_of_a_minute_and_holds_the_same_sums() -> None:
    summary = Summary(LABELS)
    emotions = [LABELS[int(i)] for i in np.random.default_rng(0).integers(0, 3, 4000)]
    for i, emotion in enumerate(emotions):
        summary.add([row(1, emotion, 2.0 * i)], 2.0 * i)
    summary.end()
    [face] = summary.faces
    assert BINS / 2 <= len(face.course) <= BINS
    totals = sum(face.course.values())
    assert isinstance(totals, np.ndarray)
    np.testing.assert_allclose(totals[0], [2.0 * emotions.count(label) for label in LABELS])
    np.testing.assert_allclose(totals[1], [8000 * 0.1 + 2.0 * 0.7 * emotions.count(label) for label in LABELS])


def test_only_the_longest_of_very_many_faces_keep_a_course() -> None:
    summary = Summary(LABELS)
    for i in range(1000):
        summary.add([row(1, "happy", float(i)), row(2 + i, "sad", float(i))], float(i))
    summary.end()
    assert len(summary.faces) == 1001
    assert sum(bool(face.course) for face in summary.faces) <= 2 * COURSES + 1
    assert summary.faces[0].course


def watched(faces: int, seconds: int = 20) -> Summary:
    """Face number k comes after k seconds and stays to the end, so earlier ones are seen longer."""
    summary = Summary(LABELS)
    for i in range(seconds * 5):
        time_s = i / 5
        there = [k for k in range(1, faces + 1) if time_s >= k - 1]
        summary.add([row(k, LABELS[(i // 20 + k) % 3], time_s) for k in there], time_s)
    summary.end()
    return summary


def test_a_row_for_each_face_with_its_figures() -> None:
    figure = timeline(watched(2), "clip.mp4")
    assert figure.get_suptitle() == "clip.mp4"
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0].startswith("face 1: neutral 40 % of 20.0 s, 4 changes")
    assert titles[1].startswith("face 2: ")
    assert figure.axes[-1].get_xlim() == (0, pytest.approx(20))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(LABELS)
    png_bytes(figure)
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()][:3] == ["0:00", "0:05", "0:10"]


def test_the_longest_are_drawn_and_the_others_counted() -> None:
    figure = timeline(watched(7), "clip.mp4", most=3)
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["face 1", "face 2", "face 3"]
    assert figure.get_suptitle() == "clip.mp4 (and 4 more faces, seen more briefly)"


def test_a_face_is_drawn_if_it_is_seen_for_a_second_and_the_limit_is_said() -> None:
    summary = Summary(LABELS)
    for i in range(40):
        shown = [number for number, until in ((1, 40), (2, 10), (3, 9)) if i < until]
        summary.add([row(number, "sad", i / 10) for number in shown], i / 10)
    summary.end()
    figure = timeline(summary, "clip.mp4")
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["face 1", "face 2"]
    assert figure.get_suptitle() == "clip.mp4 (and 1 more face, seen more briefly)"
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said == ["A face that is out of sight for more than 1 s comes back with a new number: nobody is identified."]
    brief = Summary(LABELS)
    brief.add([row(1, "sad", 0.0)], 0.0)
    brief.end()
    assert len(timeline(brief, "clip.mp4").axes[0].get_title(loc="left")) > 0  # better than nothing


def test_areas_are_the_probabilities(tmp_path: Path) -> None:
    """The colors of a row as they are in the picture, against the shares they must have."""
    summary = Summary(("happy", "neutral"))
    for i in range(40):
        values = {"happy": 0.75, "neutral": 0.25}
        summary.add([Row(Face("v", "happy", values, (0, 0, 9, 9), 0.9, unsure=False), 1, i, i / 4)], i / 4)
    summary.end()
    figure = timeline(summary, "clip.mp4")
    figure.legends.clear()  # has the colors too
    save(figure, tmp_path / "t.png")
    pixels = np.asarray(Image.open(tmp_path / "t.png").convert("RGB")).astype(int)
    happy = (np.abs(pixels - [0xD5, 0x5E, 0x00]).sum(axis=2) < 6).sum()
    neutral = (np.abs(pixels - [0x00, 0x9E, 0x73]).sum(axis=2) < 6).sum()
    assert happy / neutral == pytest.approx((0.75 + 0.22) / 0.25, rel=0.05)  # with the band above, .22 high


def test_a_video_without_faces_or_frames_has_a_picture() -> None:
    empty = Summary(LABELS)
    empty.end()
    no_face = Summary(LABELS)
    no_face.add([], 0.0)
    no_face.end(5.0)
    for summary in (empty, no_face):
        figure = timeline(summary, "clip.mp4")
        assert "no face was found" in [text.get_text() for text in figure.axes[0].texts]
        assert png_bytes(figure)
