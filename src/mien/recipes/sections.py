"""Sections: the parts of a recipe, each checked on its own. Unknown keys are refused everywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mien.preprocess import Preprocess, check_channels


class RecipePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _without(values: Any, gone: dict[str, Any]) -> Any:
    """Without keys of version 0.1 that are gone, where they stand at the value that did nothing; kept recipes do."""
    if not isinstance(values, dict):
        return values
    return {key: value for key, value in values.items() if key not in gone or value != gone[key]}


class Input(RecipePart):
    """From pixels to model input, as far as the recipe says it; a pre-trained checkpoint gives what is left out."""

    size: int | None = Field(None, ge=8, le=1024, description="side of the square input, in pixels")
    color: Literal["gray", "rgb"] | None = Field(None, description="channels that the model sees")
    mean: tuple[float, ...] | None = Field(None, description="of values scaled to 0–1, one number per channel")
    std: tuple[float, ...] | None = Field(None, description="deviation that values are divided by, one per channel")

    @model_validator(mode="after")
    def _fits_the_color(self) -> Input:
        if self.color:
            check_channels(self.color, self.mean, self.std)
        return self

    @property
    def missing(self) -> list[str]:
        return [key for key in type(self).model_fields if getattr(self, key) is None]

    def filled(self, other: Input) -> Input:
        """With what is left out taken from `other`."""
        return Input(**{key: getattr(other if key in self.missing else self, key) for key in type(self).model_fields})

    def preprocess(self) -> Preprocess:
        """The contract itself; every key must be given."""
        return Preprocess.model_validate(self.model_dump())


class Augment(RecipePart):
    """Random changes to each training image; everything is off by default."""

    flip: float = Field(0.0, ge=0, le=1, description="chance of a left-right flip")
    shift: float = Field(0.0, ge=0, le=0.5, description="largest shift, as a fraction of the side")
    rotate: float = Field(0.0, ge=0, le=180, description="largest rotation, degrees either way")
    scale: float = Field(0.0, ge=0, lt=1, description="largest relative change of scale either way")
    erase: float = Field(0.0, ge=0, le=1, description="chance of one erased rectangle of 2–20 % of the area")
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of mixup; 0: none (Zhang et al. 2018)")
    gamma: float = Field(0.0, ge=0, le=1, description="chance of a brightness curve, exponent e^-0.4 to e^0.4")
    blur: float = Field(0.0, ge=0, le=1, description="chance of a Gaussian blur, sigma 0.6 to 4 % of the side")
    resolution: float = Field(0.0, ge=0, le=1, description="chance of losing pixels: 25 to 67 % of the side are left")
    noise: float = Field(0.0, ge=0, le=1, description="chance of Gaussian noise, deviation up to 15 % of white")
    jpeg: float = Field(0.0, ge=0, le=1, description="chance of JPEG's losses, quality 5 to 50")

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_1(cls, values: Any) -> Any:
        return _without(values, {"cutmix": 0})

    @property
    def on(self) -> bool:
        return any(value for _, value in self)


class Data(RecipePart):
    """What the model is shown."""

    preprocess: Input = Input()  # type: ignore[call-arg]
    batch_size: int = Field(32, ge=2, le=4096, description="images per step")
    imbalance: Literal["none", "sampler", "loss"] = Field(
        "none", description="sampler: draw images with chance inverse to their class count; loss: weight them so"
    )
    augment: Augment = Augment()  # type: ignore[call-arg]
    repeats: Literal["keep", "merge"] = Field(
        "keep", description="merge: identical train images count once, with the mean of their labels as target"
    )


class Targets(RecipePart):
    """What the loss compares the model with: the label, softened; the shares of label, votes and teacher sum to 1."""

    smoothing: float = Field(0.0, ge=0, lt=1, description="share spread evenly over all classes (Szegedy et al. 2016)")
    votes: float = Field(0.0, ge=0, le=1, description="share of the taggers' votes, where a face has any; needs votes")
    votes_as: Literal["shares", "labels"] = Field(
        "shares", description="what votes say: their own shares, or how likely they make each label of this data set"
    )
    votes_head: float = Field(
        0.0,
        ge=0,
        le=10,
        description="weight of a second head's loss: it learns the shares of the votes, what people see; needs votes",
    )
    contempt: bool = Field(False, description="the votes' head also answers contempt, the eighth label of FER+")
    teacher: float = Field(0.0, ge=0, le=1, description="share of another model's probabilities; needs a teacher")
    teacher_sees: Literal["faces", "batch"] = Field(
        "faces",
        description="what the teacher is asked on: each face as it is, before training; or each batch, as augmented",
    )

    @property
    def of_votes(self) -> bool:
        return bool(self.votes or self.votes_head)

    def people_labels(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """What the votes' head answers with, beside a head for `labels`; empty where there is none."""
        if not self.votes_head:
            return ()
        return (*labels, "contempt") if self.contempt and "contempt" not in labels else labels

    @model_validator(mode="after")
    def _shares_fit(self) -> Targets:
        if self.votes + self.teacher > 1:
            raise ValueError(
                f"votes {self.votes} and teacher {self.teacher} are shares of one target: at most 1 together"
            )
        return self


