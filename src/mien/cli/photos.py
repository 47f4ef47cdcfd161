"""mien evaluate --photos: what a model and a detector make of photos whose faces are marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.console import note, progress, say, table

if TYPE_CHECKING:
    from mien.evaluation.photos import PhotoScores


def score_marked(
    model: str,
    csv: Path,
    detector: str,
    labels: str | None,
    out: Path | None,
    *,
    as_json: bool,
    overwrite: bool,
) -> None:
    """Recognize the photos that `csv` names, say what came of them, and write a page into `out`, where it is given."""
    from mien.data.marks import read_marks
    from mien.errors import InputError
    from mien.evaluation.photos import evaluate_photos
    from mien.labels import read_naming
    from mien.outputs import check_output, json_with
    from mien.recognize.finder import known_detector
    from mien.recognize.recognizer import Recognizer
    from mien.report.layout import check_page

    chosen = known_detector(detector)
    if chosen == "none":
        raise InputError("--photos looks for faces: --detector default or fast. Score ready crops with --data")
    naming = read_naming(labels) if labels else None
    if naming is not None and not isinstance(naming, dict):
        raise InputError("--labels: with --photos it says what the model calls a label, CLASS=NAME")
    recognizer = Recognizer(model, detector=chosen, truth="labels")
    photos = read_marks(csv, recognizer.labels, naming)
    if out is not None:
        check_page(out, "photos", overwrite=overwrite)
        check_output(out / "photos.json", json_with("photos_with_false"), overwrite=overwrite)
    with progress() as bar:
        found = evaluate_photos(recognizer, photos, (Path(model).stem, detector), csv, bar)
    if as_json:
        say(found.model_dump_json(indent=2))
    else:
        _show(found)
    if out is not None:
        _write(found, out, overwrite)


def _show(found: PhotoScores) -> None:
    from mien.report.photos import HEADER, NOTE, part_rows, photo_sentences

    table(f"{found.model} on marked photos, detector {found.detector}", HEADER, part_rows(found))
    for line in (*photo_sentences(found), NOTE):
        say(line)


def _write(found: PhotoScores, out: Path, overwrite: bool) -> None:
    from mien.files import write_whole
    from mien.report.layout import write_page
    from mien.report.photos import photos_page

    page = write_page(photos_page(found), out, "photos", overwrite=overwrite)
    write_whole(out / "photos.json", found.model_dump_json(indent=2) + "\n")
    note(f"report: {page}; its numbers and every face: {out / 'photos.json'}")
