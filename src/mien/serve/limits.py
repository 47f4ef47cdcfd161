"""Limits: what one request may ask of the server, and how many requests may be inside at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mien.errors import InputError
from mien.images import MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    """Every limit is at least 1; `InputError` otherwise, and for more pixels than `mien.images` decodes at all.

    Memory for request bodies stays under `request_bytes` x (`waiting` + threads), because a request has its place
    before its body is read.
    """

    request_bytes: int = 32 * 2**20  # of one request's body
    pictures: int = 16  # in one request
    pixels: int = MAX_PIXELS  # of one picture, read from its header before it is decoded
    faces: int = 64  # told of one picture, the largest first
    seconds: int = 30  # from a request's arrival to its answer
    waiting: int = 32  # requests inside beyond those being worked on
    video_bytes: int = 256 * 2**20  # of a file dropped on the page
    video_seconds: int = 300  # of work on one video of the page

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                name = field.name.replace("_", " ")
                raise InputError(f"limit of {name}: expected 1 or more, got {getattr(self, field.name)}")
        if self.pixels > MAX_PIXELS:
            raise InputError(f"limit of pixels: at most {MAX_PIXELS:,} are decoded, got {self.pixels:,}")
