"""Actions: verbs that command line and Python share and that touch more than one room."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.cards import Adapted, Card, Learned
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import InputError, not_writable
from mien.evaluation.adaption import Labeled, groups_left_out, learn, neutral_of
from mien.evaluation.shift import references
from mien.evaluation.views import MirrorBelow, Views, check_rule, views_of
from mien.exports import model_place
from mien.files import write_whole
from mien.images import Pixels
from mien.model import Model, Named
from mien.model_files import with_biases, with_features, with_reference, without_references
from mien.predictions import Predictions, Truth
from mien.recipes.recipe import Recipe, names
from mien.recognize.classifier import Classifier, with_card
from mien.recognize.naming import bundled, model_file
from mien.recognize.shift import Reference
from mien.training.run import Run
from mien.training.shares import with_shares
from mien.training.start import open_start

if TYPE_CHECKING:
    from mien.explanation.explain import Explanation

logger = logging.getLogger(__name__)


def calibrate(
    model: Named,
    risk: float | None = None,
    faces: FaceSet | None = None,
    votes: Votes | None = None,
    to: str | Path | None = None,
    *,
    sets: float | None = None,
    mirror_below: MirrorBelow | None = None,
    overwrite: bool = False,
) -> Card:
    """Fit temperature, threshold and sets of every head again, on val images not in train; the card keeps them.

    `risk`: share of wrong answers, above 0 and below 1, that are let through without being marked unsure; without it
    each head keeps its own. `sets`: probability with which sets of labels are to hold the truth, in each class; without
    it a model that has sets keeps their level, and one without gets none. A run needs no image: its card and its
    `model.onnx` are rewritten. A model file is asked about the val split of `faces` (and held against `votes`, where it
    has a people's head) and stays as it is; the new one is written to `to`; with `overwrite` also over a file that is
    no model of ours. Where `faces` are those of the training, the card also gets the shares of their classes.

    `mirror_below`, of a model file that sees mirror images: confidence, above 0 and up to 1, below which the mirror
    image of a face is seen; always; or auto, the lowest at which no head loses accuracy on these images (see
    `mien.evaluation.views`). All else is fitted on the answers under the new rule, and references of `mien check`,
    which are of the former one, are left out.

    Raises `InputError` where val predictions are missing, or the risk is no such share; and for a `mirror_below` of a
    run, of a model that sees no mirror images, or without `votes` for its people's head.
    """
    fitted = calibration(
        Model.open(model), risk, faces, votes, to, sets=sets, mirror_below=mirror_below, overwrite=overwrite
    )
    return fitted.card


@dataclass(frozen=True, eq=False)
class Calibration:
    """A new card, and the answers that it was fitted on, so that whoever tells of it need not ask for them again."""

    card: Card
    val: Predictions  # before any temperature
    views: Views | None  # of each face and its mirror image, where a `mirror_below` was wanted


def calibration(
    opened: Model,
    risk: float | None,
    faces: FaceSet | None,
    votes: Votes | None,
    to: str | Path | None,
    *,
    sets: float | None,
    mirror_below: MirrorBelow | None,
    overwrite: bool,
) -> Calibration:
    """As `calibrate`, of an opened model."""
    if mirror_below is not None:
        check_rule(opened, mirror_below, voted=votes is not None)
    if opened.run is not None and to is not None:
        raise InputError(
            f"{opened.name}: --to is for a model file; of a run the card and model.onnx change. Leave it out"
        )
    if to is not None:
        model_place(to, opened, overwrite=overwrite)
    if opened.run is None and (faces is None or to is None):
        raise InputError(
            f"{opened.name}: a model file keeps no predictions and is not changed. Name faces with a val split and a "
            "file to write: --data PATH --to NEW.onnx"
        )
    card, views = opened.card, None
    if mirror_below is not None and faces is not None:
        views = Views.of(opened, faces, votes)
        card = card.model_copy(update={"mirror_below": views.chosen(mirror_below)})
        val = views.under(card.mirror_below)
    else:
        val = opened.kept("val") if faces is None else opened.predictions(faces, "val", votes=votes)
    if not val.leak_free.any():
        raise InputError(
            f"{opened.name}: every val image is also among those that the model, or what it began with, learned from, "
            "so nothing can be fitted on them"
        )
    card = card.calibrated(val, risk, sets)
    if faces is not None and opened.learned_from(faces.for_labels(opened.card.labels, opened.name)):
        card = with_shares(card, faces.for_labels(card.labels, opened.name), votes, balanced=_balanced(opened))
    if opened.run is None:
        assert to is not None
        content = opened.content
        if card.mirror_below != opened.card.mirror_below:
            content = _without_references(content, opened.name, to)
        _write(Path(to), with_card(content, card, opened.name))
        return Calibration(card, val, views)
    file = opened.run.folder / "model.onnx"
    own = with_card(file.read_bytes(), card, str(file)) if file.is_file() else None
    # The card first: whoever opens the folder takes that one, so that both agree at every moment.
    _write(opened.run.folder / "card.json", card.text())
    if own is not None:
        _write(file, own)
    return Calibration(card, val, views)


def reference(
    model: Named,
    faces: FaceSet,
    to: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Reference]:
    """Give a model file its features as a second output, and the references that `mien check` holds faces against.

    They are made of the val images of `faces` that are not in train. Of a run `model.onnx` is rewritten; another file
    stays as it is, and the new one is written to `to`. Raises `InputError` where too few such images are there, the
    network has no features, or `to` would replace what is not ours, without `overwrite`.
    """
    opened = Model.open(model, device="cpu")
    if (opened.run is None) != (to is not None):
        what = "name the file to write: --to NEW.onnx" if to is None else "--to is for a model file. Leave it out"
        raise InputError(f"{opened.name}: {what}")
    if to is None:
        assert opened.run is not None
        place = model_file(opened.run.folder)
        content = place.read_bytes()
    else:
        place, content = model_place(to, opened, overwrite=overwrite), opened.content
    content = with_features(content, opened.name)
    classifier = Classifier.read(content, opened.name, card=opened.card)
    free = opened.unseen(faces.for_labels(opened.card.labels, opened.name), "val")
    found = references(classifier.with_features, free, opened.card, progress)
    for one in found:
        content = with_reference(content, one, opened.name)
    _write(place, content)
    return found


def adapt(
    model: Named, faces: FaceSet, to: str | Path, *, anyway: bool = False, overwrite: bool = False, seed: int = 0
) -> Card:
    """Write `to`, a model file with biases of its labels, learned from few labeled faces of one camera; its card.

    All splits of `faces` are taken, less those that the model is known to be trained on. Each head is adapted where
    a gain can be told on faces left out (`Learned.certain`); the others stay as they are. `anyway`: all are adapted. A
    threshold is fitted again on answers to faces left out, and left out where they cannot tell one; so are the
    references of `mien check`. Raises `InputError` where no gain can be told, without `anyway`; for too few faces,
    other labels, a model that is adapted already, or one that sees only some mirror images; and for a `to` that would
    replace what is not ours, without `overwrite`.
    """
    opened = Model.open(model, device="cpu")
    place = model_place(to, opened, overwrite=overwrite)
    card = opened.card
    if card.adapted is not None:
        raise InputError(
            f"{opened.name}: is {card.adapted}. Adapt the model that it was made of, with all faces at once"
        )
    if card.mirror_below is not None:
        # Biases move every head's confidence, and so which faces are seen twice: of one head, also what the other says.
        raise InputError(
            f"{opened.name}: sees mirror images only below a confidence of {card.mirror_below:g}, which biases change. "
            "Adapt the model that it was made of, or this one with every mirror image: mien calibrate "
            f"{opened.word} --data PATH --mirror-below always --to NEW.onnx"
        )
    named = faces.for_labels(card.labels, opened.name)
    own = opened.not_trained_on(named)
    if len(own) < len(named):
        logger.warning(
            "%s: %d of its %d faces are among those that %s was trained on; they are left out",
            faces.source, len(named) - len(own), len(named), opened.name,
        )  # fmt: skip
    if not len(own):
        raise InputError(f"{faces.source}: {opened.name} was trained on every face of it; adapt on faces of your own")
    content = opened.content if opened.run is None else model_file(opened.run.folder).read_bytes()
    said_VNO = views_of(content, card, list(own.images), opened.name)
    groups_N, persons = groups_left_out(own)
    found: list[Learned] = []
    for truth in card.truths:
        head = card.head(truth)
        given = Labeled(own.labels, said_VNO[..., card.columns(truth)], groups_N, neutral_of(head.labels))
        learned, threshold = learn(given, head, truth, seed=seed)
        found.append(learned)
        if learned.certain or anyway:
            risk = None if threshold is None else head.risk
            # Sets, and what priors are held against, were of the answers without biases.
            card = card.with_head(truth, threshold=threshold, risk=risk, sets=None, shares=None)
    kept = tuple(one for one in found if one.certain or anyway)
    told = Adapted(
        model=opened.name,
        day=date.today().isoformat(),
        data=faces.source,
        fingerprint=faces.fingerprint,
        faces={label: int((own.labels == i).sum()) for i, label in enumerate(own.label_set.labels)},
        persons=persons,
        heads=kept or tuple(found),
    )
    if not kept:
        raise InputError(
            f"no gain can be told, so nothing is written: {opened.name} would be {told}. Name more faces; or write it "
            "all the same: --anyway"
        )
    biases_O = np.zeros(sum(card.widths))
    for one in kept:
        biases_O[card.columns(one.truth)] = one.biases
    card = card.model_copy(update={"adapted": told})
    _write(place, with_card(with_biases(content, biases_O.tolist(), opened.name), card, opened.name))
    return card


def card(
    model: Named, out: str | Path | None = None, evidence: Sequence[Path] = (), *, overwrite: bool = False
) -> Path:
    """Write the model card (Mitchell et al. 2019) of a model as Markdown and HTML; the path of the HTML.

    `evidence`: what `mien evaluate --report` wrote, `evidence-SPLIT.json`; that in the model's own report folder if
    none is named. `out`: folder for the card; that folder, too, if left out. Opens no data. Raises `InputError` where
    nothing is known of the model, evidence is not of it, or somebody else's files are in the way, without `overwrite`.
    """
    from mien.report.model_card import write_model_card

    opened = Model.open(model)
    folder = opened.run.folder / "report" if opened.run else Path(f"{opened.name}-report")
    files = list(evidence or sorted(folder.glob("evidence-*.json")))
    return write_model_card(opened, files, Path(out or folder), overwrite=overwrite)


def dossier(model: Named, out: str | Path, evidence: Sequence[Path] = (), *, overwrite: bool = False) -> Path:
    """Write all that is known of a model into the folder `out`; the path of its page. See `mien.report.dossier`.

    `evidence`: what `mien evaluate --report` wrote, `evidence-SPLIT.json`; a run's own if none is named.
    """
    from mien.report.dossier import write_dossier

    opened = Model.open(model)
    own = sorted((opened.run.folder / "report").glob("evidence-*.json")) if opened.run else []
    return write_dossier(opened, list(evidence or own), Path(out), overwrite=overwrite)


def ensemble(models: Sequence[Named], out: str | Path) -> Run:
    """Write the ensemble of several runs to `out`, a run like any other; see `mien.training.ensemble`.

    Raises `InputError` for model files, which hold no trainable weights, and for runs that cannot be one model.
    """
    from mien.training.ensemble import ensemble as make

    runs = []
    for opened in map(Model.open, models):
        if opened.run is None:
            raise InputError(f"an ensemble needs runs, with their weights; {opened.name} is a model file")
        runs.append(Run.open(opened.run.folder))
    return make(runs, out)


def explain(
    model: Named, faces: Sequence[Pixels], method: str = "auto", label: str | None = None, truth: Truth | None = None
) -> list[Explanation]:
    """Which pixels of each of `faces` (crops of any size, gray or RGB) a model's answer depends on; see `Explainer`."""
    from mien.explanation.explain import Explainer

    return list(Explainer(model, method, label, truth)(faces))


def _without_references(content: bytes, name: str, to: str | Path) -> bytes:
    left = without_references(content, name)
    if left is not content:
        logger.warning(
            "%s: the reference of mien check is left out, since it is of other views of the faces. Make it anew: "
            "mien calibrate %s --reference --data PATH --to NEW.onnx", name, shlex.quote(str(to)),
        )  # fmt: skip
    return left


def _balanced(model: Model) -> bool:
    """Whether it learned as if classes were equally frequent, so far as its recipe is known."""
    if model.run is not None:
        recipe: Recipe | None = model.run.recipe
    elif model.name in bundled():
        recipe = open_start(model.name).recipe
    else:
        recipe = Recipe.load(model.card.recipe) if model.card.recipe in names() else None
    return recipe is not None and recipe.data.imbalance != "none"


def _write(file: Path, content: str | bytes) -> None:
    try:
        write_whole(file, content)
    except OSError as error:
        raise not_writable(file, error) from error
