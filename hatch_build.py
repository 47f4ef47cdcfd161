"""Build hook: the README as PyPI shows it, where links and pictures that point into the repository lead nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ModuleNotFoundError:  # the tests call `absolute` alone
    MetadataHookInterface = object

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):  # type: ignore[misc]
    """Gives the metadata their `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata["urls"]["Repository"]
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, address, metadata["version"])}


def absolute(text: str, repository: str, version: str) -> str:
    """Markdown whose links go to the files of the tag of this version in the repository.

    >>> absolute("[a](docs/a.md#b) ![c](c.png) [d](https://d.org) [e](#e)", "https://r.org/mien", "1.0")
    '[a](https://r.org/mien/blob/v1.0/docs/a.md#b) ![c](https://r.org/mien/raw/v1.0/c.png) [d](https://d.org) [e](#e)'
    """

    def place(link: re.Match[str]) -> str:
        is_picture, words, target = link.groups()
        kind = "raw" if is_picture else "blob"
        return f"{is_picture}[{words}]({repository}/{kind}/v{version}/{target})"

    return _LINK.sub(place, text)
