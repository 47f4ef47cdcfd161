"""What a run folder and the cache keep, damaged: found out, and one error that names the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mien import InputError
from mien.training.features import _is_whole
from mien.training.run import read_history

HEADER = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds,images_per_second\n"


def test_a_frozen_store_that_changed_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, beside = tmp_path / "features-1.npy", tmp_path / "features-1.seconds"
    store.write_bytes(b"values")
    assert not _is_whole(store)
    beside.write_text(f"1.500 {hashlib.sha256(b'values').hexdigest()}\n")
    assert _is_whole(store)
    store.write_bytes(b"valuez")
    assert not _is_whole(store)
    assert "is not what was kept; the frozen blocks are computed again" in caplog.text
    beside.write_text("1.500\n")  # of an older mien, without a sum
    assert not _is_whole(store)


@pytest.mark.parametrize(
    "row", ["x,1,1,1,1,1,1,1", "1,1", "0,1,1,1,1,1,1,1", "9" * 90 + ",1,1,1,1,1,1,1", "1,a,1,1,1,1,1,1"]
)
def test_a_bad_row_of_a_history_is_named(row: str, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"{HEADER}1,1.5,0.4,1.6,0.3,0.001,3,900\n{row}\n")
    with pytest.raises(InputError, match=r"history\.csv, line 3: not a history that this version reads") as refused:
        read_history(path)
    assert len(str(refused.value)) < 600
