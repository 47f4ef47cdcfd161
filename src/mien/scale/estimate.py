"""Estimate: what a job will take, from a sample of it that is recognized on one core of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from time import perf_counter

from mien.errors import InputError
from mien.recognize.recognizer import Recognizer
from mien.scale.job import How
from mien.scale.look import looks
from mien.scale.source import Item

SAMPLE = 100  # pictures at most
_SECONDS = 60.0  # that the sample may take
_VIDEOS = 4  # at most, and of each
_LOOKS = 25


@dataclass(frozen=True)
class Estimate:
    """What is left to do. `seconds`: of one core, with the time to read the pictures from here."""

    pictures: int
    videos: int
    sampled: int
    seconds: float
    seconds_each: float  # of a picture, or of a video

    @property
    def core_hours(self) -> float:
        return self.seconds / 3600

    def price(self, per_core_hour: float) -> float:
        return self.core_hours * per_core_hour

    def hours(self, cores: float) -> float:
        """On so many cores."""
        return self.core_hours / max(cores, 1e-9)


def estimate(listed: Sequence[Item], recognizer: Recognizer, how: How, most: int = SAMPLE) -> Estimate:
    """Look at up to `most` of `listed`, spread evenly over it. `recognizer` should use one core."""
    pictures = [item for item in listed if not item.video]
    videos = [item for item in listed if item.video]
    sampled = seconds = each = 0.0
    if pictures:
        chosen = _spread(pictures, most)
        took, sampled = _timed(chosen, recognizer, how)
        each = took / sampled
        seconds += each * len(pictures)
    if videos:
        of_each = [_video_seconds(video, recognizer, how) for video in _spread(videos, _VIDEOS)]
        each_video = sum(of_each) / len(of_each)
        seconds += each_video * len(videos)
        sampled += len(of_each)
        each = each or each_video
    return Estimate(len(pictures), len(videos), int(sampled), seconds, each)


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    """`most` of them at equal distances."""
    count = min(len(items), most)
    return [items[i * len(items) // count] for i in range(count)]


def _timed(chosen: Sequence[Item], recognizer: Recognizer, how: How) -> tuple[float, int]:
    """Seconds, and of how many: the first ones open the networks and are not counted where there are others."""
    for _ in looks(list(chosen[:1]), recognizer, how):
        pass
    start, done = perf_counter(), 0
    for first in range(0, len(chosen), 8):
        some = list(chosen[first : first + 8])
        for _ in looks(some, recognizer, how):
            pass
        done += len(some)
        if perf_counter() - start > _SECONDS:
            break
    return perf_counter() - start, done


def _video_seconds(item: Item, recognizer: Recognizer, how: How) -> float:
    """Seconds of a whole video, from its first looks and the number of frames that its header tells."""
    start = perf_counter()
    rows = list(islice(looks([item], recognizer, how), _LOOKS))
    took = perf_counter() - start
    if len(rows) < _LOOKS:
        return took
    last = rows[-1][0].frame or 0
    frames = _frames(item)
    return took * max(1.0, frames / max(last + 1, 1))


def _frames(item: Item) -> int:
    from mien.recognize.video import Video
    from mien.scale.look import local_copy

    try:
        with local_copy(item.place) as file, Video(file) as video:
            return video.expected or 0
    except InputError:
        return 0


def parts_left(items: Sequence[Item], starts: Sequence[int], done: set[int]) -> Iterator[Item]:
    """Of a list that is counted off by `starts`, what lies in parts that are not done."""
    for part, (start, end) in enumerate(pairwise(starts)):
        if part not in done:
            yield from items[start:end]
