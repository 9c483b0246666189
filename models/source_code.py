"""The code that a network of the user's own is made of: its file, and what this imports of the same folder or package.

Told by reading, not by what happens to be loaded, so that it is the same in every process.
"""

import ast
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..bench.store.records import file_digest, short_id

INSTALLED = {Path(sysconfig.get_path(each)) for each in ("stdlib", "platstdlib", "purelib", "platlib")}
PACKAGES = {"site-packages", "dist-packages"}


def code_digest(module: str, build: Callable[..., Any]) -> str | None:
    """Stands for the code of a network, in hexadecimal digits; None where there is no file of it.

    That of the file where `build` is written, if nothing else is run: `module`, where it was found, the packages in
    which these lie, and whatever they import of the user's own. An import statement counts wherever it stands; files
    that hold no statement do not.

    Args:
        module: the name under which `build` was asked for; imported.
        build: a class, or a function.
    """
    built = inspect.unwrap(build)
    try:
        source = inspect.getsourcefile(built)
    except TypeError:  # of an object that can be called
        source = sys.modules[module].__file__
    if source is None:
        return None
    found = {Path(source).resolve(): Path(source).name}
    for name in {module, getattr(built, "__module__", None) or module}:
        found |= _code_of(name)
    if len(found) == 1:
        return file_digest(Path(source))
    return short_id(sorted([name, file_digest(path)] for path, name in found.items()))


def _code_of(module: str) -> dict[Path, str]:
    """The files that importing a module runs, and under which names, as far as they are of the same origin."""
    origin = _Origin.of(module)
    if origin is None:
        return {}
    found: dict[Path, str] = {}
    names, seen = [module], set[str]()
    while names:
        name = names.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        names.append(name.rpartition(".")[0])  # a package runs before what lies in it
        path = origin.file_of(name)
        if path is not None:
            code = _read(path, path.stat().st_mtime_ns, path.stat().st_size)
            names += code.imports(name, is_package=path.name == "__init__.py")
            if code.says_something:
                found[path.resolve()] = name
    return found


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where modules of one origin lie: the folder that the first was found in, or there one installed package alone."""

    folder: Path
    package: str | None

    @classmethod
    def of(cls, module: str) -> "_Origin | None":
        """None of a module without a file."""
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None:
            return None
        path = Path(file)
        depth = module.count(".") + (path.name == "__init__.py")
        folder = path.parents[min(depth, len(path.parents) - 1)]
        is_installed = folder in INSTALLED or folder.name in PACKAGES
        return cls(folder, module.partition(".")[0] if is_installed else None)

    def file_of(self, name: str) -> Path | None:
        """The file of a module, None where it is of another origin or has none."""
        parts = name.split(".")
        if self.package not in (None, parts[0]):
            return None
        place = self.folder.joinpath(*parts)
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
        return None


@dataclass(frozen=True, slots=True)
class _Code:
    """What is to be known of a file: whether it holds a statement, and what it may import."""

    says_something: bool
    imported: tuple[tuple[int, str, tuple[str, ...]], ...]
    """Level, module and names of each import statement."""
    offered: tuple[str, ...]
    """Texts of `__all__`, which a package's `import *` takes for modules too."""

    def imports(self, module: str, *, is_package: bool) -> Iterator[str]:
        """Names of all modules that the file of this one may import."""
        parents = module.split(".") if is_package else module.split(".")[:-1]
        yield from (f"{module}.{each}" for each in self.offered if is_package)
        for level, name, aliases in self.imported:
            base = ".".join([*parents[: len(parents) - level + 1], *([name] if name else [])]) if level else name
            yield base
            yield from (f"{base}.{each}" for each in aliases)


@lru_cache(maxsize=10_000)
def _read(path: Path, changed: int, size: int) -> _Code:
    del changed, size  # a file is read again when it has changed
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # nobody has imported it
        return _Code(True, (), ())
    imported: list[tuple[int, str, tuple[str, ...]]] = []
    offered: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Assign) and any(
            isinstance(to, ast.Name) and to.id == "__all__" for to in node.targets
        ):
            offered += [text for each in ast.walk(node.value) if (text := _text(each))]
    said = [each for each in tree.body if not (isinstance(each, ast.Expr) and _text(each.value) is not None)]
    return _Code(bool(said), tuple(imported), tuple(offered))


def _text(node: ast.AST) -> str | None:
    """That of a string, None of all else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
