"""Classifier: one model file on onnxruntime: face crops in, probabilities out.

Shapes: N faces, K classes of a head, O outputs of all heads side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.cards import Card
from mien.errors import InputError, MissingExtraError
from mien.images import Pixels
from mien.outputs import MODEL_MARK
from mien.predictions import Truth
from mien.recognize.session import open_session

CARD_KEY = MODEL_MARK  # of the metadata of a model file
_BATCH = 32


class Classifier:
    """A model file opened for use: onnxruntime's session and the card that lies in the file."""

    def __init__(self, session: Any, card: Card) -> None:
        self._session, self.card = session, card
        self._input = session.get_inputs()[0].name

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = None, card: Card | None = None) -> Classifier:
        """Open a `.onnx` that `mien export` wrote.

        `threads`: cores that one call may use; None leaves it to the runtime. `card`: in place of the one in the file.
        Raises `InputError` for a file that is missing, damaged or of another program.
        """
        place = Path(path)
        if not place.is_file():
            raise InputError(f"{path}: no such model file. Make one of a run: mien export RUN --data PATH --to {path}")
        return cls.read(place.read_bytes(), str(path), threads=threads, card=card)

    @classmethod
    def read(cls, content: bytes, source: str, *, threads: int | None = None, card: Card | None = None) -> Classifier:
        """The same of a file's content; `source` names it in errors."""
        session = open_session(content, source, threads=threads)
        own = _card(session, source)
        # A folder's card counts where it is of the same weights: it may have been calibrated since.
        same = card is not None and (card.training, card.widths) == (own.training, own.widths)
        card = card if card is not None and same else own
        outputs = session.get_outputs()[0].shape
        if outputs[-1] != sum(card.widths):
            raise InputError(
                f"{source}: its network answers with {outputs[-1]} numbers, its card has {sum(card.widths)} labels"
            )
        return cls(session, card)

    def classify(self, crops: Sequence[Pixels], truth: Truth | None = None) -> npt.NDArray[np.float32]:
        """Probabilities `(N, K)` of the head of `truth`, in its order and at its temperature.

        Crops are uint8 of any size, gray or RGB. Without a truth the card's own head answers.
        """
        return self.card.answers(self.probabilities(crops), truth)

    def probabilities(self, crops: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """`(N, O)` of all heads, each summing to 1, before any temperature."""
        starts = range(0, len(crops), _BATCH)
        blocks = [self.answer(self.card.preprocess(crops[start : start + _BATCH])) for start in starts]
        return np.concatenate(blocks) if blocks else np.zeros((0, sum(self.card.widths)), dtype=np.float32)

    def answer(self, shown: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """As `probabilities`, for images `(N, C, S, S)` as the card's `preprocess` gives them."""
        if not self.card.mirror:
            return self._softmax(shown)
        both = self._softmax(np.concatenate([shown, shown[..., ::-1]]))
        return np.asarray((both[: len(shown)] + both[len(shown) :]) / 2)

    def _softmax(self, shown: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        (logits,) = self._session.run(None, {self._input: shown})
        said = np.empty_like(logits, dtype=np.float32)
        for truth in self.card.truths:
            columns = self.card.columns(truth)
            powers = np.exp(logits[:, columns] - logits[:, columns].max(axis=1, keepdims=True))
            said[:, columns] = powers / powers.sum(axis=1, keepdims=True)
        return said


def with_card(content: bytes, card: Card, source: str) -> bytes:
    """The same model file with another card; `source` names it in errors."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing into a model file", "train") from error
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        raise InputError(f"{source}: not a model file ({error})") from error
    entry = next((one for one in model.metadata_props if one.key == CARD_KEY), None)
    if entry is None:
        raise InputError(f"{source}: has no card to replace. Export the run again: mien export RUN --data PATH")
    entry.value = card.model_dump_json()
    return bytes(model.SerializeToString())


def _card(session: Any, source: str) -> Card:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise InputError(f"{source}: has no card, so its labels and preprocessing are not known. Export it with mien")
    return Card.parse(text, f"{source}: its card")
