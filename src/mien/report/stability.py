"""Stability: how often the answer to one face flips, and what smoothing does in films, in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.evaluation.stability import Change, FilmFlips, HeadStability, SeedFlips, Stability
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import MODELS, WIDTH, draw_estimate, share_axis, shorten, styled
from mien.report.words import listed, n_of

TITLE = "Stability"
WORDS: Mapping[Change, str] = {
    "shift_1": "shifted by 1 pixel of 48",
    "shift_2": "shifted by 2 pixels of 48",
    "larger": "face 3 % larger",
    "smaller": "face 3 % smaller",
    "left": "turned by 3° to the left",
    "right": "turned by 3° to the right",
    "jpeg_90": "saved again as JPEG, quality 90",
    "jpeg_75": "saved again as JPEG, quality 75",
}
_HEADS = {"labels": "labels", "people": "what people see"}
_MARKS = ("o", "s")
_TEXT = (
    "An answer flips where the same face, cut or saved a little otherwise, gets another emotion; neither has to be "
    "right. A film here is {frames} s of one face that stays as it is, at {fps} frames a second: its crop wanders as "
    "that of a detector does, and each frame has noise of its own, so that every change of the answer is an error. "
    "Smoothed: as mien smooths videos."
)


def stability_section(found: Stability) -> Section:
    """Flips under each small change, and in films."""
    note = f"Share of faces whose answer is another one, on {found.split}, {n_of(found.n, found.of)}; Wilson's 95 % "
    note += "interval. Mean and sure: over all changes, bootstrap over faces. Sure: not marked unsure as they are."
    alt = "Share of answers that flip under each small change, by head; as in the table."
    return Section(
        TITLE,
        text=(_text(found.heads[0].film),),
        points=stability_sentences(found),
        tables=(_table(found, note),),
        pictures=(Picture.of("stability", drawn(found), alt),),
    )


def stability_side_by_side(found: Mapping[str, Evidence]) -> Section:
    """Sentences of each model; empty where it was not measured."""
    known = {name: one.stability for name, one in found.items() if one.stability}
    if not known:
        return Section(TITLE)
    first = next(iter(known.values()))
    points = tuple(f"{name}: {' '.join(stability_sentences(one))}" for name, one in known.items())
    return Section(TITLE, text=(_text(first.heads[0].film),), points=points)


def stability_sentences(found: Stability) -> tuple[str, ...]:
    """How often answers flip, and what smoothing is worth, of each head."""
    several = len(found.heads) > 1
    sentences = []
    for head in found.heads:
        name = f"Head of {_HEADS[head.truth]}: " if several else ""
        sentences += [_begun(name + _flips(head, found)), _begun(name + film_sentence(head.film))]
    return tuple(sentences)


def film_sentence(film: FilmFlips) -> str:
    """What smoothing does, in plain words."""
    return (
        f"in films of a face that stays as it is, the answer changes {format_estimate(film.raw)} times a second, and "
        f"{format_estimate(film.smoothed)} times when smoothed; {_percent(film.still_raw.value)} of {film.films} films "
        f"show one emotion throughout, smoothed {_percent(film.still_smoothed.value)}."
    )


def seeds_sentence(found: SeedFlips) -> str:
    """How often trainings that differ by chance alone answer otherwise."""
    return (
        f"Of runs that differ by their seed ({listed(found.runs)}; n = {found.n:,}) two answer otherwise on "
        f"{format_estimate(found.share)} of the faces; all "
        f"{len(found.runs)} agree on {format_estimate(found.all_agree)}."
    )


@styled
def drawn(found: Stability) -> Figure:
    """A row for each small change, a dot with its interval for each head."""
    figure = Figure(figsize=(WIDTH, 3.0))
    axes = figure.subplots()
    for i, head in enumerate(found.heads):
        for row, one in enumerate(head.changes):
            at = row + 0.18 * (i - (len(found.heads) - 1) / 2) * 2
            mark = (MODELS[i % len(MODELS)], _MARKS[i % len(_MARKS)])
            draw_estimate(axes, one.share, at, mark, label=_HEADS[head.truth] if row == 0 else "")
    names = [shorten(WORDS[one.change], 40) for one in found.heads[0].changes]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(left=0)
    share_axis(axes.xaxis)
    axes.set_xlabel(f"share of faces whose answer flips, {found.split}, {n_of(found.n, found.of)}; 95 % interval")
    if len(found.heads) > 1:
        axes.legend(loc="lower right", fontsize=8)
    return figure


def _table(found: Stability, note: str) -> Table:
    heads = found.heads
    header = ("Small change", *(f"Flips, {_HEADS[head.truth]}" for head in heads))
    rows = [
        (Cell(_begun(WORDS[one.change])), *(Cell(format_estimate(head.changes[i].share)) for head in heads))
        for i, one in enumerate(heads[0].changes)
    ]
    rows += [
        (Cell("mean"), *(Cell(format_estimate(head.mean)) for head in heads)),
        (Cell("mean, sure answers"), *(Cell(format_estimate(head.sure) if head.sure else NONE) for head in heads)),
        (Cell("under at least one"), *(Cell(format_estimate(head.any)) for head in heads)),
        (Cell("in films, times a second"), *(Cell(format_estimate(head.film.raw)) for head in heads)),
        (Cell("the same, smoothed"), *(Cell(format_estimate(head.film.smoothed)) for head in heads)),
    ]
    return Table(header, tuple(rows), note)


def _flips(head: HeadStability, found: Stability) -> str:
    most = max(head.changes, key=lambda one: one.share.value)
    sure = f", of answers that are not marked unsure {format_estimate(head.sure)}" if head.sure else ""
    return (
        f"a small change of the crop flips {format_estimate(head.mean)} of the answers ({found.split}, "
        f"{n_of(found.n, found.of)}; mean over {len(head.changes)} changes){sure}; most where it is "
        f"{WORDS[most.change]}, {figure_text(most.share.value)}. {format_estimate(head.any)} of the faces flip under "
        "at least one of them."
    )


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _text(film: FilmFlips) -> str:
    return _TEXT.format(frames=f"{film.seconds:.0f}", fps=film.fps)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
