"""Upload: the encoded pictures of a request, from a form, from JSON, or as the whole body. They stay in memory.

What a stranger sends may be made to take long, so all of it runs in a worker, and bounds come before the work.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mien.serve.refusal import RefusedError
from mien.serve.schema import PictureIn, RecognizeRequest

FIELD = "files"  # of a form
_LONGEST_NAME = 200
_ACCEPTED = "multipart/form-data, application/json or image/*"
_SPACES = b" \t\r\n"
_SIGNS = b"[{,"  # one at least stands before each value of JSON but the first
_FEW_SIGNS = 50  # beside those of the pictures
_SIGNS_OF_PICTURE = 10 + _LONGEST_NAME  # its braces and commas, one of a data: URL, and those of its name


@dataclass(frozen=True)
class Upload:
    """One encoded picture and what it is called in the answer."""

    name: str
    data: bytes


def uploads_of(headers: Headers, body: bytearray, most: int) -> list[Upload]:
    """The pictures of a request, at least one and at most `most`.

    Raises `RefusedError` for too many pictures, for another type of content, and for content that is not what its
    header says.
    """
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _from_form(headers, body, most)
    if kind == "application/json":
        return _from_json(body, most)
    if kind.startswith("image/"):
        return [Upload("picture 1", bytes(body))]
    raise RefusedError("wrong_type", f"content type '{kind[:80]}': expected {_ACCEPTED}")


class _InMemory(MultiPartParser):
    """Never writes a picture to a file, as Starlette's parser does with those over 1 MB."""

    spool_max_size = 0  # SpooledTemporaryFile: no limit


def _from_form(headers: Headers, body: bytearray, most: int) -> list[Upload]:
    async def parsed() -> FormData:
        async def stream() -> AsyncGenerator[bytes, None]:
            yield bytes(body)

        return await _InMemory(headers, stream(), max_files=most, max_fields=0).parse()

    try:
        form = asyncio.run(parsed())  # a loop of its own, in this worker
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise _too_many(most) from error
        if "Too many fields" in error.message:
            raise RefusedError(
                "wrong_content", f"a field of the form is no file: send files named '{FIELD}'"
            ) from error
        raise RefusedError("wrong_content", f"not a form as its header says: {error.message}") from error
    try:
        uploads = [_from_part(field, part, i) for i, (field, part) in enumerate(form.multi_items())]
    finally:
        for _, part in form.multi_items():
            if isinstance(part, UploadFile):
                part.file.close()
    if not uploads:
        raise RefusedError("wrong_content", f"the form has no file. Send one or several as '{FIELD}'")
    return uploads


def _from_part(field: str, part: UploadFile | str, index: int) -> Upload:
    if field != FIELD or isinstance(part, str):
        raise RefusedError(
            "wrong_content", f"field '{field[:80]}' of the form: expected files named '{FIELD}' and nothing else"
        )
    return Upload(_called(part.filename, index), part.file.read())


def _from_json(body: bytearray, most: int) -> list[Upload]:
    # A reader of JSON makes an object of every value before anything looks at one: up to a hundred bytes for each.
    if sum(body.count(sign) for sign in _SIGNS) > _FEW_SIGNS + most * _SIGNS_OF_PICTURE:
        raise _too_many(most, "values")
    try:
        wanted = RecognizeRequest.model_validate_json(body)
    except ValidationError as error:
        # Without the input that pydantic quotes: it may be a picture.
        told = error.errors(include_url=False, include_context=False, include_input=False)[:5]
        raise RefusedError("wrong_content", "; ".join(_told(e["loc"], e["msg"]) for e in told)) from error
    if len(wanted.images) > most:
        raise _too_many(most)
    pictures = [PictureIn(data=one) if isinstance(one, str) else one for one in wanted.images]
    return [Upload(_called(one.name, i), _decoded(one.data, i)) for i, one in enumerate(pictures)]


def _told(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(part)[:40] for part in place)}: {message}".removeprefix(": ")


def _too_many(most: int, what: str = "pictures") -> RefusedError:
    return RefusedError(
        "many_pictures", f"too many {what} in one request; at most {most} pictures are taken. Send several"
    )


def _decoded(text: str, index: int) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text.encode("ascii").translate(None, _SPACES), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError("wrong_content", f"images.{index}: not base64 ({error})") from error


def _called(name: str | None, index: int) -> str:
    shown = "".join(c for c in (name or "")[:_LONGEST_NAME] if c.isprintable())
    return shown or f"picture {index + 1}"
