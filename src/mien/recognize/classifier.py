"""Classifier: one model file on onnxruntime: face crops in, probabilities out.

Shapes: N faces, K classes of a head, O outputs of all heads side by side, D features.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.cards import Card
from mien.errors import InputError, MissingExtraError, first_line
from mien.images import Pixels
from mien.outputs import LARGEST_MODEL, MODEL_MARK
from mien.predictions import Truth
from mien.recognize.network import check_network
from mien.recognize.session import CPU, open_session
from mien.recognize.shift import FEATURES, Reference, reference_key

CARD_KEY = MODEL_MARK  # of the metadata of a model file
_BATCH = 32
_PROBES = (np.arange(64, dtype=np.uint8).reshape(8, 8) * 4,)  # asked when a file of unknown origin is opened
_SMALL = 2**26  # bytes of a model file, up to which its memory is bounded when it is first asked
_ANEW = "Write it anew: mien export RUN"


class Classifier:
    """A model file opened for use: onnxruntime's session and the card that lies in the file."""

    def __init__(self, session: Any, card: Card, source: str) -> None:
        self._session, self.card, self._source = session, card, source
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def open(
        cls, path: str | Path, *, threads: int | None = None, card: Card | None = None, provider: str = CPU
    ) -> Classifier:
        """Open a `.onnx` that `mien export` wrote.

        `threads`: cores that one call may use; None leaves it to the runtime. `card`: in place of the one in the file.
        `provider`: one of `mien.recognize.session.PROVIDERS`.
        Raises `InputError` for a file that is missing, damaged or of another program.
        """
        return cls.read(read_model(Path(path)), str(path), threads=threads, card=card, provider=provider)

    @classmethod
    def read(
        cls,
        content: bytes,
        source: str,
        *,
        threads: int | None = None,
        card: Card | None = None,
        trusted: bool = False,
        provider: str = CPU,
    ) -> Classifier:
        """The same of a file's content; `source` names it in errors. `trusted`: its checksum is known."""
        if not trusted:
            check_network(content, source)
            if len(content) <= _SMALL:
                _opened(open_session(content, source, threads=1, bounded=True), source).classify(_PROBES)
        opened = _opened(open_session(content, source, threads=threads, provider=provider), source)
        # A folder's card counts where it is of the same weights: it may have been calibrated since.
        if card is not None and (card.training, card.widths) == (opened.card.training, opened.card.widths):
            opened.card = card
        if not trusted and len(content) > _SMALL:
            opened.classify(_PROBES)
        return opened

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
        return self._views(shown, self._outputs[:1])[0]

    def with_features(self, crops: Sequence[Pixels]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`probabilities` `(N, O)`, and the features `(N, D)` that the network made them of.

        Of a face and its mirror image the mean, where the card asks for both of this face. Raises `InputError` for a
        file that does not give its features.
        """
        if FEATURES not in self._outputs:
            raise InputError(
                f"{self._source}: does not give the features of a face, which mien check looks at. Write a file that "
                f"does: mien calibrate {shlex.quote(self._source)} --reference --data PATH --to NEW.onnx"
            )
        said, seen = [], []
        for start in range(0, len(crops), _BATCH):
            shown = self.card.preprocess(crops[start : start + _BATCH])
            heads, features = self._views(shown, [self._outputs[0], FEATURES])
            said.append(heads)
            seen.append(features)
        if not said:
            return self.probabilities(crops), np.zeros((0, 0), dtype=np.float32)
        features_ND = np.concatenate(seen)
        if not np.isfinite(features_ND).all():
            raise InputError(f"{self._source}: its features are not finite numbers: its weights are damaged. {_ANEW}")
        return np.concatenate(said), features_ND

    def reference(self, detector: str) -> Reference | None:
        """What faces of its measurement are like, cut by this detector; None where the file does not hold it.

        Raises `InputError` for a damaged one.
        """
        text = self._session.get_modelmeta().custom_metadata_map.get(reference_key(detector))
        return None if text is None else Reference.parse(text, self._source)

    def _views(self, shown: npt.NDArray[np.float32], outputs: list[str]) -> list[npt.NDArray[np.float32]]:
        """Probabilities `(N, O)` and, if `outputs` has them, features `(N, D)`: means over the views of each face."""
        n = len(shown)
        if self.card.mirror and self.card.mirror_below is None:  # known beforehand: both in one call
            both = self._look(np.concatenate([shown, shown[..., ::-1]]), outputs)
            return [np.asarray((one[:n] + one[n:]) / 2) for one in both]
        found = self._look(shown, outputs)
        twice_N = self.card.seen_twice(found[0])
        if twice_N.any():
            turned = self._look(np.ascontiguousarray(shown[twice_N][..., ::-1]), outputs)
            for one, other in zip(found, turned, strict=True):
                one[twice_N] = (one[twice_N] + other) / 2
        return found

    def _look(self, shown: npt.NDArray[np.float32], outputs: list[str]) -> list[npt.NDArray[np.float32]]:
        """The same of each image as it is."""
        logits, *features = self._run(shown, outputs)
        more = [np.array(one, dtype=np.float32).reshape(len(shown), -1) for one in features]
        return [self._probabilities(logits, len(shown)), *more]

    def _run(self, shown: npt.NDArray[np.float32], outputs: list[str]) -> list[Any]:
        try:
            return list(self._session.run(outputs, {self._input: shown}))
        except Exception as error:  # onnxruntime has a class of its own for each way to fail
            raise InputError(
                f"{self._source}: its network cannot be computed ({first_line(error)}). {_ANEW}"
            ) from error

    def _probabilities(self, logits: Any, count: int) -> npt.NDArray[np.float32]:
        wanted = (count, sum(self.card.widths))
        if np.shape(logits) != wanted or logits.dtype.kind != "f":
            raise InputError(
                f"{self._source}: its network answers {logits.dtype} {np.shape(logits)}, "
                f"expected decimal numbers {wanted}. {_ANEW}"
            )
        if not np.isfinite(logits).all():
            raise InputError(
                f"{self._source}: its network answers with values that are not numbers or not finite, so it says "
                "nothing. Its weights are damaged or its training diverged: export or train it again, or take "
                "another model"
            )
        said = np.empty_like(logits, dtype=np.float32)
        for truth in self.card.truths:
            columns = self.card.columns(truth)
            powers = np.exp(logits[:, columns] - logits[:, columns].max(axis=1, keepdims=True))
            said[:, columns] = powers / powers.sum(axis=1, keepdims=True)
        return said


def read_model(path: Path) -> bytes:
    """The content of a model file; `InputError` for one that is missing, or larger than any, before it is read."""
    if not path.is_file():
        to = shlex.quote(str(path))
        raise InputError(f"{path}: no such model file. Make one of a run: mien export RUN --data PATH --to {to}")
    size = path.stat().st_size
    if size > LARGEST_MODEL:
        raise InputError(
            f"{path}: has {size:,} bytes, and no model file is larger than {LARGEST_MODEL:,}. "
            "Is it a model? Write it anew: mien export RUN"
        )
    return path.read_bytes()


def with_card(content: bytes, card: Card, source: str) -> bytes:
    """The same model file with another card; `source` names it in errors."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing into a model file", "train") from error
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        raise InputError(f"{source}: not a model file ({first_line(error)})") from error
    entry = next((one for one in model.metadata_props if one.key == CARD_KEY), None)
    if entry is None:
        raise InputError(f"{source}: has no card to replace. Export the run again: mien export RUN --data PATH")
    entry.value = card.model_dump_json()
    return bytes(model.SerializeToString())


def _opened(session: Any, source: str) -> Classifier:
    try:
        return _checked(session, source)
    except UnicodeDecodeError as error:  # its names are bytes to the runtime
        raise InputError(f"{source}: names in its network are not UTF-8. {_ANEW}") from error


def _checked(session: Any, source: str) -> Classifier:
    card = _card(session, source)
    names = [output.name for output in session.get_outputs()]
    if len(session.get_inputs()) != 1 or names[1:] not in ([], [FEATURES]):
        raise InputError(f"{source}: its network has more than one input or output. {_ANEW}")
    outputs = session.get_outputs()[0].shape
    if not outputs or outputs[-1] != sum(card.widths):
        raise InputError(
            f"{source}: its network answers with {outputs[-1] if outputs else 'one'} numbers, "
            f"its card has {sum(card.widths)} labels. {_ANEW}"
        )
    return Classifier(session, card, source)


def _card(session: Any, source: str) -> Card:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise InputError(f"{source}: has no card, so its labels and preprocessing are not known. Export it with mien")
    return Card.parse(text, f"{source}: its card")
