"""Hub: models that lie on the Hugging Face hub, as `hf://user/name` or `hf://user/name@revision`.

Its own client downloads them into its own cache. A repository is what `mien push` wrote: `mien.json` names each file
with its checksum, and no other file is asked for, whatever lies there: no pickle and no code.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mien import formats
from mien.errors import InputError, MissingExtraError, first_line, printable, shortened
from mien.ledger import LEDGER

MANIFEST = "mien.json"
README = "README.md"
FOR_USE = ("card.json", "model.onnx", "recipe.yaml", "seen.npz", LEDGER)
FOR_TRAINING = ("card.json", "recipe.yaml", "model.safetensors", "backbone.json", "seen.npz")
FILES = tuple(dict.fromkeys((*FOR_USE, *FOR_TRAINING)))  # all of ours
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ADDRESS = re.compile(r"hf:/+(?P<repository>[^@]*)(?:@(?P<revision>.*))?", re.DOTALL)  # a Path keeps one slash alone

logger = logging.getLogger(__name__)


class Manifest(BaseModel):
    """What `mien.json` holds: which files belong together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int
    version: str  # of the mien that wrote it
    files: dict[str, str]  # name → SHA-256 as 64 hexadecimal digits


@dataclass(frozen=True)
class Snapshot:
    """A repository as it was at one commit, whose files lie in `folder`, of which nothing is ever changed."""

    repository: str  # user/name
    commit: str
    folder: Path

    @property
    def name(self) -> str:
        """What its model is called: the repository without its owner."""
        return self.repository.rpartition("/")[2]

    @property
    def address(self) -> str:
        """Names this commit, whatever is pushed later."""
        return f"hf://{self.repository}@{self.commit}"


def is_address(model: object) -> bool:
    """Whether `model` names one on the hub."""
    return str(model).startswith("hf:/") if isinstance(model, (str, Path)) else False


def read_address(model: str | Path) -> tuple[str, str | None]:
    """Repository and revision of `hf://user/name@revision`. Raises `InputError` for what is none."""
    found = _ADDRESS.fullmatch(str(model))
    repository, revision = (found["repository"], found["revision"]) if found else ("", None)
    if not _NAME.fullmatch(repository) or revision == "":
        raise InputError(f"{model}: expected hf://user/name, or hf://user/name@revision (a commit, tag or branch)")
    return repository, revision


def fetched(model: str | Path, files: tuple[str, ...] = FOR_USE) -> Snapshot:
    """Those of `files` that the repository named by `model` has, downloaded where they are not in the cache yet.

    Each is checked against its checksum. A commit that is in the cache needs no server; nor does anything once
    `HF_HUB_OFFLINE=1` is set. Raises `InputError` for what cannot be had, is no model of mien's, or was changed.
    """
    repository, revision = read_address(model)
    hub = client(str(model))
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision, allow_patterns=[MANIFEST, README, *files]))
    except Exception as error:  # of the client, of its HTTP library, of the system
        raise refused(error, f"hf://{repository}", revision) from error
    snapshot = Snapshot(repository, folder.name, folder)
    _check(snapshot, files)
    if revision != snapshot.commit:
        logger.info("hf://%s: commit %s", repository, snapshot.commit)
    return snapshot


@dataclass(frozen=True)
class Downloaded:
    """A model in the cache. `license` and `accuracy` are what its owner's card says, which nobody here has checked."""

    address: str  # hf://user/name@commit
    megabytes: float  # of the model file
    sha256: str  # of that
    license: str | None
    accuracy: str | None  # the first such figure, with its interval and n
    folder: str


def downloaded(cache: Path) -> list[Downloaded]:
    """The models in the cache at `cache` that can be recognized with, sorted by name. Asks no server."""
    found = []
    for folder in sorted(cache.glob("models--*/snapshots/*")):
        try:
            named = _manifest(folder / MANIFEST, str(folder)).files
        except InputError:
            continue
        file = folder / "model.onnx"
        if file.name not in named or not all((folder / name).is_file() for name in FOR_USE if name in named):
            continue
        repository = folder.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
        said = _said(folder / README)
        found.append(
            Downloaded(
                address=f"hf://{repository}@{folder.name}",
                megabytes=round(file.stat().st_size / 1e6, 2),
                sha256=named[file.name],
                license=_text(said.get("license")),
                accuracy=_accuracy(said),
                folder=str(folder),
            )
        )
    return found


@dataclass(frozen=True)
class Offered:
    """A model on the hub that says it is for mien; nobody here has looked at it."""

    address: str
    downloads: int | None
    license: str | None


