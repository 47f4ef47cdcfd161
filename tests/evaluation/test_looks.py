"""How often test was opened: what counts, what does not, whose looks are counted together, and where it is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mien import FaceSet, Run, compare, evaluate
from mien.evaluation.looks import Looks, looks
from mien.ledger import LEDGER, Look, append, read
from mien.model import Model
from mien.recognize.vendored import vendored_folder
from mien.report.looks import looks_sentences

ROOT = Path(__file__).parents[2]


def entry(run: Run, model: str, recipe: str, **more) -> Look:
    known = read(run.folder / LEDGER).looks[0]
    told = {"model": model, "weights": model.ljust(64, "0"), "recipe": recipe, "extends": (), "start": None, **more}
    return known.model_copy(update=told)


def found(run: Run) -> Looks:
    told = looks(Model.open(run))
    assert told is not None
    return told


def test_only_test_counts_and_reading_again_is_a_repeat(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces, "val")
    assert looks(Model.open(trained_run)) is None
    evaluate(trained_run, drawn_faces, "test")
    assert (found(trained_run).own, found(trained_run).repeats) == (1, 0)
    for split in ("test", "pooled"):
        evaluate(trained_run, drawn_faces, split)
    assert (found(trained_run).own, found(trained_run).repeats) == (1, 2)
    (first, *_) = read(trained_run.folder / LEDGER).looks
    assert first.fingerprint == drawn_faces.select("test").fingerprint == trained_run.predictions("test").fingerprint
    assert first.n == int((drawn_faces.splits == "test").sum())
    assert looks_sentences(found(trained_run))[0].startswith("By its ledger test was opened once")


def test_all_faces_are_a_look_at_those_of_test_among_them(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces.select("train", "val"), "all")
    assert looks(Model.open(trained_run)) is None
    evaluate(trained_run, drawn_faces, "all")
    assert found(trained_run).fingerprint == drawn_faces.select("test").fingerprint
    evaluate(trained_run, drawn_faces, "test")
    assert (found(trained_run).own, found(trained_run).repeats) == (1, 1)


def test_other_weights_or_other_faces_are_another_look(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces, "test")
    weights = load_file(trained_run.weights_file)
    save_file({key: value * np.float32(1.01) for key, value in weights.items()}, trained_run.weights_file)
    shutil.rmtree(trained_run.folder / "predictions")
    evaluate(trained_run, drawn_faces, "test")
    told = found(trained_run)
    assert (told.own, told.repeats, told.total) == (2, 0, 2)
    assert "trained anew each time" in looks_sentences(told)[0]
    fewer = drawn_faces.keep(np.arange(len(drawn_faces)) % 2 == 0)
    evaluate(trained_run, fewer, "test")
    assert found(trained_run).own == 1  # of the faces that were asked about last
    assert found(trained_run).fingerprint == fewer.select("test").fingerprint


def test_relatives_are_counted_together(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces, "test")  # of the recipe cnn-v1
    beside = trained_run.folder.parent
    for name, recipe, more in (
        ("above", "cnn-v2", {"extends": ("cnn-v1",)}),
        ("seed", "cnn-v1", {}),
        ("pupil", "mine", {"start": trained_run.name}),
        ("both", "sum", {"members": ("trained", "x")}),
        ("apart", "vit-v1.3", {}),
    ):
        append(beside / name / LEDGER, entry(trained_run, name, recipe, **more))
    append(beside / "elsewhere" / LEDGER, entry(trained_run, "elsewhere", "cnn-v1", fingerprint="other"))
    told = found(trained_run)
    assert told.related == ("above", "both", "pupil", "seed")
    assert (told.own, told.relatives, told.others, told.total) == (1, 4, 1, 5)
    said = " ".join(looks_sentences(told))
    assert "opened 5 times for this model and its relatives" in said
    assert "no relatives, kept beside it, opened the same images once" in said


def test_a_broken_chain_is_said(trained_run: Run, drawn_faces: FaceSet) -> None:
    for split in ("test", "test"):
        evaluate(trained_run, drawn_faces, split)
    file = trained_run.folder / LEDGER
    file.write_text(file.read_text().replace('"n": 14', '"n": 41', 1))
    assert "The record is broken" in " ".join(looks_sentences(found(trained_run)))
    with file.open("a") as ledger:
        ledger.write("no line\n" * 1000)
    said = " ".join(looks_sentences(found(trained_run)))
    assert "line 2 does not follow the line before it, which was changed, removed or added, and so 1,000 more" in said
    assert len(said) < 1000


def test_a_damaged_ledger_of_another_model_is_named_once_and_harms_nobody(
    trained_run: Run, drawn_faces: FaceSet, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(trained_run, drawn_faces, "test")
    beside = trained_run.folder.parent
    append(beside / "apart" / LEDGER, entry(trained_run, "apart", "vit-v1.3"))
    before = looks_sentences(found(trained_run))
    with (beside / "apart" / LEDGER).open("a") as ledger:
        ledger.write("no line\n")
    for _ in range(3):  # as of three models in one report
        assert looks_sentences(found(trained_run)) == before
    assert found(trained_run).broken == ()
    assert caplog.text.count(f"{beside / 'apart' / LEDGER}: a damaged ledger (line 2 is not a line of a ledger)") == 1
    assert "Put a copy of it back, or move it away" in caplog.text

    (beside / "apart" / LEDGER).write_bytes(b"\x00\xff")  # whose it is, nobody can tell any more
    told = found(trained_run)
    assert (told.own, told.others, told.unread, told.broken) == (1, 0, 1, ())
    assert "1 ledger beside it cannot be read" in " ".join(looks_sentences(told))
    (beside / "apart" / LEDGER).write_text('{"format": 99}\n')
    assert found(trained_run).unread == 1

    append(beside / "seed" / LEDGER, entry(trained_run, "seed", "cnn-v1", fingerprint="other"))
    with (beside / "seed" / LEDGER).open("a") as ledger:
        ledger.write("no line\n")
    assert "The record is broken, so it may miss looks: seed/" in " ".join(looks_sentences(found(trained_run)))


def test_a_bundled_model_brings_its_own_and_goes_on_in_the_cache(
    drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    opened = Model.open("mien-tiny")
    before = looks(opened)
    assert before is not None
    assert before.own == before.reconstructed - before.relatives == 2
    compare("mien-tiny", "mien-small", faces=drawn_faces)
    told = looks(opened, drawn_faces.select("test").fingerprint)
    assert told is not None
    assert told.own == 1
    assert list((tmp_path / "ledgers").glob("mien-tiny-*.jsonl"))
    assert looks(opened, before.fingerprint) == before.model_copy(update={"head": told.head})


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_a_warning(drawn_faces: FaceSet, tmp_path: Path, monkeypatch, caplog) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o555)
    monkeypatch.setenv("MIEN_CACHE", str(cache))
    evaluate("mien-tiny", drawn_faces, "test")
    assert "this look at test is not kept" in caplog.text


def test_the_page_and_the_card_say_it(trained_run: Run, drawn_zip: Path, mien) -> None:
    told = mien("evaluate", trained_run.folder, "--data", drawn_zip, "--report", "--robust-faces", "0")
    assert told.code == 0, told.err
    assert "looks at test: By its ledger test was opened once for this model" in told.out
    report = (trained_run.folder / "report" / "report-test.md").read_text()
    assert report.count("By its ledger test was opened once") == 2  # in the verdict and beside the figure
    append(trained_run.folder.parent / "other" / LEDGER, entry(trained_run, "other", "cnn-v1"))
    assert mien("card", trained_run.folder).code == 0
    assert (
        "opened twice for this model and its relatives" in (trained_run.folder / "report" / "model-card.md").read_text()
    )


@pytest.mark.parametrize("name", ["mien-small", "mien-tiny"])
def test_the_package_holds_the_ledger_of_the_results(name: str) -> None:
    ours = ROOT / "results" / name / LEDGER
    assert (vendored_folder("starts") / name / LEDGER).read_bytes() == ours.read_bytes()


def test_every_kept_answer_on_test_has_its_line() -> None:
    folders = [path.parents[1] for path in (ROOT / "results").rglob("predictions/test.npz")]
    assert folders
    for folder in folders:
        kept = read(folder / LEDGER)
        assert kept.broken == ()
        assert Run(folder).predictions("test").fingerprint in {look.fingerprint for look in kept.looks}, folder
