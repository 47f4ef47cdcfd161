"""What `print` shows of faces, runs, evaluations, comparisons and recognized faces: a few readable lines."""

from __future__ import annotations

from pathlib import Path

from mien import Face, FaceSet, Run, compare, evaluate


def test_a_face_set(drawn_faces: FaceSet) -> None:
    lines = str(drawn_faces).splitlines()
    assert lines[0] == f"drawn.zip: 140 faces, fingerprint {drawn_faces.fingerprint}"
    assert [line.split(":")[0] for line in lines[1:]] == ["  train 112", "  val 14", "  test 14"]
    assert lines[1].startswith("  train 112: angry ")
    assert repr(drawn_faces) == "<FaceSet drawn.zip: 140 faces of 7 classes>"


def test_a_run(trained_run: Run, tmp_path: Path) -> None:
    first, *rest = str(trained_run).splitlines()
    assert first.startswith(f"{trained_run.folder}: cnn-v1, ")
    assert len(rest) == 3
    assert "3 epochs on drawn.zip (train 112, val 14)" in rest[0]
    assert str(Run(tmp_path)) == f"{tmp_path}: not finished, 0 epochs done"


def test_figures(trained_run: Run, drawn_faces: FaceSet) -> None:
    found = evaluate(trained_run, drawn_faces, "test")
    lines = str(found).splitlines()
    assert lines[0] == "trained on test, n = 14; in brackets 95 % intervals"
    assert "leak-free" in lines[1]
    assert len(lines) == 4
    told = str(compare(trained_run, trained_run, names=("a", "b"))).splitlines()
    assert told[0].startswith("a, b on test, n = 14")
    assert told[1].startswith("  cannot tell b and a apart")


def test_a_recognized_face() -> None:
    face = Face("a.jpg", "sad", {"happy": 0.1, "sad": 0.7, "fear": 0.2}, (1, 2, 30, 40), 0.9, unsure=True)
    assert str(face) == "a.jpg: sad 0.70, unsure (fear 0.20, happy 0.10) at x 1, y 2, 30 × 40 pixels"
