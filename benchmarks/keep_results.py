"""What this repository's docs quote of studies: kept under results/, docs/results.json and docs/study.md made of it.

    python benchmarks/keep_results.py runs/study cnn-v1 cnn-v2 --results results --docs docs --command "mien study …"

Copies recipe, card, history, predictions and small weights of the named runs (all of the folder, if none is named) to
`--results`, then writes both files from what is kept there alone. `tests/test_results.py` computes each line again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mien.cli.study import TITLE
from mien.errors import InputError
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.latency import load_latencies, save_latencies
from mien.files import write_whole
from mien.ledger import LEDGER, extend, read
from mien.recipes.recipe import Recipe
from mien.report.content import NotRun, RunReport
from mien.studies.gather import LATENCIES, gather
from mien.studies.page import write_report
from mien.studies.study import RECIPES
from mien.training.run import Run

MAX_KEPT_WEIGHTS = 3 * 2**20  # bytes; larger weights are not kept among the results
_KEPT = ("recipe.yaml", "card.json", "history.csv", "predictions/val.npz", "predictions/test.npz",
         "report/evidence-val.json", "report/evidence-test.json")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", type=Path, help="folder of mien study; or the results themselves, to write docs anew")
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--command", action="append", default=[], help="that made the runs, for the page")
    how = parser.parse_args()
    if how.study.resolve() != how.results.resolve():
        named = how.runs or [path.parent.name for path in sorted(how.study.glob("*/card.json"))]
        keep([Run(how.study / name) for name in named], how.study, how.results)
    write_docs(how.results, how.docs, TITLE, how.command)


def keep(runs: Sequence[Run], study_folder: Path, results: Path) -> None:
    """Copy what docs quote to `results/<run>/`: recipe, card, history, predictions; weights only if they are small.

    What an earlier run of that name left there goes, so that no figure is quoted beside another run's card.
    """
    if results.resolve() == study_folder.resolve():
        raise InputError(f"{results}: is the study's own folder. Keep results in another one")
    for run in runs:
        target = results / run.name
        # A GPU's queue brings home what there is room for.
        small = run.weights_file.is_file() and run.weights_file.stat().st_size <= MAX_KEPT_WEIGHTS
        for name in (*_KEPT, run.weights_file.name):
            source = run.folder / name
            if source.is_file() and (name in _KEPT or small):
                write_whole(target / name, source.read_bytes())
            else:
                (target / name).unlink(missing_ok=True)
        extend(target / LEDGER, read(run.folder / LEDGER).looks)  # of all runs that have had this name
    if (study_folder / "data.json").is_file():
        write_whole(results / "data.json", (study_folder / "data.json").read_bytes())
    timed = load_latencies(study_folder / LATENCIES)
    if not timed.keys() >= {path.parent.name for path in results.glob("*/card.json")}:
        # Times of two days or machines do not stand side by side: those of other runs stay, these have none.
        again = {run.name for run in runs}
        timed = {name: one for name, one in load_latencies(results / LATENCIES).items() if name not in again}
    save_latencies(results / LATENCIES, timed)


def write_docs(results: Path, docs: Path, title: str, commands: Sequence[str]) -> None:
    """Write `results.json` and `study.md` with its pictures into `docs`, from what is kept under `results` alone."""
    found = gather(results, title, commands, not_run=_never_run(results))
    lines = [line for run in found.runs for line in result_lines(run)]
    for picture in (docs / "study" / "pictures").glob("*.png"):
        picture.unlink()  # their names hold numbers, which move when a run joins
    write_whole(docs / "results.json", json.dumps(lines, indent=1) + "\n")
    page = write_report(found, docs / "study")
    page.unlink()  # the Markdown is what a repository shows
    text = (docs / "study" / "report.md").read_text(encoding="utf-8").replace("(pictures/", "(study/pictures/")
    write_whole(docs / "study.md", text)
    (docs / "study" / "report.md").unlink()


def _never_run(results: Path) -> list[NotRun]:
    """The recipes of the study of which no run is kept."""
    kept = [Run(path.parent) for path in results.glob("*/card.json")]
    known = {run.name for run in kept} | {run.recipe.name for run in kept}  # a bundled model keeps its name
    return [NotRun(Recipe.load(name), "") for name in RECIPES if name not in known]


def result_lines(run: RunReport) -> list[dict[str, object]]:
    """One record per split: the figures, and the command that makes them again."""
    return [_result_line(run, evaluation) for evaluation in run.evaluations.values()]


def _result_line(run: RunReport, evaluation: Evaluation) -> dict[str, object]:
    scores, leak_free, training = evaluation.scores, evaluation.leak_free, run.card.training
    return {
        "run": run.name,
        "recipe": run.recipe.name,
        "backbone": run.card.backbone,
        "size": run.card.preprocess.size,
        "seed": training.seed,
        "split": evaluation.split,
        "n": scores.n,
        "accuracy": round(scores.accuracy.value, 6),
        "interval": [round(scores.accuracy.low, 4), round(scores.accuracy.high, 4)],
        "macro_f1": round(scores.macro_f1.value, 6),
        "weighted_f1": round(scores.weighted_f1.value, 6),
        "mean_class_accuracy": round(scores.mean_class_accuracy.value, 6),
        "nll": round(scores.nll.value, 6),
        "leak_free_n": leak_free.n if leak_free else 0,
        "leak_free_accuracy": round(leak_free.accuracy.value, 6) if leak_free else None,
        "device": training.device,
        "precision": training.precision,
        "minutes": training.minutes,
        "epochs": training.epochs,
        "best_epoch": training.best_epoch,
        "commit": training.commit,
        "command": f"{_command(run)} && mien evaluate runs/{run.name} --data {training.data}"
        f" --split {evaluation.split}",
    }


def _command(run: RunReport) -> str:
    """What makes the run again, from what is kept of it and of its members."""
    training, out = run.card.training, f"--out runs/{run.name}"
    if run.card.members:
        return f"mien ensemble {' '.join(f'runs/{member}' for member in run.card.members)} {out}"
    votes = f" --votes {training.votes}" if training.votes else ""
    votes += f" --start runs/{training.start}" if training.start else ""
    recipe = f"results/{run.name}/recipe.yaml --precision {training.precision}"
    return f"mien train {recipe} --data {training.data}{votes} {out}"


if __name__ == "__main__":
    main()
