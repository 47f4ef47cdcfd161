"""Face sets, runs, evaluations and comparisons as data frames, pictures and in notebooks."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mien import FaceSet, MienError, Run, compare, evaluate
from mien.shown import Shown, table_html


def is_shown(result: Shown) -> None:
    assert isinstance(result.plot(), Figure)
    html = result._repr_html_()
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"))
    assert pixels.min() < 100  # something is drawn
    assert "<pre>" in html
    assert not re.findall(r"https?:|<script|<link|url\(", html)


def test_an_evaluation(trained_run: Run, drawn_faces: FaceSet) -> None:
    found = evaluate(trained_run, drawn_faces, "test")
    is_shown(found)
    table = found.to_pandas()
    headline = table[(table.images == "all") & table.label.isna()].set_index("figure")
    assert headline.loc["accuracy", "value"] == found.scores.accuracy.value
    assert headline.loc["macro_f1", "high"] == found.scores.macro_f1.high
    assert set(headline.n) == {14}
    recall = table[table.figure == "recall"].set_index("label").value
    assert list(recall.index) == list(found.labels)
    assert [None if pd.isna(value) else value for value in recall] == [one.recall for one in found.per_class]
    clean = table[table.images == "leak_free"]
    assert found.leak_free is not None
    assert set(clean.n) == {found.leak_free.n}


def test_a_comparison(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces, "test")
    found = compare(trained_run, trained_run, names=("a", "b"))
    is_shown(found)
    (row,) = found.to_pandas().to_dict("records")
    assert (row["first"], row["second"], row["n"], row["p_value"]) == ("a", "b", 14, 1)
    assert (row["accuracy_difference"], row["accuracy_difference_low"], row["accuracy_difference_high"]) == (0, 0, 0)


def test_a_face_set(drawn_faces: FaceSet) -> None:
    is_shown(drawn_faces)
    table = drawn_faces.to_pandas()
    counts = table.groupby(["split", "label"]).size()
    assert {key: int(n) for key, n in counts.items()} == {
        (split, label): n for split, labels in drawn_faces.counts().items() for label, n in labels.items() if n
    }
    assert list(table.name) == list(drawn_faces.names)
    assert set(table.width) == {48}


def test_a_run(trained_run: Run, tmp_path: Path) -> None:
    is_shown(trained_run)
    written = pd.read_csv(trained_run.history_file)
    pd.testing.assert_frame_equal(trained_run.to_pandas(), written, check_dtype=False)
    fresh = Run(tmp_path)
    assert fresh.to_dicts() == []
    assert fresh._repr_html_() == f"<pre>{tmp_path}: not finished, 0 epochs done</pre>"
    with pytest.raises(MienError, match="missing"):
        fresh.plot()


def test_without_pandas_the_next_step_is_named(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MienError, match='needs the extra "pandas"'):
        trained_run.to_pandas()


def test_a_long_table_says_how_much_more_there_is() -> None:
    html = table_html([{"a": i, "b": "<x>"} for i in range(25)])
    assert html.count("<tr>") == 21
    assert "and 5 more rows" in html
    assert "<x>" not in html
