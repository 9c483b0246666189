"""How commands show that they are at work where nobody looks at a terminal."""

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer import Exit

from medbench.bench.cli import terminal
from medbench.bench.cli.terminal import Lines, at_work, print_json, progress_bar, progress_bars, told_in_one_line


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_a_line_when_a_second_has_passed_and_then_one_in_ten(clock: list[float]) -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out))

    for done in range(31):
        clock[0] = float(done)
        lines.show("scoring", done, 30)

    assert out.getvalue().splitlines() == ["scoring: 1 of 30", "scoring: 11 of 30", "scoring: 21 of 30"]


def test_what_is_quick_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as show, progress_bar("scoring") as show_one, at_work("writing"):
        show("loading", 0, 0)
        show("reading", 1, 2)
        show_one(1, 2)

    assert capsys.readouterr() == ("", "")


def test_a_first_step_that_takes_long_is_told_when_it_is_done(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("segmenting") as show:
        clock[0] = 6.0
        show(8, 8)

    assert capsys.readouterr() == ("", "segmenting: 8 of 8\n")


def test_a_step_of_unknown_length_is_told_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "QUICK_S", 0.0)

    with at_work("writing the page"):
        told, until = "", time.monotonic() + 10
        while not told and time.monotonic() < until:
            time.sleep(0.01)
            told = capsys.readouterr().err

    assert told == "writing the page\n"


def test_json_has_null_for_what_is_no_finite_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"contrast": {"p5": float("nan"), "n": 3}, "rows": [(float("inf"), 0.5, None, "NaN", True)]})

    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"contrast": {"p5": None, "n": 3}, "rows": [[None, 0.5, None, "NaN", True]]}


def test_every_command_prints_its_json_so() -> None:
    others = [path.name for path in Path(terminal.__file__).parent.glob("*.py") if "echo(json" in path.read_text()]

    assert others == ["terminal.py"]


def test_a_file_that_cannot_be_written_is_a_line_and_what_has_no_name_is_not_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @told_in_one_line
    def write() -> None:
        (tmp_path / "nowhere" / "report.html").write_text("")

    @told_in_one_line
    def fail() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(Exit) as ended:
        write()
    with pytest.raises(BrokenPipeError):
        fail()

    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'nowhere' / 'report.html'}: No such file or directory\n"
