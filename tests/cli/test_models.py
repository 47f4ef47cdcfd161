"""mien models: what it says of each is what the evidence, the files and the cards say."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from mien import Predictions
from mien.recognize.naming import bundled
from mien.recognize.vendored import vendored_folder

ROOT = Path(__file__).parents[2]
SNAPSHOT = "snapshots/0123456789"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_list_has_every_bundled_model(mien) -> None:
    done = mien("models")
    assert done.code == 0
    for name in bundled():
        digest = sha256((vendored_folder("weights") / f"{name}.onnx").read_bytes()).hexdigest()
        (row,) = [line for line in done.out.splitlines() if name in line and "│" in line]
        assert digest[:12] in row
        assert "Apache-2.0" in row
    assert ".717 [.702, .731]" in done.out  # README, mien-small
    assert "no pre-trained backbone in the cache" in done.out


def test_the_figures_are_those_of_the_kept_predictions(mien) -> None:
    told = json.loads(mien("models", "--json").out)
    assert [one["name"] for one in told["bundled"]] == bundled()
    for one in told["bundled"]:
        kept = Predictions.load(ROOT / "results" / one["name"] / "predictions" / "test.npz")
        right = kept.predicted == kept.labels
        assert one["measured"]["accuracy"]["value"] == pytest.approx(right.mean())
        assert one["measured"]["accuracy"]["n"] == len(kept)
        assert one["measured"]["leak_free"]["value"] == pytest.approx(right[kept.leak_free].mean())
        assert one["megabytes"] == pytest.approx(Path(one["file"]).stat().st_size / 1e6, abs=0.01)


def test_the_figures_are_those_of_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import evidence

    written = (vendored_folder("weights") / "scores.json").read_text(encoding="utf-8")
    assert written == evidence.bundled_scores(ROOT / "docs" / "evidence")
    del sys.modules["evidence"]


def test_backbones_in_the_cache_are_listed_if_they_are_whole(mien, empty_cache: Path) -> None:
    whole = empty_cache / "models--facebook--dinov2-small" / SNAPSHOT
    whole.mkdir(parents=True)
    (whole / "config.json").write_text("{}")
    (whole / "model.safetensors").write_bytes(b"0" * 2_500_000)
    half = empty_cache / "models--someone--half" / SNAPSHOT
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    (empty_cache / "datasets--someone--faces" / SNAPSHOT).mkdir(parents=True)
    (row,) = [line for line in mien("models").out.splitlines() if "facebook/dinov2-small" in line]
    assert "2.5" in row
    told = json.loads(mien("models", "--json").out)
    assert [one["name"] for one in told["cached"]] == ["facebook/dinov2-small"]


def test_speed_is_measured_where_it_is_asked_for(mien, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.recognize.speed.SECONDS", 0.001)
    monkeypatch.setattr("mien.recognize.speed.ROUNDS", 1)
    told = json.loads(mien("models", "--speed", "--json").out)
    assert [one["model"] for one in told["speeds"]] == bundled()
    assert all(one["faces_single"] > 0 for one in told["speeds"])
    assert "faces/s here" in mien("models", "--speed").out
