"""Faces: what is recognized in a picture: a list of faces that also knows how to be shown, tabled and saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mien.errors import InputError
from mien.images import Pixels
from mien.recognize.quality import Quality, Why
from mien.shown import data_frame, picture_html, table_html

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image
    from rich.table import Table

    from mien.recognize.rows import Blank, Row

Picture: TypeAlias = "str | Path | bytes | Image.Image | Pixels"
_LONGEST_SIDE = 900  # pixels of a picture in a notebook
_SHIFTED = "(unlike the faces that the model was measured on: accuracy and share of wrong answers are not known)"
_BAR = 12  # characters of a bar in a terminal


@dataclass(frozen=True)
class Face:
    """One recognized face. `probabilities` are 0–1, sum to 1, and stand in the model's label order."""

    source: str
    emotion: str  # the most probable one, also where the model is unsure; in videos the one that has lasted
    probabilities: dict[str, float]
    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the upright picture
    detection_score: float | None  # 0–1; None where the picture was taken as a face
    unsure: bool  # the most probable emotion is less probable than the threshold
    quality: Quality | None = None  # None of tables and journals of an older mien
    set: tuple[str, ...] | None = None  # labels that hold the truth with the card's probability, most probable first

    def __str__(self) -> str:
        x, y, width, height = self.box
        others = sorted((p, name) for name, p in self.probabilities.items() if name != self.emotion)[::-1][:2]
        told = ", ".join(f"{name} {p:.2f}" for p, name in others)
        unsure = ", unsure" if self.unsure else ""
        held = f"; set: {', '.join(self.set)}" if self.set else ""
        return (
            f"{self.source}: {self.emotion} {self.confidence:.2f}{unsure} ({told}{held}) "
            f"at x {x}, y {y}, {width} × {height} pixels"
        )

    @property
    def confidence(self) -> float:
        """Probability of `emotion`."""
        return self.probabilities[self.emotion]

    @property
    def why_unsure(self) -> Why | None:
        """Of an unsure face: "too small", "turned away", or "not sure" where neither is so; else None."""
        if not self.unsure:
            return None
        return self.quality.why if self.quality else "not sure"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: all but the source, which stands beside."""
        values = asdict(self)
        del values["source"]
        held = None if self.set is None else list(self.set)
        return {**values, "box": list(self.box), "set": held, "why_unsure": self.why_unsure}

    @classmethod
    def from_dict(cls, source: str, values: dict[str, Any]) -> Face:
        """What `as_dict` gave."""
        own = {name: value for name, value in values.items() if name != "why_unsure"}
        quality = Quality(**own["quality"]) if own.get("quality") else None
        held = tuple(own["set"]) if own.get("set") else None
        return cls(source=source, **{**own, "box": tuple(own["box"]), "quality": quality, "set": held})


@dataclass(frozen=True)
class Place:
    """Where faces were found: the picture; of a video the frame, from 0, its time, and the faces' numbers."""

    source: str
    labels: tuple[str, ...]  # of the model, in its order
    frame: int | None = None
    time_s: float | None = None
    face_ids: tuple[int, ...] | None = None  # one for each face; None for 1, 2, 3 … from left to right