class HeadLayers(RecipePart):
    """Fully connected layers from a backbone's features to the logits: linear, batch norm, activation, dropout."""

    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (), description="widths of the hidden layers; none of them leaves one linear layer"
    )
    batch_norm: bool = Field(False, description="after every hidden linear layer")
    activation: Literal["relu", "gelu", "silu"] = Field("relu", description="after every hidden layer")
    dropout: float = Field(0.0, ge=0, lt=1, description="after every hidden layer")


class Cnn(RecipePart):
    """A convolutional network of the study, trained from fresh weights."""

    kind: Literal["cnn-v1", "cnn-v2"]


class Residual(RecipePart):
    """A residual network for small faces, trained from fresh weights; every stage halves the side of its images."""

    kind: Literal["residual"]
    standardize: bool = Field(False, description="bring each image to mean 0 and deviation 1 first, whatever the light")
    stem: int = Field(32, ge=1, le=4096, description="channels of the first convolution")
    stem_stride: Literal[1, 2] = Field(1, description="2 halves the side at once")
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(min_length=1, description="channels per stage")
    depths: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(min_length=1, description="blocks per stage")
    squeeze: bool = Field(False, description="squeeze-and-excitation in every block")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last, linear layer")

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_1(cls, values: Any) -> Any:
        return _without(values, {"block": "basic", "expand": 4})

    @model_validator(mode="after")
    def _one_depth_per_width(self) -> Residual:
        if len(self.widths) != len(self.depths):
            raise ValueError(f"widths names {len(self.widths)} stages, depths {len(self.depths)}")
        return self

    @property
    def smallest(self) -> int:
        """Side below which a stage would have nothing left to halve, in pixels."""
        return int(self.stem_stride * 2 ** len(self.widths))


class Vit(RecipePart):
    """A vision transformer trained from fresh weights: convolution stem, encoder, mean over the patches, linear."""

    kind: Literal["vit"]
    patch: int = Field(6, ge=1, description="side and stride of the convolution, in pixels")
    width: int = Field(128, ge=8, description="numbers per patch")
    depth: int = Field(6, ge=1, le=48, description="encoder layers")
    heads: int = Field(4, ge=1, description="of the attention; they divide the width")
    norm: Literal["pre", "post"] = Field("pre", description="layer norm before each sub-layer or after its sum")
    dropout: float = Field(0.1, ge=0, lt=1, description="in every layer")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Vit:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self


class Pretrained(RecipePart):
    """A pre-trained backbone with a head of its own."""

    kind: Literal["pretrained"]
    backbone: str = Field(
        min_length=1,
        description="Hugging Face id, local folder in that layout or of face-resnet, or efficientnet-lite0",
    )
    features: Literal["cls", "mean", "both"] = Field(
        "cls", description="what the head sees: the class token, the mean over the patches, or both"
    )
    head: HeadLayers = HeadLayers()  # type: ignore[call-arg]


_Network = Cnn | Residual | Vit | Pretrained


