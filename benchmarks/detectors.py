"""What the face detectors miss and what they take for a face, and what photo in, emotion out is worth.

    python benchmarks/detectors.py --data fer2013.zip --to docs/detectors

Val faces of FER2013 on canvases (`benchmarks/canvases.py`). First all of them, large: what no detector finds even then
(cartoons, hands before the face, crops without the outline of a head) is left out of what follows. Then one condition
is changed at a time: size, turn, light, blur and crowd, for both detectors; the same faces at every level. Beside the
whole chain stands what the model says of the same faces as ready crops. Writes DIR/detectors.json, and from it DIR.md
with its picture; `--kept` writes the page again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from canvases import Scene, scenes
from docs_page import write_docs_page
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien import FaceSet, Recognizer
from mien.data.marks import Mark
from mien.evaluation.bootstrap import Estimate, Frozen, estimates
from mien.evaluation.photos import FalseFace, MarkedFace, PartScore, outcomes, score_photos
from mien.evaluation.printed import NONE, format_estimate, points_text
from mien.files import write_whole
from mien.report.layout import Cell, Page, Picture, Section, Table
from mien.report.style import BLUE, FAINT, ORANGE, WIDTH, name_lines, share_axis, styled

SPLIT = "val"
DETECTORS = {"default": "CenterFace (default)", "fast": "BlazeFace (fast)"}
_LOOK = {"default": (BLUE, "o"), "fast": (ORANGE, "s")}
MANY = 0.1  # missed
ALL, BASE = "all faces", "findable faces"
UNITS = {
    "size": "pixels a side", "turn": "degrees", "light": "times", "blur": "% of the side", "crowd": "faces a picture",
}  # fmt: skip
CONDITIONS: dict[str, dict[str, Scene]] = {
    ALL: {"144 pixels, upright": Scene(side=144)},
    BASE: {"96 pixels, upright": Scene()},
    "size": {str(side): Scene(side=side, crowd=4 if side < 200 else 1) for side in (16, 24, 32, 48, 64, 96, 144, 220)},
    "turn": {str(turn): Scene(turn=turn) for turn in (0, 10, 20, 30, 45, 60, 90)},
    "light": {
        **{f"{light:g}": Scene(light=light) for light in (0.05, 0.1, 0.2, 0.5, 1, 2, 3)},
        "side": Scene(shaded=True),
    },
    "blur": {f"{100 * blur:g}": Scene(blur=blur) for blur in (0, 0.01, 0.02, 0.03, 0.04, 0.06)},
    "crowd": {str(crowd): Scene(side=64, crowd=crowd) for crowd in (1, 4, 9, 20, 48)},
}
_COMMAND = "python benchmarks/detectors.py --data fer2013.zip --to docs/detectors"


class Level(Frozen):
    """One detector under one condition at one level."""

    condition: str
    level: str
    detector: str
    photos: int
    found: int
    false: Estimate | None
    faces: PartScore
    ready: Estimate  # accuracy of the same faces as ready crops
    lost: Estimate  # that minus the accuracy of the whole chain, missed ones wrong; paired bootstrap over faces


class Audit(Frozen):
    """All levels, and what was asked."""

    model: str
    data: str
    split: str
    seed: int
    command: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Asked:
    """The model behind each detector, faces in random order, and whether it is right on them as ready crops."""

    recognizers: dict[str, Recognizer]
    faces: FaceSet
    ready: npt.NDArray[np.bool_]  # (N,)
    seed: int

    def keep(self, which: npt.NDArray[np.bool_]) -> Asked:
        return replace(self, faces=self.faces.keep(which), ready=self.ready[which])


def audit(asked: Asked, fewer: int) -> Iterator[Level]:
    """All faces, then the findable ones, then at most `fewer` of these at each level."""
    ((level, scene),) = CONDITIONS[ALL].items()
    findable = np.zeros(len(asked.faces), dtype=bool)
    for detector in DETECTORS:
        found, seen = look(asked, (ALL, level, detector), scene)
        findable |= seen
        yield found
    asked = asked.keep(findable)
    few = asked.keep(np.arange(len(asked.faces)) < fewer)
    for condition, levels in list(CONDITIONS.items())[1:]:
        for level, scene in levels.items():
            for detector in DETECTORS:
                yield look(asked if condition == BASE else few, (condition, level, detector), scene)[0]


def look(asked: Asked, name: tuple[str, str, str], scene: Scene) -> tuple[Level, npt.NDArray[np.bool_]]:
    """One level, and by face whether it was found. `name`: condition, level, detector."""
    began = perf_counter()
    recognizer, labels = asked.recognizers[name[2]], asked.faces.label_set.labels
    told: list[MarkedFace] = []
    false: list[FalseFace] = []
    photos = 0
    for photos, canvas in enumerate(scenes(asked.faces, scene, seed=asked.seed), start=1):
        (found,) = recognizer.recognize([canvas.image], [str(photos)])
        marks = [Mark(face.box, labels[asked.faces.labels[face.number]]) for face in canvas.faces]
        own, others = outcomes(str(photos), marks, found)
        told += own
        false += others
    scores = score_photos((name[0], name[2]), labels, photos, told, false)
    right = np.array([face.answer == face.label for face in told])
    ready, ones = asked.ready.astype(float), np.ones(len(told))
    figures = estimates({"ready": (ready, ones), "lost": (ready - right, ones)}, seed=asked.seed)
    level = Level(
        condition=name[0], level=name[1], detector=name[2], photos=photos, found=scores.found, false=scores.false,
        faces=scores.whole, ready=figures["ready"], lost=figures["lost"],
    )  # fmt: skip
    print(" ".join(name), f"{perf_counter() - began:.0f} s, missed {told_share(scores.whole.missed)}", flush=True)
    return level, np.array([face.found for face in told])


def page(found: Audit) -> Page:
    told = f"{found.data}, {found.split}; {found.model}; every figure with its 95 % interval"
    sections = [
        Section(
            "Verdict", points=tuple(verdict(found)), pictures=(
                Picture.of("detectors", drawn(found), "Share of faces missed, and accuracy, under each condition."),
            ),
        ),
        Section("How it was measured", text=METHOD, code=(found.command,)),
        *(Section(name.capitalize(), tables=(table(found, name),)) for name in CONDITIONS),
    ]  # fmt: skip
    return Page("Face detectors: what they miss", told, tuple(sections))


METHOD = (
    "Faces of FER2013's PublicTest are put on pictures of 640 × 480 pixels without people, and one condition is "
    "changed at a time: four upright faces of 96 pixels a picture, unless said otherwise (64 pixels for crowds). The "
    "same faces are shown at every level, and to both detectors. A face is found where the middle of a found box lies "
    "within .35 of its side, and neither is more than 2.5 times as large as the other.",
    "FER2013's crops end at the chin and the forehead. Each is laid out in an oval that reaches a quarter of its side "
    "beyond it, filled with its mirror image: without anything around them, faces are missed that in photos are not. "
    "Some of FER2013's pictures show a cartoon, hands or no face; what neither detector finds at 144 pixels is left "
    "out of all but the first table.",
    "What it does not say: these are crops of 48 pixels, enlarged, on two photographs and gradients; photos have real "
    "heads, people who look away, and faces that are covered. So levels can be compared with each other, and the "
    "detectors; the shares are not those of your photos, which mien evaluate --photos measures. The model was chosen "
    "on these faces, so that its accuracy here is a little high; what the chain loses against ready crops is a paired "
    "difference. Shares have Wilson's interval, differences the bootstrap's over faces.",
)


def verdict(found: Audit) -> list[str]:
    (every,) = {one.faces.marked for one in found.levels if one.condition == ALL}
    (kept,) = {one.faces.marked for one in found.levels if one.condition == BASE}
    points = [
        f"Of {every:,} faces {every - kept:,} are found by neither detector even at 144 pixels; the following is "
        f"of the other {kept:,}."
    ]
    for detector, name in DETECTORS.items():
        (base,) = of(found, BASE, detector)
        assert base.faces.accuracy
        points.append(
            f"{name}: {told_share(base.faces.missed)} of upright faces of 96 pixels are missed, "
            f"{told_share(base.false)} of what it finds is no face. Photo in, emotion out: accuracy "
            f"{format_estimate(base.faces.accuracy)}, missed ones wrong; the same faces as ready crops "
            f"{format_estimate(base.ready)}, so {points_text(base.lost)} are lost."
        )
        points.append(f"{name} misses more than one in ten {limits(found, detector)}.")
    return points


def of(found: Audit, condition: str, detector: str) -> list[Level]:
    return [one for one in found.levels if (one.condition, one.detector) == (condition, detector)]


def limits(found: Audit, detector: str) -> str:
    """At which levels more than `MANY` is missed."""
    told = []
    for condition, unit in UNITS.items():
        levels = of(found, condition, detector)
        if bad := [one.level for one in levels if one.faces.missed and one.faces.missed.value > MANY]:
            told.append(f"{condition} {', '.join(bad)} ({unit})")
    return f"at {'; '.join(told)}" if told else "at no level here"


def table(found: Audit, condition: str) -> Table:
    header = ("Level", "Detector", "Missed", "False, of finds", "Photo in, emotion out", "Lost against ready crops")
    rows = [
        tuple(map(Cell, (
            f"{one.level} {UNITS.get(condition, '')}".strip() if one.level != "side" else "from one side",
            DETECTORS[one.detector],
            format_estimate(one.faces.missed) if one.faces.missed else NONE,
            f"{format_estimate(one.false)}, n = {one.found:,}" if one.false else NONE,
            format_estimate(one.faces.accuracy) if one.faces.accuracy else NONE,
            points_text(one.lost),
        )))
        for one in found.levels if one.condition == condition
    ]  # fmt: skip
    n = next(one.faces.marked for one in found.levels if one.condition == condition)
    ready = next(one.ready for one in found.levels if one.condition == condition)
    return Table(header, tuple(rows), f"n = {n:,} faces at each level; as ready crops {format_estimate(ready)}.")


def told_share(share: Estimate | None) -> str:
    return format_estimate(share) if share else NONE


@styled
def drawn(found: Audit) -> Figure:
    """Above the share that is missed, below the accuracy of the whole; a column for each condition."""
    figure = Figure(figsize=(WIDTH, 4.2))
    grid = figure.subplots(2, len(UNITS), sharey="row", squeeze=False)
    handles = []
    for column, (condition, unit) in zip(grid.T, UNITS.items(), strict=True):
        for detector in DETECTORS:
            levels = of(found, condition, detector)
            line = _line(column[0], [one.faces.missed for one in levels], detector)
            _line(column[1], [one.faces.accuracy for one in levels], detector)
            if condition == "size":
                handles.append(line)
        names = [one.level.removeprefix("0") or "0" for one in levels]
        column[1].axhline(levels[0].ready.value, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
        for axes in column:
            axes.set_xticks(range(len(names)), names, fontsize=7, rotation=90 if len(names) > 6 else 0)
            share_axis(axes.yaxis)
        column[0].set_title(condition.capitalize(), fontsize=9)
        column[0].tick_params(axis="x", labelbottom=False)
        column[1].set_xlabel(unit, fontsize=8)
    grid[0, 0].set_ylim(-0.03, 1.03)
    grid[1, 0].set_ylim(0, 0.85)
    grid[0, 0].set_ylabel("share of faces missed", fontsize=8)
    grid[1, 0].set_ylabel("accuracy,\nphoto in, emotion out", fontsize=8)
    handles.append(grid[1, 0].plot([], [], color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))[0])
    name_lines(figure, handles, [*DETECTORS.values(), "ready crops of the same faces"], columns=3)
    return figure


def _line(axes: Axes, shares: Sequence[Estimate | None], detector: str):  # noqa: ANN202  matplotlib's own
    color, mark = _LOOK[detector]
    there = [one for one in shares if one]
    at = range(len(there))
    axes.fill_between(at, [one.low for one in there], [one.high for one in there], color=color, alpha=0.18, linewidth=0)
    return axes.plot(at, [one.value for one in there], color=color, marker=mark, markersize=3.2)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="FER2013")
    parser.add_argument("--to", type=Path, required=True, help="folder; the page itself goes beside it, as FOLDER.md")
    parser.add_argument("--model", default="mien-small")
    parser.add_argument("--faces", type=int, default=300, help="at each level")
    parser.add_argument("--most", type=int, help="faces in all; those of val if left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="write the page again from what --to holds")
    options = parser.parse_args()
    file = options.to / "detectors.json"
    if not options.kept:
        faces = FaceSet.open(options.data, size=48).select(SPLIT)
        order = np.random.default_rng(0).permutation(len(faces))[: options.most]
        faces = faces.keep(order)
        eyes = {
            name: Recognizer(options.model, detector=name, threads=options.threads, truth="labels")
            for name in DETECTORS
        }
        said = eyes["default"].classify(list(faces.gather(np.arange(len(faces)))))
        asked = Asked(eyes, faces, said.argmax(axis=1) == faces.labels, 0)
        levels = tuple(audit(asked, options.faces))
        command = f"{_COMMAND}{f' --most {options.most}' if options.most else ''} --faces {options.faces}"
        found = Audit(
            model=options.model, data=faces.source, split=SPLIT, seed=0, command=command, levels=levels
        )  # fmt: skip
        write_whole(file, found.model_dump_json(indent=1) + "\n")
    found = Audit.model_validate(json.loads(file.read_text(encoding="utf-8")))
    write_docs_page(page(found), options.to)


if __name__ == "__main__":
    main()