def offered(most: int = 50) -> list[Offered]:
    """What the hub lists under mien, at most so many, the most downloaded first. Raises `InputError`."""
    hub = client("asking the hub")
    try:
        found = list(hub.HfApi(library_name="mien").list_models(filter="mien", sort="downloads", limit=most))
    except Exception as error:
        raise refused(error, "the list of models") from error
    licenses = [[tag.removeprefix("license:") for tag in one.tags or () if tag.startswith("license:")] for one in found]
    return [
        Offered(f"hf://{one.id}", one.downloads, next(iter(of_one), None))
        for one, of_one in zip(found, licenses, strict=True)
    ]


def client(what: str) -> Any:
    """The package huggingface_hub; `what` needs it."""
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "hub") from error
    return huggingface_hub


def refused(error: Exception, where: str, revision: str | None = None) -> InputError:
    """What went wrong with the repository at `where`, and what to do."""
    from huggingface_hub import constants, errors

    login = "Log in (hf auth login) or set HF_TOKEN"
    page = where.replace("hf:/", constants.ENDPOINT, 1)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return InputError(f"{where}: its owner gives it to those alone who accept the terms on {page}. Then: {login}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(f"{where}: there is no such repository, or it is private. Check the name. {login} for yours")
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{where}: has no revision '{revision}'. Name a commit, tag or branch that {page} lists")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return InputError(f"{where}: HF_HUB_OFFLINE forbids to ask the hub. Run this without it")
    if isinstance(error, errors.LocalEntryNotFoundError):
        which = f" at '{revision}'" if revision else ""
        if constants.is_offline_mode():
            return InputError(
                f"{where}: not, or not all of it, in the cache{which} ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE "
                "forbids to ask the hub. Run this once without it"
            )
        return InputError(
            f"{where}: {constants.ENDPOINT} cannot be reached ({_cause(error)}), and the cache{which} "
            f"({constants.HF_HUB_CACHE}) does not have it. Try again with a connection"
        )
    if status in (401, 403):
        return InputError(f"{where}: {constants.ENDPOINT} refuses it ({status}: {first_line(error)}). {login}")
    if status is not None:
        return InputError(f"{where}: {constants.ENDPOINT} answers {status} ({first_line(error)}). Try again later")
    return InputError(f"{where}: {constants.ENDPOINT} cannot be asked ({first_line(error)}). Try again later")


def checksum(content: bytes | Path) -> str:
    """SHA-256 in hexadecimal digits."""
    if isinstance(content, bytes):
        return sha256(content).hexdigest()
    digest = sha256()
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _cause(error: BaseException) -> str:
    """The first of a chain of errors says why."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _check(snapshot: Snapshot, files: tuple[str, ...]) -> None:
    where = f"hf://{snapshot.repository}"
    named = _manifest(snapshot.folder / MANIFEST, where).files
    for name in files:
        file = snapshot.folder / name
        if name not in named:
            continue
        if not file.is_file():
            raise InputError(f"{where}: {MANIFEST} names {name}, and it is not there. Ask its owner to push it again")
        if (found := checksum(file)) != named[name]:
            raise InputError(
                f"{file}: is not the file that {MANIFEST} of {where} names (sha256 {found[:12]}…, expected "
                f"{named[name][:12]}…). It was damaged here, or changed there by something else than mien push. Remove "
                f"{snapshot.folder.parent.parent} and try again, or name another revision"
            )


def _said(readme: Path) -> dict[str, Any]:
    """The metadata at the head of a card; empty where there is none that can be read."""
    import yaml

    try:
        _, head, _ = readme.read_text(encoding="utf-8")[:100_000].split("---\n", 2)
        told = yaml.safe_load(head)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return told if isinstance(told, dict) else {}


def _accuracy(said: dict[str, Any]) -> str | None:
    try:
        result = said["model-index"][0]["results"][0]
        name, split = result["metrics"][0]["name"], result["dataset"]["split"]
    except (KeyError, IndexError, TypeError):
        return None
    return _text(f"{name} ({split} of {result['dataset'].get('name')})")


def _text(value: object) -> str | None:
    """A line of another program's."""
    return shortened(printable(" ".join(str(value).split())), 120) if value else None


def _manifest(file: Path, where: str) -> Manifest:
    if not file.is_file():
        raise InputError(f"{where}: has no {MANIFEST}, so it is no model of mien's. Models get there by: mien push")
    try:
        told = json.loads(file.read_bytes())
        formats.check(told.get("format") if isinstance(told, dict) else None, formats.HUB, f"{where}: {MANIFEST}")
        return Manifest.model_validate(told)
    except (ValidationError, ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: {MANIFEST} is damaged ({first_line(error)}). Ask its owner to push it again, or name another "
            "revision"
        ) from error
