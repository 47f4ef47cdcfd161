"""Tint: the colors of a photograph for a drawn gray face; its brightness stays as it was drawn."""

from __future__ import annotations

import numpy as np

from mien.images import Pixels

_HEAD = (0.62, 0.82)  # half axes of the head, as fractions of half the side
_LARGEST = 40  # chroma of the background, in steps of 8-bit YCrCb


def tint(face: Pixels, rng: np.random.Generator) -> Pixels:
    """`(S, S)` gray → `(S, S, 3)` RGB uint8: skin colors inside the head, any hue around it.

    Color is chroma alone (ITU-R BT.601, as cv2's YCrCb), strongest at middle brightness, so that eyes and teeth stay
    white and the gray of the picture is the drawn gray, but for what RGB clips.
    """
    import cv2

    skin = np.array((rng.uniform(10, 26), rng.uniform(-28, -10)))  # toward red, away from blue
    hue = rng.uniform(0, 2 * np.pi)
    background = rng.uniform(0.3, 1) * _LARGEST * np.array((np.cos(hue), np.sin(hue)))
    across = np.linspace(-1, 1, len(face))
    distance = np.hypot(across[None, :] / _HEAD[0], across[:, None] / _HEAD[1])
    outside = np.clip((distance - 1) / 0.25, 0, 1)[..., None]
    brightness = face[..., None] / 255
    chroma = 4 * brightness * (1 - brightness) * (skin * (1 - outside) + background * outside)
    picture = np.concatenate([face[..., None], np.rint(128 + chroma)], axis=2).astype(np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_YCrCb2RGB), dtype=np.uint8)
