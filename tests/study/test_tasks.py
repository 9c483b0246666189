"""Image-level tasks, from a folder's table through training and tests to the page."""

import shutil
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.bench.metrics.labels import auroc
from medbench.bench.store.folder import Store
from medbench.bench.store.records import read_json, read_yaml
from medbench.bench.study.trials import trained_model
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.heads import WithHeads
from medbench.reports.load import load_studies
from medbench.reports.publishing import problems, publish

from ..fabricated_store import unsealed
from .test_planning import planned

UNKNOWN = 3  # position of the image of which nobody says anything
STUDY = """\
question: What does a label do?
baseline: masks
variants:
  masks: {model: ulite, tasks: {}}
  label: {model: ulite}
  heavy: {model: ulite, tasks: {kind: {column: label, weight: 2}}}
  both: {ensemble: {members: [label, heavy], weighting: equal}}
dataset: {folder: SET, size: 32}
encoder_weights: none
seeds: 2
tasks: {kind: {column: label}}
training: {epochs: 2, batch_size: 4, progressive_sizes: {0.0: 1.0}}
"""
PLAN = """\
question: Does it plan?
baseline: label
variants:
  label: {model: ulite}
dataset: {folder: SET, size: 32}
encoder_weights: none
seeds: 1
tasks: {kind: {column: label}}
training: {epochs: 1}
"""

Labels = dict[str, str]


def write_set(folder: Path, label: Callable[[int, str], str], column: str = "label") -> Labels:
    """A folder of 24 images with a table; by image what `label` says of its position and size."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    pictures = SyntheticSet(images=24, size=32)
    sizes, labels = pictures.labels_of("size"), Labels()
    for position, id in enumerate(pictures.ids):
        Image.fromarray(pictures.image(id)).save(folder / "images" / f"{id}.png")
        Image.fromarray(pictures.mask(id)).save(folder / "masks" / f"{id}.png")
        labels[id] = label(position, sizes[id])
    write_table(folder, labels, column)
    return labels


def write_table(folder: Path, labels: Labels, column: str = "label") -> None:
    lines = [f"image,{column}", *(f"{id}.png,{label}" for id, label in labels.items())]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def medbench(folder: Path, *words: Path | str) -> Result:
    done = CliRunner().invoke(app, list(map(str, words)), env={"MEDBENCH_CACHE": str(folder / "cache")})
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set, its study, the store and the report; only to be read."""
    place = tmp_path_factory.mktemp("tasks")
    write_set(place / "mine", lambda position, size: "" if position == UNKNOWN else size)
    (place / "mine.yaml").write_text(STUDY.replace("SET", str(place / "mine")))
    medbench(place, "run", place / "mine.yaml", "--store", place / "runs", "--jobs", "1")
    medbench(place, "report", place / "runs", "-o", place / "report")
    return place


def trials_of(place: Path, variant: str) -> list[str]:
    record = read_yaml(place / "runs" / "studies" / "mine.yaml")
    return [entry["trial"] for entry in record["variants"][variant]["trials"]]


def told(place: Path, trial: str) -> pd.DataFrame:
    [path] = (place / "runs" / "trials" / trial / "evaluations").glob("*/labels.parquet")
    return pd.read_parquet(path)


def known_of(place: Path) -> Labels:
    lines = (place / "mine" / "labels.csv").read_text().splitlines()[1:]
    return {id.removesuffix(".png"): label for id, label in (line.split(",") for line in lines)}


def test_every_test_image_whose_truth_is_known_has_a_row(place: Path) -> None:
    known = known_of(place)

    for trial in trials_of(place, "label"):
        table = told(place, trial)
        [config] = map(read_yaml, (place / "runs" / "trials" / trial / "evaluations").glob("*/config.yaml"))
        assert table["image"].tolist() == [id for id in config["images"] if known[id]]
        assert table["truth"].tolist() == [known[id] for id in table["image"]]
        p = np.stack(table["probabilities"].to_list())
        assert p.sum(axis=1) == pytest.approx(1)
        assert table["predicted"].tolist() == [["large", "small"][best] for best in p.argmax(axis=1)]


def test_epochs_tell_how_often_validation_labels_are_right(place: Path) -> None:
    of_masks, of_label = (
        Store(place / "runs").history(trials_of(place, variant)[0]).columns for variant in ("masks", "label")
    )

    assert {*of_label} - {*of_masks} == {"validation_kind_accuracy", "validation_kind_balanced_accuracy"}


def test_a_variant_without_tasks_is_the_trial_that_it_is_without_the_key(place: Path, tmp_path: Path) -> None:
    plain = STUDY.replace("tasks: {kind: {column: label}}\n", "").replace(", tasks: {}", "")
    lines = [line for line in plain.splitlines(keepends=True) if "heavy" not in line and "  label" not in line]

    jobs = planned(tmp_path, place / "mine", text="".join(lines)).jobs

    assert [job.id for job in jobs] == trials_of(place, "masks")
    evaluations = [path.name for path in sorted((place / "runs" / "trials" / jobs[0].id / "evaluations").iterdir())]
    assert [each["id"] for each in jobs[0].evaluations.values()] == evaluations
    assert not {"tasks", "labels_digest"} & jobs[0].config.keys()


