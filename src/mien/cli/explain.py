"""mien explain: which pixels of the faces in pictures a model's answer depends on, as a picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli.console import (
    DetectorOption,
    DetectSizeOption,
    ModelArgument,
    OverwriteOption,
    TruthOption,
    check_picture,
    counter,
    end_with,
    free_place,
    known_truth,
    note,
    save_picture,
    say,
)
from mien.errors import InputError

if TYPE_CHECKING:
    from mien.cards import Card
    from mien.explanation.explain import Explanation
    from mien.images import Pixels
    from mien.recognize.detector import Detector
    from mien.recognize.inputs import InputFile

_PICTURE = "explanation.png"
_DRAWN = 12  # faces at most in one picture
_Named: TypeAlias = "tuple[str, Explanation]"


def explain(
    model: ModelArgument,
    images: Annotated[list[str], typer.Argument(help="Pictures, folders of them, or patterns.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="auto, grad-cam (CNN runs), attention (vision transformers) or occlusion (any model, slower).",
        ),
    ] = "auto",
    label: Annotated[
        str | None, typer.Option("--label", help="Explain this class in place of the most probable one.")
    ] = None,
    truth: TruthOption = None,
    detector: DetectorOption = "default",
    detect_size: DetectSizeOption = 640,
    out: Annotated[
        Path, typer.Option("--out", help="PNG of all faces (12 at most), or a folder for one PNG of each picture.")
    ] = Path(_PICTURE),
    overwrite: OverwriteOption = False,
) -> None:
    """Show which pixels of each face the answer depends on: not why a person looks so.

    Faces are found and turned upright as mien recognize does. Exit code 0: all well; 1: some inputs failed, or have no
    face (listed); 2: a mistake.
    """
    from mien.explanation.explain import Explainer
    from mien.recognize.inputs import named_places, pictures

    places = named_places(images)
    drawn = _Drawn(out, places, model, overwrite=overwrite)
    explainer = Explainer(model, method, label, known_truth(truth))
    look = _opened(detector, detect_size)
    failed: list[str] = []
    looked_at = 0
    with counter("faces") as count:
        for one in pictures(places):
            if not drawn.room:
                note(f"a picture shows at most {_DRAWN} faces; for more name a folder: --out FOLDER")
                break
            looked_at += 1
            try:
                crops = _crops(one, explainer.card, look)
            except InputError as error:
                failed.append(str(error))
                note(f"error: {error}")
                continue
            if len(crops) > drawn.room:
                note(f"{one.path}: {len(crops)} faces, of which the first {drawn.room} from the left are explained")
            for number, found in enumerate(explainer(crops[: drawn.room]), start=1):
                count(1)
                _tell(one, found, number if len(crops) > 1 else 0)
                drawn.add(one, found, number if len(crops) > 1 else 0)
            drawn.end_picture(one)
    drawn.end()
    end_with(failed, inputs=looked_at)


def _opened(detector: str, size: int) -> Detector | None:
    """None where pictures are faces already."""
    from mien.recognize.detector import Detector
    from mien.recognize.finder import known_detector

    return None if known_detector(detector) == "none" else Detector(detector, size=size)


def _crops(one: InputFile, card: Card, detector: Detector | None) -> list[Pixels]:
    """The faces of a picture from left to right, cut as `Recognizer` does. Raises `InputError` where it has none."""
    from mien.images import read
    from mien.recognize.align import FER2013, upright_crops

    if one.error:
        raise InputError(one.error)
    image = read(one.path)
    if detector is None:
        return [image]
    _, crops = upright_crops(image, detector, card.alignment or FER2013)
    if not crops:
        raise InputError(f"{one.path}: no face found. If the picture is a face crop: --detector none")
    return crops


def _tell(one: InputFile, found: Explanation, number: int) -> None:
    which = f" face {number}" if number else ""
    says = "" if found.emotion == found.label else f" (says {found.emotion} {found.probabilities[found.emotion]:.3f})"
    if found.drop is None:
        drop = ""
    elif found.drop > 0:
        drop = f", −{found.drop:.3f} at most where a part is covered"
    else:
        drop = ", no less wherever a part is covered"
    say(f"{one.path}{which}: {found.label} {found.probability:.3f}{says}, {found.method}{drop}")


class _Drawn:
    """The picture of all faces, or a folder of one for each picture that was named."""

    def __init__(self, out: Path, places: Sequence[Path], model: str, *, overwrite: bool) -> None:
        """Raises `InputError`, before any work is done, where nothing could or must be written."""
        from mien.outputs import PICTURE, check_folder, check_ours
        from mien.recognize.inputs import check_apart, pictures

        self._one_file = out.suffix.lower() == ".png" and not out.is_dir()
        self._out, self._shown = out, list[_Named]()
        self._written: set[Path] = set()
        if self._one_file:
            check_picture(out, [*places, model], overwrite=overwrite)
            return
        check_apart(out, places)
        check_folder(out)
        used: set[Path] = set()
        for one in pictures(places):
            place = self._place(one, used)
            used.add(place)
            check_ours(place, PICTURE, overwrite=overwrite)

    @property
    def room(self) -> int:
        """Faces that can still be drawn, of the next picture."""
        return _DRAWN - len(self._shown)

    def add(self, one: InputFile, found: Explanation, number: int) -> None:
        """`number` of the face among those of its picture, 0 where it is the only one."""
        self._shown.append((f"face {number} of {one.path.name}" if number else one.path.name, found))

    def end_picture(self, one: InputFile) -> None:
        if not self._one_file:
            self._save(self._place(one, self._written))
            self._shown.clear()

    def _place(self, one: InputFile, used: Collection[Path]) -> Path:
        return free_place(self._out / one.under.with_suffix(".png"), used)

    def end(self) -> None:
        from mien.explanation.explain import CAVEAT

        if self._one_file and self._shown:
            self._save(self._out)
        note(CAVEAT if self._written else "no face to draw: nothing was written")

    def _save(self, path: Path) -> None:
        from mien.report.explanations import explained

        save_picture(explained(self._shown), path)
        self._written.add(path)
