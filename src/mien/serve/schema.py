"""Schema: what requests and answers look like, as pydantic models; the OpenAPI page is made from them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.recognize.faces import Face
from mien.recognize.quality import Why

_DIGITS = 6  # of a probability


class PictureIn(BaseModel):
    """A picture within JSON."""

    model_config = ConfigDict(extra="forbid")

    data: str = Field(description="The encoded picture (JPEG, PNG, WebP …) in base64; a data: URL is taken too.")
    name: str | None = Field(default=None, max_length=200, description="Comes back in the answer.")


class RecognizeRequest(BaseModel):
    """Pictures in base64, each by itself or with a name."""

    model_config = ConfigDict(extra="forbid")

    images: list[PictureIn | str] = Field(min_length=1, fail_fast=True)


class QualityOut(BaseModel):
    """What a face offers to be read."""

    size: float = Field(description="Side of the square that the model sees, in pixels of the picture as decoded.")
    sharpness: float = Field(description="Of edges to all contrast, at 48 pixels; more is sharper.")
    brightness: float = Field(description="Mean gray, 0–255.")
    roll: float | None = Field(description="Degrees, clockwise; null where the whole picture was taken as a face.")
    yaw: float | None = Field(description="Degrees, positive to the right of the picture; an estimate.")


class FaceOut(BaseModel):
    """One face."""

    box: Annotated[list[int], Field(min_length=4, max_length=4)] = Field(
        description="x, y, width, height in pixels of the upright picture"
    )
    emotion: str = Field(description="The most probable one, also where `unsure`.")
    probabilities: dict[str, float] = Field(description="0–1 by label, in the order of the model; they sum to 1.")
    detection_score: float | None = Field(description="0–1; null where the whole picture was taken as a face.")
    unsure: bool = Field(description="The most probable emotion is less probable than the threshold of the model.")
    why_unsure: Why | None = Field(description="too small, turned away or not sure; null for a sure answer.")
    quality: QualityOut | None
    set: list[str] | None = Field(
        description="Labels that hold the truth with the probability `sets` of the model, in faces like those that it "
        "was fitted on; the most probable first. Null of a model without sets."
    )


class PictureOut(BaseModel):
    """One picture of the request, in its order."""

    name: str
    width: int | None = Field(default=None, description="Pixels, upright; null where `error` is set.")
    height: int | None = None
    faces: list[FaceOut] = Field(description="From left to right; empty where no face was found.")
    more_faces: int = Field(default=0, description="Smaller faces that were left out, over the limit of the server.")
    error: str | None = Field(default=None, description="Why this picture could not be read.")


class RecognizeResponse(BaseModel):
    """The faces of every picture. A picture that cannot be read has `error`; if that is all of them the code is 400."""

    model: str
    images: list[PictureOut]


class ModelOut(BaseModel):
    """A model that this server has loaded."""

    name: str
    labels: list[str] = Field(description="The order of the probabilities.")
    truth: str = Field(description="people: what most people see in a face; labels: what its training data call it.")
    parameters: int
    threshold: float = Field(description="Probability below which a face is marked unsure; 0: never.")
    sets: float | None = Field(description="Probability with which a face's set holds the truth; null: no sets.")
    recipe: str
    license: str
    use: str


class ModelsResponse(BaseModel):
    """The first model is taken where a request names none."""

    models: list[ModelOut]


class Problem(BaseModel):
    """Every answer that is not a success, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str = Field(description="What went wrong, the same for each code.")
    status: int
    detail: str = Field(description="What is wrong with this request, and the next step.")
    code: str = Field(description="For programs: it stays the same where words change.")


class HealthResponse(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyResponse(BaseModel):
    """New requests are taken."""

    status: Literal["ready"] = "ready"


def face_out(face: Face) -> FaceOut:
    """A recognized face as it is sent."""
    score = face.detection_score
    return FaceOut(
        box=list(face.box),
        emotion=face.emotion,
        probabilities={label: round(p, _DIGITS) for label, p in face.probabilities.items()},
        detection_score=None if score is None else round(score, _DIGITS),
        unsure=face.unsure,
        why_unsure=face.why_unsure,
        quality=QualityOut(**asdict(face.quality)) if face.quality else None,
        set=None if face.set is None else list(face.set),
    )
