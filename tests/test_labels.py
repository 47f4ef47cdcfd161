"""Label sets: orders, aliases, and what is made of the class names of a collection."""

from __future__ import annotations

import pytest

from mien.errors import InputError
from mien.labels import FER7, FER2013_CSV_CODES, FERPLUS8, LabelSet, canonical, match, named_by_class, read_naming

FER7_NAMES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
OTHER_NAMES = ["Anger", "disgusted", "afraid", "HAPPINESS", "calm", "sadness", "Surprised"]


def test_orders_are_those_of_the_published_sets() -> None:
    assert list(FER7.labels) == FER7_NAMES
    assert FERPLUS8.labels[:4] == ("neutral", "happiness", "surprise", "sadness")  # columns of fer2013new.csv
    assert FERPLUS8.labels[4:] == ("anger", "disgust", "fear", "contempt")
    assert FER2013_CSV_CODES[6] == "neutral"
    assert sorted(FER2013_CSV_CODES) == FER7_NAMES


@pytest.mark.parametrize(("labels", "message"), [(("a",), "at least two"), (("a", "b", "a"), "repeats a name")])
def test_a_label_set_has_several_different_names(labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelSet("custom", labels)


def test_a_name_with_a_bar_is_refused_until_it_is_named_otherwise() -> None:
    """Sets stand in tables as `happy|sad`."""
    with pytest.raises(InputError, match=r"class 'a\|b' holds a bar .*: --labels 'a\|b=a-b'"):
        match(["a|b", "c"], source="d")
    with pytest.raises(InputError, match=r"class 'x\|y' holds a bar"):
        match(["a", "b"], source="d", wanted=["x|y", "z"])
    naming = read_naming("a|b=a-b")
    assert isinstance(naming, dict)
    label_set, index = named_by_class(["a|b", "c"], naming, source="d")
    assert (label_set.labels, index) == (("a-b", "c"), {"a|b": 0, "c": 1})


def test_an_unknown_class_is_told_with_options_that_a_shell_takes_and_mien_too() -> None:
    known = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    given = ["angry", "disgust", "fear", "hap|py", "neutral", "sad", "very surprised"]
    with pytest.raises(InputError) as told:
        match(given, source="d", wanted=known)
    assert "(--labels 'hap|py=-')" in str(told.value)
    assert str(told.value).endswith("--labels 'angry,disgust,fear,hap-py,neutral,sad,very surprised'")


@pytest.mark.parametrize(
    ("name", "fer7", "ferplus8"),
    [
        (" Anger ", "angry", "anger"),
        ("joy", "happy", "happiness"),
        ("scared", "fear", "fear"),
        ("contemptuous", None, "contempt"),
        ("bored", None, None),
    ],
)
def test_aliases(name: str, fer7: str | None, ferplus8: str | None) -> None:
    assert canonical(name, FER7) == fer7
    assert canonical(name, FERPLUS8) == ferplus8


def test_every_fer7_label_has_its_place_under_either_name() -> None:
    assert match(FER7_NAMES, source="x") == (FER7, {name: i for i, name in enumerate(FER7_NAMES)})
    label_set, index = match(reversed(OTHER_NAMES), source="x")
    assert label_set is FER7
    assert [index[name] for name in OTHER_NAMES] == list(range(7))


def test_contempt_makes_it_ferplus() -> None:
    label_set, index = match([*FER7_NAMES, "contempt"], source="x")
    assert label_set is FERPLUS8
    assert (index["neutral"], index["happy"], index["angry"], index["contempt"]) == (0, 1, 4, 7)


def test_other_names_are_a_set_of_their_own_in_sorted_order() -> None:
    label_set, index = match(["open", "closed", "happy"], source="x")
    assert label_set.labels == ("closed", "happy", "open")
    assert index == {"closed": 0, "happy": 1, "open": 2}


def test_wanted_labels_set_the_order_and_may_use_other_names() -> None:
    label_set, index = match(["happy", "Sad", "afraid"], source="x", wanted=["sad", "fear", "happiness"])
    assert label_set.labels == ("sad", "fear", "happiness")
    assert index == {"Sad": 0, "afraid": 1, "happy": 2}


def test_wanted_labels_that_leave_a_class_out_or_have_none_for_it_are_refused() -> None:
    with pytest.raises(InputError, match=r"x: unknown class 'sad'"):
        match(["happy", "sad", "fear"], source="x", wanted=["happy", "fear"])
    with pytest.raises(InputError, match=r"x: no class named 'fear'"):
        match(["happy", "sad"], source="x", wanted=["happy", "sad", "fear"])


def test_a_missing_class_is_named_with_the_labels_to_use() -> None:
    with pytest.raises(InputError, match="no class named 'disgust'") as caught:
        match([name for name in FER7_NAMES if name != "disgust"], source="faces.zip")
    assert str(caught.value).startswith("faces.zip: ")
    advice = str(caught.value).rsplit("--labels ", 1)[1].split(",")
    assert match(advice, source="x", wanted=advice)[0].labels == tuple(advice)
    assert advice == ["angry", "fear", "happy", "neutral", "sad", "surprise"]


def test_a_misspelt_class_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"unknown class 'Hapy'\. Did you mean 'happy'\?"):
        match(["Hapy" if name == "happy" else name for name in FER7_NAMES], source="x")


def test_no_names_at_all() -> None:
    with pytest.raises(InputError, match="x: no class folders"):
        match([], source="x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1=happy,sad", "'sad' is no CLASS=NAME"),
        ("1=,2=sad", "'1=' is no CLASS=NAME"),
        ("=happy", "'=happy' is no CLASS=NAME"),
        ("1=happy,1=-", "names class '1' twice"),
    ],
)
def test_a_naming_that_mixes_or_repeats_says_what_to_write(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_naming(text)


def test_numbers_are_named_in_any_order_and_may_be_left_out() -> None:
    naming = {"1": "surprise", "2": "fear", "3": "-", "7": "happiness"}
    assert read_naming("1=surprise, 2 = fear,3=-,7=happiness") == naming | {"3": None}
    label_set, index = named_by_class(["1", "2", "3", "7"], naming | {"3": None}, source="x")
    assert label_set.labels == ("fear", "happy", "surprise")  # in FER2013's order and under its names
    assert index == {"1": 2, "2": 0, "7": 1}


def test_classes_that_are_not_mentioned_keep_their_names() -> None:
    eight = [*FER7_NAMES, "Contempt"]
    label_set, index = named_by_class(eight, {"contempt": None}, source="x")
    assert label_set is FER7
    assert index == {name: i for i, name in enumerate(FER7_NAMES)}
    label_set, index = named_by_class(eight, {"disgust": None}, source="x")
    assert label_set.labels == tuple(label for label in FERPLUS8.labels if label != "disgust")
    assert index["Contempt"] == 6


def test_two_classes_may_become_one() -> None:
    naming = {"angry": "bad", "sad": "bad", "happy": "good"}
    assert named_by_class(["angry", "sad", "happy"], naming, source="x") == (
        LabelSet("custom", ("bad", "good")),
        {"angry": 0, "sad": 0, "happy": 1},
    )


def test_naming_a_class_that_is_not_there_and_leaving_out_all() -> None:
    with pytest.raises(InputError, match=r"speaks of class 'hapy', .* Did you mean 'happy'\? Its classes: happy"):
        named_by_class(["happy", "sad"], {"hapy": None}, source="x")
    with pytest.raises(InputError, match="leaves 1 of its classes happy, sad; keep at least two"):
        named_by_class(["happy", "sad"], {"sad": None}, source="x")
