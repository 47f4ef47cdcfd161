"""The dossier: for any kind of model, valid Croissant, every link leads somewhere, every file has its sum."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import mlcroissant as mlc
import pytest

from mien import FaceSet, InputError, Recognizer, Run, dossier, evaluate
from mien.recognize.vendored import vendored_folder
from mien.report.annex import annex_section
from mien.report.croissant import croissant


def check(folder: Path) -> str:
    """The page, once its links and sums hold."""
    page = (folder / "dossier.html").read_text()
    for link in re.findall(r'href="([^"#][^"]*)"', page):
        file, _, anchor = link.partition("#")
        assert (folder / file).is_file(), link
        assert not anchor or f'id="{anchor}"' in (folder / file).read_text(), link
    sums = {name: digest for digest, name in map(str.split, (folder / "SHA256SUMS").read_text().splitlines())}
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {"SHA256SUMS"}
    assert set(sums) == files
    assert all(sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())
    told = mlc.Dataset(jsonld=folder / "data.croissant.json").metadata.ctx
    assert not told.issues.errors
    assert told.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    return page


def test_of_a_run(trained_run: Run, drawn_faces: FaceSet, tmp_path: Path) -> None:
    evaluate(trained_run, drawn_faces, "test")
    assert dossier(trained_run, tmp_path / "out") == tmp_path / "out" / "dossier.html"
    page = check(tmp_path / "out")
    assert "opened once for this model" in page
    assert "test accuracy" in page
    for name in ("test-ledger.jsonl", "recipe.yaml", "card.json", "model-card.html"):
        assert f'href="{name}' in page
    data = json.loads((tmp_path / "out" / "data.croissant.json").read_text())
    assert data["name"] == "drawn.zip"
    assert "FER2013" not in json.dumps(data)
    assert "Not known" in data["rai:dataCollection"]
    dossier(trained_run, tmp_path / "out")  # a dossier is replaced by a newer one
    check(tmp_path / "out")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers of bundled models lie in the cache: other tests of this process leave their looks there."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_of_a_bundled_model_and_of_a_file(tmp_path: Path) -> None:
    dossier("mien-tiny", tmp_path / "bundled")
    page = check(tmp_path / "bundled")
    assert "as the package came with it" in page
    assert "reconstructed later" in page
    assert "model-card.html" not in page
    data = json.loads((tmp_path / "bundled" / "data.croissant.json").read_text())
    assert (data["name"], "1608.01041" in json.dumps(data)) == ("FER2013", True)
    file = tmp_path / "mine.onnx"
    file.write_bytes((vendored_folder("weights") / "mien-tiny.onnx").read_bytes())
    dossier(file, tmp_path / "file")
    page = check(tmp_path / "file")
    assert "Nothing was measured" in page
    assert "No ledger says that test was ever opened" in page


def test_evidence_is_checked_and_shown(drawn_zip: Path, tmp_path: Path, mien) -> None:
    made = mien(
        "evaluate", "mien-tiny", "--data", drawn_zip, "--report", "--robust-faces", "5", "--out", tmp_path / "e"
    )
    assert made.code == 0, made.err
    found = tmp_path / "e" / "evidence-test.json"
    told = mien("dossier", "mien-tiny", "--evidence", found, "--out", tmp_path / "out")
    assert told.code == 0, told.err
    page = check(tmp_path / "out")
    assert 'href="model-card.html#robustness"' in page
    refused = mien("dossier", "mien-small", "--evidence", found, "--out", tmp_path / "other")
    assert refused.code == 2
    assert not (tmp_path / "other").exists()
    clash = tmp_path / "card.json"
    clash.write_bytes(found.read_bytes())
    with pytest.raises(InputError, match="another file of the dossier has this name"):
        dossier("mien-tiny", tmp_path / "clash", [clash])


def test_nothing_of_an_older_dossier_stays_and_a_failed_one_leaves_nothing(
    drawn_zip: Path, tmp_path: Path, mien
) -> None:
    mien("evaluate", "mien-tiny", "--data", drawn_zip, "--report", "--robust-faces", "0", "--out", tmp_path / "e")
    evidence, out = tmp_path / "e" / "evidence-test.json", tmp_path / "out"
    dossier("mien-tiny", out, [evidence])
    dossier("mien-tiny", out, [out / "evidence-test.json"])  # its own copy
    assert "model-card.html" in check(out)
    (out / "mine.txt").write_text("added by hand")
    dossier("mien-small", out)
    assert "mien-tiny.onnx" not in check(out)
    names = {file.name for file in out.iterdir() if file.is_file()}
    assert "mine.txt" in names
    assert not names & {"evidence-test.json", "model-card.html", "model-card.md"}
    with pytest.raises(InputError, match="another file of the dossier has this name"):
        dossier("mien-tiny", tmp_path / "twice", [evidence, evidence])
    assert not (tmp_path / "twice").exists()
    (out / "SHA256SUMS").write_text(f"{sha256(evidence.read_bytes()).hexdigest()}  ../e/evidence-test.json\n")
    dossier("mien-small", out)
    assert evidence.is_file()


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        dossier("mien-tiny", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_names_of_any_letters_are_valid_croissant() -> None:
    card = Recognizer("mien-tiny", detector="none").card
    strange = card.training.model_copy(update={"data": 'a "b" <c>\\ ö.zip', "fingerprint": "0" * 32})
    told = json.loads(croissant(card.model_copy(update={"training": strange})).text)
    assert told["name"] == "a--b---c---ö.zip"
    assert "license" not in told


def test_lines_without_an_answer_say_so() -> None:
    rows = annex_section(["card.json", "model-card.html"], {"model-card.html": ["figures"]}).tables[0].rows
    by_link = {row[1].text: row[2] for row in rows}
    assert by_link["Robustness"].text == "not measured"
    assert by_link["EU declaration of conformity"].text == "not measured: for the provider to write"
    assert by_link["Forms in which it is put on the market"].link == "#model-file"
    assert by_link["Validation and testing: data, metrics, accuracy"].link == "model-card.html#figures"
    assert by_link["Versions of the software"].link == "card.json"
