"""Model: a run folder, an .onnx file or a bundled name, opened once and asked in one way.

Torch is imported for a run without a model file, or on a GPU. Shapes: N faces, K classes of one head, O outputs of all
heads side by side.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mien import hub
from mien.cards import Card
from mien.data.cache import Progress, cache_folder
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, beside
from mien.errors import InputError, not_writable, unknown_name
from mien.images import Pixels
from mien.ledger import LEDGER, append
from mien.predictions import Predictions, Truth, pool
from mien.recognize.naming import bundled, is_model_file, unknown_model
from mien.recognize.recognizer import Recognizer
from mien.recognize.shift import Reference
from mien.recognize.vendored import read_vendored, vendored_folder
from mien.training.looks import What, look, weights_of
from mien.training.run import Run

logger = logging.getLogger(__name__)

SPLITS = ("val", "test", "pooled")
_KNOWN = (*SPLITS, "train", "all")  # train for its predictions alone, which another model may learn from
_BATCH = 256

Floats32: TypeAlias = npt.NDArray[np.float32]
Classify: TypeAlias = Callable[[Sequence[Pixels]], Floats32]  # face crops → probabilities (N, K) or (N, O)
Features: TypeAlias = Callable[[Sequence[Pixels]], tuple[Floats32, Floats32]]  # → probabilities (N, O), features
Named: TypeAlias = "str | Path | Run | Model"


class Model:
    """A trained model of whatever kind, opened for questions."""

    def __init__(
        self,
        name: str,
        card: Card,
        source: Run | Recognizer,
        place: Path | None = None,
        device: str = "cpu",
        origin: Run | None = None,
    ) -> None:
        """Use `Model.open`. `place`: of a model file that is not bundled."""
        self.name, self.card = name, card
        self.origin = origin  # what came with a bundled model, or one on the hub, of the run that made it
        self.run = source if isinstance(source, Run) else None  # None: a file alone, without gradients or what is kept
        self._file = source if isinstance(source, Recognizer) else None
        self.place, self._device = place, device

    @classmethod
    def open(cls, model: Named, *, device: str = "auto") -> Model:
        """`model`: a run, its folder, a `.onnx` file that mien wrote, a bundled name, or `hf://user/name@revision`.

        `device`: auto, cpu, cuda or mps, where a run's network computes; a model file does so on the CPU. Raises
        `InputError` for anything else. Files of a run are read when they are asked for: one that keeps no weights can
        still be compared.
        """
        if isinstance(model, Model):
            return model
        if isinstance(model, Run):
            return cls(model.name, model.card, model, None, device)
        if is_model_file(model) or Path(model).is_file():
            if device not in ("auto", "cpu"):
                raise InputError(
                    f"{model}: a model file computes on the cpu. Leave out --device {device}, or name a run folder"
                )
            return cls._of_file(model)
        run = Run(Path(model))
        if not run.folder.exists() and len(run.folder.parts) == 1:
            raise unknown_model(str(model))
        if not (run.folder / "card.json").is_file():
            run = Run.open(model)  # raises, and says what is missing
        return cls(run.name, run.card, run, None, device)

    @classmethod
    def _of_file(cls, model: str | Path) -> Model:
        if hub.is_address(model):
            snapshot = hub.fetched(model)
            place, origin = snapshot.folder / "model.onnx", Run(snapshot.folder, snapshot.address)
            file = Recognizer(snapshot.folder, detector="none")
            return cls(snapshot.name, file.card, file, place, origin=origin)
        file, name = Recognizer(model, detector="none"), Path(model).stem
        if file.card.adapted:
            logger.info("%s: %s", name, file.card.adapted)
        if model in bundled():
            return cls(name, file.card, file, origin=Run(vendored_folder("starts") / name))
        return cls(name, file.card, file, Path(model))

    @property
    def word(self) -> str:
        """What names it in a command, as a shell takes it: its folder or file, or the bundled name."""
        return shlex.quote(str(self.run.folder if self.run is not None else self.place or self.name))

    @property
    def content(self) -> bytes:
        """The bytes of a model file."""
        assert self.run is None
        if self.place is None:
            return read_vendored("weights", f"{self.name}.onnx")
        return self.place.read_bytes()

    def outputs(self, crops: Sequence[Pixels]) -> Floats32:
        """Probabilities `(N, O)` of all heads side by side, before any temperature.

        `crops`: faces cut out, uint8 of any size, gray or RGB.
        """
        return self._outputs(crops)

    def classify(self, crops: Sequence[Pixels], truth: Truth | None = None) -> Floats32:
        """Probabilities `(N, K)` of the head of `truth` (the card's own if left out), at its temperature."""
        return self.card.answers(self.outputs(crops), truth)

    @cached_property
    def _outputs(self) -> Classify:
        if self._file is not None:
            return self._file.of_all_heads
        assert self.run is not None
        if (self.run.folder / "model.onnx").is_file() and not self._on_gpu():
            return Recognizer(self.run.folder, detector="none").of_all_heads
        from mien.training.hardware import detect
        from mien.training.predict import outputs

        network, card = self.run.load_model().to(detect(self._device).device), self.card
        return lambda crops: outputs(network, card, list(crops))

    def _on_gpu(self) -> bool:
        if find_spec("torch") is None:
            return False
        from mien.training.hardware import detect

        return detect(self._device).device != "cpu"

    def predictions(
        self, faces: FaceSet, split: str, *, votes: Votes | None = None, progress: Progress | None = None
    ) -> Predictions:
        """What it says of `val`, `test`, `train`, `pooled` (val and test) or `all` of `faces`, before any temperature.

        A run reads back what it said before of the same images, and keeps what it says now; `votes` of taggers are kept
        beside the answers of a people's head. Images that training or selection saw are marked: a run and a bundled
        model know them, of another file they are those in train and val of `faces`, if these are its own. Raises
        `InputError` for other labels than the model's, or an empty split.
        """
        if split not in _KNOWN:
            raise unknown_name("split", split, _KNOWN)
        faces = faces.for_labels(self.card.labels, self.name)
        if split == "pooled":
            first, second = (self.predictions(faces, part, votes=votes, progress=progress) for part in ("val", "test"))
            return pool(first, second)
        if self.run is None:
            said = self._made(faces, split, progress)
            self._enter(said, faces, "computed")
            return beside(said, votes)
        path = self.folder_for(faces, "predictions") / f"{split}.npz"
        kept = _read(path, of_split(faces, split))
        if kept is not None:
            self._enter(kept, faces, "read")
        if kept is not None and (votes is None or kept.people is None):
            return kept
        if kept is None:
            from mien.training.hardware import detect
            from mien.training.predict import predict

            kept = predict(self.run, faces, split, detect(self._device), progress)
            self._enter(kept, faces, "computed")  # before the answers are kept: none without a line
        made = beside(kept, votes)
        made.save(path)
        return made

    def unseen(self, faces: FaceSet, split: str) -> FaceSet:
        """The faces of a split that training did not see, as far as that is known: see `predictions`."""
        chosen = self.not_trained_on(faces.select(split))
        return chosen if self._seen else chosen.keep(~np.isin(chosen.hashes, faces.select("train").hashes))

    def not_trained_on(self, faces: FaceSet) -> FaceSet:
        """The faces that training did not see, as far as the model itself knows; whatever their split is called."""
        return faces.keep(~np.isin(faces.hashes, self._seen[0])) if self._seen else faces

    @cached_property
    def watched(self) -> tuple[Features, Reference] | None:
        """What tells faces that are unlike those of val: the features of crops, and what they are held against.

        None for a model without a model file, or one that holds no reference.
        """
        file = self._file
        if self.run is not None and (self.run.folder / "model.onnx").is_file():
            file = Recognizer(self.run.folder, detector="none")
        found = file.reference if file else None
        return (file.with_features, found) if file and found else None

    def kept(self, split: str) -> Predictions:
        """What it said before of the data that it was trained on. Raises `InputError` where it keeps nothing."""
        if split not in _KNOWN:
            raise unknown_name("split", split, _KNOWN)
        if self.run is None:
            raise InputError(f"{self.name}: a model file keeps no predictions. Name the images: --data PATH")
        if split == "pooled":
            return pool(self.kept("val"), self.kept("test"))
        return self.run.predictions(split)

    @property
    def ledgers(self) -> tuple[Path, ...]:
        """Where looks at test are written down, the one that grows last: a run's own; of a file in the user's cache,
        after what a bundled model, or one on the hub, came with."""
        if self.run is not None:
            return (self.run.folder / LEDGER,)
        own = cache_folder() / "ledgers" / f"{self.name}-{self._digest[:12]}.jsonl"
        came = self.origin.folder / LEDGER if self.origin else None
        return (came, own) if came and came.is_file() else (own,)

    @cached_property
    def _digest(self) -> str:
        if self.run is None and self.place is None:  # the weights that the bundled file was made of
            return weights_of(Run(vendored_folder("starts") / self.name))
        return weights_of(self.run) if self.run is not None else sha256(self.content).hexdigest()

    def _enter(self, answered: Predictions, faces: FaceSet, what: What) -> None:
        """Write a look at `test` into the ledger: at all faces it is one at those of test among them.

        What was read again of a run without weights cannot be told apart.
        """
        if answered.split == "all":
            answered = replace(answered.keep(faces.splits == "test"), split="test")
        if answered.split != "test" or not len(answered) or (what == "read" and not self._digest):
            return
        file = self.ledgers[-1]
        try:
            append(file, look(self.name, self.card, self._digest, answered, faces.source, what))
        except OSError as error:
            if self.run is not None and what == "computed":
                raise not_writable(file, error) from error
            logger.warning("%s: cannot be written (%s), so this look at test is not kept", file, error.strerror)

    def folder_for(self, faces: FaceSet, kind: str) -> Path:
        """Where a run keeps what it says of `faces`: its own folder for its own data, one below for any other."""
        assert self.run is not None
        own = self.run.seen_fingerprint == faces.select("train", "val").fingerprint
        folder = self.run.folder / kind
        return folder if own else folder / f"{faces.source}-{faces.fingerprint[:8]}"

    def learned_from(self, faces: FaceSet) -> bool:
        """Whether it was trained and chosen on the train and val faces of these very data."""
        return faces.select("train", "val").fingerprint == self.card.training.fingerprint

    def unsure_what_it_saw(self, faces: FaceSet) -> str | None:
        """Why leak-free figures on `faces` may leave out too little; None where all that it has seen is known.

        Then they leave out images of the train and val splits here, and of `all` none.
        """
        training = self.card.training
        if self.card.adapted and self.card.adapted.fingerprint == faces.fingerprint:
            return f"{self.name} was adapted to these very faces, so figures on them flatter it"
        if self._seen is not None:
            return None
        if not self.learned_from(faces):
            return f"{self.name} was trained on other data ({training.data})"
        return f"{self.name} began with the weights of {training.start}" if training.start else None

    @cached_property
    def _seen(self) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]] | None:
        """Identities of the images that training and selection saw; None of a file, which does not hold them.

        A bundled model has them beside it, also for a file that was calibrated, adapted or converted from it.
        """
        if self.run is not None:
            return self.run.seen()
        made_by = self.origin or _bundled_run(self.card)
        return made_by.seen() if made_by and made_by.keeps_seen else None

    def _made(self, faces: FaceSet, split: str, progress: Progress | None) -> Predictions:
        chosen = faces.for_model(self.card.labels, self.name, split)
        starts = range(0, len(chosen), _BATCH)
        blocks = []
        for step, start in enumerate(starts, start=1):
            rows = np.arange(start, min(start + _BATCH, len(chosen)))
            blocks.append(self.outputs(list(chosen.gather(rows))))
            if progress:
                progress("predicting", step, len(starts))
        seen = self._seen or self._taken_as_seen(faces, split)
        return chosen.predictions(self.card, split, np.concatenate(blocks), seen)

    def _taken_as_seen(self, faces: FaceSet, split: str) -> tuple[npt.NDArray[np.str_], ...]:
        """Of a file that does not know it: the train and val faces here; of all faces of other data none."""
        parts = ((), ()) if split == "all" and not self.learned_from(faces) else (("train",), ("val",))
        return tuple(faces.select(*part).hashes for part in parts)


def of_split(faces: FaceSet, split: str) -> FaceSet:
    """The faces of a split, in the order of its predictions: pooled is val, then test; all as they are."""
    if split == "all":
        return faces
    if split != "pooled":
        return faces.select(split)
    return faces.keep(np.concatenate([np.flatnonzero(faces.splits == part) for part in ("val", "test")]))


def _read(path: Path, faces: FaceSet) -> Predictions | None:
    """The predictions kept at `path`; None where there are none, or they are not of these faces."""
    if not path.is_file():
        return None
    kept = Predictions.load(path)
    same = (
        kept.label_names == faces.label_set.labels
        and np.array_equal(kept.hashes, faces.hashes)
        and np.array_equal(kept.labels, faces.labels)
    )
    return kept if same else None


def _bundled_run(card: Card) -> Run | None:
    """What is kept of the training of a bundled model, where the card is of that very training."""
    runs = (Run(vendored_folder("starts") / name) for name in bundled())
    return next((run for run in runs if run.card.training == card.training), None)
