"""Answer: from the encoded pictures of a request to what is recognized in them. Runs in a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from mien.errors import InputError
from mien.images import Pixels, decode, header_size
from mien.recognize.recognizer import Face, Recognizer
from mien.serve.limits import Limits
from mien.serve.refusal import RefusedError
from mien.serve.schema import PictureOut, RecognizeResponse, face_out
from mien.serve.upload import Upload


def answer(
    recognizer: Recognizer, model: str, uploads: Sequence[Upload], limits: Limits, deadline: float
) -> RecognizeResponse:
    """The faces of all `uploads`, one picture in memory at a time.

    `deadline` is of `time.monotonic()`. Raises `RefusedError`: 400 when no picture can be read, 504 when time is over.
    """
    pictures = []
    for upload in uploads:
        if time.monotonic() > deadline:
            raise too_slow(limits)
        pictures.append(_picture(recognizer, upload, limits))
    errors = [picture.error for picture in pictures if picture.error]
    if errors and len(errors) == len(pictures):
        raise RefusedError(400, "; ".join(errors))
    return RecognizeResponse(model=model, images=pictures)


def too_slow(limits: Limits) -> RefusedError:
    return RefusedError(504, f"not done within {limits.seconds} s; send fewer or smaller pictures", retry_after=None)


def open_picture(upload: Upload, limits: Limits) -> Pixels:
    """Decoded and upright. Raises `InputError`, for too many pixels before a single one is decoded."""
    _check_header(upload, limits)
    return decode(upload.data, upload.name)


def recognize_picture(recognizer: Recognizer, image: Pixels, name: str, limits: Limits) -> tuple[list[Face], int]:
    """The largest faces, from left to right, and how many smaller ones were left out."""
    faces = recognizer.recognize([image], [name])[0]
    largest = sorted(faces, key=lambda face: -face.box[2] * face.box[3])[: limits.faces]
    kept = faces if len(faces) == len(largest) else sorted(largest, key=lambda face: face.box[0])
    return [replace(face, source=name) for face in kept], len(faces) - len(kept)


def _picture(recognizer: Recognizer, upload: Upload, limits: Limits) -> PictureOut:
    try:
        image = open_picture(upload, limits)
        faces, more = recognize_picture(recognizer, image, upload.name, limits)
    except InputError as error:
        return PictureOut(name=upload.name, faces=[], error=str(error))
    height, width = image.shape[:2]
    return PictureOut(
        name=upload.name, width=width, height=height, faces=[face_out(face) for face in faces], more_faces=more
    )


def _check_header(upload: Upload, limits: Limits) -> None:
    width, height = header_size(upload.data, upload.name)
    if width * height > limits.pixels:
        raise InputError(f"{upload.name}: more than {limits.pixels:,} pixels; reduce it first")
