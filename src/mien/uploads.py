"""Uploads: a model as a repository on the Hugging Face hub, in one commit; `mien.hub` reads it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mien import formats, hub
from mien.errors import InputError
from mien.model import Model, Named
from mien.recognize.vendored import read_vendored
from mien.report.hub_card import Told, hub_card
from mien.report.model_card import card_page

README = "README.md"
_PICTURES = "pictures/"
_THEIRS = (".gitattributes", README)  # what a repository that was made by hand begins with


@dataclass(frozen=True)
class Pushed:
    """What lies on the hub now: `files` with their sizes in bytes, of one commit."""

    repository: str
    commit: str
    url: str
    files: Mapping[str, int]

    @property
    def address(self) -> str:
        """Names this commit."""
        return f"hf://{self.repository}@{self.commit}"


def push(
    model: Named,
    repository: str,
    license: str | None = None,
    datasets: Sequence[str] = (),
    evidence: Sequence[Path] = (),
    *,
    private: bool = False,
    overwrite: bool = False,
) -> Pushed:
    """Upload a model to `repository` (`user/name`) on the Hugging Face hub, and make that where there is none.

    A run gives weights (safetensors), model file (ONNX), recipe, cards and the identities of the images that it has
    seen; a model file gives itself and its cards; a bundled model both. Never a pickle, an image or a prediction.
    `license`: the hub's name for one; none is guessed. `datasets`: names on the hub of what it was trained on.
    `evidence`: as of `mien.card`. Raises `InputError` for a model without a model file or without figures, for a
    repository that holds something else, without `overwrite`, and where the hub cannot be reached or refuses.
    """
    repository = hub.read_address(repository if hub.is_address(repository) else f"hf://{repository}")[0]
    client = hub.client("mien push")
    opened = Model.open(model)
    ours = _files(opened)
    folder = opened.run.folder / "report" if opened.run else Path(f"{opened.name}-report")
    page, evaluations = card_page(opened, list(evidence or sorted(folder.glob("evidence-*.json"))))
    readme, pictures = hub_card(page, opened.card, evaluations, repository, Told(license, tuple(datasets)))
    sums = {name: hub.checksum(content) for name, content in ours.items()}
    manifest = hub.Manifest(format=formats.HUB, version=version("mien"), files=sums)
    contents: dict[str, bytes | Path] = {
        README: readme.encode(),
        hub.MANIFEST: (manifest.model_dump_json(indent=1) + "\n").encode(),
        **pictures,
        **ours,
    }
    try:
        commit, url = _commit(client, repository, contents, private=private, overwrite=overwrite)
    except InputError:
        raise
    except Exception as error:  # of the client, of its HTTP library, of the system
        raise hub.refused(error, f"hf://{repository}") from error
    sizes = {name: len(one) if isinstance(one, bytes) else one.stat().st_size for name, one in contents.items()}
    return Pushed(repository, commit, url, sizes)


def _files(model: Model) -> dict[str, bytes | Path]:
    """What is uploaded of a model beside its card for readers, by name."""
    kept = model.run or model.origin
    found: dict[str, bytes | Path] = {}
    if model.run is not None:
        file = model.run.folder / "model.onnx"
        if not file.is_file():
            raise InputError(
                f"{model.run.folder}: has no model.onnx, which others recognize with. Write it: mien export"
            )
        found["model.onnx"] = file
    else:
        found["model.onnx"] = model.content
    if kept is not None:
        for name in hub.FILES:
            if name not in ("card.json", "model.onnx") and (kept.folder / name).is_file():
                found[name] = _kept(model, kept.folder / name)
    return {"card.json": model.card.text().encode(), **found}


def _kept(model: Model, file: Path) -> bytes | Path:
    if model.run is None and model.place is None and file.suffix == ".safetensors":
        return read_vendored("starts", f"{model.name}/{file.name}")  # checks it
    return file


def _commit(
    client: Any, repository: str, contents: Mapping[str, bytes | Path], *, private: bool, overwrite: bool
) -> tuple[str, str]:
    """Commit and address of its page. What an earlier push left and this one does not bring is removed."""
    api = client.HfApi(library_name="mien", library_version=version("mien"))
    there, parent = _there(client, api, repository)
    if parent is None:
        api.create_repo(repository, private=private, exist_ok=True)
    elif hub.MANIFEST not in there and set(there) - set(_THEIRS) and not overwrite:
        raise InputError(
            f"hf://{repository}: holds something else than a model of mien's ({', '.join(sorted(there)[:3])}, …). "
            "Choose another name, or add to it, and replace its README.md, with --overwrite"
        )
    old = [name for name in there if name in hub.FILES or name.startswith(_PICTURES)]
    done = api.create_commit(
        repository,
        [
            *(client.CommitOperationDelete(name) for name in old if name not in contents),
            *(client.CommitOperationAdd(name, content) for name, content in contents.items()),
        ],
        commit_message=f"mien push, version {version('mien')}",
        parent_commit=parent,
    )
    return done.oid, done.commit_url


def _there(client: Any, api: Any, repository: str) -> tuple[list[str], str | None]:
    """Names of the files of a repository, and its last commit; None where there is no such repository."""
    try:
        info = api.model_info(repository)
    except client.errors.RepositoryNotFoundError as error:
        if isinstance(error, client.errors.GatedRepoError):
            raise
        return [], None
    return [one.rfilename for one in info.siblings or ()], info.sha
