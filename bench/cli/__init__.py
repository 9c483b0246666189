"""The command line: a module for each group of commands."""

from .commands import app

__all__ = ["app"]
