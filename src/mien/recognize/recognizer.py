"""Recognizer: the trained eye. Pictures in, the emotion of every face in them out, without torch.

Shapes: N faces, K classes.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from mien import hub
from mien.cards import Card
from mien.confidence import is_unsure
from mien.errors import InputError
from mien.images import Pixels
from mien.predictions import Truth
from mien.recognize.detector import DETECT_SIZE, Detector, check_size
from mien.recognize.faces import Batch, Face, Faces, Picture, Place
from mien.recognize.finder import DetectorChoice, Finder, Found, known_detector
from mien.recognize.given import OnError, check_on_error, name_of, read_given
from mien.recognize.naming import open_classifier
from mien.recognize.prior import NOT_PROMISED, Mix, Prior
from mien.recognize.session import CPU, check_provider

if TYPE_CHECKING:
    from mien.recognize.monitor import Monitor
    from mien.recognize.shift import Reference

logger = logging.getLogger(__name__)
DEFAULT = "mien-small"  # of the bundled models
_PICTURES = 8  # of a list that are in memory at once


class Recognizer:
    """Recognizes emotions with one model and one face detector."""

    def __init__(
        self,
        model: str | Path = DEFAULT,
        *,
        detector: DetectorChoice = "default",
        detect_size: int = DETECT_SIZE,
        threads: int | None = None,
        abstain: float | None = None,
        truth: Truth | None = None,
        provider: str = CPU,
        prior: Prior = "train",
    ) -> None:
        """`model`: a bundled name, a run folder that holds `model.onnx`, such a file, or `hf://user/name@revision`,
        which is downloaded once (see `mien.hub`).

        `truth`, of a model with two heads: people (what most people see in a face) or labels (what the data that it
        learned from call it); None takes the card's choice, people where there are two.

        `detector`: default (CenterFace), fast (BlazeFace) or none (each picture is a face, already cropped).
        `detect_size`: long side in pixels at which faces are looked for. `threads`: cores that one call may use; None
        leaves it to onnxruntime. `abstain`: confidence (0–1) below which a face is marked unsure; None takes the
        model's own. `provider`: what computes the networks, by onnxruntime's names: cpu, cuda, coreml, openvino or
        directml. `prior`: how frequent the classes are among the faces that will be asked about: train (as where the
        model learned), balanced, a table of counts (a CSV with the columns label and count, or a dictionary), or
        estimate, from all faces of one call with a list or of `folder`, at least 100 of them; see
        `mien.recognize.prior`. Raises `InputError` for anything else.
        """
        self._open(model, detector, detect_size, threads, abstain, truth, provider, prior)
        if not self.mix.is_of_training:
            logger.warning("%s", NOT_PROMISED)

    def _open(
        self,
        model: str | Path,
        detector: DetectorChoice,
        detect_size: int,
        threads: int | None,
        abstain: float | None,
        truth: Truth | None,
        provider: str,
        prior: Prior,
    ) -> None:
        known_detector(detector)
        if abstain is not None and not 0 <= abstain <= 1:
            raise InputError(f"abstain {abstain:g}: expected a probability, 0 to 1")
        if threads is not None and threads < 1:
            raise InputError(f"threads {threads}: expected 1 or more")
        check_size(detect_size)
        check_provider(provider)
        self.provider = provider
        place = model
        if hub.is_address(model):
            snapshot = hub.fetched(model)
            model, place = snapshot.address, snapshot.folder  # of one commit: other processes open the same
        self._given = (model, detector, detect_size, threads, abstain, truth, provider, prior)
        self._classifier = open_classifier(place, threads, provider)
        self._finder = Finder(detector, detect_size, threads, provider, self.card)
        self.threads = threads
        self._head = self.card.head(truth)  # raises where the model lacks it
        self.truth: Truth = truth or self.card.truth
        self.threshold = abstain if abstain is not None else self._head.threshold or 0.0
        self._monitor: Monitor | None = None
        self.mix = Mix(prior, self._head, str(model))

    def __getstate__(self) -> dict[str, Any]:
        """What it was opened with: in another process the model is opened anew, from the same place; see `reopened`."""
        names = ("model", "detector", "detect_size", "threads", "abstain", "truth", "provider", "prior")
        return dict(zip(names, self._given, strict=True))

    def __setstate__(self, given: dict[str, Any]) -> None:
        self._open(**given)

    @property
    def card(self) -> Card:
        return self._classifier.card

    @property
    def labels(self) -> tuple[str, ...]:
        """The order of every probability vector."""
        return self._head.labels

    @property
    def sets(self) -> float | None:
        """Probability with which `Face.set` holds the truth in each class; None without sets, or at another prior."""
        return self._head.sets.level if self._head.sets and self.mix.is_of_training else None

    @overload
    def __call__(self, pictures: Picture, *, on_error: OnError = "raise") -> Faces: ...  # type: ignore[overload-overlap]  # a str is a sequence
    @overload
    def __call__(self, pictures: Sequence[Picture], *, on_error: OnError = "raise") -> Batch: ...
    def __call__(self, pictures: Picture | Sequence[Picture], *, on_error: OnError = "raise") -> Faces | Batch:
        """The faces of a picture, from left to right; of a list of pictures, one list for each.

        A picture is a path, encoded bytes, a PIL image, or a uint8 array, `(H, W)` gray or `(H, W, 3)` RGB (cv2 gives
        BGR: turn it around). No face gives an empty list. `on_error`, for pictures that cannot be read: raise an
        `InputError`, or keep an empty list in their place, whose `error` says why.
        """
        check_on_error(on_error)
        if not isinstance(pictures, (list, tuple)):
            (one,) = self._some([pictures], 0, on_error)  # type: ignore[list-item]  # told where it is read
            return self.mix.at_estimate([one], self.threshold)[0] if self.mix.is_estimated else one
        found = Batch()
        for start in range(0, len(pictures), _PICTURES):
            found += self._some(pictures[start : start + _PICTURES], start, on_error)
        return Batch(self.mix.at_estimate(found, self.threshold)) if self.mix.is_estimated else found

    def folder(self, path: str | Path, *, on_error: OnError = "raise") -> Iterator[Faces]:
        """The faces of every picture in a folder and below it, one by one, in the order of `mien recognize`.

        Memory does not grow. `on_error`: as for a list of pictures. Raises `InputError` for a place that is no folder.
        """
        from mien.recognize.sequences import of_folder

        return of_folder(self, Path(path), check_on_error(on_error))

    def video(
        self,
        source: str | Path,
        *,
        every: int = 1,
        fps: float | None = None,
        smooth_s: float | None = None,
        keep_frames: bool = False,
    ) -> Iterator[Faces]:
        """The faces of each frame of a video, or of a camera (`camera`, `camera:1`), that is looked at, one by one.

        `every`, `fps`: look at every Nth frame, or at most so many times a second. `smooth_s`: seconds over which
        answers are smoothed, 0 for none, None for the usual 0.4. Faces keep their `face_ids`; `frame` and `time_s` say
        when. `keep_frames`: hold the pixels, for `plot`; memory grows with all that is kept. Raises `InputError` for
        options that cannot be, and when it is read for what is no video.
        """
        from mien.recognize.sequences import of_video

        if self._monitor is not None:
            raise InputError(
                f"{source}: the faces of a film are few, seen many times, and watch() takes them to be of different "
                "people or occasions. Open another Recognizer for films"
            )
        if self.mix.is_estimated:
            raise InputError(
                f"{source}: shares are estimated from all faces before the first answer, and a video or camera shows "
                "the same faces again and again. Take prior train, balanced or a table of counts"
            )
        return of_video(self, source, (every, fps), smooth_s, keep_frames=keep_frames)

    def recognize(self, images: Sequence[Pixels], sources: Sequence[str]) -> list[list[Face]]:
        """The faces of decoded, upright pictures; `sources` names them.

        Several pictures are looked at side by side, each on one core; the classifier sees all faces together.
        """
        looked = self._finder.find(images)
        places = [faces for faces, _ in looked]
        answers = self._watched([crop for _, crops in looked for crop in crops])
        ends = np.cumsum([0, *map(len, places)])
        return [
            [
                self._face(source, found, answer, image.shape[:2])
                for found, answer in zip(faces, answers[start:end], strict=True)
            ]
            for image, source, faces, (start, end) in zip(images, sources, places, pairwise(ends), strict=True)
        ]

    def classify(self, crops: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """Probabilities `(N, K)` in the order of `labels`, for uint8 face crops of any size, gray or RGB."""
        return self.mix.of(self._classifier.classify(crops, self.truth))

    def watch(self) -> Monitor:
        """From now on hold every face that is recognized against those that the model was measured on.

        What is found out so far is in the monitor that is given back. Once it is an alarm, `shifted` of the answers
        says so: what the model promises is not known to hold for them. For pictures whose faces are of different
        people or occasions; films, which show few faces many times, are refused. A copy in another process does not
        watch. Raises `InputError` for a model file without a reference for this detector.
        """
        from mien.recognize.monitor import Monitor

        if self.reference is None:
            raise InputError(
                f"{self._given[0]}: has no reference for faces that the detector '{self._finder.name}' cuts. Take "
                "detector default (photos) or none (crops), and a model file that has them: mien calibrate "
                f"{shlex.quote(str(self._given[0]))} --reference --data PATH --to NEW.onnx"
            )
        self._monitor = Monitor(self.reference)
        return self._monitor

    @property
    def reference(self) -> Reference | None:
        """What `watch` holds faces against that this detector cuts; None where the model file does not hold it."""
        return self._classifier.reference(self._finder.name)

    @property
    def shifted(self) -> bool:
        """Whether `watch` is on and has found an alarm."""
        return self._monitor is not None and self._monitor.alarm

    def with_features(self, crops: Sequence[Pixels]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`of_all_heads`, and the features `(N, D)` behind them; `InputError` for a file that does not give them."""
        return self._classifier.with_features(crops)

    def of_all_heads(self, crops: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """Probabilities `(N, O)` of every head of the card side by side, before any temperature."""
        return self._classifier.probabilities(crops)

    def _watched(self, crops: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """As `classify`; the monitor, where there is one, sees them too."""
        if self._monitor is None:
            return self.classify(crops)
        said, features = self._classifier.with_features(crops)
        self._monitor.add(said, features)
        return self.mix.of(self.card.answers(said, self.truth))

    def _some(self, pictures: Sequence[Picture], start: int, on_error: OnError) -> list[Faces]:
        """The faces of a few pictures, which are numbered from `start` where they have no name."""
        names = [name_of(picture, start + i) for i, picture in enumerate(pictures)]
        read = [read_given(picture, on_error) for picture in pictures]
        good = [i for i, image in enumerate(read) if not isinstance(image, str)]
        found = dict(zip(good, self.recognize([read[i] for i in good], [names[i] for i in good]), strict=True))  # type: ignore[misc]
        places = [Place(name, self.labels) for name in names]
        return [
            Faces(found.get(i, ()), place, picture, image if isinstance(image, str) else None, shifted=self.shifted)
            for i, (place, picture, image) in enumerate(zip(places, pictures, read, strict=True))
        ]

    @property
    def settings(self) -> dict[str, str | int | float | None]:
        """What the answers depend on, for those who keep them."""
        training = self.card.training
        return {
            "model": f"{self.card.recipe}, data {training.fingerprint[:12]}, seed {training.seed}",
            **({"truth": self.truth} if self.card.people else {}),
            "detector": self._finder.name,
            "detect_size": self._finder.size,
            "threshold": self.threshold,
            **({"sets": self.sets} if self.sets else {}),
            **self.mix.settings,
        }

    @property
    def detector(self) -> Detector:
        """Opened when a picture first needs it."""
        return self._finder.detector

    def _face(self, source: str, found: Found, answer: npt.NDArray[np.float32], shape: tuple[int, ...]) -> Face:
        place, quality = found
        values = {label: float(p) for label, p in zip(self.labels, answer, strict=True)}
        emotion = max(values, key=values.__getitem__)
        return Face(
            source=source,
            emotion=emotion,
            probabilities=values,
            box=_clipped(place.box, shape),
            detection_score=None if self._finder.name == "none" else place.score,
            unsure=is_unsure(values[emotion], self.threshold),
            quality=quality,
            set=self._head.set_of(answer) if self.mix.is_of_training else None,
        )


def reopened(state: Mapping[str, Any], *, threads: int, provider: str | None = None) -> Recognizer:
    """The one whose `__getstate__` this is, on so many cores, and with another `provider` if one is named.

    What was said when that one was opened is not said again.
    """
    recognizer = Recognizer.__new__(Recognizer)
    recognizer.__setstate__({**state, "threads": threads, "provider": provider or state["provider"]})
    return recognizer


def _clipped(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The part of a box within a picture of `shape` (H, W), at least a pixel of it."""
    x0, y0 = (min(max(round(v), 0), most - 1) for v, most in zip(box[:2], shape[1::-1], strict=True))
    x1, y1 = (min(max(round(v + w), low + 1), most) for v, w, low, most in
              zip(box[:2], box[2:], (x0, y0), shape[1::-1], strict=True))  # fmt: skip
    return x0, y0, x1 - x0, y1 - y0
