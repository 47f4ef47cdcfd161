"""Monitor: faces held, as they come, against those that a model was measured on; see `mien.recognize.shift`."""

from __future__ import annotations

from collections import deque

import numpy as np

from mien.recognize.shift import FEWEST, MOST, Floats, Floats32, Reference, Shift

_EARLY = (FEWEST, 100)  # faces after which it looks before the first full look
_EVERY = 100  # faces between full looks, each at the last `MOST`


class Monitor:
    """Looks at the faces so far after 50, 100 and 200, then after each 100 more at the last 200.

    `shift` is the last look, None before the first one. An alarm stays until `reset`.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.reset()

    def reset(self) -> None:
        """Begin anew, with other faces: another camera, another day."""
        self._last: deque[Floats] = deque(maxlen=MOST)
        self._sum_R: Floats = np.zeros(self._reference.directions)
        self.n = 0  # faces seen
        self.shift: Shift | None = None
        self._alarmed = False

    @property
    def alarm(self) -> bool:
        """Whether any look since the beginning was an alarm."""
        return self._alarmed

    def add(self, said_NO: Floats32, features_ND: Floats32) -> None:
        """Faces as `Classifier.with_features` gives them."""
        if not len(said_NO):
            return
        for rest_R in self._reference.rest(features_ND, said_NO):
            self._last.append(rest_R)
            self._sum_R += rest_R
            self.n += 1
            if self.n in _EARLY or (self.n >= MOST and self.n % _EVERY == 0):
                self.shift = self._reference.look(np.mean(self._last, axis=0), len(self._last))
                self._alarmed |= self.shift.alarm

    def overall(self) -> Shift:
        """One look at all faces since the beginning. Raises `InputError` for fewer than 50."""
        return self._reference.look(self._sum_R / max(self.n, 1), self.n)
