"""A study from recipes to report and docs."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Recipe, Run
from mien.evaluation.latency import load_latencies
from mien.studies import runs as trained
from mien.studies.gather import gather, measure_evidence, report, time_runs
from mien.studies.page import compose
from mien.studies.study import study

NAMES = ("cnn-v1", "cnn-v2")


sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import keep_results  # noqa: E402  a script beside the package

pytestmark = [pytest.mark.usefixtures("no_onnx"), pytest.mark.slow]


@pytest.fixture(scope="module")
def recipes() -> list[Recipe]:
    return [Recipe.load(name, ["epochs=2", f"seed={seed}"]) for name in NAMES for seed in (0, 1)]


@pytest.fixture(scope="module")
def folder(
    no_onnx: None, recipes: list[Recipe], drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("study")
    study(recipes, drawn_faces, out)
    return out


def test_one_run_per_recipe_and_seed(folder: Path) -> None:
    assert sorted(path.parent.name for path in folder.glob("*/card.json")) == [
        "cnn-v1", "cnn-v1-s1", "cnn-v2", "cnn-v2-s1",
    ]  # fmt: skip
    assert Run(folder / "cnn-v2-s1").card.training.seed == 1


def test_again_it_trains_and_predicts_nothing(
    folder: Path, recipes: list[Recipe], drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained, "train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(Run, "load_model", lambda self: pytest.fail("predicted again"))
    assert len(study(recipes, drawn_faces, folder)) == 4


def test_report_holds_each_run_s_numbers(folder: Path) -> None:
    page = report(folder, "A study", ["mien study"]).read_text()
    markdown = (folder / "report.md").read_text()
    for name in ("cnn-v1", "cnn-v1-s1", "cnn-v2", "cnn-v2-s1"):
        found = gather(folder, "t", [], [name]).runs[0]
        accuracy = f"{found.evaluations['test'].scores.accuracy.value:.3f}".removeprefix("0")
        assert name in page
        assert accuracy in page
        assert accuracy in markdown
    assert 'src="http' not in page


def test_times_of_other_days_do_not_stand_beside_each_other(folder: Path, tmp_path: Path) -> None:
    results, file = tmp_path / "results", folder / "latency.json"
    both, one = [Run(folder / name) for name in NAMES], [Run(folder / NAMES[0])]
    time_runs(both, folder)
    keep_results.keep(both, folder, results)
    assert load_latencies(results / "latency.json").keys() == set(NAMES)
    file.unlink()
    time_runs(one, folder)
    keep_results.keep(one, folder, results)
    assert load_latencies(results / "latency.json").keys() == {NAMES[1]}
    file.unlink()


def test_docs_come_from_what_is_kept_alone(folder: Path, tmp_path: Path) -> None:
    results, docs = tmp_path / "results", tmp_path / "docs"
    runs = [Run(folder / name) for name in NAMES]
    keep_results.keep(runs, folder, results)
    keep_results.write_docs(results, docs, "A study", ["mien study"])
    lines = json.loads((docs / "results.json").read_text())
    assert {(line["run"], line["split"]) for line in lines} == {
        (name, split) for name in NAMES for split in ("val", "test", "pooled")
    }
    kept = Run(results / "cnn-v2").predictions("test")
    line = next(line for line in lines if line["run"] == "cnn-v2" and line["split"] == "test")
    assert line["accuracy"] == pytest.approx(float((kept.predicted == kept.labels).mean()), abs=1e-6)
    assert line["n"] == len(kept)
    assert line["command"].startswith("mien train results/cnn-v2/recipe.yaml --precision")
    text = (docs / "study.md").read_text()
    for picture in (word.split(")")[0] for word in text.split("](")[1:] if word.startswith("study/")):
        assert (docs / picture).is_file(), picture
    assert (results / "cnn-v2" / "model.safetensors").is_file()
    assert not (results / "cnn-v1" / "model.safetensors").is_file(), "4.7 MB of weights are too many to keep"


def test_kept_results_without_weights_are_never_trained_over(
    folder: Path, recipes: list[Recipe], drawn_faces: FaceSet, tmp_path: Path
) -> None:
    keep_results.keep([Run(folder / "cnn-v1")], folder, tmp_path / "results")
    before = (tmp_path / "results" / "cnn-v1" / "card.json").read_bytes()
    with pytest.raises(InputError, match="it is kept"):
        study(recipes[:1], drawn_faces, tmp_path / "results")
    assert (tmp_path / "results" / "cnn-v1" / "card.json").read_bytes() == before


def test_a_run_that_was_stopped_while_finishing_is_finished(
    folder: Path, recipes: list[Recipe], drawn_faces: FaceSet, tmp_path: Path
) -> None:
    """Card and weights are there, the val predictions are not yet: nothing is trained again, nothing refused."""
    shutil.copytree(folder / "cnn-v1", tmp_path / "cnn-v1")
    (tmp_path / "cnn-v1" / "predictions" / "val.npz").unlink()
    (run,) = study(recipes[:1], drawn_faces, tmp_path)
    assert run.finished
    assert run.history == Run(folder / "cnn-v1").history


def test_what_is_kept_holds_nothing_of_an_earlier_run(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    keep_results.keep([Run(folder / "cnn-v2")], folder, results)
    (folder / "cnn-v2-s1" / "predictions" / "test.npz").rename(tmp_path / "aside.npz")
    try:
        (results / "cnn-v2").rename(results / "cnn-v2-s1")
        keep_results.keep([Run(folder / "cnn-v2-s1")], folder, results)
    finally:
        (tmp_path / "aside.npz").rename(folder / "cnn-v2-s1" / "predictions" / "test.npz")
    assert not (results / "cnn-v2-s1" / "predictions" / "test.npz").exists()


def test_other_settings_or_data_are_refused(folder: Path, drawn_faces: FaceSet) -> None:
    with pytest.raises(InputError, match=r"cnn-v1: was begun with another recipe \(different: epochs\)"):
        study([Recipe.load("cnn-v1", ["epochs=3"])], drawn_faces, folder)
    moved = replace(
        drawn_faces, splits=np.where(np.cumsum(drawn_faces.splits == "train") == 1, "test", drawn_faces.splits)
    )
    with pytest.raises(InputError, match="was begun on other data"):
        study([Recipe.load("cnn-v1", ["epochs=2"])], moved, folder)


def test_a_stopped_training_goes_on(
    recipes: list[Recipe], drawn_faces: FaceSet, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.errors import InterruptedRunError
    from mien.training import module

    step = module.TrainingModule.training_step

    def stopping(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(module.TrainingModule, "training_step", stopping)
        with pytest.raises(InterruptedRunError, match=r"stopped at cnn-v1.*run the same command again"):
            study(recipes[:1], drawn_faces, tmp_path)
    (run,) = study(recipes[:1], drawn_faces, tmp_path)
    whole = Run(folder / "cnn-v1").history
    assert [row.val_loss for row in run.history] == [row.val_loss for row in whole]


def test_no_test_split(recipes: list[Recipe], drawn_faces: FaceSet, tmp_path: Path) -> None:
    study(recipes[:1], drawn_faces.select("train", "val"), tmp_path)
    assert "val" in report(tmp_path, "t", []).read_text()


def test_an_empty_folder_has_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        report(tmp_path, "t", [])


def test_evidence_of_each_run_goes_into_the_report(folder: Path, drawn_faces: FaceSet, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "study"))
    runs = [Run(place / name) for name in ("cnn-v1", "cnn-v2")]
    measure_evidence(runs, drawn_faces)
    files = [run.folder / "report" / "evidence-test.json" for run in runs]
    written = [file.stat().st_mtime_ns for file in files]
    measure_evidence(runs, drawn_faces)  # nothing is measured twice
    assert [file.stat().st_mtime_ns for file in files] == written
    found = gather(place, "A study", [])
    known = {run.name: run.evidence for run in found.runs}
    assert {name for name, one in known.items() if one and one.robustness} == {"cnn-v1", "cnn-v2"}
    assert all(one and one.abstention.n == 14 for one in known.values())
    assert found.seeds is not None
    assert [len(one.accuracies) for one in found.seeds.recipes] == [2, 2]
    page = compose(found)
    told = {section.title: section for section in page.sections}
    assert {"Calibration", "Abstention", "Robustness", "Recipes over seeds"} <= set(told)
    assert told["Robustness"].points[-1] == "Not measured, which needs the weights: cnn-v1-s1 and cnn-v2-s1."


def test_the_study_s_figures_do_not_stand_beside_other_data(folder: Path) -> None:
    """The drawn faces have FER2013's labels, and are not FER2013."""
    found = gather(folder, "title", [])
    assert not found.data.is_fer2013
    assert all(run.recipe.expected.accuracy is None for run in found.runs)
    text = report(folder, "title", []).with_suffix(".md").read_text()
    assert "the study gives" not in text
    assert "CNN or ViT" not in text
