"""Live: what a camera sees, shown at once: a window where there is one, else a table in the terminal, else lines."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mien.cli.console import note, say

if TYPE_CHECKING:
    from rich.text import Text

    from mien.recognize.watch import Seen

_TITLE = "mien - q quits"
_ESCAPE = 27
_BAR = 40  # characters


class View(Protocol):
    """Shows frame after frame."""

    def show(self, seen: Seen) -> bool:
        """False where the person has had enough."""
        ...

    def close(self) -> None: ...


def open_view(*, quiet: bool) -> View:
    """The best view there is; `quiet` where standard output belongs to a program, which then gets nothing from here."""
    if has_window():
        return Window()
    if quiet:
        return Nothing()
    return LiveTable() if sys.stdout.isatty() else Lines()


def has_window() -> bool:
    """Whether this OpenCV can open windows (the headless one, which we depend on, cannot) and there is a display."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import cv2

    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        return False
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        return False
    return True


class Window:
    """The picture with its faces marked."""

    def show(self, seen: Seen) -> bool:
        import cv2

        from mien.recognize.annotate import annotate

        if seen.frame.image is None:
            return True
        names = [f"{row.face_id}" for row in seen.rows]
        marked = annotate(seen.frame.image, [row.face for row in seen.rows], names)
        cv2.imshow(_TITLE, cv2.cvtColor(marked, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) & 0xFF not in (ord("q"), _ESCAPE)

    def close(self) -> None:
        import cv2

        cv2.destroyAllWindows()


class LiveTable:
    """A row per face in the terminal, with its probabilities as one bar."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(refresh_per_second=8, transient=True)
        self._live.start()

    def show(self, seen: Seen) -> bool:
        if seen.frame.look:
            self._live.update(_table(seen))
        return True

    def close(self) -> None:
        self._live.stop()


class Lines:
    """A line wherever a face comes, goes or shows another emotion."""

    def __init__(self) -> None:
        self._shown: dict[int, str] = {}

    def show(self, seen: Seen) -> bool:
        from mien.recognize.annotate import headline
        from mien.report.timeline import clock

        if not seen.frame.look:
            return True
        now = {row.face_id: row.face.emotion for row in seen.rows}
        for row in seen.rows:
            if self._shown.get(row.face_id) != row.face.emotion:
                say(f"{clock(seen.frame.time_s)}  face {row.face_id}: {headline(row.face)}")
        for face_id in self._shown.keys() - now.keys():
            say(f"{clock(seen.frame.time_s)}  face {face_id}: out of sight")
        self._shown = now
        sys.stdout.flush()
        return True

    def close(self) -> None:
        pass


class Nothing:
    """For programs that read our JSON, and for those who wait for the table."""

    def show(self, seen: Seen) -> bool:
        return True

    def close(self) -> None:
        pass


def _table(seen: Seen) -> Any:
    from rich.table import Table
    from rich.text import Text

    from mien.recognize.annotate import color_of, headline
    from mien.report.timeline import clock

    faces = "1 face" if len(seen.rows) == 1 else f"{len(seen.rows)} faces"
    labels = list(seen.rows[0].face.probabilities) if seen.rows else []
    legend = Text("  ").join(Text.assemble(("█ ", color_of(label, labels)), label) for label in labels)
    grid = Table(title=f"{clock(seen.frame.time_s)}  {faces}", title_justify="left", caption=legend)
    grid.add_column("face", justify="right")
    grid.add_column("emotion", min_width=16, no_wrap=True)
    grid.add_column("probabilities", width=_BAR, no_wrap=True)
    for row in seen.rows:
        color = "" if row.face.unsure else color_of(row.face.emotion, labels)
        grid.add_row(f"{row.face_id}", Text(headline(row.face), style=color), _bar(row.face.probabilities))
    return grid


def _bar(probabilities: Mapping[str, float]) -> Text:
    """All of them in one bar, as long as the probability each, in the order and colors of the legend."""
    from rich.text import Text

    from mien.recognize.annotate import color_of

    bar, end, drawn = Text(), 0.0, 0
    for label, p in probabilities.items():
        end += p
        cells = round(end * _BAR) - drawn
        bar.append("█" * cells, style=color_of(label, list(probabilities)))
        drawn += cells
    return bar


def tell_stop(window: bool) -> None:
    note("q in the window, or Ctrl-C, ends" if window else "Ctrl-C ends")
