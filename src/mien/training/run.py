"""Run: the folder of one training, and everything that stays of it. The model rebuilds from the folder alone."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien import formats
from mien.arrays import load_arrays
from mien.cards import Card
from mien.data.csv_rows import rows
from mien.data.faceset import FaceSet
from mien.errors import InputError, first_line, shortened
from mien.files import write_csv, write_whole
from mien.models.config import check_config
from mien.predictions import Predictions, Truth
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Ensemble, Pretrained
from mien.shown import Shown

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`. Losses are cross entropy in nats per image, accuracies 0–1.

    Training figures are taken while the weights move and with dropout on; validation figures after the epoch.
    """

    epoch: int  # counted from 1
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float  # of the training pass
    val_people: float | None = None  # of a votes' head: share of the votes for its answer, mean over the val faces


@dataclass(frozen=True)
class Run(Shown):
    """A run folder; files are read when they are asked for."""

    folder: Path
    address: str | None = None  # of one that was downloaded: hf://user/name@commit

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """A finished run. Raises `InputError` when the folder is none."""
        run = cls(Path(folder))
        if not run.folder.is_dir():
            out = shlex.quote(str(folder))
            raise InputError(f"{folder}: no such run folder. Train one: mien train cnn-v2 --data PATH --out {out}")
        if not run.finished:
            hint = "continue it with --resume" if run.last_checkpoint.is_file() else "name the folder of one run"
            raise InputError(
                f"{folder}: no finished run (card.json, model.safetensors or predictions/val.npz is missing); {hint}"
            )
        return run

    def __str__(self) -> str:
        """What was done, in a few lines."""
        if not self.finished:
            done = len(self.history) if self.history_file.is_file() else 0
            return f"{self.folder}: not finished, {done} epochs done"
        card = self.card
        training = card.training
        return "\n".join(
            [
                f"{self.folder}: {card.recipe}, {card.parameters:,} parameters, seed {training.seed}",
                f"  {training.epochs} epochs on {training.data} (train {training.train_images:,}, "
                f"val {training.val_images:,}), {training.minutes:,.1f} minutes on {training.device}",
                f"  best epoch {training.best_epoch}: {training.best_value:.4f} on val",
                f"  answers {', '.join(card.labels)}{' and, of their own, what people see' if card.people else ''}",
            ]
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for each epoch, as in `history.csv`; see `Epoch`. None of an ensemble, which was not trained."""
        return [asdict(row) for row in self.history] if self.history_file.is_file() else []

    @property
    def begun(self) -> bool:
        """Whether a training wrote this folder, finished or not."""
        return (self.folder / "recipe.yaml").is_file() and self._seen_file.is_file()

    @property
    def finished(self) -> bool:
        needed = (self.folder / "card.json", self.weights_file, self.predictions_file("val"))
        return all(file.is_file() for file in needed)

    @property
    def name(self) -> str:
        return self.address or self.folder.resolve().name

    @property
    def recipe(self) -> Recipe:
        return Recipe.read(self.folder / "recipe.yaml")

    @property
    def card(self) -> Card:
        return Card.load(self.folder / "card.json")

    @property
    def history_file(self) -> Path:
        return self.folder / "history.csv"

    @property
    def history(self) -> list[Epoch]:
        return read_history(self.history_file)

    @property
    def weights_file(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def best_weights(self) -> Path:
        """Weights of the best epoch so far, while the run goes on."""
        return self.checkpoints / "best.safetensors"

    @property
    def backbone_config(self) -> dict[str, Any] | None:
        """What the run's pre-trained backbone is rebuilt from; None for a network without one.

        An ensemble holds those of its members, in their order, as `{"members": [...]}`.
        """
        model = self.recipe.model
        if not any(isinstance(one, Pretrained) for one in (model.members if isinstance(model, Ensemble) else [model])):
            return None
        try:
            config = json.loads(self._backbone_file.read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError("no description of a network")
            size = self.weights_file.stat().st_size if self.weights_file.is_file() else None
            check_config(config, size)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"{self._backbone_file}: missing or damaged ({first_line(error)}); the network needs it. Copy it again"
            ) from error
        return config

    def save_backbone_config(self, config: dict[str, Any]) -> None:
        write_whole(self._backbone_file, json.dumps(config, indent=1) + "\n")

    @property
    def _backbone_file(self) -> Path:
        return self.folder / "backbone.json"

    def save_seen(self, faces: FaceSet, start: Run | None = None) -> None:
        """Keep the identities of the train and val images, so that leaks are found on any later data.

        Those that `start` has seen, whose weights the run begins with, go with them.
        """
        own = tuple(faces.hashes[faces.splits == split] for split in ("train", "val"))
        self._write_seen(faces.fingerprint, [own, *([start.seen()] if start else [])], start.identity if start else "")

    def copy_trunk(self, trunk: Run) -> None:
        """Take over what `trunk` has done so far: its last checkpoint, best weights, history, and what it has seen."""
        # The checkpoint first: where the trunk trains meanwhile, rows of later epochs are left out afterwards.
        state = (trunk.last_checkpoint, trunk.history_file, trunk.best_weights, trunk._seen_file, trunk._backbone_file)
        read = {theirs: theirs.read_bytes() for theirs in state if theirs.is_file()}
        for theirs, content in reversed(read.items()):  # and last here: what has one can go on
            write_whole(self.folder / theirs.relative_to(trunk.folder), content)

    def save_seen_of(self, members: Sequence[Run]) -> None:
        """The same for an ensemble: what any of its members has seen."""
        self._write_seen(members[0].seen_fingerprint, [member.seen() for member in members], "")

    def _write_seen(self, fingerprint: str, seen: Sequence[tuple[npt.NDArray[np.str_], ...]], start: str) -> None:
        train, val = (np.unique(np.concatenate(parts)) for parts in zip(*seen, strict=True))
        buffer = io.BytesIO()
        told = {"format": np.array(formats.RUN), "fingerprint": np.array(fingerprint), "start": np.array(start)}
        np.savez_compressed(buffer, train=train, val=val, **told)  # type: ignore[arg-type]
        write_whole(self._seen_file, buffer.getbuffer())

    def seen(self) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
        """Identities of the images that training and selection saw: (train, val), sorted."""
        stored = self._load_seen()
        return stored["train"], stored["val"]

    @property
    def keeps_seen(self) -> bool:
        """Whether `seen` can say it."""
        return self._seen_file.is_file()

    @property
    def seen_fingerprint(self) -> str:
        """Of the train and val faces together."""
        return str(self._load_seen()["fingerprint"])

    @property
    def begun_with(self) -> str:
        """`identity` of the run whose weights this one began with; empty where they were fresh."""
        return str(self._load_seen().get("start", ""))

    @property
    def identity(self) -> str:
        """Name and a digest of the weights (12 hexadecimal digits), which tells two runs of one name apart."""
        return f"{self.name} {sha256(self.weights_file.read_bytes()).hexdigest()[:12]}"

    @property
    def _seen_file(self) -> Path:
        return self.folder / "seen.npz"

    def _load_seen(self) -> dict[str, npt.NDArray[np.str_]]:
        try:
            stored = load_arrays(self._seen_file)
            formats.check(int(stored["format"]) if "format" in stored else None, formats.RUN, self.folder)
            for key, axes in (("fingerprint", 0), ("train", 1), ("val", 1)):
                if stored[key].dtype.kind != "U" or stored[key].ndim != axes:
                    raise ValueError(f"{key} is an array of {stored[key].dtype}")
            return stored
        except InputError:
            raise
        except Exception as error:  # zip and array readers each raise their own on a damaged file
            why = f"no {error}" if isinstance(error, KeyError) else first_line(error)
            raise InputError(
                f"{self._seen_file}: missing or damaged ({why}); the run cannot be scored leak-free. "
                "Copy it again, or train again"
            ) from error

    def predictions_file(self, split: str) -> Path:
        return self.folder / "predictions" / f"{split}.npz"

    def predictions(self, split: str) -> Predictions:
        return Predictions.load(self.predictions_file(split))

    def load_model(self, truth: Truth | None = None) -> nn.Module:
        """The network with its trained weights, float32, in eval mode, on the CPU.

        With a `truth` it answers with that head alone, otherwise with all of them, side by side.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from mien.models.build import build
        from mien.models.checkpoints import check_memory
        from mien.models.head import keep_outputs

        widths, backbone = self.card.widths, self.backbone_config
        if self.card.mirror_below is not None:
            raise InputError(
                f"{self.folder / 'card.json'}: has mirror_below, which is of model files alone: the network of a run "
                "would not keep to it. Set it to null"
            )
        try:
            if backbone is not None and self.weights_file.is_file():
                check_memory(backbone, self.weights_file.stat().st_size)
            model = build(self.recipe.model, self.card.preprocess, widths, backbone)
        except InputError:
            raise
        except Exception as error:  # the builders of transformers raise nearly anything on a strange config
            raise InputError(
                f"{self._backbone_file}: no network can be built from it ({first_line(error)}). Copy the run again"
            ) from error
        try:
            weights = load_file(self.weights_file)
            model.load_state_dict(weights)
        except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
            why = first_line(error)
            raise InputError(
                f"{self.weights_file}: weights do not fit the run's recipe ({why}). Copy the run again"
            ) from error
        strange = next((key for key, value in weights.items() if not value.isfinite().all()), None)
        if strange:
            raise InputError(
                f"{self.weights_file}: {strange} holds values that are not finite. Copy the run again, or train it anew"
            )
        if truth and len(widths) > 1:
            keep_outputs(model, self.card.columns(truth))
        return model.eval()


_MOST_EPOCHS = 1_000_000


def read_history(path: Path) -> list[Epoch]:
    """Rows of a `history.csv`, in order."""
    if not path.is_file():
        raise InputError(f"{path}: missing; a run writes it after its first epoch")
    found = rows(path)
    header = next(found, (0, []))[1]
    history = []
    for line, row in found:
        try:
            history.append(_epoch(dict(zip(header, row, strict=True))))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}, line {line}: not a history that this version reads ({first_line(error)}). "
                "Copy it again, or train again: --overwrite"
            ) from error
    return history


