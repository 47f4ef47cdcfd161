"""The main jobs in one file, through the Python interface: recognize a photo; train two CNNs, compare them, report.

python examples/demo.py [DATA]    DATA: labeled faces in any layout; without it, cartoon faces are drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mien import FaceSet, Recipe, Recognizer
from mien.cli.console import log_to_stderr, progress
from mien.data.draw import draw_set
from mien.errors import MienError
from mien.images import read
from mien.recognize.annotate import annotate, headline
from mien.recognize.vendored import vendored_folder
from mien.report.plots_faces import recognized
from mien.report.style import save
from mien.studies.gather import report
from mien.studies.study import study

RUNS = Path("runs")


def main(data: str | None) -> None:
    log_to_stderr()
    recognize_portrait()
    path, epochs = (draw_set(RUNS / "drawn.zip", 1500, seed=0, overwrite=True), 10) if data is None else (Path(data), 2)
    with progress() as bar:
        faces = FaceSet.open(path, size=48, progress=bar)
    out = RUNS / f"demo-{path.name.partition('.')[0]}-{faces.fingerprint[:6]}"  # other data, another folder
    recipes = [Recipe.load(name, [f"epochs={epochs}"]) for name in ("cnn-v1", "cnn-v2")]
    with progress() as bar:
        runs = study(recipes, faces, out, progress=bar)
    title = f"Demo: two CNNs, {epochs} epochs on {faces.source}"
    page = report(out, title, [" ".join(["python", *sys.argv])], [run.name for run in runs])

    unseen = faces.select("test") if (faces.splits == "test").any() else faces.select("val")
    image = unseen.gather(np.array([0]))[0]
    recognizer = Recognizer(runs[1].folder, detector="none")  # the image is a face, cut out already
    ((face,),) = recognizer.recognize([image], [f"{unseen.names[0]}, read by {runs[1].name}"])
    picture = out / "face.png"
    save(recognized([(image, face)]), picture)

    print(f"report:  {page}")
    print(f"picture: {picture} ({headline(face)})")
    print("on real data: make demo DATA=path/to/fer2013.zip" if data is None else "in full: mien study --help")


def recognize_portrait() -> None:
    """A real photo, read by the bundled model, which needs no training."""
    photo = vendored_folder("pictures") / "astronaut.jpg"
    picture = read(photo)
    faces = Recognizer()(picture)
    place = RUNS / "astronaut.jpg"
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(annotate(picture, faces)).save(place)
    print(f"photo:   {place} ({', '.join(headline(face) for face in faces)})")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
    except MienError as error:
        sys.exit(f"error: {error}")