def test_ensembles_of_models_with_tasks_are_of_their_masks(place: Path) -> None:
    [trial, _] = trials_of(place, "both")
    store = Store(place / "runs")

    assert not list((store.trial(trial) / "evaluations").glob("*/labels.parquet"))
    image = torch.zeros(1, 3, 32, 32)
    assert isinstance(trained_model(store, trial)(image), torch.Tensor)
    assert isinstance(trained_model(store, trials_of(place, "label")[0]), WithHeads)


def test_the_page_tells_what_the_store_holds(place: Path) -> None:
    [facts] = read_json(place / "report" / "report.json")["studies"]
    rows = {(row["variant"], row["metric"]): row for row in facts["tasks"]}
    tables = [told(place, trial) for trial in trials_of(place, "label")]
    right = [(table["truth"] == table["predicted"]).mean() for table in tables]
    truth = (tables[0]["truth"] == "small").to_numpy().astype(np.intp)
    areas = [auroc(np.stack(table["probabilities"].to_list()).astype(float), truth) for table in tables]

    assert rows["label", "accuracy"]["value"] == pytest.approx(np.mean(right))
    assert rows["label", "auroc"]["value"] == pytest.approx(np.mean(np.array(areas, dtype=float)))
    assert {variant for variant, _ in rows} == {"label", "heavy"}
    assert {row["reference"] for row in rows.values()} == {"label"}  # the baseline has no such task
    assert rows["label", "accuracy"]["difference"] is None
    expected = rows["heavy", "brier"]["value"] - rows["label", "brier"]["value"]
    assert rows["heavy", "brier"]["difference"] == pytest.approx(expected)
    counts = [row for row in facts["confusions"] if row["variant"] == "label"]
    assert sum(row["n"] for row in counts if row["truth"] == row["predicted"]) == sum(right) * len(truth)
    page = (place / "report" / "index.html").read_text()
    assert "heavy was also taught, by a linear layer on the mean over the bottleneck, kind (2 classes, 2.0 of" in page
    assert 'id="mine-tasks"' in page
    assert (place / "report" / "figures" / "mine-roc-kind.svg").is_file()
    assert len(pd.read_csv(place / "report" / "tables" / "mine-tasks.csv")) == len(rows)


def test_predict_writes_what_evaluations_say(place: Path, tmp_path: Path) -> None:
    trial = trials_of(place, "heavy")[0]
    medbench(place, "predict", trial, place / "mine" / "images", "-o", tmp_path / "out", "--store", place / "runs")

    found = pd.read_csv(tmp_path / "out" / "labels.csv").set_index("image")
    assert len(found) == 24
    for row in told(place, trial).to_dict("records"):
        of_image: Any = found.loc[row["image"]]
        assert of_image["kind"] == row["predicted"]
        assert of_image[["kind: large", "kind: small"]].to_list() == pytest.approx(list(row["probabilities"]), abs=1e-3)
    command = ["predict", trial, place / "mine" / "images", "-o", tmp_path / "other", "--store", place / "runs"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels.csv").write_text("mine")
    refused = CliRunner().invoke(app, list(map(str, command)))
    assert (refused.exit_code, "labels.csv: is there already" in " ".join(refused.output.split())) == (2, True)


def test_a_trial_done_again_says_the_same_of_images(place: Path, tmp_path: Path) -> None:
    trial = trials_of(place, "label")[0]

    same = medbench(place, "verify", place / "runs", "--rerun", trial)
    assert "labels" not in same.output

    shutil.copytree(place / "runs", tmp_path / "runs")
    [folder] = (tmp_path / "runs" / "trials" / trial / "evaluations").iterdir()
    with unsealed(folder) as working:
        table = pd.read_parquet(working / "labels.parquet")
        table["probabilities"] = [each[::-1] for each in table["probabilities"]]
        table.to_parquet(working / "labels.parquet", index=False)
    words = ["verify", tmp_path / "runs", "--rerun", trial]
    done = CliRunner().invoke(app, list(map(str, words)), env={"MEDBENCH_CACHE": str(place / "cache")})
    assert done.exit_code == 1
    assert "clean: probabilities of kind differ" in " ".join(done.output.split())


def test_a_published_result_takes_labels_along(place: Path, tmp_path: Path) -> None:
    publish(place / "runs", "mine", tmp_path / "out", date=date(2026, 1, 31))

    assert (tmp_path / "out" / "labels" / "clean.parquet").is_file()
    assert list(problems(tmp_path / "out")) == []
    [facts] = read_json(tmp_path / "out" / "report.json")["studies"]
    assert facts["tasks"] == read_json(place / "report" / "report.json")["studies"][0]["tasks"]


def test_damaged_labels_are_named_and_not_read(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "runs", tmp_path / "runs")
    trial = trials_of(place, "label")[0]
    [path] = (tmp_path / "runs" / "trials" / trial / "evaluations").glob("*/labels.parquet")
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)

    [study] = load_studies([tmp_path / "runs"])

    [missing] = study.missing
    assert "labels.parquet is damaged" in missing
    assert trial in missing


