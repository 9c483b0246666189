"""The code of a network of one's own is its file and what this imports of the same folder or package."""

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medbench.models.source_code import code_digest

NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n"
Digest = Callable[[str], str | None]


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """Of a network of the folder, as a process that starts now would find it."""
    monkeypatch.syspath_prepend(tmp_path)
    own = {path.name.removesuffix(".py") for path in tmp_path.iterdir()}

    def found(name: str) -> str | None:
        module, _, attribute = name.partition(":")
        own.update(path.name.removesuffix(".py") for path in tmp_path.iterdir())
        for loaded in [each for each in sys.modules if each.partition(".")[0] in own]:
            monkeypatch.delitem(sys.modules, loaded)
        importlib.invalidate_caches()
        return code_digest(module, getattr(importlib.import_module(module), attribute))

    return found


def write(folder: Path, **files: str) -> None:
    """Files by their names, `__` for a folder."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_one_file_is_its_own_digest(tmp_path: Path, digest: Digest) -> None:
    write(tmp_path, sc_net=NET, sc_pack__net=NET, sc_space__net=NET)
    (tmp_path / "sc_pack" / "__init__.py").write_text('"""Says nothing that runs."""\n', encoding="utf-8")
    expected = hashlib.sha256(NET.encode()).hexdigest()

    found = [digest(f"{module}:Net") for module in ("sc_net", "sc_pack.net", "sc_space.net")]

    assert found == [expected] * 3


@pytest.mark.parametrize(
    "line",
    [
        "from .parts.block import Block",
        "from .parts import block",
        "import sc_pkg.parts.block as other",
        "from sc_pkg.parts import *",
        "def late():\n    from .parts.block import Block",
        "try:\n    from .parts.fast import Block\nexcept ImportError:\n    from .parts.block import Block",
        "from .middle import Block",
        "import sc_helper",
    ],
)
def test_a_block_next_door_is_code_of_the_network(tmp_path: Path, digest: Digest, line: str) -> None:
    (tmp_path / "sc_pkg" / "parts").mkdir(parents=True)
    (tmp_path / "sc_pkg" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "sc_pkg" / "parts" / "__init__.py").write_text('__all__ = ["block"]\n', encoding="utf-8")
    write(
        tmp_path,
        sc_pkg__net=f"{line}\n{NET}",
        sc_pkg__parts__block="Block = 1\n",
        sc_pkg__middle="from .parts.block import Block\n",
        sc_pkg__aside="value = 1\n",
        sc_helper="from sc_pkg.parts import block\n",
    )
    first = digest("sc_pkg.net:Net")

    write(tmp_path, sc_pkg__aside="value = 2\n")
    aside = digest("sc_pkg.net:Net")
    write(tmp_path, sc_pkg__parts__block="Block = 2\n")

    assert aside == first
    assert digest("sc_pkg.net:Net") != first


def test_a_package_runs_before_what_lies_in_it(tmp_path: Path, digest: Digest) -> None:
    write(tmp_path, sc_front__net=NET, sc_front__width="width = 1\n")
    (tmp_path / "sc_front" / "__init__.py").write_text("from . import width\nfrom .net import Net\n", encoding="utf-8")
    first = digest("sc_front:Net")
    by_module = digest("sc_front.net:Net")

    write(tmp_path, sc_front__width="width = 2\n")

    assert by_module == first
    assert digest("sc_front:Net") != first


def test_what_else_is_loaded_does_not_matter(tmp_path: Path, digest: Digest) -> None:
    write(tmp_path, sc_alone=f"from sc_beside import x\n{NET}", sc_beside="x = 1\n", sc_stranger="y = 1\n")
    first = digest("sc_alone:Net")

    importlib.import_module("sc_stranger")

    assert digest("sc_alone:Net") == first


def test_a_function_is_known_by_the_file_where_it_is_written(tmp_path: Path, digest: Digest) -> None:
    text = f"{NET}\n\ndef net():\n    return Net()\n"
    write(tmp_path, sc_function=text)

    assert digest("sc_function:net") == hashlib.sha256(text.encode()).hexdigest()


def test_an_installed_package_is_covered_and_what_it_uses_of_others_is_not(tmp_path: Path, digest: Digest) -> None:
    folder = tmp_path / "site-packages"
    write(
        folder, sc_lib__net=f"import sc_other\nfrom .block import x\n{NET}", sc_lib__block="x = 1\n", sc_other="y = 1\n"
    )
    sys.path.insert(0, str(folder))  # taken away with what syspath_prepend added
    sys.modules.pop("sc_lib", None)
    first = digest("sc_lib.net:Net")

    write(folder, sc_other="y = 2\n")
    other = digest("sc_lib.net:Net")
    write(folder, sc_lib__block="x = 2\n")

    assert other == first
    assert digest("sc_lib.net:Net") != first
