"""A report reads each file of a store once, and reads what stands in it."""

from pathlib import Path

import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.store.records import read_yaml, write_yaml
from medbench.reports.files import Files
from medbench.reports.load import load_studies

from ..fabricated_store import fabricate

IDS = [f"ISIC_{image:07d}" for image in range(200)]
LISTED = "".join(f"- {id}\n" for id in IDS)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"seed: 1\ntrain:\n{LISTED}options:\n  width: 2\ntest:\n{LISTED}", id="as it is written"),
        pytest.param(f"train: &ids\n{LISTED}test: *ids\n", id="one list under two names"),
        pytest.param(f"--- # by hand\n\n'seed': 1\n# ids\ntrain:\n{LISTED}", id="by hand"),
        pytest.param("{seed: 1,\ntrain: [" + ", ".join(IDS) + "]}", id="in brackets"),
        pytest.param(f"{LISTED}", id="no mapping"),
        pytest.param("", id="empty"),
    ],
)
def test_a_configuration_read_in_parts_is_that_of_the_whole_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    assert Files([]).config(path) == (read_yaml(path) or {})


def test_a_list_of_ids_that_two_configurations_share_is_kept_once(tmp_path: Path) -> None:
    files, paths = Files([]), [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for seed, path in enumerate(paths):
        write_yaml(path, {"seed": seed, "train": IDS})

    first, second = map(files.config, paths)

    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["train"] is second["train"]


def test_what_is_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: [1,\n")

    with pytest.raises(MedbenchError, match=r"config\.yaml: cannot be read as YAML"):
        Files([]).config(path)


def test_an_evaluation_of_two_studies_is_read_once(tmp_path: Path) -> None:
    fabricate(tmp_path, "first", n_seeds=1, n_images=2)
    fabricate(tmp_path, "second", n_seeds=1, n_images=2)

    one, other = load_studies([tmp_path])

    assert one.trials[0].evaluations["clean"].scores is other.trials[0].evaluations["clean"].scores
