"""Croissant: the data of a model as machine-readable metadata, with what is known for responsible use, and no more.

Format: Croissant 1.1 with its vocabulary for responsible AI (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from mien.cards import Card
from mien.errors import InputError, MissingExtraError

FER2013_SEEN = "56d202119c1bdca617efae239584c5f7"  # fingerprint of its train and val faces
_UNKNOWN = "Not known: the card of the model does not say."
_FER2013: dict[str, Any] = {
    "url": "https://arxiv.org/abs/1307.0414",
    "cite_as": "Goodfellow et al., Challenges in representation learning: a report on three machine learning contests, "
    "ICONIP 2013, arXiv:1307.0414",
    "license": "https://opendatacommons.org/licenses/dbcl/1-0/",
    "description": "FER2013: 35,887 gray faces of 48 x 48 pixels with seven labels of expression.",
    "data_collection": "Images found by searches of the web for words of emotions, faces cut out by a detector "
    "(Goodfellow et al. 2013).",
    "data_collection_type": ["Web Scraping"],
    "data_annotation_protocol": "The word searched for, mapped to seven labels; people then looked the images through "
    "(Goodfellow et al. 2013).",
    "data_biases": [
        "Nothing is known of age, sex, skin or culture of the faces, so error rates of groups are not known.",
        "Classes are uneven: 436 training images show disgust, 7,215 happiness.",
    ],
    "data_limitations": [
        "Labels are noisy: 62 sets of identical images carry different labels.",
        "Splits share photos: of 3,589 test images 288 stand in the training set with the same pixels, 534 more as "
        "near-duplicates (mien data leaks).",
    ],
    "personal_sensitive_information": ["Faces of people who can be recognized; whether they agreed is not known."],
}
_FERPLUS = (
    "Further votes of about ten taggers for each image on eight labels: Barsoum et al., Training deep networks for "
    "facial expression recognition with crowd-sourced label distribution, ICMI 2016, arXiv:1608.01041."
)


@dataclass(frozen=True)
class Checked:
    """The metadata as JSON, and what the validator said."""

    text: str
    validator: str  # its name and version
    warnings: tuple[str, ...]


def croissant(card: Card) -> Checked:
    """Metadata of the data that the model of `card` was trained on, checked by mlcroissant.

    Raises `MissingExtraError` without mlcroissant, and `InputError` where its validator finds an error.
    """
    try:
        import mlcroissant as mlc
        from mlcroissant._src.core.context import Context, CroissantVersion
    except ImportError as error:
        raise MissingExtraError("a dossier (mlcroissant is missing)", "evidence") from error
    from importlib.metadata import version

    log = logging.getLogger("absl")
    before = log.level
    log.setLevel(logging.ERROR)  # its warnings are told in the dossier
    try:
        context = Context(conforms_to=CroissantVersion.V_1_1)
        metadata = mlc.Metadata(ctx=context, **_facts(card))
        told = metadata.to_json()
        told["conformsTo"] = [CroissantVersion.V_1_1.value, "http://mlcommons.org/croissant/RAI/1.0"]
        text = json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n"
        found = mlc.Dataset(jsonld=json.loads(text)).metadata.ctx.issues
    except mlc.ValidationError as error:
        raise InputError(f"the metadata of {card.training.data} are not valid Croissant: {error}") from error
    finally:
        log.setLevel(before)
    if found.errors:
        raise InputError(f"the metadata of {card.training.data} are not valid Croissant: {'; '.join(found.errors)}")
    return Checked(text, f"mlcroissant {version('mlcroissant')}", tuple(sorted(map(str, found.warnings))))


def _facts(card: Card) -> dict[str, Any]:
    training = card.training
    known = _FER2013 if training.fingerprint == FER2013_SEEN else {}
    annotation = [known.get("data_annotation_protocol", _UNKNOWN), *([_FERPLUS] if known and training.votes else [])]
    if training.votes and not known:
        annotation.append(f"Votes of taggers: {training.votes}.")
    used = f"{training.train_images:,} images were fitted and {training.val_images:,} chose the epoch."
    name = "FER2013" if known else "".join(c if c.isalnum() or c in "-_." else "-" for c in training.data) or "data"
    return {
        "name": name,
        "description": f"{known.get('description', 'Labeled faces, as they lay in ' + training.data + '.')} {used} "
        f"Labels: {', '.join(card.labels)}. Fingerprint of train and val: {training.fingerprint}.",
        "url": known.get("url", f"urn:mien:{training.fingerprint}"),
        "cite_as": known.get("cite_as"),
        "license": [known["license"]] if known else None,
        "data_collection": known.get("data_collection", _UNKNOWN),
        "data_collection_type": known.get("data_collection_type"),
        "data_annotation_protocol": annotation,
        "data_biases": known.get("data_biases", [_UNKNOWN]),
        "data_limitations": known.get("data_limitations", [_UNKNOWN]),
        "personal_sensitive_information": known.get(
            "personal_sensitive_information", ["Pictures of faces; whether these people agreed is not known."]
        ),
        "data_use_cases": ["Training and testing of models that name the apparent expression of a face."],
        "data_social_impact": "An apparent expression is not what a person feels; see docs/responsible-use.md of mien.",
    }
