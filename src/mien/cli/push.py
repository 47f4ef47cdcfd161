"""mien push: a model as a repository on the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.console import EvidenceOption, JsonOption, ModelArgument, note, say, table


def push(
    model: ModelArgument,
    repository: Annotated[str, typer.Argument(help="On the hub: user/name. It is made where there is none.")],
    license: Annotated[
        str | None,
        typer.Option("--license", help="The hub's name of the license, as apache-2.0. None is guessed."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="Name on the hub of the data that it was trained on. May be given twice."),
    ] = None,
    evidence: EvidenceOption = None,
    private: Annotated[bool, typer.Option("--private", help="A repository that is made is for you alone.")] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Take a repository that holds something else; its README.md is replaced."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a model to the Hugging Face hub, for --model hf://user/name and --start hf://user/name.

    Weights, model file, recipe, card and the identities of the images that it has seen; no image and no pickle.
    """
    from mien.report.hub_card import NO_LICENSE
    from mien.uploads import push as upload

    done = upload(model, repository, license, dataset or (), evidence or (), private=private, overwrite=overwrite)
    if as_json:
        import json

        say(json.dumps({"address": done.address, "url": done.url, "files": dict(done.files)}, indent=2))
        return
    table(
        f"{done.repository} on the hub",
        ["file", "kB"],
        [[name, f"{size / 1e3:,.1f}"] for name, size in done.files.items()],
    )
    say(f"{done.url}\nnamed in commands: hf://{done.repository}, or, whatever is pushed later, {done.address}")
    if license is None:
        note(f"no --license was given. Its card says: {NO_LICENSE}")
