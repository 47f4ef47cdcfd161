"""Plan: which trainings the GPU queue makes, in order of worth, and how many epochs of each fit into the time left."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from mien import Recipe
from mien.files import write_whole
from mien.recipes.sections import Pretrained

TRAIN, SHOWN_ONCE = 28_709, 7_178  # faces of FER2013: train; val and test
_KEPT = 0.85  # of a speed that was measured alone: the rest is for what was not foreseen
_SMALL, _LARGE = 48, 224  # side in pixels of what trains from fresh weights, and of a teacher


@dataclass(frozen=True)
class Setting:
    """What all workers of a queue share."""

    data: str
    votes: str
    backbone: str
    device: str
    fraction: float  # of the faces of every label and split
    work: str  # folder of the run folders, the cache and the logs
    sides: tuple[int, ...]  # of the ViTs' input in pixels, the wanted one first
    graphs: bool = False  # training steps are recorded

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setting:
        said = json.loads(text)
        return cls(**{**said, "sides": tuple(said["sides"])})


@dataclass(frozen=True)
class Training:
    """One training of the queue. `name` is that of its run folder and of its row in the list of what is done."""

    name: str
    recipe: str
    least: int  # epochs: fewer say nothing
    sets: tuple[str, ...] = ()
    sides: tuple[int, ...] = (_SMALL,)  # of the input in pixels; a later one where the time is too short for the first
    teacher: str = ""  # a training whose run is asked along with each batch, finished in the same call


@dataclass(frozen=True)
class Job:
    """A training as it is begun now."""

    training: Training
    side: int
    epochs: int
    deadline: float  # of time.time(): all that a finished run holds must be written by then

    @property
    def name(self) -> str:
        return self.training.name if self.side == self.training.sides[0] else f"{self.training.name}@{self.side}px"

    def overrides(self, backbone: str) -> list[str]:
        """For `Recipe.load`."""
        kind = [f"model.backbone={backbone}", f"data.preprocess.size={self.side}"] if self.side != _SMALL else []
        return [*kind, *self.training.sets, f"epochs={self.epochs}"]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        said = json.loads(text)
        training = {key: tuple(value) if isinstance(value, list) else value for key, value in said["training"].items()}
        return cls(**{**said, "training": Training(**training)})


@dataclass(frozen=True)
class Done:
    """What became of a training: a row of `gpu_done.json`."""

    name: str
    recipe: str
    state: str  # finished, short (whole, but of too few epochs), unfinished (weights of its best epoch so far), failed
    side: int
    epochs: int  # that were trained
    planned: int
    seconds: float
    val_accuracy: float | None = None
    images_per_second: float | None = None  # median over its epochs, in the company that it had
    note: str = ""


def order(sides: tuple[int, ...] = (224, 112)) -> list[Training]:
    """All trainings, the most wanted first.

    `sides` of the ViTs' input in pixels: the first is the wanted one.
    """
    both, large = sides, sides[:1]
    # A long fall and few mapped votes are what helped on a CPU (docs/experiments.md).
    long = ("targets.votes=0.1", "schedule.decay_epochs=90")
    # Asking the teacher takes most of the time, so this one goes on from what there is.
    taught = ("optimizer.lr=0.008", "data.augment.erase=0.15", "targets.votes=0.1", "targets.teacher=0.5",
              "targets.teacher_sees=batch")  # fmt: skip
    trainings = [
        Training("small-v2-s0", "small-v2", 150, ("seed=0", *long)),
        Training("vit-tuned-s0", "vit-tuned", 6, ("seed=0",), large),
        Training(
            "small-v2-taught",
            "small-v2",
            45,
            ("start=mien-small", "schedule.decay_epochs=30", *taught),
            teacher="vit-tuned-s0",
        ),
        Training(
            "tiny-v2-taught",
            "tiny-v2",
            18,
            ("start=mien-tiny", "schedule.decay_epochs=14", *taught),
            teacher="vit-tuned-s0",
        ),
    ]
    # 18: the epoch of its last release
    trainings += [Training(f"vit-v1.6.7-s{seed}", "vit-v1.6.7", 18, (f"seed={seed}",), large) for seed in range(2)]
    trainings.append(Training("tiny-v2-s0", "tiny-v2", 90, ("seed=0", "targets.votes=0.1", "schedule.decay_epochs=60")))
    trainings.append(Training("vit-v1.6.7-s2", "vit-v1.6.7", 18, ("seed=2",), large))
    trainings += [Training(f"small-v2-s{seed}", "small-v2", 60, (f"seed={seed}",)) for seed in (1, 2)]
    trainings += [Training(f"tiny-v2-s{seed}", "tiny-v2", 60, (f"seed={seed}",)) for seed in (1, 2)]
    trainings += [
        Training("vit-v1.3", "vit-v1.3", 6, (), both),
        Training("vit-v1.5", "vit-v1.5", 6, (), both),
        Training("vit-v1.6", "vit-v1.6", 18, (), both),
        Training("vit-v1.6.6", "vit-v1.6.6", 18, (), both),
    ]
    trainings += [Training(f"vit-v1.3-lr{lr}", "vit-v1.3", 6, (f"optimizer.lr={lr}",), both) for lr in ("1e-3", "1e-5")]
    further = ("dropout", "last4", "layer-decay", "weight-decay")
    trainings += [Training(f"vit-v1.6.7-{kind}", f"vit-v1.6.7-{kind}", 12, (), both) for kind in further]
    return [*trainings, Training("base-v2-s0", "base-v2", 60, ("seed=0",))]


def speed_name(recipe: str, side: int) -> str:
    """Under which name the proof measured a network: all ViTs of one side are one network, but for their heads."""
    return recipe if side == _SMALL else f"vit-{side}"


def ends_any_time(recipe: Recipe) -> bool:
    """A constant rate that falls at the end alone: such a training is ended by its clock, not by a plan."""
    return recipe.schedule.name == "constant" and bool(recipe.schedule.decay_epochs)


def share_moving(recipe: Recipe, blocks: int = 12) -> float:
    """Work of a mean epoch beside one in which every block moves: one part forward, two parts back.

    Blocks that never move are computed once; those that move later go forward alone until then.
    """
    if not isinstance(recipe.model, Pretrained) or recipe.unfreeze.last == "all":
        return 1.0
    released = [min(int(recipe.unfreeze.blocks(epoch)), blocks) for epoch in range(1, recipe.epochs + 1)]
    return (max(released) + 2 * sum(released) / len(released)) / (3 * blocks)


@cache
def _loaded(training: Training) -> Recipe:
    return Recipe.load(training.recipe, list(training.sets))


@dataclass(frozen=True)
class Clock:
    """What the proof measured, and how the machine is shared."""

    speeds: Mapping[str, float]  # images/s of a training alone, by `speed_name`
    startup: float  # seconds until the first step
    together: int  # trainings that share what one alone would keep busy
    faces: float = 1.0  # share of FER2013 that is used

    def planned(self, training: Training, now: float, deadline: float) -> Job | None:
        """The training with as many epochs as fit until `deadline`; None where too few do, or its proof failed."""
        for side in training.sides:
            speed = self.speeds.get(speed_name(training.recipe, side))
            if not speed:
                continue
            if training.teacher:  # a large one, forward alone
                asked = 3 * (self.speeds.get(speed_name("", _LARGE)) or speed)
                speed = 1 / (1 / speed + 1 / asked)
            recipe = _loaded(training)
            speed *= _KEPT / self.together
            # Answers for val and test are in float32: as slow forward alone as a step of training is in bfloat16.
            answers = self.faces * SHOWN_ONCE * (2 if recipe.mirror else 1) / speed
            epoch = self.faces * (TRAIN + SHOWN_ONCE / 6) * share_moving(recipe) / speed
            epochs = int((deadline - now - self.startup - answers) / epoch)
            if epochs >= training.least:
                most = recipe.epochs if ends_any_time(recipe) else min(epochs, recipe.epochs)
                return Job(training, side, most, deadline - answers)
        return None

    def next_job(
        self,
        wanted: Iterable[Training],
        taken: Collection[str],
        now: float,
        deadline: float,
        here: Collection[str] = (),
    ) -> Job | None:
        """Of the most wanted training that is not `taken` and still fits; `here` are finished and can teach."""
        for training in wanted:
            if training.name in taken or (training.teacher and training.teacher not in here):
                continue
            job = self.planned(training, now, deadline)
            if job and job.name not in taken:
                return job
        return None


def read_done(path: Path) -> list[Done]:
    """The rows of `gpu_done.json`, none where there is no such file yet."""
    return [Done(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def write_done(path: Path, rows: Iterable[Done]) -> None:
    write_whole(path, json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def finished(rows: Iterable[Done]) -> set[str]:
    """Names that need not be trained again. What failed, was not finished or fell short is.

    So is a teacher that is wanted: weights of large networks do not stay.
    """
    done = {row.name for row in rows if row.state == "finished"}
    return done - {training.teacher for training in order() if training.name not in done}
