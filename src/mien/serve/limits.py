"""Limits: what one request may ask of the server, and how many of them there may be at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mien.errors import InputError
from mien.image_files import MAX_PIXELS

PIXELS = 25_000_000  # see `Limits`


@dataclass(frozen=True)
class Limits:
    """Every limit is at least 1; `InputError` otherwise, and for more pixels than `mien.images` decodes at all.

    At the defaults a request takes at most 600 MB whatever it sends: up to 17 bytes a pixel (WebP), and a few times the
    size of its body. Memory for bodies that wait stays under `request_bytes` x (`waiting` + threads), because a request
    has its place before its body is read.
    """

    request_bytes: int = 32 * 2**20  # of one request's body
    pictures: int = 16  # in one request
    pixels: int = PIXELS  # of one decoded picture, known before it is decoded; larger JPEGs are decoded reduced
    faces: int = 64  # told of one picture, the largest first
    seconds: int = 30  # from a request's arrival to its answer
    waiting: int = 32  # requests inside beyond those being worked on
    connections: int = 512  # open at once, with or without a request

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                name = field.name.replace("_", " ")
                raise InputError(f"limit of {name}: expected 1 or more, got {getattr(self, field.name)}")
        if self.pixels > MAX_PIXELS:
            raise InputError(f"limit of pixels: at most {MAX_PIXELS:,} are decoded, got {self.pixels:,}")
