"""Recipes: resolved, checked and frozen."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from mien.errors import InputError
from mien.recipes import recipe as module
from mien.recipes.recipe import Recipe, names
from mien.recipes.sections import Pretrained

GOLDEN = Path(__file__).with_name("golden.json")
FREEZE = """published recipes do not change: undo it, or give the new recipe a new name. To freeze a new one:
PYTHONPATH=src python -c "import json; from mien.recipes.recipe import Recipe, names; \
print(json.dumps({n: Recipe.load(n).model_dump(mode='json') for n in names()}, indent=1, ensure_ascii=False))" \
> tests/recipes/golden.json"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for the folder of built-in recipes, with one in it."""
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    write(
        tmp_path / "base.yaml",
        name="base",
        describe="a base",
        expected={"accuracy": 0.5},
        data={"preprocess": {"size": 48, "color": "gray", "mean": [0.5], "std": [0.5]}, "augment": {"flip": 0.5}},
        model={"kind": "cnn-v2"},
        optimizer={"lr": 1e-3},
        epochs=10,
        early_stopping={"patience": 3},
    )
    return tmp_path


def write(path: Path, **values: object) -> Path:
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def problems(path: Path | str, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        Recipe.load(path, overrides)
    return str(caught.value).split("\n  ")


def test_built_in_recipes_are_frozen() -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert names() == sorted(golden), FREEZE
    for name in names():
        assert Recipe.load(name).model_dump(mode="json") == golden[name], FREEZE


def test_a_built_in_recipe_is_named_as_its_file() -> None:
    assert [Recipe.load(name).name for name in names()] == names()


@pytest.mark.parametrize("name", names())
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name, ["describe=größer – 50 %", "optimizer.lr=1.23456789e-7"])
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.read(tmp_path / "recipe.yaml") == recipe
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


def test_yaml_is_in_data_flow_order() -> None:
    keys = list(yaml.safe_load(Recipe.load("cnn-v2").to_yaml()))
    flow = ["data", "model", "optimizer", "schedule", "epochs", "early_stopping", "seed"]
    assert [key for key in keys if key in flow] == flow


def test_a_child_says_only_what_differs(folder: Path) -> None:
    write(folder / "child.yaml", name="child", extends="base", describe="a child", data={"batch_size": 64})
    write(
        folder / "grandchild.yaml", name="grandchild", extends="child", optimizer={"name": "sgd"}, early_stopping=None
    )
    base, child, last = (Recipe.load(name) for name in ("base", "child", "grandchild"))
    assert child.data == base.data.model_copy(update={"batch_size": 64})
    assert (child.optimizer, child.epochs, child.early_stopping) == (base.optimizer, 10, base.early_stopping)
    assert (last.describe, last.data) == ("a child", child.data)
    assert (last.optimizer.name, last.optimizer.lr) == ("sgd", 1e-3)
    assert last.early_stopping is None


def test_what_the_parent_reached_is_not_expected_of_the_child(folder: Path) -> None:
    write(folder / "child.yaml", name="child", extends="base")
    write(folder / "other.yaml", name="other", extends="base", expected={"f1": 0.4})
    assert Recipe.load("base").expected.accuracy == 0.5
    assert Recipe.load("child").expected.accuracy is None
    assert (Recipe.load("other").expected.accuracy, Recipe.load("other").expected.f1) == (None, 0.4)


def test_a_circle_is_shown(folder: Path) -> None:
    write(folder / "a.yaml", name="a", extends="b")
    write(folder / "b.yaml", name="b", extends="a")
    write(folder / "self.yaml", name="self", extends="self")
    assert problems("a") == ["recipe 'a' extends itself: a → b → a"]
    assert problems("self") == ["recipe 'self' extends itself: self → self"]


@pytest.mark.parametrize("parent", [["base"], 3, {}])
def test_extends_is_one_name(parent: object, folder: Path) -> None:
    write(folder / "a.yaml", name="a", extends=parent)
    assert "extends must be the name of one recipe" in problems("a")[0]


def test_an_unknown_parent_or_recipe_is_named(folder: Path) -> None:
    write(folder / "a.yaml", name="a", extends="bsae")
    assert problems("a") == ["unknown recipe 'bsae'. Did you mean 'base'? See: mien recipes"]


