"""Errors that are the user's to mend: each is one clear line; the command line prints it and exits with 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class MedbenchError(Exception):
    """Bad input. The message names the file, the key or the image, and what to do."""


class UnknownNameError(MedbenchError):
    """A name matches nothing that is known."""

    def __init__(self, kind: str, name: str, known: Iterable[str], note: str = "") -> None:
        known = sorted(map(str, known))
        close = get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}.{note}")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