class Ensemble(RecipePart):
    """Networks that see the same images and give their mean probability. `mien ensemble` makes one of trained runs."""

    kind: Literal["ensemble"]
    members: tuple[Annotated[_Network, Field(discriminator="kind")], ...] = Field(min_length=2)
    mirrored: tuple[bool, ...] = Field(
        (), description="by member: whether it sees mirror images too; left out: none does"
    )

    @model_validator(mode="after")
    def _one_mirror_per_member(self) -> Ensemble:
        if self.mirrored and len(self.mirrored) != len(self.members):
            raise ValueError(f"members names {len(self.members)} networks, mirrored {len(self.mirrored)}")
        return self


Network = Annotated[_Network | Ensemble, Field(discriminator="kind")]


class Optimizer(RecipePart):
    name: Literal["adam", "adamw", "sgd", "muon"] = Field(
        "adam", description="muon: orthogonal steps for the kernels of a convolutional network, AdamW for the rest"
    )
    lr: float = Field(gt=0, le=10, description="learning rate, the highest of the schedule")
    weight_decay: float = Field(0.0, ge=0, le=1, description="as PyTorch has it for this optimizer")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="of a backbone: the learning rate shrinks by this factor per block from the top"
    )


class Schedule(RecipePart):
    """Learning rate over the run, per step: after `warmup_epochs` of linear rise it stays or falls to zero.

    A constant rate may fall in the last `decay_epochs` alone (warm-up, stable, decay): the epochs before do not depend
    on when the run ends, so a long run can be ended at any time by a branch (`mien train --branch`), and still go on.
    """

    name: Literal["constant", "cosine"] = Field("constant", description="cosine falls to zero over the run")
    warmup_epochs: float = Field(0.0, ge=0, description="of linear rise at the start")
    decay_epochs: float = Field(
        0.0, ge=0, description="of a constant rate: at the end of the run it falls to zero in so many epochs"
    )

    @model_validator(mode="after")
    def _only_what_is_constant_decays(self) -> Schedule:
        if self.decay_epochs and self.name != "constant":
            raise ValueError(f"decay_epochs ends a constant rate; {self.name} falls by itself")
        return self


class Unfreeze(RecipePart):
    """Which blocks of a backbone train: `all`, `none`, the `last` N, and further ones from the top by `schedule`.

    In a recipe: `unfreeze: all`, `unfreeze: none`, `unfreeze: {last: 4}` or `unfreeze: {schedule: {2: 1, 4: 1}}`
    (epoch, counted from 1 → further blocks). The backbone's final norm goes with the first block that is released;
    what lies below the first block (patches, positions, stem) trains under `all` alone.
    """

    last: Annotated[int, Field(ge=0)] | Literal["all"] = "all"
    schedule: dict[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        if isinstance(value, str):
            words: dict[str, object] = {"all": "all", "none": 0}
            if value not in words:
                raise ValueError(f"expected all, none, {{last: N}} or {{schedule: {{epoch: blocks}}}}, got '{value}'")
            return {"last": words[value]}
        if isinstance(value, dict) and "schedule" in value:
            return {"last": 0, **value}
        return value

    @model_validator(mode="after")
    def _all_leaves_nothing(self) -> Unfreeze:
        if self.last == "all" and self.schedule:
            raise ValueError("a schedule has nothing to release when last is 'all'")
        return self

    def blocks(self, epoch: int) -> int | Literal["all"]:
        """How many blocks, from the top, train in `epoch` (counted from 1).

        >>> Unfreeze.model_validate({"schedule": {2: 1, 4: 2}}).blocks(4)
        3
        """
        if self.last == "all":
            return "all"
        return self.last + sum(count for start, count in self.schedule.items() if start <= epoch)


class EarlyStopping(RecipePart):
    """Stop when the monitored figure has not improved for `patience` epochs; the best epoch's weights are kept."""

    monitor: Literal["val_accuracy", "val_loss"] = Field("val_accuracy", description="also chooses the best epoch")
    patience: int = Field(ge=1, description="epochs without a better figure")


class Expected(RecipePart):
    """The study's own figures, on its pooled test set, for the report's table."""

    accuracy: float | None = Field(None, ge=0, le=1, description="of the study")
    f1: float | None = Field(None, ge=0, le=1, description="of the study")
    note: str = Field("", description="what else the study says of it")
