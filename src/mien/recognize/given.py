"""Given: pictures as a caller of `Recognizer` hands them over: what they are called, their pixels, or why not."""

from __future__ import annotations

import os
from typing import Literal, get_args

from mien.errors import InputError, unknown_name
from mien.images import Pixels, pixels_of
from mien.recognize.faces import Picture

OnError = Literal["raise", "keep"]


def check_on_error(on_error: OnError) -> OnError:
    """The same; raises `InputError` for anything but raise and keep."""
    if on_error not in get_args(OnError):
        raise unknown_name("on_error", on_error, get_args(OnError))
    return on_error


def read_given(picture: Picture, on_error: OnError) -> Pixels | str:
    """The pixels, or why there are none."""
    try:
        return pixels_of(picture)
    except InputError as error:
        if on_error == "raise":
            raise
        return str(error)


def name_of(picture: object, index: int) -> str:
    """Its path, or its number in the list, from 1."""
    if isinstance(picture, (str, os.PathLike)):
        return str(picture)
    return str(getattr(picture, "filename", "") or f"picture {index + 1}")
