"""How often a look at a film is taken as a cut, where it is one and where it is not.

    python benchmarks/cuts.py FER2013.zip [PHOTO …]

Within a shot: a picture against itself after a move (a pan, a zoom, a turn), another light, noise, or with a part of
it hidden. Across a cut: two different pictures of one kind. The pictures are validation faces, which fill the picture
and lie alike, the hardest cuts there are; and views of the photos that are given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from mien import FaceSet
from mien.images import Pixels, read
from mien.recognize.cuts import Cuts

WIDTH, HEIGHT, PAIRS = 640, 480, 600
Change = Callable[[Pixels, np.random.Generator], Pixels]


def moved(image: Pixels, x: float = 0, y: float = 0, zoom: float = 1, turn: float = 0) -> Pixels:
    """By shares of the picture, a factor, degrees."""
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, zoom)
    matrix[:, 2] += (x * WIDTH, y * HEIGHT)
    return cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def sign(random: np.random.Generator) -> float:
    return float(random.choice([-1, 1]))


def lit(image: Pixels, gain: float, more: float) -> Pixels:
    return np.clip(image * gain + more, 0, 255).astype(np.uint8)


def side_lit(image: Pixels) -> Pixels:
    return np.clip(image * np.linspace(0.4, 1.4, WIDTH)[:, None], 0, 255).astype(np.uint8)


def hidden(image: Pixels, share: float, random: np.random.Generator) -> Pixels:
    out, width = image.copy(), round(share * WIDTH)
    left = int(random.integers(0, WIDTH - width + 1))
    out[:, left : left + width] = int(random.integers(0, 256))
    return out


CHANGES: dict[str, Change] = {
    "noise of 20": lambda image, random: np.clip(image + random.normal(0, 20, image.shape), 0, 255).astype(np.uint8),
    "pan of 5 %": lambda image, random: moved(image, x=0.05 * sign(random)),
    "pan of 10 %": lambda image, random: moved(image, x=0.10 * sign(random)),
    "pan of 20 %": lambda image, random: moved(image, x=0.20 * sign(random)),
    "zoom of 10 %": lambda image, _: moved(image, zoom=1.10),
    "zoom of 25 %": lambda image, _: moved(image, zoom=1.25),
    "turn of 10 degrees": lambda image, random: moved(image, turn=10 * sign(random)),
    "half the light": lambda image, _: lit(image, 0.5, 0),
    "1.6 times the light, clipped": lambda image, _: lit(image, 1.6, 0),
    "light from the side": lambda image, _: side_lit(image),
    "a quarter hidden": lambda image, random: hidden(image, 0.25, random),
    "half hidden": lambda image, random: hidden(image, 0.5, random),
    "pan of 10 %, half the light": lambda image, random: lit(moved(image, x=0.1 * sign(random)), 0.5, 20),
}


def pictures(faces: FaceSet, photos: list[Path]) -> Iterator[tuple[str, list[Pixels]]]:
    val = faces.select("val")
    chosen = np.random.default_rng(0).choice(len(val), PAIRS, replace=False)
    crops = (crop if crop.ndim == 3 else np.stack([crop] * 3, axis=2) for crop in val.gather(chosen))
    yield "faces that fill the picture", [cv2.resize(crop, (WIDTH, HEIGHT)) for crop in crops]
    if photos:
        yield "views of photos", views(photos)


def views(photos: list[Path]) -> list[Pixels]:
    """Parts of the photos, a third to all of a side."""
    random = np.random.default_rng(1)
    found = []
    for image in map(read, photos):
        for _ in range(PAIRS // len(photos)):
            size = random.uniform(0.33, 0.6)
            height, width = (round(size * side) for side in image.shape[:2])
            y, x = (
                int(random.integers(0, most - side + 1))
                for most, side in zip(image.shape[:2], (height, width), strict=True)
            )
            found.append(
                cv2.resize(image[y : y + height, x : x + width], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            )
    random.shuffle(found)
    return found


def cut_share(pairs: list[tuple[Pixels, Pixels]]) -> str:
    """How many of the pairs are taken as a cut."""
    found = [seen(first) or seen(second) for first, second in pairs for seen in [Cuts()]]
    return f"{np.mean(found):.1%}".replace("%", " %")


def main() -> None:
    kinds = dict(pictures(FaceSet.open(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
    print(f"| Change | {' | '.join(f'{kind} ({len(images)})' for kind, images in kinds.items())} |")
    print("|---" * (1 + len(kinds)) + "|")
    for name, change in CHANGES.items():
        random = np.random.default_rng(2)
        shares = [cut_share([(one, change(one, random)) for one in images]) for images in kinds.values()]
        print(f"| {name} | {' | '.join(shares)} |")
    print(f"| **a cut** | {' | '.join(cut_share(list(pairwise(images))) for images in kinds.values())} |")


if __name__ == "__main__":
    main()