def test_a_users_file_may_extend_a_built_in_one(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = write(tmp_path_factory.mktemp("user") / "mine.yaml", name="mine", extends="base", seed=5)
    assert (Recipe.load(mine).seed, Recipe.load(str(mine)).epochs) == (5, 10)


def test_a_users_file_may_extend_a_file_beside_it(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    user = tmp_path_factory.mktemp("user")
    write(user / "first.yaml", name="first", extends="base", seed=5)
    mine = write(user / "second.yaml", name="second", extends="first.yaml")
    assert Recipe.load(mine).seed == 5
    circle = write(user / "circle.yaml", name="circle", extends=f"../{user.name}/circle.yaml")
    assert "extends itself" in problems(circle)[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.yaml does not exist. Built-in recipes: " in problems(tmp_path / "nowhere.yaml")[0]
    with pytest.raises(InputError, match=r"recipe\.yaml: cannot be read"):
        Recipe.read(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a recipe is a mapping of keys to values, got NoneType"),
        (b"- a\n- b", "got list"),
        (b"a: [1", "not a YAML file"),
        (b"a: \xff", "not a YAML file"),
        (b"!!python/object/apply:os.system ['exit 3']", "not a YAML file"),
    ],
)
def test_a_file_that_is_no_recipe(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert problems(path)[0].startswith(f"{path}: ")
    assert message in problems(path)[0]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimizer.lr=1e-4", 1e-4),
        ("epochs=3", 3),
        ("data.preprocess.mean=[0.4]", (0.4,)),
        ("data.augment.rotate=10", 10.0),
        ("early_stopping=null", None),
        ("early_stopping.patience=4", 4),
        ("describe=a=b", "a=b"),
    ],
)
def test_overrides(override: str, value: object, folder: Path) -> None:
    place: object = Recipe.load("base", [override])
    for key in override.split("=")[0].split("."):
        place = getattr(place, key)
    assert place == value


def test_later_overrides_win_and_others_stay(folder: Path) -> None:
    recipe = Recipe.load("base", ["early_stopping=null", "early_stopping.patience=4", "epochs=3", "epochs=5"])
    assert recipe.early_stopping is not None
    assert recipe.early_stopping.patience == 4
    assert recipe.epochs == 5
    assert Recipe.load("base").epochs == 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "--set epochs: expected KEY=VALUE"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("epochs.more=3", "'epochs' has a single value"),
        ("epochs=[1", "the value is not valid YAML"),
        ("optimiser.lr=1", "optimiser: unknown key. Did you mean 'optimizer'?"),
        ("optimizer.learning_rate=1", "optimizer.learning_rate: unknown key."),
        ("data.preprocess.sise=3", "data.preprocess.sise: unknown key. Did you mean 'size'?"),
        ("early_stopping.pateince=3", "early_stopping.pateince: unknown key. Did you mean 'patience'?"),
        ("extends=cnn-v1", "extends: unknown key."),
    ],
)
def test_bad_overrides(override: str, message: str, folder: Path) -> None:
    assert message in "\n".join(problems("base", override))


def test_all_problems_are_reported_at_once(folder: Path) -> None:
    write(
        folder / "bad.yaml",
        name="Bad Name",
        describe="x",
        data={"preprocess": {"size": 48, "color": "gray", "mean": [0.5, 0.5], "std": [0.5]}, "imbalance": "weights"},
        model={"kind": "cnn-v3"},
        optimizer={"lr": 0, "momentun": 0.5},
        early_stopping={"patience": "soon"},
    )
    first, *lines = problems("bad")
    assert first == "recipe 'bad' has 8 problems:"
    text = {line.split(": ")[0]: line for line in lines}
    assert set(text) == {
        "name", "data.preprocess", "data.imbalance", "model.kind", "optimizer.lr", "optimizer.momentun",
        "early_stopping.patience", "epochs",
    }  # fmt: skip
    assert text["epochs"] == "epochs: missing"
    assert text["data.preprocess"] == "data.preprocess: mean needs 1 numbers for color 'gray', got 2"
    assert text["optimizer.momentun"].startswith("optimizer.momentun: unknown key. Did you mean 'momentum'? Known: ")
    assert text["early_stopping.patience"].endswith("got 'soon'")
    assert "'cnn-v1'" in text["model.kind"]
    assert text["model.kind"].endswith("got 'cnn-v3'")


