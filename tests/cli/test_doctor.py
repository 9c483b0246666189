"""`medbench doctor` says what is there, what is missing and for what, and leaves nothing behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app, doctor

from ..image_files import save_pair


def findings(*words: object, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["doctor", *map(str, words), "--json"])
    assert done.exit_code == code, done.output
    return {each["what"]: each for each in json.loads(done.stdout)}


def test_sets_and_weights_are_found_or_missing(tmp_path: Path) -> None:
    place = tmp_path / "data" / "isic2018"
    inputs, truth = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
    save_pair(place, f"{inputs}/a.jpg", f"{truth}/a_segmentation.png")
    (tmp_path / "data" / "weights").mkdir()
    (tmp_path / "data" / "weights" / "resnet18.safetensors").write_bytes(b"")

    found = findings("--data", tmp_path / "data")

    assert (found["isic2018"]["state"], found["isic2018"]["found"]) == (
        "ok",
        "training 1 of 2,594 images with masks; validation 0 of 100; test 0 of 1,000",
    )
    assert found["ph2"]["state"] == "missing"
    assert "request the archive" in found["ph2"]["remedy"]
    assert found["weights"]["found"] == "resnet18"


def test_what_is_missing_comes_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = doctor.package_version
    monkeypatch.setattr(doctor, "package_version", lambda name: None if name == "openvino" else versions(name))

    found = findings()

    assert found["deploy"]["state"] == "missing"
    assert found["deploy"]["found"] == "without openvino"
    assert "pip install 'medbench[deploy]'" in found["deploy"]["remedy"]
    assert found["ray"]["state"] == "ok"
    assert "--data DIR" in found["data"]["remedy"]


def test_a_store_is_not_made_and_one_that_cannot_be_is_wrong(tmp_path: Path) -> None:
    found = findings("--store", tmp_path / "deep" / "runs")

    assert found["store"]["state"] == "ok"
    assert not (tmp_path / "deep").exists()


def test_no_room_is_wrong_and_the_exit_code_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", np.inf)

    found = findings(code=1)

    assert found["store"]["state"] == "wrong"


def test_the_table_has_a_line_a_finding() -> None:
    done = CliRunner().invoke(app, ["doctor"])

    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == len(findings())
    assert {line.split()[0] for line in lines} <= {"ok", "missing"}
