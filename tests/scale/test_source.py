"""What a job looks at: the same pictures under the same names, wherever their list comes from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien import InputError
from mien.recognize.inputs import pictures
from mien.scale.source import Item, digest, items, picture_bytes


def named(*names: object, **more: bool) -> list[str]:
    return [item.source for item in items([str(name) for name in names], **more)]


def test_a_folder_gives_what_recognize_finds_in_it(album: Path) -> None:
    assert named(album) == [str(one.path) for one in pictures([album])]
    assert len(named(album)) == 21


def test_each_file_is_named_once_by_whatever_path(album: Path) -> None:
    assert named(album / "00.jpg", album, album / "more" / ".." / "00.jpg")[0] == str(album / "00.jpg")
    assert len(named(album / "00.jpg", album, album / "more" / ".." / "00.jpg")) == 21


def test_a_text_file_lists_paths_and_addresses(album: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"# ours\n{album / '03.jpg'}\n\ns3://b/clip.mp4\nhttps://example.org/a.jpg?x=1\n")
    found = list(items([str(listed)]))
    assert [item.source for item in found] == [
        str(album / "03.jpg"),
        "https://example.org/a.jpg?x=1",
        "s3://b/clip.mp4",  # videos come last
    ]
    assert [item.video for item in found] == [False, False, True]


def test_a_list_without_a_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n# nothing\n")
    with pytest.raises(InputError, match="this list is empty"):
        named(tmp_path / "list.txt")


@pytest.mark.parametrize("as_struct", [False, True])
def test_parquet_holds_pictures(album: Path, tmp_path: Path, as_struct: bool) -> None:
    file = tmp_path / "pictures.parquet"
    data = [path.read_bytes() for path in sorted(album.glob("*.jpg"))] + [None]
    column = [None if one is None else {"bytes": one, "path": "x"} for one in data] if as_struct else data
    pq.write_table(pa.table({"image": column, "label": list(range(19))}), file, row_group_size=4)
    found = list(items([str(file)]))
    assert [item.source for item in found] == [f"{file}#{i}" for i in range(19)]
    stored = picture_bytes(str(file), [17, 2, 5, 18])
    assert [stored[2], stored[5], stored[17]] == [data[2], data[5], data[17]]
    assert stored[18] == f"{file}: row 18 holds no picture"


def test_parquet_names_pictures(album: Path, tmp_path: Path) -> None:
    file = tmp_path / "names.parquet"
    pq.write_table(pa.table({"path": [str(album / "02.jpg"), str(album / "01.jpg")]}), file)
    assert list(items([str(file)])) == [Item(str(album / f"0{i}.jpg"), str(album / f"0{i}.jpg")) for i in (2, 1)]


def test_parquet_with_names_and_pictures_takes_both(album: Path, tmp_path: Path) -> None:
    file = tmp_path / "both.parquet"
    pq.write_table(pa.table({"filename": ["one", "two"], "bytes": [b"1", b"2"]}), file)
    assert list(items([str(file)])) == [Item("one", str(file), 0), Item("two", str(file), 1)]


def test_parquet_of_something_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"age": [1]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"has no column of pictures .* or of their names .* but age"):
        named(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"no Parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        named(tmp_path / "y.parquet")


def test_the_fingerprint_is_of_names_and_their_order(album: Path) -> None:
    found = list(items([str(album)]))
    assert digest(found) == digest(list(items([str(album)])))
    assert digest(found) != digest(found[::-1])
    assert digest(found) != digest(found[:-1])


def test_a_store_gives_folders_and_patterns(store, album: Path) -> None:
    store.fill(album, "in")
    store.client.put_object(Bucket="photos", Key="in/notes.txt", Body=b"x")
    store.client.put_object(Bucket="photos", Key="in/.hidden.jpg", Body=b"x")
    whole = named("s3://photos/in")
    assert whole == sorted(f"s3://photos/in/{path.relative_to(album).as_posix()}" for path in album.rglob("*.*"))
    assert named("s3://photos/in/*.jpg") == [f"s3://photos/in/{i:02d}.jpg" for i in range(18)]
    assert named("s3://photos/in/**/[ab].*") == ["s3://photos/in/more/a.gif", "s3://photos/in/more/b.png"]
    with pytest.raises(InputError, match="no file fits this pattern"):
        named("s3://photos/in/*.webp")