def _epoch(row: dict[str, str]) -> Epoch:
    epoch = int(row.pop("epoch"))
    if not 1 <= epoch <= _MOST_EPOCHS:
        raise ValueError(f"epoch {shortened(str(epoch), 40)}")
    return Epoch(epoch=epoch, **{key: float(value) for key, value in row.items() if value})  # an empty one is None


def write_history(path: Path, rows: Sequence[Epoch]) -> None:
    """Write all rows, whole or not at all."""
    names = [f.name for f in fields(Epoch)]
    write_csv(path, names, ([getattr(row, name) for name in names] for row in rows))


def monitored(row: Epoch, recipe: Recipe) -> float:
    """The figure that chooses the epoch: val accuracy where the recipe names no other.

    With two heads it is the mean of theirs, each against its own truth: labels, and single votes.
    """
    if recipe.early_stopping and recipe.early_stopping.monitor == "val_loss":
        return row.val_loss
    return row.val_accuracy if row.val_people is None else (row.val_accuracy + row.val_people) / 2


def best_epoch(history: Sequence[Epoch], recipe: Recipe) -> Epoch:
    """The epoch whose weights are kept: best by the monitored figure, the first of equals."""
    lowest = recipe.early_stopping is not None and recipe.early_stopping.monitor == "val_loss"
    return (min if lowest else max)(history, key=lambda row: monitored(row, recipe))
