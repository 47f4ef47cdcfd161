"""Upload: the encoded pictures of a request, from a form, from JSON, or as the whole body. They stay in memory."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien.serve.refusal import RefusedError
from mien.serve.schema import PictureIn, RecognizeRequest

FIELD = "files"  # of a form
_LONGEST_NAME = 200
_ACCEPTED = "multipart/form-data, application/json or image/*"


@dataclass(frozen=True)
class Upload:
    """One encoded picture and what it is called in the answer."""

    name: str
    data: bytes


async def read_uploads(request: Request, most: int) -> list[Upload]:
    """The pictures of `request`, at least one and at most `most`.

    Raises `RefusedError`: 413 for too many pictures, 415 for another kind of content, 422 for content that is not what
    its header says.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _from_form(request)
    elif kind == "application/json":
        uploads = _from_json(await request.body())
    elif kind.startswith("image/"):
        uploads = [Upload("picture 1", await request.body())]
    else:
        raise RefusedError(415, f"content type '{kind[:80]}': expected {_ACCEPTED}")
    if len(uploads) > most:
        raise RefusedError(413, f"{len(uploads)} pictures in one request; at most {most} are taken. Send several")
    return uploads


class _InMemory(MultiPartParser):
    """Never writes a picture to a file, as Starlette's parser does with those over 1 MB; the guard limits the body."""

    spool_max_size = 0  # SpooledTemporaryFile: no limit


async def _from_form(request: Request) -> list[Upload]:
    try:
        form = await _InMemory(request.headers, request.stream()).parse()
    except MultiPartException as error:
        raise RefusedError(422, f"not a form as its header says: {error.message}") from error
    try:
        uploads = [_from_part(field, part, i) for i, (field, part) in enumerate(form.multi_items())]
    finally:
        await form.close()
    if not uploads:
        raise RefusedError(422, f"the form has no file. Send one or several as '{FIELD}'")
    return uploads


def _from_part(field: str, part: UploadFile | str, index: int) -> Upload:
    if field != FIELD or isinstance(part, str):
        raise RefusedError(422, f"field '{field[:80]}' of the form: expected files named '{FIELD}' and nothing else")
    return Upload(_called(part.filename, index), part.file.read())


def _from_json(body: bytes) -> list[Upload]:
    try:
        wanted = RecognizeRequest.model_validate_json(body)
    except ValidationError as error:
        # Without the input that pydantic quotes: it may be a picture.
        told = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors())
        raise RefusedError(422, "; ".join(list(told)[:5])) from error
    pictures = [PictureIn(data=one) if isinstance(one, str) else one for one in wanted.images]
    return [Upload(_called(one.name, i), _decoded(one.data, i)) for i, one in enumerate(pictures)]


def _decoded(text: str, index: int) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(422, f"images.{index}: not base64 ({error})") from error


def _called(name: str | None, index: int) -> str:
    shown = "".join(c for c in name or "" if c.isprintable())[:_LONGEST_NAME]
    return shown or f"picture {index + 1}"
