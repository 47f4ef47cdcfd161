"""Cartoon faces: one emotion, one person, one photograph, as gray pixels.

The emotions follow the prototypes of Ekman and Friesen's Facial Action Coding System (1978): happy is AU 6+12, sad
1+4+15, surprise 1+2+5+26, fear 1+2+4+5+20+26, angry 4+5+7+23, disgust 9+15+16. Faces are drawn in face units (the head
is about 1.5 wide and 2 high around the origin, y points down) and photographed into pixels by `Pen`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import InputError, unknown_name
from mien.images import Pixels
from mien.labels import FER7

Points = npt.NDArray[np.float64]  # (P, 2) x, y in face units

SIZES = (16, 512)  # least and greatest side of a drawn face, in pixels
_WIDE = 24  # pixels of sigma
OVERSAMPLE = 4  # drawn this many times larger, then reduced


@dataclass(frozen=True)
class Expression:
    """Facial parameters, each relative to a face at rest (0); 1 is a full movement."""

    smile: float = 0.0  # mouth corners up, below 0 down
    jaw: float = 0.0  # mouth open
    width: float = 0.0  # mouth stretched, below 0 rounded
    square: float = 0.0  # an open mouth's outline from round to square, teeth showing
    lip_raise: float = 0.0  # upper lip drawn up
    brow_raise: float = 0.0
    brow_tilt: float = 0.0  # inner ends up, below 0 down
    frown: float = 0.0  # lines between the brows
    eyes: float = 0.0  # wide open, below 0 narrowed
    squint: float = 0.0  # lower lids pushed up
    droop: float = 0.0  # outer corners of the upper lids down
    gaze_down: float = 0.0
    wrinkle: float = 0.0  # wrinkles across the nose
    fold: float = 0.0  # lines from the nose to the mouth corners
    skew: float = 0.0  # one mouth corner higher


EXPRESSIONS = {
    "angry": Expression(smile=-0.5, jaw=0.12, width=0.05, square=0.7, lip_raise=0.1, brow_raise=-0.7, brow_tilt=-1.0,
                        frown=0.9, eyes=-0.15, squint=0.35, wrinkle=0.15, fold=0.25),
    "disgust": Expression(smile=-0.65, jaw=0.1, square=0.3, lip_raise=1.0, brow_raise=-0.5, brow_tilt=-0.45,
                          frown=0.35, eyes=-0.5, squint=0.8, wrinkle=1.0, fold=0.8, skew=0.45),
    "fear": Expression(smile=-0.45, jaw=0.4, width=0.35, square=0.9, brow_raise=0.7, brow_tilt=0.85, frown=0.35,
                       eyes=0.6),
    "happy": Expression(smile=1.0, jaw=0.4, width=0.4, square=0.25, brow_raise=0.15, eyes=-0.25, squint=0.75,
                        fold=0.6),
    "neutral": Expression(),
    "sad": Expression(smile=-0.85, width=-0.1, brow_raise=0.1, brow_tilt=0.9, frown=0.2, eyes=-0.3, droop=0.9,
                      gaze_down=0.6, fold=0.1),
    "surprise": Expression(jaw=0.95, width=-0.45, brow_raise=1.1, brow_tilt=0.1, eyes=0.6),
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """What is not emotion: whose face it is. Tones are gray levels, lengths face units."""

    skin: float
    hair: float
    style: str
    head_width: float
    head_height: float
    chin: float  # 0 round, 1 pointed
    eye_gap: float
    eye_size: float
    brow_weight: float
    nose: float
    lips: float
    turn: float  # features moved sideways, as if the head turned
    glasses: bool

    @property
    def ink(self) -> float:
        return 0.16 * self.skin + 8

    @property
    def shadow(self) -> float:
        return 0.72 * self.skin


class Pen:
    """Draws shapes given in face units onto a gray canvas, through one rotation, scale and shift."""

    def __init__(self, side: int, background: float, angle: float, scale: float, shift: tuple[float, float]) -> None:
        self.canvas: Pixels = np.full((side, side), round(background), dtype=np.uint8)
        self._unit = scale * side / 2  # pixels in one face unit
        cos, sin = np.cos(angle) * self._unit, np.sin(angle) * self._unit
        self._turn = np.array([[cos, sin], [-sin, cos]])
        self._origin = (1 + np.array(shift)) * side / 2 - 0.5

    def fill(self, shape: Points, tone: float, inside: Points | None = None) -> None:
        """Fill a polygon; with `inside`, only where it lies in that other polygon."""
        import cv2

        layer = self.canvas if inside is None else self.canvas.copy()
        cv2.fillPoly(layer, [self._fixed(shape)], round(tone), cv2.LINE_AA, 4)
        if inside is not None:
            self._lay(layer, inside)

    def line(self, path: Points, tone: float, width: float, closed: bool = False, inside: Points | None = None) -> None:
        """A line of `width` face units."""
        import cv2

        layer = self.canvas if inside is None else self.canvas.copy()
        thickness = max(1, round(width * self._unit))
        cv2.polylines(layer, [self._fixed(path)], closed, round(tone), thickness, cv2.LINE_AA, 4)
        if inside is not None:
            self._lay(layer, inside)

    def soften(self, shape: Points, depth: float) -> None:
        """Darken a shape towards its outline, so that it looks round."""
        mask = self._mask(shape)
        inner = _blurred(mask, 0.22 * self._unit)
        self.canvas = np.rint(self.canvas * (1 - depth * mask * (1 - inner))).astype(np.uint8)

    def _lay(self, layer: Pixels, inside: Points) -> None:
        mask = self._mask(inside)
        self.canvas = np.rint(self.canvas * (1 - mask) + layer * mask).astype(np.uint8)

    def _mask(self, shape: Points) -> npt.NDArray[np.float32]:
        import cv2

        mask = np.zeros_like(self.canvas)
        cv2.fillPoly(mask, [self._fixed(shape)], 255, cv2.LINE_AA, 4)
        return np.asarray(mask / 255, dtype=np.float32)

    def _fixed(self, points: Points) -> npt.NDArray[np.int32]:
        pixels = points @ self._turn + self._origin
        return np.asarray(np.rint(pixels * 16), dtype=np.int32)  # cv2 is told of 4 fractional bits


def draw_face(emotion: str, rng: np.random.Generator, size: int = 48) -> Pixels:
    """One gray face of a FER7 emotion, `(size, size)` uint8.

    Strength, person, pose, light and noise come from `rng` and vary enough for the classes to overlap: a weak sad face
    looks neutral, fear borders on surprise, anger on disgust. Raises `InputError` for an unknown emotion or a size
    outside `SIZES`.

    >>> draw_face("happy", np.random.default_rng(0)).shape
    (48, 48)
    """
    if emotion not in EXPRESSIONS:
        raise unknown_name("emotion", emotion, FER7.labels)
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"faces are drawn {SIZES[0]} to {SIZES[1]} pixels wide, got size {size}")
    face, person = _expression(emotion, rng), _person(rng)
    shift = rng.normal(0, 0.03, 2)
    pen = Pen(
        size * OVERSAMPLE,
        background=rng.uniform(60, 240),
        angle=rng.normal(0, 0.07),
        scale=rng.uniform(0.84, 0.98),
        shift=(float(shift[0]), float(shift[1]) + 0.03),
    )
    head = _head(person, face)
    _draw_head(pen, person, head)
    _draw_nose(pen, person, face)
    _draw_mouth(pen, person, face)
    for side in (-1, 1):
        _draw_eye(pen, person, face, side)
    _draw_hair(pen, person, head, rng)
    for side in (-1, 1):
        _draw_brow(pen, person, face, side)
    return _photograph(pen.canvas, size, rng)


def _expression(emotion: str, rng: np.random.Generator) -> Expression:
    mean = np.array(astuple(EXPRESSIONS[emotion]))
    strength = rng.uniform(0.35, 1.15)
    values = strength * mean + rng.normal(0, 0.13, len(mean)) + np.abs(mean) * rng.normal(0, 0.15, len(mean))
    return Expression(*(float(value) for value in values))


def _person(rng: np.random.Generator) -> Person:
    skin = rng.uniform(105, 232)
    return Person(
        skin=skin,
        hair=min(float(rng.choice([28, 45, 70, 105, 150])), 0.62 * skin) + rng.uniform(-8, 8),
        style=str(
            rng.choice(["short", "part", "fringe", "long", "curly", "bald"], p=[0.24, 0.2, 0.16, 0.2, 0.14, 0.06])
        ),
        head_width=rng.uniform(0.68, 0.8),
        head_height=rng.uniform(0.92, 1.02),
        chin=rng.uniform(0, 1),
        eye_gap=rng.uniform(0.27, 0.33),
        eye_size=rng.uniform(0.9, 1.15),
        brow_weight=rng.uniform(0.05, 0.085),
        nose=rng.uniform(0.85, 1.15),
        lips=rng.uniform(0, 1),
        turn=rng.normal(0, 0.035),
        glasses=bool(rng.random() < 0.08),
    )


def _ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Points:
    angle = np.radians(np.linspace(start, stop, 49))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _curve(height: Callable[[Points], Points], x: float, half: float) -> Points:
    """The points `(x + half * u, height(u))` for u from -1 to 1."""
    u = np.linspace(-1, 1, 33)
    return np.stack([x + half * u, height(u)], axis=1)


def _bow(x: float, y: float, half: float, rise: float) -> Points:
    """A shallow arc from `(x - half, y)` to `(x + half, y)` that rises by `rise` between them."""
    return _curve(lambda u: y - rise * (1 - u**2), x, half)


def _head(person: Person, face: Expression) -> Points:
    head = _ellipse(0, 0, 1, 1)[:-1]
    below = np.clip(head[:, 1], 0, None)
    narrow = 1 - (0.06 + 0.16 * person.chin) * below**2
    height = person.head_height + 0.07 * max(face.jaw, 0) * below
    return np.stack([head[:, 0] * person.head_width * narrow, head[:, 1] * height], axis=1)


def _draw_head(pen: Pen, person: Person, head: Points) -> None:
    if person.style == "long":
        width = 1.2 * person.head_width
        ends = _ellipse(0, 0.6, width, 0.18, 0, 180)
        back = np.concatenate([_ellipse(0, -0.1, width, 1.02, 180, 360), ends])
        pen.fill(back, person.hair)
        pen.line(back, max(person.hair - 22, 5), 0.025, closed=True)
    neck = np.array([(-0.36, 0.5), (0.36, 0.5), (0.42, 1.6), (-0.42, 1.6)])
    pen.fill(neck, person.shadow)
    for side in (-1, 1):
        pen.fill(_ellipse(side * person.head_width, 0.02, 0.1, 0.17), 0.9 * person.skin)
        pen.line(_ellipse(side * person.head_width, 0.02, 0.1, 0.17), person.ink, 0.025)
    pen.fill(head, person.skin)
    pen.soften(head, 0.3)
    pen.line(head, person.ink, 0.03, closed=True)


def _draw_hair(pen: Pen, person: Person, head: Points, rng: np.random.Generator) -> None:
    if person.style == "bald":
        return
    part = rng.uniform(-0.4, 0.4)
    width = person.head_width
    if person.style == "curly":
        for angle in np.linspace(185, 355, 11):
            x, y = width * np.cos(np.radians(angle)), 0.9 * np.sin(np.radians(angle))
            pen.fill(_ellipse(x, y, 0.19, 0.19), person.hair)
    hairlines: dict[str, Callable[[Points], Points]] = {
        "short": lambda u: -0.66 + 0.34 * u**6,
        "part": lambda u: -0.78 + 0.28 * np.abs(u - part) ** 1.5 + 0.1 * u**6,
        "fringe": lambda u: -0.56 + 0.045 * np.sin(9 * u + 8 * part) + 0.1 * u**4,
        "long": lambda u: -0.76 + 0.4 * np.abs(u - 0.4 * part) ** 1.6,
        "curly": lambda u: -0.66 + 0.03 * np.sin(14 * u) + 0.2 * u**6,
    }
    hairline = hairlines[person.style]
    crown = _ellipse(0, 0, 1.05 * width, 1.07 * person.head_height, 200, 340)
    right, ends = float(crown[-1, 0]), float(crown[-1, 1])
    front = _curve(lambda u: (1 - u**8) * hairline(u) + u**8 * ends, 0, right)  # meets the crown at both ends
    pen.fill(np.concatenate([crown, front[::-1]]), person.hair)
    strand = max(person.hair - 22, 5)
    pen.line(front, strand, 0.025, inside=head)
    if person.style not in ("curly", "long"):
        pen.line(crown, strand, 0.025)


def _draw_eye(pen: Pen, person: Person, face: Expression, side: int) -> None:
    x, y = side * person.eye_gap + 1.4 * person.turn, -0.13
    half = 0.165 * person.eye_size
    openness = float(np.clip(1 + 0.75 * face.eyes - 0.25 * max(face.droop, 0), 0.22, 1.8)) * 0.115 * person.eye_size
    lift = float(np.clip(face.squint, 0, 1))
    slant = 0.06 * face.droop

    def upper(u: Points) -> Points:
        return y - openness * (1 - u**2) + slant * side * u

    def lower(u: Points) -> Points:
        return (
            y + (0.085 * person.eye_size * (1 - 1.35 * lift) + 0.02 * max(face.eyes, 0)) * (1 - u**2) + slant * side * u
        )

    top, bottom = _curve(upper, x, half), _curve(lower, x, half)
    white = np.concatenate([top, bottom[::-1]])
    look = 0.05 * max(face.gaze_down, 0)
    pen.fill(white, 246)
    pen.fill(_ellipse(x, y + look - 0.01, 0.088, 0.092), min(0.3 * person.skin, 55), inside=white)
    pen.fill(_ellipse(x + 0.03, y + look - 0.045, 0.026, 0.026), 250, inside=white)
    pen.line(bottom, person.shadow * 0.7, 0.02)
    pen.line(top, person.ink, 0.05)
    if lift > 0.3:
        pen.line(_bow(x, y + 0.12, 0.8 * half, 0.03), person.shadow, 0.022)
    if person.glasses:
        pen.line(_ellipse(x, y + 0.02, 0.235, 0.2), person.ink, 0.035, closed=True)
        pen.line(np.array([(0.06 * side + 1.4 * person.turn, y - 0.02), (x - side * 0.235, y)]), person.ink, 0.035)


def _draw_brow(pen: Pen, person: Person, face: Expression, side: int) -> None:
    x = side * (person.eye_gap + 0.01) + 1.4 * person.turn - side * 0.03 * max(face.frown, 0)
    y = -0.375 - 0.1 * face.brow_raise
    # u runs along x, so the inner end is at -side
    middle = _curve(lambda u: y + 0.1 * face.brow_tilt * side * u - 0.04 * (1 - u**2), x, 0.2)
    inner = np.linspace(-side, side, len(middle))  # from side (outer) to -side (inner), whichever comes first
    thick = person.brow_weight * (0.6 - 0.25 * inner)[:, None] * (0, 1)
    tone = min(person.hair, 0.45 * person.skin)
    pen.fill(np.concatenate([middle - thick, (middle + thick)[::-1]]), tone)
    if face.frown > 0.35:
        root = 0.055 * side + 1.4 * person.turn
        pen.line(np.array([(root, -0.42), (0.8 * root, -0.27)]), 0.55 * person.skin, 0.012 + 0.016 * face.frown)


def _draw_nose(pen: Pen, person: Person, face: Expression) -> None:
    x, tone = 2.2 * person.turn, 0.55 * person.skin
    tip, flare = 0.2 * person.nose - 0.03 * max(face.wrinkle, 0), 0.09 + 0.025 * max(face.wrinkle, 0)
    pen.line(_ellipse(x, tip - 0.03, flare, 0.06, 15, 165), tone, 0.035)
    for side in (-1, 1):
        pen.line(
            _ellipse(x + side * flare, tip - 0.015, 0.035, 0.045, -60 if side > 0 else 60, 120 if side > 0 else 240),
            tone,
            0.025,
        )
    if face.wrinkle > 0.3:
        for k in range(3):
            pen.line(_bow(0.7 * x, -0.16 + 0.075 * k, 0.07 + 0.02 * k, 0.03), tone, 0.03 * min(face.wrinkle, 1))
    if face.fold > 0.3:
        for side in (-1, 1):
            path = np.array([(0.15, tip - 0.02), (0.24, tip + 0.08), (0.31, tip + 0.2), (0.34, tip + 0.3)])
            pen.line(path * (side, 1) + (0.8 * x, 0), person.shadow * 0.9, 0.018 + 0.02 * min(face.fold, 1))


def _draw_mouth(pen: Pen, person: Person, face: Expression) -> None:
    x, y = 1.6 * person.turn, 0.5 + 0.03 * max(face.jaw, 0)
    half = 0.27 * (1 + 0.55 * float(np.clip(face.width, -0.9, 0.8)))
    power = 2 + 3 * float(np.clip(face.square, 0, 1))
    jaw, lip = max(face.jaw - 0.06, 0.0), max(face.lip_raise, 0.0)

    def middle(u: Points) -> Points:
        return y - 0.15 * face.smile * (np.abs(u) ** 1.8 - 0.45) - 0.06 * face.skew * u

    def upper(u: Points) -> Points:
        snarl = 0.085 * lip * (1 - u**2) * (1 + 0.6 * face.skew * u)
        return middle(u) - 0.09 * jaw * (1 - np.abs(u) ** power) - snarl

    def lower(u: Points) -> Points:
        return middle(u) + (0.27 * jaw + 0.02 * lip) * (1 - np.abs(u) ** power)

    top, bottom = _curve(upper, x, half), _curve(lower, x, half)
    gap = float((bottom[:, 1] - top[:, 1]).max())
    if gap > 0.035:
        inside = np.concatenate([top, bottom[::-1]])
        pen.fill(inside, 0.7 * person.ink)
        if gap > 0.2:
            pen.fill(_ellipse(x, float(bottom[16, 1]) + 0.02, 0.65 * half, 0.4 * gap), 0.5 * person.skin, inside=inside)
        if face.square > 0.12 or lip > 0.3:
            teeth = min(0.1, (0.45 + 0.3 * float(np.clip(face.square, 0, 1))) * gap)
            pen.fill(np.concatenate([top, top[::-1] + np.array((0, teeth))]), 240, inside=inside)
    pen.line(bottom, person.ink, 0.03)
    pen.line(top, person.ink, 0.045)
    below = float(bottom[16, 1]) + 0.07 + 0.02 * person.lips
    pen.line(
        _curve(lambda u: below - 0.03 * face.smile * u**2, x, 0.35 * half), person.shadow, 0.02 + 0.03 * person.lips
    )


def _blurred(mask: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """A Gaussian blur; a wide one on a smaller copy, which looks the same and takes a tenth of the time."""
    import cv2

    shrink = int(sigma // _WIDE) + 1
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), dtype=np.float32)
    height, width = mask.shape
    small = cv2.resize(mask, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _photograph(canvas: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Light from one side, blur, reduction to `size`, then sensor noise."""
    import cv2

    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.28)
    across = np.linspace(-1, 1, len(canvas))
    light = 1 + depth * (np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None])
    lit = (canvas * light * rng.uniform(0.9, 1.12)).astype(np.float32)
    blurred = cv2.GaussianBlur(lit, (0, 0), OVERSAMPLE * size / 48 * rng.uniform(0.15, 0.55))
    small = cv2.resize(blurred, (size, size), interpolation=cv2.INTER_AREA)
    noisy = small + rng.normal(0, rng.uniform(1.5, 6), small.shape)
    return np.asarray(np.rint(noisy).clip(0, 255), dtype=np.uint8)
