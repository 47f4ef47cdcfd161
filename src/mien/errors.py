"""Errors that a user can act on: every one says what, where, and the next step."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Any

LONGEST = 2_000  # letters of a message
_LONGEST_QUOTE = 300  # of what another program says in it


class MienError(Exception):
    """Something that the caller can mend. The message is complete: print it as it is.

    A long one keeps its beginning, which says what and where, and its end, which says the next step.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(printable(message), LONGEST))

    def __reduce__(self) -> tuple[Any, ...]:
        """How it travels to another process: some kinds are made of other things than their message."""
        return _arrived, (type(self), str(self), dict(self.__dict__))


def _arrived(kind: type[MienError], message: str, told: dict[str, Any]) -> MienError:
    error = kind.__new__(kind, message)
    error.__dict__.update(told)
    return error


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


class StoppedEarlyError(MienError):
    """A run of a sweep was stopped before its last epoch, since others did better; the message says why."""


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


def first_line(error: BaseException) -> str:
    """Of what another package says, at most 300 letters; its name where it says nothing."""
    try:
        told = str(error)
    except Exception:  # of values that its message quotes, for example whole numbers of 5,000 digits
        told = ""
    return shortened(next(iter(told.strip().splitlines()), type(error).__name__), _LONGEST_QUOTE)


def shortened(text: str, most: int) -> str:
    """At most so many letters: what is too much is taken out before the last third.

    >>> shortened("abcdefghijkl", 7)
    'abcd…kl'
    """
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def printable(text: str) -> str:
    """Text that every file and terminal takes: bytes of a name that are not UTF-8, and control characters, as `\\xe9`.

    >>> printable("caf\\udce9\\x1b.png")
    'caf\\\\xe9\\\\x1b.png'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(letter) if _harmful(letter) else letter for letter in text)


def _harmful(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t"


def _escaped(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
