"""Answer: from one encoded picture to what is recognized in it. Runs in a worker."""

from __future__ import annotations

from dataclasses import replace

from mien.errors import InputError
from mien.images import decode_reduced
from mien.recognize.faces import Face
from mien.recognize.recognizer import Recognizer
from mien.serve.limits import Limits
from mien.serve.schema import PictureOut, face_out
from mien.serve.upload import Upload


def answer(recognizer: Recognizer, upload: Upload, limits: Limits) -> PictureOut:
    """The faces of a picture, from left to right; `error` says why it cannot be read."""
    try:
        image, (width, height) = decode_reduced(upload.data, upload.name, limits.pixels)
    except InputError as error:
        return PictureOut(name=upload.name, faces=[], error=str(error))
    faces = recognizer.recognize([image], [upload.name])[0]
    largest = sorted(faces, key=lambda face: -face.box[2] * face.box[3])[: limits.faces]
    told = sorted(largest, key=lambda face: face.box[0])
    scale = width / image.shape[1]  # more than 1 where it was decoded reduced
    return PictureOut(
        name=upload.name,
        width=width,
        height=height,
        faces=[face_out(_enlarged(face, scale)) for face in told],
        more_faces=len(faces) - len(told),
    )


def _enlarged(face: Face, scale: float) -> Face:
    if scale == 1:
        return face
    x, y, width, height = (round(scale * value) for value in face.box)
    return replace(face, box=(x, y, width, height))