@pytest.mark.parametrize(
    "override",
    [
        "epochs=0", "epochs=1.5", "seed=-1", "seed=2147483648", "optimizer.lr=11", "optimizer.lr=.nan",
        "optimizer.momentum=1", "optimizer.weight_decay=-0.1", "data.batch_size=1", "data.augment.flip=1.1",
        "data.augment.shift=0.6", "data.augment.rotate=181", "data.augment.scale=1", "data.preprocess.size=7",
        "data.preprocess.std=[0]", "early_stopping.patience=0", "early_stopping.monitor=test_accuracy",
        "expected.accuracy=52", "schedule.name=step", "schedule.warmup_epochs=-1", "name=../x", "name=''",
        "data=3", "data.preprocess.mean=[.nan]", "data.augment.erase=[1]",
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_the_one_problem(override: str, folder: Path) -> None:
    first, line = problems("base", override)
    assert first == "recipe 'base' has 1 problem:"
    assert line.startswith((override.split("=")[0], "data.preprocess"))


def test_warmup_ends_before_the_run(folder: Path) -> None:
    assert Recipe.load("base", ["schedule.warmup_epochs=9.5"]).schedule.warmup_epochs == 9.5
    assert "warmup_epochs 10.0 must be below epochs 10" in problems("base", "schedule.warmup_epochs=10")[1]


def test_augmentation_is_off_unless_asked_for(folder: Path) -> None:
    assert Recipe.load("base").data.augment.on
    assert not Recipe.load("base", ["data.augment.flip=0"]).data.augment.on


def test_the_vit_recipes_read_like_the_study() -> None:
    from mien.models.head import head

    chain = [Recipe.load(name) for name in ("vit-v1.3", "vit-v1.5", "vit-v1.6", "vit-v1.6.6", "vit-v1.6.7")]
    changed = [
        {key for key in type(child).model_fields if getattr(child, key) != getattr(parent, key)}
        - {"name", "describe", "expected"}
        for parent, child in pairwise(chain)
    ]
    assert changed == [{"model"}, {"unfreeze", "epochs", "early_stopping"}, {"data"}, {"model"}]
    assert [recipe.expected.accuracy for recipe in chain] == [0.59, 0.61, 0.625, 0.634, 0.663]
    assert [recipe.epochs for recipe in chain] == [10, 10, 24, 24, 24]
    final = chain[-1].model
    assert isinstance(final, Pretrained)
    assert len(head(768, 7, final.head)) == 17


def test_unfreezing_of_v1_6_is_the_schedule_that_the_study_prints() -> None:
    how = Recipe.load("vit-v1.6").unfreeze
    printed = {2: 11, 4: 10, 6: 9, 8: 8, 10: 7, 12: 6, 14: 5, 16: 4, 18: 3}  # epoch → vit.encoder.layer.N of 12
    released: set[int] = set()
    for epoch in range(1, 25):
        released |= {printed[epoch]} if epoch in printed else set()
        assert how.blocks(epoch) == len(released)
        assert released == set(range(12 - len(released), 12))


@pytest.mark.parametrize(
    ("text", "blocks"),
    [("all", "all"), ("none", 0), ("{last: 3}", 3), ("{schedule: {2: 1}}", 1), ("{last: 1, schedule: {3: 2}}", 3)],
)
def test_unfreeze_in_words_survives_a_round_trip(text: str, blocks: object, tmp_path: Path) -> None:
    recipe = Recipe.load("vit-v1.6", [f"unfreeze={text}"])
    assert recipe.unfreeze.blocks(9) == blocks
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert Recipe.read(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["unfreeze=some"], "unfreeze: expected all, none, {last: N} or {schedule: {epoch: blocks}}, got 'some'"),
        (["unfreeze={last: all, schedule: {2: 1}}"], "unfreeze: a schedule has nothing to release"),
        (["unfreeze={schedule: {0: 1}}"], "unfreeze.schedule.0"),
        (["model.bakbone=x"], "model.bakbone: unknown key. Did you mean 'backbone'?"),
        (["model.head.hidden=[0]"], "model.head.hidden.0: "),
        (["model={backbone: x}"], "model.kind: missing"),
        (["model.kind=vit"], "model.backbone: unknown key."),
        (["data.preprocess.mean=[0.5]"], "data.preprocess: mean needs 3 numbers for color 'rgb', got 1"),
    ],
)
def test_mistakes_in_the_sections_of_a_backbone(overrides: list[str], message: str) -> None:
    assert message in "\n".join(problems("vit-v1.6.7", *overrides))


def test_what_a_checkpoint_gives_is_asked_for_by_name() -> None:
    recipe = Recipe.load("vit-v1.3")
    assert recipe.data.preprocess.missing == ["mean", "std"]
    with pytest.raises(InputError, match=r"nothing says data\.preprocess\.mean and data\.preprocess\.std"):
        _ = recipe.preprocess


def test_a_child_s_unfreezing_replaces_its_parent_s(tmp_path: Path) -> None:
    write(tmp_path / "mine.yaml", name="mine", extends="vit-v1.6.7", describe="x", unfreeze={"last": 2})
    assert Recipe.load(str(tmp_path / "mine.yaml")).unfreeze.blocks(20) == 2


def test_keys_of_version_0_1_that_are_gone_are_read_where_they_did_nothing() -> None:
    """Recipes that are kept under results/ hold them."""
    kept = Path(__file__).parents[2] / "results" / "ferplus" / "mien-small-ferplus" / "recipe.yaml"
    assert "cutmix: 0.0" in kept.read_text()
    assert "block: basic" in kept.read_text()
    assert Recipe.read(kept).model == Recipe.load("mien-small").model
    with pytest.raises(InputError, match=r"data\.augment\.cutmix: unknown key"):
        Recipe.load("mien-small", ["data.augment.cutmix=1"])
    with pytest.raises(InputError, match=r"model\.block: unknown key"):
        Recipe.load("mien-small", ["model.block=separable"])
