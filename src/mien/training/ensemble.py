"""Ensemble: finished runs as one run, which answers with the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save

from mien.cards import Card
from mien.errors import InputError, not_writable
from mien.files import write_whole
from mien.ledger import LEDGER, append
from mien.predictions import Predictions, check_same_images
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Ensemble, Expected
from mien.scratch import filled, held_folder, is_free, remove_dead
from mien.training.looks import look, weights_of
from mien.training.resume import NAMES
from mien.training.run import Run

_SPLITS = ("val", "test", "train")
_NAMES = (*NAMES, LEDGER)
_LAST = "card.json"  # a folder that has it has everything


def ensemble(runs: Sequence[Run], out: str | Path) -> Run:
    """Write the ensemble of `runs` to `out`, a run like any other: evaluated, compared, exported, learned from.

    Its predictions are the means of those that all members keep; nothing is computed from images. An `out` that is this
    ensemble already stays as it is, one that was cut off is made again. Raises `InputError` for fewer than two members,
    an `out` that holds something else, an ensemble among the members, and members that differ in
    labels, preprocessing or data.
    """
    _check(runs)
    place = Run(Path(out))
    try:
        with held_folder(place.folder):
            _make(place, runs)
    except OSError as error:
        raise not_writable(place.folder, error, "Make room, then run the same command") from error
    return place


def _make(place: Run, runs: Sequence[Run]) -> None:
    whole = _is_made_of(place, runs)
    if not whole and not is_free(place.folder, _NAMES, _LAST):
        raise InputError(f"{place.folder}: is not empty. Choose another --out")
    kept = {
        split: _mean([run.predictions(split) for run in runs])
        for split in _SPLITS
        if all(run.predictions_file(split).is_file() for run in runs)
    }
    if whole:
        remove_dead(place.folder)
        return
    with filled(place.folder, _NAMES, _LAST) as part:
        _write(Run(part), place.name, runs, kept)


def _is_made_of(place: Run, runs: Sequence[Run]) -> bool:
    """Whether `place` is the ensemble of these runs already: an earlier command was stopped after all was done."""
    if not place.finished or not place.begun or place.card.members != tuple(run.name for run in runs):
        return False
    return place.recipe == _recipe(runs) and place.weights_file.read_bytes() == save(_weights(runs))


def _write(place: Run, name: str, runs: Sequence[Run], kept: Mapping[str, Predictions]) -> None:
    place.save_seen_of(runs)
    write_whole(place.folder / "recipe.yaml", _recipe(runs).to_yaml())
    configs = [run.backbone_config for run in runs]
    if any(configs):
        place.save_backbone_config({"members": configs})
    write_whole(place.weights_file, save(_weights(runs)))
    card = _card(runs, kept["val"])
    if "test" in kept:
        told = look(name, card, weights_of(place), kept["test"], card.training.data, "averaged")
        append(place.folder / LEDGER, told)
    for split, predictions in kept.items():
        predictions.save(place.predictions_file(split))
    card.save(place.folder / _LAST)


def _check(runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        raise InputError(f"an ensemble needs at least two runs, got {len(runs)}")
    names = [run.folder.resolve() for run in runs]
    if len(set(names)) < len(names):
        raise InputError("an ensemble needs different runs; one is named twice")
    first = runs[0]
    for run in runs:
        if isinstance(run.recipe.model, Ensemble):
            raise InputError(f"{run.folder}: is an ensemble itself. Name its members")
        for what, theirs, ours in (
            ("labels", run.card.labels, first.card.labels),
            ("the labels of the people's head", _people_labels(run), _people_labels(first)),
            ("preprocessing", run.card.preprocess, first.card.preprocess),
            ("training and val images", run.seen_fingerprint, first.seen_fingerprint),
        ):
            if theirs != ours:
                raise InputError(f"{run.folder} and {first.folder} differ in {what}: they cannot be one model")


def _people_labels(run: Run) -> tuple[str, ...]:
    return run.card.people.labels if run.card.people else ()


def _mean(members: Sequence[Predictions]) -> Predictions:
    for other in members[1:]:
        check_same_images(members[0], other)
    people = [member.people for member in members if member.people is not None]
    return replace(
        members[0],
        probabilities=_mean_of([member.probabilities for member in members]),
        people=replace(people[0], probabilities=_mean_of([one.probabilities for one in people])) if people else None,
        in_train=np.any([member.in_train for member in members], axis=0),
        in_val=np.any([member.in_val for member in members], axis=0),
    )


def _mean_of(probabilities: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return np.asarray(np.stack(probabilities).mean(axis=0, dtype=np.float64), dtype=np.float32)


def _recipe(runs: Sequence[Run]) -> Recipe:
    names = ", ".join(run.name for run in runs)
    first = runs[0].recipe
    mirrored = [run.card.mirror for run in runs]
    return first.model_copy(
        update={
            "name": "ensemble",
            "describe": f"Mean of the probabilities of {names}. Settings other than the model are those of the first.",
            "expected": Expected(),  # type: ignore[call-arg]
            "model": Ensemble.model_validate(
                {"kind": "ensemble", "members": [run.recipe.model for run in runs], "mirrored": mirrored}
            ),
            "mirror": False,  # the network itself shows mirror images to those members that see them
        }
    )


def _weights(runs: Sequence[Run]) -> dict[str, torch.Tensor]:
    return {
        f"members.{i}.{key}": value for i, run in enumerate(runs) for key, value in load_file(run.weights_file).items()
    }


def _card(runs: Sequence[Run], val: Predictions) -> Card:
    """That of the first member, with what they are all together."""
    cards = [run.card for run in runs]
    training = cards[0].training.model_copy(update={"minutes": round(sum(card.training.minutes for card in cards), 2)})
    card = cards[0].model_copy(
        update={
            "recipe": "ensemble",
            "backbone": None,
            "mirror": False,
            "members": tuple(run.name for run in runs),
            "parameters": sum(card.parameters for card in cards),
            "training": training,
        }
    )
    return card.calibrated(val)
