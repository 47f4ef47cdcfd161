"""Shown: how results look outside mien: rows, a data frame, a picture, and what a notebook displays.

pandas and matplotlib are imported when they are asked for. What a notebook gets is self-contained: no script, no style
sheet and no address, so that a saved notebook looks the same anywhere.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from mien.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.text import Text

Value: TypeAlias = "str | int | float | bool | None"
_MOST_ROWS = 20  # of a table in a notebook
_CELL = "padding:2px 10px;border-bottom:1px solid #8884;text-align:left"


class Shown:
    """What every result of evaluating, comparing and training offers besides its own fields."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows of `to_pandas`, as dictionaries by column name."""
        raise NotImplementedError

    def to_pandas(self) -> pd.DataFrame:
        """The same as a data frame. Needs pandas, which mien does not install: the extra `pandas`."""
        return data_frame(self.to_dicts())

    def plot(self) -> Figure:
        """The picture that reports have of it. Notebooks display it; `.savefig("name.png")` writes it."""
        # Pictures lie above what they show, so they are found by name: an import here would point upwards.
        figure: Figure = import_module("mien.report.figures").figure_of(self)
        return figure

    def __rich__(self) -> Text:
        """For `rich.print`: the lines of `print`."""
        from rich.text import Text

        return Text(str(self))

    def _repr_html_(self) -> str:
        """For notebooks: the lines of `print`, and the picture where there is something to draw."""
        from mien.errors import MienError

        parts = [f"<pre>{escape(str(self))}</pre>"]
        try:
            png = import_module("mien.report.figures").png_of(self)
        except MienError:  # nothing to draw yet, such as a run without an epoch
            return parts[0]
        return "".join([*parts, picture_html(png, "image/png")])


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows as a data frame. Raises `MissingExtraError` where pandas is not installed."""
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise MissingExtraError("to_pandas()", "pandas") from error
    frame = pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
    # Columns without any value are numbers that are missing, as `read_csv` has them, and no objects.
    return frame.astype({name: "float64" for name in frame if len(frame) and frame[name].isna().all()})


def picture_html(content: bytes, kind: str) -> str:
    """An encoded picture of the media type `kind`, within the text."""
    return f'<img alt="" style="max-width:100%;height:auto" src="data:{kind};base64,{b64encode(content).decode()}">'


def table_html(rows: Sequence[Mapping[str, Value]]) -> str:
    """Rows with the same columns; of many the first, and how many more there are."""
    if not rows:
        return ""
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(_text(value))}</td>' for value in row.values()) + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    more = len(rows) - _MOST_ROWS
    rest = f"<p>and {more:,} more rows: .to_pandas()</p>" if more > 0 else ""
    return f'<table style="border-collapse:collapse"><tr>{head}</tr>{body}</table>{rest}'


def _text(value: Value) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
