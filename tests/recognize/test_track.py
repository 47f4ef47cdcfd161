"""Tracker: numbers that stay with faces, emotions that do not flicker."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mien import InputError
from mien.recognize.faces import Face
from mien.recognize.track import Tracker, assign

LABELS = ("happy", "neutral", "sad")


def face(x: float, p: tuple[float, float, float] = (0.8, 0.1, 0.1), *, y: float = 50, side: int = 40) -> Face:
    values = dict(zip(LABELS, p, strict=True))
    box = (round(x - side / 2), round(y - side / 2), side, side)
    return Face("v", max(values, key=values.__getitem__), values, box, 0.9, unsure=False)


def ids(tracker: Tracker, faces: list[Face], time_s: float) -> list[int]:
    return [number for number, _ in tracker(faces, time_s)]


def test_numbers_count_from_one_and_stay_when_the_order_of_faces_changes() -> None:
    tracker = Tracker()
    assert ids(tracker, [face(50), face(200)], 0.0) == [1, 2]
    assert ids(tracker, [face(204), face(54)], 0.1) == [2, 1]
    assert ids(tracker, [face(58), face(130), face(208)], 0.2) == [1, 3, 2]


@pytest.mark.parametrize(("gap_s", "number"), [(0.5, 1), (0.95, 1), (1.3, 2), (20.0, 2)])
def test_a_face_that_is_lost_for_a_while_keeps_its_number_and_no_longer(gap_s: float, number: int) -> None:
    tracker = Tracker()
    assert ids(tracker, [face(50)], 0.0) == [1]
    for step in np.arange(0.1, gap_s, 0.1):
        assert ids(tracker, [], float(step)) == []
    assert ids(tracker, [face(55)], gap_s) == [number]


def test_where_looks_are_far_apart_a_face_of_the_look_before_is_not_lost() -> None:
    tracker = Tracker()
    assert [ids(tracker, [face(50 + i)], 5.0 * i) for i in range(4)] == [[1]] * 4


def test_numbers_are_not_used_twice() -> None:
    tracker = Tracker()
    seen = [ids(tracker, [face(50)] if i % 2 == 0 else [], 10.0 * i) for i in range(6)]
    assert seen == [[1], [], [2], [], [3], []]


def test_two_that_pass_each_other_keep_their_numbers_though_one_hides_the_other() -> None:
    tracker = Tracker()
    for i in range(31):
        left, right = 20 + 5 * i, 170 - 5 * i
        hidden = abs(left - right) < 30
        faces = [face(left)] if hidden else [face(left), face(right)]
        got = ids(tracker, faces, i / 25)
        assert got == ([1] if hidden else [1, 2]), i


def test_a_face_that_overlaps_with_nothing_is_the_nearest_one() -> None:
    tracker = Tracker()
    ids(tracker, [face(50), face(300)], 0.0)
    assert ids(tracker, [face(100), face(350)], 0.4) == [1, 2]  # moved by more than their width
    assert ids(tracker, [face(600)], 0.6) == [3]  # too far
    assert ids(Tracker(), [face(50), face(52, side=120)], 0.0) == [1, 2]


def test_a_face_of_another_size_at_the_same_place_is_another() -> None:
    tracker = Tracker()
    ids(tracker, [face(100, side=30)], 0.0)
    assert ids(tracker, [face(100, side=90)], 0.1) == [2]


def test_pairs_cost_least_together() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        costs = random.integers(0, 9, random.integers(1, 5, 2)).astype(np.float64)
        wide = costs if costs.shape[0] <= costs.shape[1] else costs.T
        every = itertools.permutations(range(wide.shape[1]), wide.shape[0])
        least = min(sum(wide[i, j] for i, j in enumerate(columns)) for columns in every)
        chosen = assign(costs)
        assert len(chosen) == min(costs.shape) == len({i for i, _ in chosen}) == len({j for _, j in chosen})
        assert sum(costs[pair] for pair in chosen) == least


@pytest.mark.parametrize("rate", [5, 25, 60])
def test_smoothing_is_that_of_a_low_pass_at_any_rate_of_frames(rate: int) -> None:
    """After a step from 0 to 1 the response at time t is 1 - exp(-t / constant)."""
    tracker = Tracker(smooth_s=0.4)
    tracker([face(50, (1.0, 0.0, 0.0))], 0.0)
    for i in range(1, 2 * rate + 1):
        [(_, got)] = tracker([face(50, (0.0, 0.0, 1.0))], i / rate)
        assert got.probabilities["sad"] == pytest.approx(1 - math.exp(-i / rate / 0.4), abs=1e-9)
        assert sum(got.probabilities.values()) == pytest.approx(1, abs=1e-12)


def test_uneven_times_weigh_by_their_length() -> None:
    tracker = Tracker(smooth_s=1.0)
    tracker([face(50, (1.0, 0.0, 0.0))], 0.0)
    tracker([face(50, (0.0, 1.0, 0.0))], 0.1)
    [(_, got)] = tracker([face(50, (0.0, 0.0, 1.0))], 0.9)
    first, second = math.exp(-0.9), (1 - math.exp(-0.1)) * math.exp(-0.8)
    assert list(got.probabilities.values()) == pytest.approx([first, second, 1 - first - second])


def shown(answers: list[tuple[float, float, float]], rate: int = 25, smooth_s: float = 0.4) -> list[str]:
    tracker = Tracker(smooth_s=smooth_s)
    return [tracker([face(50, p)], i / rate)[0][1].emotion for i, p in enumerate(answers)]


def changes(emotions: list[str]) -> int:
    return sum(a != b for a, b in itertools.pairwise(emotions))


def test_noise_around_equal_probabilities_does_not_flicker() -> None:
    random = np.random.default_rng(1)
    noisy = [(0.45 + d, 0.45 - d, 0.1) for d in random.normal(0, 0.08, 250).clip(-0.4, 0.4)]
    assert changes(shown(noisy, smooth_s=0)) > 80  # as it comes
    assert changes(shown(noisy)) <= 5  # in ten seconds


def test_a_single_wrong_answer_shows_nothing_and_a_lasting_change_shows_soon() -> None:
    happy, sad = (0.9, 0.05, 0.05), (0.05, 0.05, 0.9)
    assert changes(shown([happy] * 20 + [sad] + [happy] * 20)) == 0
    emotions = shown([happy] * 25 + [sad] * 25)
    assert changes(emotions) == 1
    assert 0.2 < (emotions.index("sad") - 25) / 25 < 0.5  # seconds: it leads at 0.28, by 0.15 at 0.35


def test_a_small_lead_shows_once_it_has_lasted_half_a_second() -> None:
    emotions = shown([(0.6, 0.3, 0.1)] * 5 + [(0.44, 0.5, 0.06)] * 75)
    assert changes(emotions) == 1  # 0.06 is no clear lead
    assert emotions.index("neutral") > 5 + 12


def test_without_smoothing_faces_stay_as_they_are() -> None:
    one, other = face(50, (0.5, 0.4, 0.1)), face(51, (0.4, 0.5, 0.1))
    tracker = Tracker(smooth_s=0, threshold=0.9)
    assert [tracker([one], 0.0)[0][1], tracker([other], 0.04)[0][1]] == [one, other]


def test_unsure_is_told_by_the_smoothed_confidence() -> None:
    tracker = Tracker(smooth_s=1.0, threshold=0.6)
    assert not tracker([face(50, (0.9, 0.05, 0.05))], 0.0)[0][1].unsure
    assert not tracker([face(50, (0.4, 0.3, 0.3))], 0.1)[0][1].unsure  # 0.85 smoothed
    for i in range(2, 40):
        [(_, got)] = tracker([face(50, (0.4, 0.3, 0.3))], i / 10)
    assert got.unsure


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf])
def test_impossible_times_are_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="expected seconds, 0 or more"):
        Tracker(smooth_s=seconds)
