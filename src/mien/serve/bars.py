"""Bars: what the page shows of faces and pictures, as HTML that carries its pictures within itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from mien.images import Pixels
from mien.recognize.annotate import UNSURE, annotate, color_of, headline
from mien.recognize.recognizer import Face

_SIDE = 1280  # long side, in pixels, of a picture on the page


def faces_html(faces: Sequence[Face], more: int = 0) -> str:
    """A block for each face: its emotion, and a bar for every label in the order of the model."""
    if not faces:
        return message_html("No face found.")
    blocks = "".join(_face(face, i, len(faces)) for i, face in enumerate(faces, start=1))
    rest = f"<p>{more} smaller faces are not shown.</p>" if more else ""
    return f'<div class="mien-faces">{blocks}{rest}</div>'


def picture_html(image: Pixels, faces: Sequence[Face]) -> str:
    """The picture with its faces marked and numbered, reduced to what a screen shows."""
    names = [f"{i}:" for i in range(1, len(faces) + 1)] if len(faces) > 1 else ()
    shown = Image.fromarray(annotate(image, faces, names))
    shown.thumbnail((_SIDE, _SIDE))
    said = ", ".join(headline(face) for face in faces) or "no face found"
    return f'<img class="mien-picture" alt="{escape(said)}" src="{_inline(shown)}">'


def message_html(text: str, *, error: bool = False) -> str:
    """A sentence where a result would stand."""
    return f'<p class="mien-message{" mien-error" if error else ""}" role="status">{escape(text)}</p>'


def shares_html(title: str, shares: Mapping[str, float]) -> str:
    """The same kind of block for shares of time, 0–1 by label."""
    return _block(title, color_of(max(shares, key=shares.__getitem__), list(shares)), "shares of time", shares)


def _face(face: Face, number: int, count: int) -> str:
    color = UNSURE if face.unsure else color_of(face.emotion, list(face.probabilities))
    title = f"{number}: {headline(face)}" if count > 1 else headline(face)
    return _block(title, color, "probabilities", face.probabilities)


def _block(title: str, color: str, what: str, values: Mapping[str, float]) -> str:
    rows = "".join(_row(label, value, color_of(label, list(values))) for label, value in values.items())
    return (
        f'<section class="mien-face"><h3 style="--color:{color}">{escape(title)}</h3>'
        f'<div role="table" aria-label="{what}">{rows}</div></section>'
    )


def _row(label: str, value: float, color: str) -> str:
    return (
        f'<div class="mien-row" role="row"><span role="rowheader">{escape(label)}</span>'
        f'<i style="--share:{100 * value:.1f}%;--color:{color}"></i>'
        f'<b role="cell" data-label="{escape(label)}">{100 * value:.0f}&#8239;%</b></div>'
    )


def _inline(picture: Image.Image) -> str:
    """A `data:` URL, so that no file of it is ever written."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
