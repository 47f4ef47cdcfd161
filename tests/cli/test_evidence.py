"""mien evaluate --report, --groups, --votes, --suspects, and mien card, as a person meets them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mien import FaceSet
from mien.evaluation.evidence import Evidence


@pytest.fixture(scope="module")
def run(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(trained_folder, tmp_path_factory.mktemp("evidence") / "trained"))


@pytest.fixture(scope="module")
def votes(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven taggers of ten give the label, three say neutral, but for contempt now and then."""
    columns = ["happiness", "neutral", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    named = {"happy": "happiness", "sad": "sadness", "angry": "anger"}
    rows = []
    for i, (name, label) in enumerate(zip(drawn_faces.names, drawn_faces.labels, strict=True)):
        counts = dict.fromkeys(columns, 0)
        word = drawn_faces.label_set.labels[label]
        counts[named.get(word, word)] += 7
        counts["neutral" if i % 3 else "contempt"] += 3
        rows.append(",".join([str(name), *map(str, counts.values())]))
    file = tmp_path_factory.mktemp("votes") / "votes.csv"
    file.write_text("\n".join([",".join(["path", *columns]), *rows]) + "\n")
    return file


@pytest.fixture(scope="module")
def groups(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("groups") / "groups.csv"
    lines = [f"{name},{'left' if i % 2 else 'right'}" for i, name in enumerate(drawn_faces.names)]
    file.write_text("\n".join(["name,group", *lines]) + "\n")
    return file


@pytest.mark.slow
def test_one_page_of_everything(run: Path, drawn_zip: Path, votes: Path, groups: Path, mien) -> None:
    told = mien("evaluate", run, "--data", drawn_zip, "--votes", votes, "--groups", groups, "--report")
    assert told.code == 0, told.err
    for word in ("calibration: ", "abstention: ", "people: One tagger", "groups: No two groups have 30 images"):
        assert word in told.out
    page = (run / "report" / "report-test.html").read_text()
    titles = re.findall(r'<section id="([a-z0-9-]+)"', page)
    assert titles == [
        "verdict", "figures", "class-by-class", "calibration", "abstention", "human-ceiling", "robustness", "stability",
        "groups", "protocol",
    ]  # fmt: skip
    assert all(f'<a href="#{title}">' in page for title in titles)
    assert not re.search(r'(src|href)="(?!data:|#)', page), "asks for something outside itself"
    found = Evidence.model_validate_json((run / "report" / "evidence-test.json").read_text())
    assert found.robustness is not None
    assert found.robustness.n == found.evaluation.scores.n == 14

    card = mien("card", run)
    assert card.code == 0, card.err
    text = (run / "report" / "model-card.md").read_text()
    assert "## Robustness" in text
    assert "## Groups" in text
    assert f"temperature {found.evaluation.temperature:.3f}" in text.lower() or "No temperature" in text


def test_robustness_of_some_faces_or_none(run: Path, drawn_zip: Path, tmp_path: Path, mien) -> None:
    for faces, measured in (("5", 5), ("0", None)):
        told = mien("evaluate", run, "--data", drawn_zip, "--report", "--robust-faces", faces, "--out", tmp_path)
        assert told.code == 0, told.err
        found = Evidence.model_validate_json((tmp_path / "evidence-test.json").read_text())
        assert (found.robustness.n if found.robustness else None) == measured
    refused = mien("evaluate", run, "--data", drawn_zip, "--robust-faces", "5")
    assert refused.code == 2
    assert "--robust-faces is a part of --report" in refused.err


def test_json_holds_the_evaluation_and_what_else_was_asked(run: Path, drawn_zip: Path, groups: Path, mien) -> None:
    plain = json.loads(mien("evaluate", run, "--data", drawn_zip, "--json").out)
    assert plain["scores"]["n"] == plain["abstention"]["n"] == 14
    assert "groups" not in plain
    more = json.loads(mien("evaluate", run, "--data", drawn_zip, "--groups", groups, "--json").out)
    assert [one["name"] for one in more["groups"]["scores"]] == ["left", "right"]


def test_groups_of_names_that_nobody_knows(run: Path, drawn_zip: Path, tmp_path: Path, mien) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("name,group\nnobody.png,a\nnoone.png,b\n")
    refused = mien("evaluate", run, "--data", drawn_zip, "--groups", file)
    assert refused.code == 2
    assert "nobody.png" in refused.err


def test_groups_may_name_pictures_of_a_class_that_is_left_out(
    drawn_zip: Path, drawn_faces: FaceSet, groups: Path, tmp_path: Path, mien
) -> None:
    command = ("evaluate", "mien-tiny", "--data", drawn_zip, "--labels", "disgust=-", "--json")
    told = mien(*command, "--groups", groups)
    assert told.code == 0, told.err
    kept = drawn_faces.select("test").named({"disgust": None})
    assert sum(one["n"] for one in json.loads(told.out)["groups"]["scores"]) == len(kept)
    other = tmp_path / "other.csv"
    other.write_text(groups.read_text() + "nobody.png,left\n")
    refused = mien(*command, "--groups", other)
    assert (refused.code, "1 of 141 names are of no image of the data: nobody.png" in refused.err) == (2, True)


def test_a_page_of_suspects(run: Path, drawn_zip: Path, tmp_path: Path, mien) -> None:
    told = mien("evaluate", run, "--data", drawn_zip, "--split", "val", "--suspects", "--out", tmp_path)
    assert told.code == 2  # 14 val faces are too few for five folds: told, not guessed
    assert "folds" in told.err


def test_a_card_of_a_bundled_model_wants_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mien) -> None:
    monkeypatch.chdir(tmp_path)
    refused = mien("card", "mien-tiny")
    assert refused.code == 2
    assert "mien evaluate mien-tiny --data PATH --report" in refused.err
    (tmp_path / "some.json").write_text("{}")
    assert "not what mien evaluate --report wrote" in mien("card", "mien-tiny", "--evidence", "some.json").err
    assert "no such file" in mien("card", "mien-tiny", "--evidence", "none.json").err


def test_groups_may_name_pictures_that_get_no_label(
    tmp_path: Path, drawn_zip: Path, votes: Path, groups: Path, mien
) -> None:
    """By FER+'s votes some pictures get no label; a file of groups for all of them is no mistake."""
    lines = votes.read_text().splitlines()
    none = [f"{line.split(',')[0]},0,0,0,0,0,0,0,0,10,0" for line in lines[1::9]]  # unknown, say all ten
    kept = [line for i, line in enumerate(lines) if i % 9 != 1]
    (tmp_path / "votes.csv").write_text("\n".join([*kept, *none]) + "\n")
    eight = ["--data", drawn_zip, "--votes", tmp_path / "votes.csv", "--ferplus", "majority"]
    trained = mien("train", "cnn-v1", *eight, "--out", tmp_path / "eight", "--set", "epochs=1")
    assert trained.code == 0, trained.err
    told = mien("evaluate", tmp_path / "eight", *eight, "--groups", groups)
    assert told.code == 0, told.err
    assert "groups: " in told.out


def test_labels_of_ferplus_that_a_model_does_not_know_are_left_out_by_name(
    run: Path, drawn_zip: Path, votes: Path, mien
) -> None:
    asked = ("evaluate", run, "--data", drawn_zip, "--votes", votes, "--ferplus", "majority", "--json")
    few = votes.read_text().splitlines()
    fields = [line.split(",") for line in few]
    for row in fields[1::4]:  # every fourth face is contempt to all taggers
        row[1:] = ["0"] * (len(row) - 1)
        row[few[0].split(",").index("contempt")] = "10"
    other = votes.with_name("contempt.csv")
    other.write_text("\n".join(",".join(row) for row in fields) + "\n")
    asked = tuple(other if word is votes else word for word in asked)
    refused = mien(*asked)
    assert refused.code == 2
    assert "--labels contempt=-" in refused.err  # the advice works:
    told = mien(*asked, "--labels", "contempt=-")
    assert told.code == 0, told.err
    shown = json.loads(told.out)
    assert shown["labels"] == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    contempt = {row[0] for row in fields[1::4]}
    names = [line.split(",")[0] for line in few[1:] if "PrivateTest" in line]
    assert shown["scores"]["n"] == sum(name not in contempt for name in names)
    compared = mien("compare", run, "mien-tiny", *asked[2:], "--labels", "contempt=-")
    assert compared.code == 0, compared.err
    assert json.loads(compared.out)["n"] == shown["scores"]["n"]


def test_every_face_of_a_folder_without_splits(run: Path, drawn_folder: Path, tmp_path: Path, groups, mien) -> None:
    """External validation: other names, a class that is left out, groups."""
    mine = tmp_path / "mine"
    lines = ["name,group"]
    for given, ours in {"happy": "joy", "sad": "sadness", "fear": "puzzled", "surprise": "surprise"}.items():
        shutil.copytree(drawn_folder / "test" / given, mine / ours)
        files = sorted((mine / ours).iterdir()) if ours != "puzzled" else []
        lines += [f"{ours}/{file.name},{'a' if i % 2 else 'b'}" for i, file in enumerate(files)]
    (tmp_path / "groups.csv").write_text("\n".join(lines) + "\n")
    told = mien("evaluate", run, "--data", mine, "--labels", "puzzled=-", "--split", "all", "--json",
                "--groups", tmp_path / "groups.csv")  # fmt: skip
    assert told.code == 0, told.err
    shown = json.loads(told.out)
    left = sum(1 for ours in ("joy", "sadness", "surprise") for _ in (mine / ours).iterdir())
    assert (shown["split"], shown["scores"]["n"]) == ("all", left)
    assert sum(one["n"] for one in shown["groups"]["scores"]) == left
    assert "has no class angry, disgust, fear, neutral" in told.err
    assert "Every face is in --split all" in mien("evaluate", run, "--data", mine, "--labels", "puzzled=-").err


def test_evidence_at_another_temperature_is_refused(run: Path, tmp_path: Path, drawn_zip: Path, mien) -> None:
    mien("evaluate", run, "--data", drawn_zip, "--report", "--robust-faces", "0", "--out", tmp_path)
    file = tmp_path / "evidence-test.json"
    told = json.loads(file.read_text())
    told["evaluation"]["temperature"] = 2.5
    file.write_text(json.dumps(told))
    refused = mien("card", run, "--evidence", file)
    assert refused.code == 2
    assert "measured with temperature 2.5" in refused.err
    told["evaluation"]["temperature"], told["evaluation"]["model"] = 1.0, "another"
    file.write_text(json.dumps(told))
    assert "measured with model another, the card of trained has trained" in mien("card", run, "--evidence", file).err


def test_what_cannot_be_searched_is_told_before_any_work(run: Path, drawn_zip: Path, mien) -> None:
    refused = mien("evaluate", run, "--data", drawn_zip, "--split", "pooled", "--suspects", "--report")
    assert refused.code == 2
    assert "unknown split 'pooled'" in refused.err
