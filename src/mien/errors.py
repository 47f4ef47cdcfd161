"""Errors that a user can act on: every one says what, where, and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MienError(Exception):
    """Something that the caller can mend. The message is complete: print it as it is."""


class InputError(MienError):
    """A file, folder, value or name that was given cannot be used."""


class MissingCheckpointError(InputError):
    """Pre-trained weights that are neither on this machine nor to be had from it."""


class MissingSourceError(InputError):
    """What a recipe learns from besides labeled faces, votes or a teacher, was not given."""


class DivergedError(InputError):
    """The loss of a training is no longer a number. `what` says where, without the advice that the message adds."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}. {advice}")
        self.what = what


class MissingExtraError(MienError):
    """A feature needs an optional dependency group that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f'{feature} needs the extra "{extra}". In a checkout: pip install -c constraints.txt ".[{extra}]"'
        )


class InterruptedRunError(MienError):
    """Training was stopped by the user; what was finished is on disk."""


def not_writable(path: object, error: OSError, advice: str = "") -> InputError:
    """The error for a place that the system does not let us write to; `advice` is a sentence that comes last."""
    reason = error.strerror or str(error) or type(error).__name__
    return InputError(f"{path}: cannot be written ({reason}){f'. {advice}' if advice else ''}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the known name nearest to `name`, or an empty string.

    >>> suggestion("cnn-v3", ["cnn-v2.1", "cnn-v2"])
    " Did you mean 'cnn-v2'?"
    >>> suggestion("banana", ["cnn-v2"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str], see: str = "") -> InputError:
    """The error for a name that is not among `known`, with the nearest one and where to look."""
    names = list(known)
    where = f" See: {see}" if see else f" Known: {', '.join(names)}."
    return InputError(f"unknown {kind} '{name}'.{suggestion(name, names)}{where}")


def first_line(error: Exception) -> str:
    """Of what another package says; its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
