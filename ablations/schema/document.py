"""A YAML file that remembers at which line each key stands, so that errors can say it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ...bench.errors import MedbenchError


class Document:
    """A YAML mapping with the lines of its keys; MedbenchError where the file is no such thing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise MedbenchError(f"{path}: cannot be read ({error})") from error
        except yaml.YAMLError as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
            raise MedbenchError(f"{path}:{line}: is not valid YAML ({getattr(error, 'problem', error)})") from error
        if not isinstance(self.value, dict):
            raise MedbenchError(f"{path}:1: a study is a mapping with the keys question, baseline, variants, ...")

    def line(self, keys: Sequence[Any]) -> tuple[int, bool]:
        """The line of the deepest of `keys` that the file has, and whether it has them all."""
        node, line = self.root, 1
        for key in keys:
            if isinstance(node, yaml.MappingNode):
                entry = next((pair for pair in node.value if pair[0].value == str(key)), None)
                if entry is None:
                    return line, False
                line, node = entry[0].start_mark.line + 1, entry[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                return line, False
        return line, True

    def place(self, keys: Sequence[Any], overlay: Sequence[str] = ()) -> str:
        """`file:line`, preferring the profile that was laid over the study."""
        line, whole = self.line([*overlay, *keys])
        if not overlay or not whole:
            line = self.line(keys)[0]
        return f"{self.path}:{line}"
