"""Study: many recipes on one data set, a run each, trained and evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import InterruptedRunError, MissingCheckpointError, MissingSourceError
from mien.evaluation.evaluate import evaluate
from mien.model import SPLITS
from mien.models.build import complete
from mien.models.checkpoints import display_name
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Pretrained
from mien.report.content import NotRun
from mien.studies.estimate import estimate_seconds
from mien.studies.gather import check_free, keep_data
from mien.studies.runs import Faces, Many, Wanted, of_size, train_all
from mien.training.hardware import Hardware, detect
from mien.training.run import Run
from mien.training.targets import Sources, check_sources, used

RECIPES = (  # the study, its future work, what stands beside them for a fair comparison, and the first bundled models
    "cnn-v1", "cnn-v2", "cnn-v2.1", "efficientnet-lite0-ft", "face-resnet-ft", "mien-small", "mien-tiny", "resnet50-ft",
    "vit-scratch", "vit-scratch-tuned", "vit-v1.3", "vit-v1.3-frozen", "vit-v1.5", "vit-v1.5-frozen", "vit-v1.6",
    "vit-v1.6.6", "vit-v1.6.7", "vit-v1.6.7-dropout", "vit-v1.6.7-last4", "vit-v1.6.7-layer-decay",
    "vit-v1.6.7-weight-decay",
)  # fmt: skip


def study(
    recipes: Sequence[Recipe],
    faces: Faces,
    out: str | Path,
    votes: Votes | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    many: Many | None = None,
) -> list[Run]:
    """Train what is missing under `out`, one folder per recipe (see `run_name`), and evaluate all.

    What an interrupted study has finished is kept, and a training that was stopped goes on from its last epoch; one
    whose loss diverges is left out, with a line in the log. `votes` are for the recipes that give them a share of their
    targets. `faces`: all of them, or what gives them as stored for a model of an input size in pixels. `many`: who
    trains the runs; one after another here, if left out. Raises `InputError` for folders that hold something else,
    before anything is trained.
    """
    hardware, out = hardware or detect(), Path(out)
    check_free(out)
    wanted = [Wanted(run_name(recipe), recipe) for recipe in map(complete, recipes)]
    sized = cache(partial(of_size, faces))  # each size is opened once
    diverged = train_all(wanted, sized, out, votes, hardware, progress, many)
    runs = [(Run(out / one.name), one.recipe.preprocess.size) for one in wanted if one.name not in diverged]
    for run, size in runs:
        seen = sized(size)
        try:
            for split in SPLITS if (seen.splits == "test").any() else ("val",):
                evaluate(run, seen, split, device=hardware.device, progress=progress)
        except KeyboardInterrupt as stop:
            raise InterruptedRunError(
                f"stopped while evaluating {run.name}. Finished runs are kept: run the same command again"
            ) from stop
    if runs:
        keep_data(out, sized(runs[-1][1]))
    return [run for run, _ in runs]


def run_name(recipe: Recipe) -> str:
    """Folder of a recipe's run in a study: what tells two runs of one recipe apart stands in every table.

    >>> run_name(Recipe.load("vit-v1.3", ["model.backbone=../dinov2-small", "data.preprocess.size=112", "seed=1"]))
    'vit-v1.3-dinov2-small-112px-s1'
    """
    words = [recipe.name]
    if isinstance(recipe.model, Pretrained):
        backbone = display_name(recipe.model.backbone)
        words += [] if backbone in recipe.name else [backbone]
        words.append(f"{recipe.data.preprocess.size}px")
    return "-".join([*words, *([f"s{recipe.seed}"] if recipe.seed else [])])


@dataclass(frozen=True)
class Planned:
    """A recipe of a study, completed; `seconds` is about what its training may take here, 0 when it is finished."""

    recipe: Recipe
    seconds: float


def plan(
    recipes: Sequence[Recipe],
    out: Path,
    faces: FaceSet,
    votes: Votes | None = None,
    hardware: Hardware | None = None,
) -> tuple[list[Planned], list[NotRun]]:
    """The recipes in the order of their cost, and those whose checkpoint, votes or teacher are not at hand."""
    hardware = hardware or detect()
    images = {split: int((faces.splits == split).sum()) for split in ("train", "val")}
    known: dict[str, float] = {}  # recipes that differ in what costs nothing take equally long
    planned, missing = [], []
    for recipe in recipes:
        try:
            ready = _finished_recipe(recipe, out) or complete(recipe)
            if not Run(out / run_name(ready)).finished:
                check_sources(ready, Sources(used(votes, ready)))
                key = _cost_key(ready)
                known[key] = known.get(key) or estimate_seconds(
                    ready, len(faces.label_set), images["train"], images["val"], hardware
                )
                planned.append(Planned(ready, known[key]))
            else:
                planned.append(Planned(ready, 0.0))
        except (MissingCheckpointError, MissingSourceError) as error:
            missing.append(NotRun(recipe, str(error)))
    return sorted(planned, key=lambda one: one.seconds), missing


def _finished_recipe(recipe: Recipe, out: Path) -> Recipe | None:
    """The completed recipe of a finished run: evaluating it needs no checkpoint any more."""
    if recipe.data.preprocess.size is None:
        return None
    run = Run(out / run_name(recipe))
    if not run.finished:
        return None
    done = run.recipe
    filled = recipe.data.preprocess.filled(done.data.preprocess)
    same = recipe.model_copy(update={"data": recipe.data.model_copy(update={"preprocess": filled})})
    return done if same == done else None


def _cost_key(recipe: Recipe) -> str:
    parts = (recipe.model, recipe.preprocess, recipe.unfreeze, recipe.data.augment)
    return "\n".join([*(part.model_dump_json() for part in parts), str(recipe.epochs), str(recipe.data.batch_size)])
