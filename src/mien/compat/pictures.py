"""Pictures as other packages take them: BGR arrays as cv2 reads them, paths, data URIs, open files; none by address."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.images import Pixels, decode, pixels_of

Given: TypeAlias = "str | Path | npt.NDArray[np.uint8] | IO[bytes]"
ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # of both packages
_V = TypeVar("_V")


def rgb(picture: Given) -> Pixels:
    """The pixels, `(H, W)` gray or `(H, W, 3)` RGB. Raises `InputError`, also for addresses: nothing is downloaded."""
    if isinstance(picture, np.ndarray):
        pixels = pixels_of(picture)
        return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    if isinstance(picture, str) and picture.startswith("data:image/"):
        return decode(_content(picture), "the data URI")
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        raise InputError(f"{picture}: is an address; mien downloads nothing. Save the picture and give its path")
    if isinstance(picture, (str, Path)):
        return pixels_of(picture)
    if hasattr(picture, "read"):
        return decode(picture.read(), "the open file")
    raise InputError(f"cannot read a picture from {type(picture).__name__}; expected a path, an array or a data URI")


def ordered(values: dict[str, _V]) -> dict[str, _V]:
    """In the order of the other packages; classes of one's own after theirs."""
    known = {label: values[label] for label in ORDER if label in values}
    return {**known, **values}


def _content(uri: str) -> bytes:
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise InputError(f"the data URI: not base64 ({error})") from error
