"""Votes of taggers: read, shared out over labels, and turned into the labels of FER+."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet
from mien.data.votes import Votes, relabeled
from mien.errors import InputError
from mien.labels import FER7, FERPLUS8

HEADER = "path,usage,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "votes.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_shares_are_of_the_votes_for_a_label_of_the_set(tmp_path: Path) -> None:
    votes = Votes.open(write(tmp_path, "a.png,Training,2,1,2,0,3,0,0,1,1,0", "b.png,Training,0,0,0,0,0,0,0,4,5,1"))
    shares = votes.shares(["a.png", "b.png", "c.png"], FER7)
    by_hand = {"neutral": 2 / 8, "happy": 1 / 8, "surprise": 2 / 8, "angry": 3 / 8}
    np.testing.assert_allclose(shares[0], [by_hand.get(label, 0) for label in FER7.labels], rtol=1e-6)
    assert np.isnan(shares[1:]).all()  # votes for contempt and for no emotion alone; no votes
    eight = votes.shares(["b.png"], FERPLUS8)[0]
    assert eight[FERPLUS8.labels.index("contempt")] == 1


@pytest.mark.parametrize(
    ("votes", "majority", "argmax"),
    [
        ("6,1,1,1,1,0,0,0,0,0", "neutral", "neutral"),  # the single votes are dropped: 6 of 6
        ("4,3,3,0,0,0,0,0,0,0", None, "neutral"),  # 4 of 10 are no majority
        ("4,4,0,0,2,0,0,0,0,0", None, "neutral"),  # the first of equals
        ("0,0,0,0,0,0,0,6,4,0", "contempt", "contempt"),
        ("4,0,0,0,0,0,0,0,6,0", None, None),  # most could not tell
        ("0,0,0,0,0,0,0,0,0,10", None, None),  # no face
        ("1,1,1,1,1,1,1,1,1,1", None, "neutral"),  # nothing is left without single votes
        ("0,5,0,0,5,0,0,0,0,0", None, "happiness"),  # half is not more than half
    ],
)
def test_labels_by_both_protocols(
    drawn_faces: FaceSet, tmp_path: Path, votes: str, majority: str | None, argmax: str | None
) -> None:
    face = drawn_faces.keep(np.arange(len(drawn_faces)) == 0)
    opened = Votes.open(write(tmp_path, f"{face.names[0]},Training,{votes}"))
    for protocol, expected in (("majority", majority), ("argmax", argmax)):
        found = relabeled(face, opened, protocol)
        assert [found.label_set.labels[label] for label in found.labels] == ([expected] if expected else [])
        assert found.label_set is FERPLUS8


@pytest.mark.slow
def test_the_real_file_gives_the_counts_that_its_readme_names(fer2013: FaceSet, real_data: Path) -> None:
    votes = Votes.open(real_data / "ferplus.csv")
    for protocol, counts in (("majority", (25_057, 3_199, 3_152)), ("argmax", (28_386, 3_553, 3_545))):
        splits = relabeled(fer2013, votes, protocol).splits
        assert tuple(int((splits == split).sum()) for split in ("train", "val", "test")) == counts


def test_other_files_are_errors(drawn_faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file of votes"):
        Votes.open(tmp_path / "none.csv")
    with pytest.raises(InputError, match="expected the columns path, neutral"):
        Votes.open(write(tmp_path, "a.png,3", header="path,boredom"))
    with pytest.raises(InputError, match="line 3: expected a whole number of votes"):
        Votes.open(write(tmp_path, "a.png,Training" + ",1" * 10, "b.png,Training" + ",x" * 10))
    with pytest.raises(InputError, match="line 2: has a negative number"):
        Votes.open(write(tmp_path, "a.png,Training" + ",-1" * 10))
    strangers = Votes.open(write(tmp_path, "a.png,Training" + ",1" * 10))
    with pytest.raises(InputError, match=r"votes on none of the 140 faces\. It names pictures like a\.png"):
        strangers.shares(drawn_faces.names, FER7)
    with pytest.raises(InputError, match="Did you mean 'majority'"):
        relabeled(drawn_faces, strangers, "majorty")


def test_votes_are_found_by_name_whatever_the_order(drawn_faces: FaceSet, tmp_path: Path) -> None:
    names = [str(name) for name in drawn_faces.names[:3]]
    rows = [f"{name},Training,{i},0,0,0,{10 - i},0,0,0,0,0" for i, name in enumerate(names)]
    votes = Votes.open(write(tmp_path, *reversed(rows)))
    shares = votes.shares(names, FER7)
    np.testing.assert_allclose(shares[:, FER7.labels.index("neutral")], [0, 0.1, 0.2], atol=1e-6)
