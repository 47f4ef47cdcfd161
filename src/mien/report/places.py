"""Places: where names stand beside their marks in a crowded picture, so that they cover nothing that matters.

All lengths are in points; x grows to the right, y upwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import cos, hypot, radians, sin
from typing import NamedTuple

MARK = 4.0  # half the side of a mark
_REACH = (9, 13, 18, 25, 34, 45, 58, 73, 90)  # from a mark to the nearest edge of its name
_ANGLES = (0, 180, *(sign * angle for angle in range(15, 180, 15) for sign in (1, -1)))  # to the right comes first
_LINE_FROM = 13  # a name that far away is tied to its mark by a line
_CROWDED = 22  # nearer marks leave it open whose name is whose
_NEAR = 60  # names of marks nearer than this keep the marks' order


class Spot(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Box:
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def middle(self) -> Spot:
        return Spot((self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2)

    def overlaps(self, other: Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def holds(self, spot: Spot) -> bool:
        return self.x0 <= spot.x <= self.x1 and self.y0 <= spot.y <= self.y1

    def within(self, other: Box) -> bool:
        return self.x0 >= other.x0 and self.y0 >= other.y0 and self.x1 <= other.x1 and self.y1 <= other.y1

    def nearest(self, spot: Spot) -> Spot:
        return Spot(min(max(spot.x, self.x0), self.x1), min(max(spot.y, self.y0), self.y1))


class Place(NamedTuple):
    """Of one name; `tied` says that a line is to lead from the mark to it."""

    box: Box
    tied: bool


def place_names(
    spots: Sequence[Spot], sizes: Sequence[tuple[float, float]], bars: Sequence[Box], frame: Box
) -> list[Place]:
    """A place for the name (width, height) of the mark at each spot, in the order of the spots.

    Places are weighed by how far they are and by what a name or its line would cover: names and the frame most, marks
    less, `bars` least; and names that are near each other keep the order of their marks. Crowded marks choose first.
    """
    marks = [Box.around(spot.x, spot.y, 2 * MARK, 2 * MARK) for spot in spots]
    neighbors = [sum(_distance(spot, other) < _CROWDED for other in spots) - 1 for spot in spots]
    chosen: dict[int, Place] = {}
    lines: list[Spot] = []

    def weight(i: int, reach: float, box: Box) -> float:
        line, names = _way(spots[i], box), [place.box for place in chosen.values()]
        other_marks = [mark for j, mark in enumerate(marks) if j != i]
        return (
            reach
            + 1000 * sum(box.overlaps(name) for name in names)
            + 1000 * (not box.within(frame))
            + 60 * sum(box.overlaps(mark) for mark in other_marks)
            + 60 * sum(any(name.holds(spot) for spot in line) for name in names)
            + 40 * sum(box.holds(spot) for spot in lines)
            + 15 * sum(any(mark.holds(spot) for spot in line) for mark in other_marks)
            + 12 * sum(box.overlaps(bar) for bar in bars)
            + 25 * sum(_swapped(spots[i], box, spots[j], place.box) for j, place in chosen.items())
        )

    for i in sorted(range(len(spots)), key=lambda i: -neighbors[i]):
        reach, box = min(_around(spots[i], *sizes[i]), key=lambda place: weight(i, *place))
        chosen[i] = Place(box, reach >= _LINE_FROM or neighbors[i] > 0)
        lines += _way(spots[i], box) if chosen[i].tied else []
    return [chosen[i] for i in range(len(spots))]


def _around(spot: Spot, width: float, height: float) -> Iterator[tuple[float, Box]]:
    """Boxes around a mark, each with its distance from it."""
    for reach in _REACH:
        for angle in _ANGLES:
            x = spot.x + cos(radians(angle)) * (reach + width / 2)
            y = spot.y + sin(radians(angle)) * (reach + height / 2)
            yield reach, Box.around(x, y, width, height)


def _way(spot: Spot, box: Box) -> list[Spot]:
    """Spots on the way from a mark to the nearest point of a box."""
    end = box.nearest(spot)
    return [Spot(spot.x + t * (end.x - spot.x), spot.y + t * (end.y - spot.y)) for t in (0.2, 0.4, 0.6, 0.8, 1.0)]


def _swapped(spot: Spot, box: Box, other_spot: Spot, other: Box) -> bool:
    """Whether two names, near each other on one side of their marks, stand in the other order than these."""
    if _distance(spot, other_spot) > _NEAR or (box.x0 > spot.x) != (other.x0 > other_spot.x):
        return False
    return (spot.y - other_spot.y) * (box.y0 - other.y0) < 0


def _distance(first: Spot, second: Spot) -> float:
    return hypot(first.x - second.x, first.y - second.y)