class Faces(list[Face]):
    """The faces of one picture, or of one frame of a video, from left to right.

    A list; a slice of it is a plain one. It holds on to the picture that was given (of a file, its name alone), so that
    it can be drawn: who keeps the faces of very many arrays takes `Recognizer.recognize`, which holds none.
    """

    def __init__(
        self,
        faces: Iterable[Face],
        place: Place,
        picture: Picture | None = None,
        error: str | None = None,
        *,
        shifted: bool = False,
    ) -> None:
        """`error`: why there are none, where the picture could not be read; see `on_error` of `Recognizer`.

        `shifted`: `Recognizer.watch` found that such faces are unlike those that the model was measured on.
        """
        super().__init__(faces)
        self.place, self.picture, self.error, self.shifted = place, picture, error, shifted

    @property
    def source(self) -> str:
        """The name of the picture or video."""
        return self.place.source

    @property
    def frame(self) -> int | None:
        """Of a video: the number of the frame, from 0."""
        return self.place.frame

    @property
    def time_s(self) -> float | None:
        """Of a video: seconds since its first frame."""
        return self.place.time_s

    @property
    def face_ids(self) -> tuple[int, ...]:
        """A number for each face; in a video a face keeps its number."""
        return self.place.face_ids or tuple(range(1, len(self) + 1))

    def __str__(self) -> str:
        """A line for each face, and one more where what the model promises is not known to hold."""
        if not self:
            return self.error or f"{self.source}: no face found"
        return "\n".join([*map(str, self), *([_SHIFTED] if self.shifted else [])])

    def rows(self) -> list[Row | Blank]:
        """What a table says of them: a row for each face, or one for a picture without a face or that failed."""
        from mien.recognize.rows import Blank, Row

        frame, time_s = self.frame, self.time_s
        if not self:
            return [Blank(self.source, frame, time_s, self.error)]
        return [Row(face, number, frame, time_s) for number, face in zip(self.face_ids, self, strict=True)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows of the table that `mien recognize --out` writes, by column name.

        A picture without a face, or that failed, has one row too: its `status` is `no_face` or `error`.
        """
        return _dicts([self])

    def to_pandas(self) -> pd.DataFrame:
        """The same rows as a data frame. Needs pandas, which mien does not install: the extra `pandas`."""
        return _frame([self])

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a table (.csv, .jsonl, .parquet) or the marked picture (.png, .jpg), by the suffix of `path`.

        What mien wrote there before is replaced, any other file only with `overwrite`, the picture itself never.
        Raises `InputError`.
        """
        from mien.errors import not_writable
        from mien.files import write_whole
        from mien.outputs import COPY, check_output
        from mien.recognize.annotate import encoded
        from mien.recognize.rows import FORMATS

        place = Path(path)
        if place.suffix.lower() not in COPY.suffixes:
            if place.suffix.lower() not in FORMATS:
                known = ", ".join((*FORMATS, *COPY.suffixes))
                raise InputError(f"{place}: cannot tell what to write by '{place.suffix}'. Expected one of {known}")
            return _save_table([self], place, overwrite=overwrite)
        content = encoded(self._marked(), place.suffix)
        check_output(place, COPY, [self.source], overwrite=overwrite)
        try:
            write_whole(place, content)
        except OSError as error:
            raise not_writable(place, error) from error
        return place

    def plot(self) -> Image.Image:
        """The picture with a box and bars at each face. Notebooks display it; elsewhere `.show()` does.

        A picture that was given as a path is read again. Raises `InputError` where it cannot be, or is not held.
        """
        from PIL import Image

        return Image.fromarray(self._marked())

    def __rich__(self) -> Table:
        """For `rich.print`: a row for each face, with a bar for each emotion that matters."""
        from rich.table import Table
        from rich.text import Text

        grid = Table(title=Text(str(self.source)), title_justify="left", title_style="bold")
        with_sets = any(face.set for face in self)
        for name in ("face", "emotion", "", "probabilities", *(["set"] if with_sets else []), "x, y, width, height"):
            grid.add_column(name)
        for number, face in zip(self.face_ids, self, strict=True):
            best, *others = _ordered(face)
            shown = Text("unsure" if face.unsure else best[0], style="dim" if face.unsure else "bold")
            bar = Text("█" * round(_BAR * best[1]), style=_color(face, best[0]))
            told = ", ".join(f"{name} {p:.2f}" for name, p in [best, *others[:2]])
            held = [", ".join(face.set or ())] if with_sets else []
            grid.add_row(str(number), shown, bar, told, *held, ", ".join(map(str, face.box)))
        if not self:
            grid.add_row("–", Text(self.error or "no face found"), "", "", "")
        return grid

    def _repr_html_(self) -> str:
        """For notebooks: the marked picture, and every probability as a bar."""
        if not self:
            return f"<p>{escape(str(self))}</p>"
        bars = "".join(_bars_html(number, face) for number, face in zip(self.face_ids, self, strict=True))
        return f'{self._picture_html()}<div style="display:flex;flex-wrap:wrap;gap:24px;margin:8px 0">{bars}</div>'

    def _picture_html(self) -> str:
        from mien.recognize.annotate import encoded

        try:
            shown = self.plot()
        except InputError as error:
            return f"<p>{escape(str(error))}</p>"
        shown.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        import numpy as np

        return picture_html(encoded(np.asarray(shown), ".jpg"), "image/jpeg")

    def _marked(self) -> Pixels:
        from mien.images import pixels_of
        from mien.recognize.annotate import annotate

        if self.picture is None:
            raise InputError(f"{self.source}: its pixels are not held. For frames of a video ask for keep_frames=True")
        ids = [str(number) for number in self.place.face_ids] if self.place.face_ids else ()
        return annotate(pixels_of(self.picture), self, ids)


class Batch(list[Faces]):
    """The faces of several pictures, in the order given; together they make one table."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows of all pictures; see `Faces.to_dicts`."""
        return _dicts(self)

    def to_pandas(self) -> pd.DataFrame:
        """The same rows as a data frame; see `Faces.to_pandas`."""
        return _frame(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all as one table: .csv, .jsonl or .parquet; see `Faces.save`."""
        return _save_table(self, Path(path), overwrite=overwrite)

    def _repr_html_(self) -> str:
        columns = ("source", "status", "face_id", "emotion", "unsure", "error")
        return table_html([{name: row[name] for name in columns} for row in self.to_dicts()])


def _dicts(found: Sequence[Faces]) -> list[dict[str, Any]]:
    names = _columns(found)
    rows = [row.values() for faces in found for row in faces.rows()]
    return [{name: row.get(name) for name in names} for row in rows]


def _frame(found: Sequence[Faces]) -> pd.DataFrame:
    return data_frame(_dicts(found), _columns(found))


def _columns(found: Sequence[Faces]) -> list[str]:
    from mien.recognize.rows import columns

    return columns(found[0].place.labels if found else ())


def _save_table(found: Sequence[Faces], path: Path, *, overwrite: bool) -> Path:
    from mien.recognize.rows import TableFile, check_table

    check_table(path, [faces.source for faces in found], overwrite=overwrite)
    with TableFile(path, found[0].place.labels if found else ()) as table:
        for faces in found:
            table.write(faces.rows())
    return path


def _ordered(face: Face) -> list[tuple[str, float]]:
    """The shown emotion, then the others, most probable first."""
    rest = sorted(face.probabilities.items(), key=lambda item: -item[1])
    return [(face.emotion, face.confidence), *(item for item in rest if item[0] != face.emotion)]


def _color(face: Face, label: str) -> str:
    from mien.recognize.annotate import color_of

    return color_of(label, list(face.probabilities))


def _bars_html(number: int, face: Face) -> str:
    from mien.recognize.annotate import headline

    bars = "".join(
        f'<div style="display:flex;gap:8px;align-items:center"><span style="width:6em">{escape(label)}</span>'
        f'<span style="width:10em;background:#8883"><span style="display:block;height:.9em;width:{100 * p:.1f}%;'
        f'background:{_color(face, label)}"></span></span><span>{p:.2f}</span></div>'
        for label, p in face.probabilities.items()
    )
    held = f"<div>set: {escape(', '.join(face.set))}</div>" if face.set else ""
    return f"<div><strong>{number}: {escape(headline(face))}</strong>{held}{bars}</div>"