@pytest.mark.parametrize(
    ("column", "label", "message"),
    [
        ("label", lambda position, _: "a", "says 'a' for every image; a task needs two classes"),
        ("label", lambda position, _: "", "says nothing of any image"),
        ("label", lambda position, _: "rare" if position == 2 else "ab"[position % 2], "is 'rare' in the column label"),
        ("other", lambda position, size: size, "no column 'label'"),
    ],
    ids=["one class", "nothing known", "a class that is not trained on", "another column"],
)
def test_what_cannot_be_learnt_is_told_in_a_line(
    tmp_path: Path, column: str, label: Callable[[int, str], str], message: str
) -> None:
    write_set(tmp_path / "mine", label, column)

    with pytest.raises(MedbenchError, match=message) as told:
        planned(tmp_path, tmp_path / "mine", text=PLAN)

    assert "mine.yaml:8: tasks.kind: " in str(told.value)


def test_a_column_that_nobody_names_is_asked_for(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", lambda _, size: size)

    with pytest.raises(MedbenchError, match="names no label of its own: say column; its table has image, label"):
        planned(tmp_path, tmp_path / "mine", text=PLAN.replace("{column: label}", "{}"))


def test_the_label_that_a_set_names_is_the_column(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", lambda _, size: size)
    (tmp_path / "mine" / "dataset.yaml").write_text("classes: [background, lesion]\nlabel: label\n")

    [job] = planned(tmp_path, tmp_path / "mine", text=PLAN.replace("{column: label}", "{}")).jobs

    assert job.config["tasks"] == {"kind": {"column": "label", "classes": ["large", "small"], "weight": 0.2}}


def test_another_label_of_a_training_image_is_another_trial_and_of_a_test_image_another_evaluation(
    tmp_path: Path,
) -> None:
    labels = write_set(tmp_path / "mine", lambda _, size: size)
    other = {"large": "small", "small": "large"}

    def ids(changed: str | None) -> tuple[str, str]:
        write_table(tmp_path / "mine", {id: other[each] if id == changed else each for id, each in labels.items()})
        [job] = planned(tmp_path, tmp_path / "mine", text=PLAN).jobs
        return job.id, job.evaluations["clean"]["id"]

    [job] = planned(tmp_path, tmp_path / "mine", text=PLAN).jobs
    before, trained, tested = (
        ids(each) for each in (None, job.config["train"][0], job.evaluations["clean"]["images"][0])
    )
    assert trained[0] != before[0]
    assert tested[0] == before[0]
    assert tested[1] != before[1]


def test_another_set_is_scored_where_its_table_has_the_column(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", lambda _, size: size)
    labels = write_set(tmp_path / "theirs", lambda _, size: size, "other")
    for path in (tmp_path / "theirs").glob("*/*.png"):  # other pictures, so that nothing was trained on
        Image.fromarray(np.asarray(Image.open(path))[::-1].copy()).save(path)
    text = PLAN + f"evaluate: [clean, {{folder: {tmp_path / 'theirs'}}}]\n"

    def evaluated() -> dict[str, Any]:
        return planned(tmp_path, tmp_path / "mine", text=text).jobs[0].evaluations["theirs"]

    assert "tasks" not in evaluated()
    write_table(tmp_path / "theirs", labels)
    assert evaluated()["tasks"] == {"kind": {"column": "label", "classes": ["large", "small"]}}
    first = min(labels)
    write_table(tmp_path / "theirs", labels | {first: "huge"})
    with pytest.raises(
        Exception, match=f"kind: theirs/{first} is 'huge' in the column label, which no model has learnt"
    ):
        evaluated()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("tasks: {kind:", "tasks: {1st kind:")], "tasks.1st kind"),
        ([("{column: label}", "{weight: -1}")], "tasks.kind.weight"),
        ([("tasks: {kind: {column: label}}\n", ""), ("ulite}", "smp:Unet/resnet18, output: {bottleneck: encoder}}")],
         "there are no tasks"),
        ([("  label: {model: ulite}", "  label: {ensemble: {members: [a, b], weighting: equal}, tasks: {}}")],
         "an ensemble has members and weighting, nothing to train"),
    ],
    ids=["a name that is none", "a weight below 0", "a bottleneck for nothing", "tasks of an ensemble"],
)  # fmt: skip
def test_what_a_study_cannot_say_of_tasks(tmp_path: Path, changes: Sequence[tuple[str, str]], message: str) -> None:
    text = PLAN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)

    with pytest.raises(MedbenchError, match=message):
        planned(tmp_path, tmp_path, text=text)
