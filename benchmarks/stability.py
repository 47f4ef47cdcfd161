"""How often answers flip on val faces of FER2013: small changes, films through the whole chain, and other seeds.

    python benchmarks/stability.py --data fer2013.zip --to docs/stability mien-small mien-tiny cnn-v2 \
        --seeds results/cnn-v1 runs/cnn-v1-seed1

Models are bundled, or folders under `results/` with their weights. Films are drawn: a face of 140 pixels that moves a
little before a photograph, with noise and JPEG in every frame; a detector finds it and `Tracker` smooths it, as in a
video, but for the reading of a file. `--seeds`: run folders of one recipe, whose predictions of val are kept. Writes
DIR/stability.json, and from it DIR.md; `--kept` writes the page again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from canvases import Placed, background, paste
from docs_page import write_docs_page

from mien import FaceSet, Run
from mien.evaluation.bootstrap import Frozen
from mien.evaluation.printed import NONE, format_estimate
from mien.evaluation.stability import (
    FPS,
    FRAMES,
    GRAIN,
    FilmFlips,
    SeedFlips,
    Stability,
    between_seeds,
    film_flips,
    stability,
)
from mien.files import write_whole
from mien.images import Pixels
from mien.model import Model
from mien.recognize.align import FER2013, upright_crop
from mien.recognize.detector import Detector
from mien.recognize.naming import bundled
from mien.report.layout import Cell, Page, Picture, Section, Table
from mien.report.stability import drawn, seeds_sentence, stability_section, stability_sentences

SPLIT, SIDE, SWAY = "val", 140, 6.0  # pixels
QUALITY = 85  # of JPEG, for what a film's own compression does
ENOUGH = 0.9  # of the frames: where the face is found less often, the film is left out
RESULTS = Path(__file__).parents[1] / "results"


class Films(Frozen):
    """Whole films, by detector and head."""

    model: str
    detector: str
    truth: str
    left_out: int  # films in which the face is found in under `ENOUGH` of the frames
    flips: FilmFlips


class Measured(Frozen):
    models: dict[str, Stability]
    films: tuple[Films, ...]
    seeds: SeedFlips | None
    data: str
    seconds: dict[str, float]


def frames(crop: Pixels, number: int) -> Iterator[Pixels]:
    """A face that sways a little before a photograph; noise and JPEG are new in each frame."""
    chance = np.random.default_rng(number)
    behind = background(chance, 1)
    begin, pace = chance.uniform(0, 2 * np.pi, 2), chance.uniform(0.2, 0.6, 2)  # turns a second
    for i in range(FRAMES):
        x, y = SWAY * np.sin(begin + 2 * np.pi * pace * i / FPS)
        image = behind.copy()
        paste(image, crop, Placed(0, behind.shape[1] / 2 + x, behind.shape[0] / 2 + y, SIDE, 0.0), head=True)
        grainy = np.clip(np.rint(image + chance.normal(0, GRAIN, image.shape)), 0, 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", grainy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        seen = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert seen is not None
        yield np.ascontiguousarray(seen[..., ::-1])


def films(models: Sequence[Model], faces: FaceSet, count: int) -> Iterator[Films]:
    for name in ("default", "fast"):
        detector = Detector(name, threads=1)
        crops: list[list[Pixels]] = []
        for number, face in enumerate(faces.gather(np.arange(count))):
            crops.append([cut for image in frames(face, number) if (cut := nearest(image, detector)) is not None])
        kept = [film for film in crops if len(film) >= ENOUGH * FRAMES]
        print(f"{name}: {len(kept)} of {count} films", flush=True)
        for model in models:
            said = [model.outputs([model.card.preprocess.pixels(crop) for crop in film]) for film in kept]
            for truth in model.card.truths:
                told = film_flips([model.card.answers(film, truth) for film in said], model.card.head(truth).labels)
                yield Films(model=model.name, detector=name, truth=truth, left_out=count - len(kept), flips=told)


def nearest(image: Pixels, detector: Detector) -> Pixels | None:
    """The crop of the face that was found nearest to the middle; None where none is there."""
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    found = [(np.hypot(*(one.points[:2].mean(axis=0) - middle)), one) for one in detector(image)]
    near = [one for apart, one in sorted(found, key=lambda pair: pair[0]) if apart < SIDE / 2]
    return upright_crop(image, near[0], FER2013) if near else None


def opened(name: str) -> Model:
    return Model.open(name if name in bundled() else RESULTS / name)


def page(found: Measured) -> Page:
    first = next(iter(found.models.values()))
    pictures = tuple(
        Picture.of(f"stability-{name}", drawn(one), f"{name}: share of answers that flip under each small change.")
        for name, one in found.models.items()
    )
    seeds = (Section("Seeds", points=(seeds_sentence(found.seeds),)),) if found.seeds else ()
    return Page(
        "Stability: how often the answer to one face flips",
        f"{found.data}, {SPLIT} (PublicTest); every figure with its 95 % interval",
        (
            Section("Verdict", points=tuple(verdict(found)), pictures=pictures[:1]),
            Section("Small changes of the crop", stability_section(first).text, tables=(small_changes(found),)),
            Section("Films through the whole chain", text=(CHAIN,), tables=(chain(found),)),
            *seeds,
            Section("Other models", folded=pictures[1:], code=(command(found),)),
        ),
    )


def command(found: Measured) -> str:
    """That made it."""
    films = {one.flips.films + one.left_out for one in found.films}
    told = f"python benchmarks/stability.py --data {found.data} --to docs/stability {' '.join(found.models)}"
    told += "".join(f" --films {count}" for count in films)
    return told + (f" --seeds {' '.join(found.seeds.runs)}" if found.seeds else "")


def verdict(found: Measured) -> list[str]:
    """Of the first model, in the head that answers by default."""
    name, one = next(iter(found.models.items()))
    head = one.heads[-1]
    assert head.sure
    points = [
        f"{name}: a crop that is cut or saved a little otherwise flips {format_estimate(head.mean)} of the answers, "
        f"and {format_estimate(head.sure)} of those that are not marked unsure: most of what flips is marked unsure.",
        f"In {head.film.films} simulated films of a face that stays as it is, the answer changes "
        f"{format_estimate(head.film.raw)} times a second, smoothed {format_estimate(head.film.smoothed)} times: so "
        "videos are smoothed.",
    ]
    return [*points, *([seeds_sentence(found.seeds)] if found.seeds else [])]


def small_changes(found: Measured) -> Table:
    header = (
        "Model",
        "Head",
        "Flips, mean",
        "Of sure answers",
        "Faces that flip",
        "Simulated films",
        "Smoothed",
    )
    rows = [
        (
            name, head.truth, format_estimate(head.mean), format_estimate(head.sure) if head.sure else NONE,
            format_estimate(head.any), format_estimate(head.film.raw), format_estimate(head.film.smoothed),
        )
        for name, one in found.models.items() for head in one.heads
    ]  # fmt: skip
    n = next(iter(found.models.values())).n
    note = f"n = {n:,} faces, eight small changes each; films: changes a second, 100 films. Sure: not marked unsure."
    return Table(header, tuple(tuple(map(Cell, row)) for row in rows), note)


def chain(found: Measured) -> Table:
    header = ("Model", "Detector", "Head", "Films", "Changes a second", "Smoothed", "Films without one", "Smoothed")
    rows = [
        (
            one.model, one.detector, one.truth, f"{one.flips.films}", format_estimate(one.flips.raw),
            format_estimate(one.flips.smoothed), f"{100 * one.flips.still_raw.value:.0f} %",
            f"{100 * one.flips.still_smoothed.value:.0f} %",
        )
        for one in found.films
    ]  # fmt: skip
    note = f"Films of {FRAMES / FPS:g} s at {FPS} frames a second; those in which the face is found in under "
    note += f"{100 * ENOUGH:.0f} % of the frames are left out. Every change is an error: the face stays as it is."
    return Table(header, tuple(tuple(map(Cell, row)) for row in rows), note)


CHAIN = (
    "Drawn films: a face of FER2013 of 140 pixels that sways by a few pixels before a photograph, with noise and JPEG "
    "in every frame. A detector finds it in each, so that the crop wanders as it does in a video; the answers are "
    "shown as they are, and smoothed over .4 s with hysteresis, as mien recognize does."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", help="FER2013")
    parser.add_argument("--to", type=Path, required=True, help="folder; the page itself goes beside it, as FOLDER.md")
    parser.add_argument("--seeds", type=Path, nargs="*", default=[], help="run folders of one recipe")
    parser.add_argument("--films", type=int, default=40)
    parser.add_argument("--kept", action="store_true", help="write the page again from what --to holds")
    options = parser.parse_args()
    file = options.to / "stability.json"
    if not options.kept:
        faces = FaceSet.open(options.data, size=224).select(SPLIT)
        models, found, seconds = [opened(name) for name in options.models], {}, {}
        for model in models:
            began = perf_counter()
            found[model.name] = stability(model.outputs, faces, model.card, SPLIT)
            seconds[model.name] = round(perf_counter() - began, 1)
            print(f"{model.name}: {seconds[model.name]} s", *stability_sentences(found[model.name]), flush=True)
        shuffled = faces.keep(np.random.default_rng(1).permutation(len(faces)))
        moved = tuple(films(models, shuffled, options.films))
        runs = {f"{Run(place).name}": Run(place).predictions(SPLIT) for place in options.seeds}
        told = between_seeds(runs) if runs else None
        kept = Measured(models=found, films=moved, seeds=told, data=faces.source, seconds=seconds)
        write_whole(file, kept.model_dump_json(indent=1) + "\n")
    write_docs_page(page(Measured.model_validate(json.loads(file.read_text("utf-8")))), options.to)


if __name__ == "__main__":
    main()
