"""Summaries: tables of what videos showed: a row for each face, for each video, or for each group of videos.

Times are in seconds, shares and means 0–1. A share is that of the time in which a face was seen. Shapes: K classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mien import formats
from mien.errors import not_writable
from mien.outputs import MARK
from mien.recognize.about import About
from mien.recognize.summary import FaceSummary, Summary
from mien.scratch import scratch_file

By = Literal["by-face", "by-video"]
Values = dict[str, Any]


class Summaries:
    """Takes up video after video; memory grows with their faces alone."""

    def __init__(self, labels: Sequence[str], about: About | None = None) -> None:
        self._labels, self._about = tuple(labels), about
        self._faces: list[Values] = []
        self._videos: list[Values] = []

    def add(self, source: str, summary: Summary) -> None:
        """A video that was read to its end, or as far as it was read."""
        told = self._told(source)
        self._faces += [{"source": source, **_face(face), **told} for face in summary.faces]
        self._videos.append({"source": source, **_video(summary, self._labels), **told})

    def add_failed(self, source: str, why: str) -> None:
        """A video that could not be read: it has a row among the videos, so that nobody takes it as left out."""
        empty = dict.fromkeys(_video(Summary(self._labels), self._labels))
        self._videos.append({"source": source, **empty, **self._told(source), "error": why})

    def rows(self, by: By) -> list[Values]:
        """By column name, in the order of the videos."""
        return self._faces if by == "by-face" else self._videos

    def columns(self, by: By) -> list[str]:
        nothing = Summary(self._labels)
        face = FaceSummary(0, 0, 0, dict.fromkeys(self._labels, 0.0))
        first = _face(face) if by == "by-face" else _video(nothing, self._labels)
        return ["source", *first, *self._told("")]

    def groups(self, column: str) -> list[Values]:
        """A row for each value of a column of `about`: means over its videos in which a face was seen.

        Each video counts once, however long it is. Videos that failed are not in it; the empty value comes last.
        """
        by_value: dict[str, list[Values]] = {}
        for video in self._videos:
            if video["error"] is None:
                by_value.setdefault(video[column] or "", []).append(video)
        ordered = sorted(by_value.items(), key=lambda item: (item[0] == "", item[0]))
        return [_group(value, videos, self._labels) for value, videos in ordered]

    def group_columns(self) -> list[str]:
        return list(_group("", [], self._labels))

    def unnamed(self) -> list[str]:
        """Videos of which `about` tells nothing."""
        about = self._about
        return [video["source"] for video in self._videos if about and about.name_of(video["source"]) is None]

    def unseen(self) -> list[str]:
        """What `about` names and was not among the videos."""
        if not self._about:
            return []
        seen = {self._about.name_of(video["source"]) for video in self._videos}
        return [name for name in self._about.rows if name not in seen]

    def _told(self, source: str) -> Values:
        """The last columns."""
        return {**(self._about.of(source) if self._about else {}), "error": None, "format": formats.SUMMARY}


def taken(labels: Sequence[str]) -> list[str]:
    """Names of columns, which no column about videos may have."""
    plain = Summaries(labels)
    return [*plain.columns("by-face"), *plain.columns("by-video"), *plain.group_columns()]


def _face(face: FaceSummary) -> Values:
    seen, whole = face.seen_s, face.last_s - face.first_s
    return {
        "face_id": face.face_id,
        "first_s": round(face.first_s, 3),
        "last_s": round(face.last_s, 3),
        "seen_s": round(seen, 3),
        "missing_s": round(max(0.0, whole - seen), 3),
        "unsure_s": round(face.unsure_s, 3),
        "changes": face.changes,
        **_shares(face.shares, face.means),
    }


def _video(summary: Summary, labels: Sequence[str]) -> Values:
    faces = summary.faces
    seen = sum(face.seen_s for face in faces)
    shares = {label: sum(face.seconds[label] for face in faces) / seen if seen else None for label in labels}
    means = {label: sum(face.weighed[label] for face in faces) / seen if seen else None for label in labels}
    return {
        "length_s": round(summary.end_s, 3),
        "faces": len(faces),
        "seen_s": round(summary.end_s - summary.without_face_s, 3),
        "missing_s": round(summary.without_face_s, 3),
        "unsure_share": round(sum(face.unsure_s for face in faces) / seen, 4) if seen else None,
        **_shares(shares, means),
    }


def _group(value: str, videos: Sequence[Values], labels: Sequence[str]) -> Values:
    seen = [video for video in videos if video["faces"]]

    def mean(name: str) -> float | None:
        return round(sum(video[name] for video in seen) / len(seen), 4) if seen else None

    return {
        "group": value,
        "videos": len(videos),
        "videos_with_face": len(seen),
        "length_s": round(sum(video["length_s"] for video in videos), 3),
        "missing_s": round(sum(video["missing_s"] for video in videos), 3),
        "unsure_share": mean("unsure_share"),
        **{f"share_{label}": mean(f"share_{label}") for label in labels},
        **{f"mean_{label}": mean(f"mean_{label}") for label in labels},
        "format": formats.SUMMARY,
    }


def _shares(shares: Mapping[str, float | None], means: Mapping[str, float | None]) -> Values:
    named = {f"share_{label}": share for label, share in shares.items()}
    named |= {f"mean_{label}": p for label, p in means.items()}
    return {name: None if value is None else round(value, 4) for name, value in named.items()}


def write_summary(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """Write a table by the suffix of `path`: .csv, .jsonl or .parquet; whole or not at all. Raises `InputError`."""
    try:
        with scratch_file(path) as part:
            if path.suffix.lower() == ".parquet":
                _write_parquet(part, columns, rows)
            else:
                with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                    if path.suffix.lower() == ".csv":
                        writer = csv.DictWriter(file, columns)
                        writer.writeheader()
                        writer.writerows(rows)
                    else:
                        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            part.replace(path)
    except OSError as error:
        raise not_writable(path, error) from error


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole, real = pa.int64(), pa.float64()
    counts = dict.fromkeys(("face_id", "changes", "faces", "videos", "videos_with_face", "format"), whole)
    times = {name: real for name in columns if name.endswith("_s") or name.startswith(("share_", "mean_"))}
    kinds = {**times, "unsure_share": real, **counts}
    known = {name: pa.array([_readable(row[name]) for row in rows], kinds.get(name, pa.string())) for name in columns}
    table = pa.table(known)
    pq.write_table(table.replace_schema_metadata({MARK: "table"}), path)


def _readable(value: object) -> object:
    """Names of files that are no UTF-8 as Parquet takes them."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value
