"""Cuts: seen where a film jumps to another shot, and in nothing that happens within one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.images import Pixels
from mien.recognize.cuts import Cuts
from mien.recognize.film import Film
from mien.recognize.recognizer import Recognizer
from mien.recognize.video import Pace, Video
from mien.recognize.watch import Seen, watch

SIZE = (320, 480)  # height, width
FPS, SHOT = 20, 16  # frames of each shot
SIDE = 140  # of a portrait


def background(seed: int) -> Pixels:
    """A wall with things on it, other ones for each seed."""
    random = np.random.default_rng(seed)
    image = np.full((*SIZE, 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(12):
        y, x, height, width = (int(value) for value in random.integers((0, 0, 40, 40), (280, 440, 160, 220)))
        image[y : y + height, x : x + width] = random.integers(0, 256, 3)
    return image


def shifted(image: Pixels, x: int) -> Pixels:
    return np.roll(image, x, axis=1)


def lit(image: Pixels, gain: float) -> Pixels:
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def cuts_of(images: list[Pixels]) -> list[int]:
    seen = Cuts()
    return [i for i, image in enumerate(images) if seen(image)]


def test_each_jump_to_another_shot_is_a_cut_and_nothing_else() -> None:
    shots = [[shifted(background(seed), 2 * i) for i in range(8)] for seed in range(6)]
    assert cuts_of([image for shot in shots for image in shot]) == [8, 16, 24, 32, 40]
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for shot in shots for image in shot]
    assert cuts_of(gray) == [8, 16, 24, 32, 40]


def test_light_motion_and_noise_are_no_cut() -> None:
    wall, random = background(1), np.random.default_rng(0)
    shade = np.linspace(0.5, 1.3, SIZE[1])[:, None]
    hand = wall.copy()
    hand[:, 100:220] = (190, 140, 120)
    noise = np.clip(wall + random.normal(0, 25, wall.shape), 0, 255).astype(np.uint8)
    assert cuts_of([wall, lit(wall, 0.4), lit(wall, 1.3), lit(wall, shade), hand, wall, noise, shifted(wall, 40)]) == []
    turned = cv2.warpAffine(
        wall, cv2.getRotationMatrix2D((240, 160), 6, 1.1), SIZE[::-1], borderMode=cv2.BORDER_REFLECT
    )
    assert cuts_of([wall, np.asarray(turned, np.uint8)]) == []


def test_a_black_picture_is_passed_over() -> None:
    black, one, other = np.zeros((*SIZE, 3), np.uint8), background(1), background(2)
    assert cuts_of([black, one, black, black, one]) == []  # a light that was out
    assert cuts_of([one, black, other]) == [2]


def scene(wall: Pixels, portrait: Pixels, places: tuple[int, int]) -> Pixels:
    """Two of the same face, the second one mirrored, at these x."""
    image = wall.copy()
    small = cv2.resize(portrait, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for x, face in zip(places, (small, small[:, ::-1]), strict=True):
        image[90 : 90 + SIDE, x : x + SIDE] = face
    return image


def film(path: Path, frames: Iterator[Pixels]) -> Path:
    with Film(path, fps=FPS) as written:
        for i, image in enumerate(frames):
            written.write(image, i / FPS)
    return path


def looks(path: Path) -> list[Seen]:
    with Video(path) as video:
        return [
            seen for seen in watch(video, Recognizer("mien-tiny", detector="fast"), pace=Pace(2)) if seen.frame.look
        ]


def numbers(seen: Seen) -> list[int]:
    return [row.face_id for row in seen.rows]


@pytest.mark.parametrize("walls", [(3, 4), (7, 9)])
def test_faces_that_swap_places_at_a_cut_get_numbers_of_their_own(
    tmp_path: Path, portrait: Pixels, walls: tuple[int, int]
) -> None:
    left, right = 60, 280
    shots = [scene(background(walls[0]), portrait, (left, right)), scene(background(walls[1]), portrait, (right, left))]
    path = film(tmp_path / "cut.mp4", (shot for shot in shots for _ in range(SHOT)))
    seen = looks(path)
    assert [numbers(one) for one in seen] == [[1, 2]] * (SHOT // 2) + [[3, 4]] * (SHOT // 2)
    first = seen[SHOT // 2]  # nothing of the shot before is in the answers of the first look at the next one
    with Video(path) as video:
        alone = [frame.image for frame in video.frames(all_images=True) if frame.index == first.frame.index]
    assert alone[0] is not None
    fresh = Recognizer("mien-tiny", detector="fast")(alone[0])
    for row, face in zip(first.rows, fresh, strict=True):
        assert row.face.probabilities == pytest.approx(face.probabilities, abs=1e-5)


def test_in_one_shot_faces_keep_their_numbers_while_the_light_and_the_camera_change(
    tmp_path: Path, portrait: Pixels
) -> None:
    still = scene(background(3), portrait, (60, 280))

    def frames() -> Iterator[Pixels]:
        for i in range(40):
            yield lit(shifted(still, round(40 * np.sin(i / 6))), 1 + 0.4 * np.sin(i / 4))

    seen = looks(film(tmp_path / "still.mp4", frames()))
    assert {number for one in seen for number in numbers(one)} == {1, 2}
