"""Silence for what networks, compilers and exporters say of their own inner affairs."""

import logging
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TextIO


@contextmanager
def quietly() -> Generator[None]:
    """Without warnings, without logging below errors, and without what is printed. Errors are raised as ever, and what
    the terminal's own consoles write comes through."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), redirect_stdout(_nowhere()), redirect_stderr(_nowhere()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@cache
def _nowhere() -> TextIO:
    """Never closed: what is imported in the meantime may keep it as its output."""
    return Path(os.devnull).open("w", encoding="utf-8")
