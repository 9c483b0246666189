"""What the report says of a study's models in other runtimes: numbers, sentences, and what it does not believe."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medbench.bench.store.records import read_json, read_yaml, write_json, write_yaml
from medbench.reports.load import load_studies
from medbench.reports.machines import load_machines
from medbench.reports.page import write_report
from medbench.reports.sections.cost import draw as cost
from medbench.reports.sections.deployed import draw as latencies
from medbench.reports.sections.deployed import sentences

from ..fabricated_store import deployment_of, fabricate, timing_of, write_deployment
from .test_report import HOSTILE, OWN_SCRIPT, Links, scripts_in, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without such a file."""
    store = tmp_path_factory.mktemp("store")
    fabricate(store, n_seeds=1, n_images=4)
    return store


@pytest.fixture(scope="module")
def spec(store: Path) -> dict[str, Any]:
    return read_yaml(store / "studies" / "baa.yaml")


@pytest.fixture(scope="module")
def out(store: Path, spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the store with a file of one machine."""
    whole = shutil.copytree(store, tmp_path_factory.mktemp("whole") / "store")
    write_deployment(whole, spec)
    return write_report([whole], whole / "out").parent


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "index.html").read_text()


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    return shutil.copytree(store, tmp_path / "copy")


def section_of(page: str) -> str:
    return page[page.index('<h3 id="baa-deployed">') : page.index('<h3 id="baa-curves">')]


def rows_of(table: str) -> list[list[str]]:
    body = table[table.index("<tbody>") :]
    rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in body.split("<tr>")[1:])
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in rows]


def said(store: Path, **changes: Any) -> list[str]:
    """The sentences of the variants, baseline first, when the study, read from `store`, has such a file."""
    write_deployment(store, read_yaml(store / "studies" / "baa.yaml"), **changes)
    (study,) = load_studies([store])
    ((machine,), left_out) = load_machines(study)
    assert left_out == []
    return [each["text"] for each in sentences(study, machine)]


def scored(spec: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    return [row | changes for row in deployment_of(spec)["scores"]]


def left_out(store: Path) -> list[str]:
    (study,) = load_studies([store])
    machines, notes = load_machines(study)
    assert machines == []
    return notes


# Numbers


def test_the_tables_hold_the_numbers_of_the_file(page: str, spec: dict[str, Any]) -> None:
    sizes, scores, timings = (rows_of(table) for table in section_of(page).split("<table")[1:])
    told = deployment_of(spec)

    assert [row[0] for row in sizes] == ["medlitenet", "no_baa", "ensemble"]
    assert sizes[0][1:] == ["0", "3.20 M", "0.51 G", "12.9", "13.1", "3.4", "14.4"]
    assert 'data-value="3200000">3.20 M' in page[page.index("Size of the models") :]  # else 41.2 k sorts above it
    assert [row[:3] for row in scores[:2]] == [["medlitenet", each, "int8"] for each in ("ONNX Runtime", "OpenVINO")]
    assert scores[0][3:] == [
        *("−0.0030", "−0.0045 to −0.0016", "0.9020", "0.9050"),
        *("12", "clean", "ISIC_0000000 −0.020"),
    ]
    for row, known in zip(timings, told["latency"], strict=True):
        assert row[:3] == [known["model"], known["runtime"], known["dtype"]]
        assert row[3].split()[0] == f"{known['median_ms']:.2f}"
        assert row[5] == f"{known['images_per_second']:.1f}"
        assert row[6].split()[0] == f"{known['ratio']:.3f}"
    assert [row[7] for row in timings[6:10]] == ["–", "–", "–", "1.100 1.080 to 1.120"]


def test_the_csv_and_the_json_hold_the_same_numbers(out: Path, spec: dict[str, Any]) -> None:
    told = deployment_of(spec)
    timings = pd.read_csv(out / "tables" / "baa-deployment.csv")
    scores = pd.read_csv(out / "tables" / "baa-deployment-scores.csv")
    (known,) = read_json(out / "report.json")["studies"][0]["deployment"]

    for key in ("runtime", "dtype", "median_ms", "p95_ms", "ratio"):
        assert list(timings[key]) == [row[key] for row in told["latency"]]
    assert list(timings["variant"]) == [row["model"] for row in told["latency"]]
    assert set(timings["machine_id"]) == {"0a1b2c"}
    assert set(timings["onnx_mb"]) == {13.1}
    for key in ("difference", "ci_low", "ci_high"):
        assert list(scores[key]) == [row[key] for row in told["scores"]]
    assert str(scores["worst"][0]).startswith("ISIC_0000000 -0.02; ISIC_0000001 -0.01; ")
    assert {key: known[key] for key in told} == told
    assert known["id"] == "0a1b2c"


def test_the_excerpt_for_print_has_a_line_a_variant(out: Path) -> None:
    text = (out / "tables" / "baa-deployment.tex").read_text()

    assert text.isascii()
    assert "no\\_baa & OpenVINO, fp32 & 3.52 & 1.100 [1.080, 1.120] & 13.1 & 3.4 & $-$0.0002" in text


def test_the_section_is_in_the_contents_and_its_figure_is_a_file(out: Path, page: str) -> None:
    links = Links(page)

    assert "#baa-deployed" in links.targets
    assert {target[1:] for target in links.targets if target.startswith("#")} <= set(links.ids)
    assert len(links.ids) == len(set(links.ids))
    assert (out / "figures" / "baa-deployment-1.svg").is_file()


def test_headers_have_a_scope_and_regions_a_name(page: str) -> None:
    section = section_of(page)
    names = re.findall(r'role="region" aria-label="([^"]+)"', section)

    assert all('scope="' in tag for tag in re.findall(r"<th\b[^>]*>", section))
    assert len(set(names)) == section.count("<table") == 3


def test_without_such_a_file_there_is_no_section(store: Path, tmp_path: Path) -> None:
    text, (facts,) = write([store], tmp_path / "out")

    assert facts["deployment"] == []
    assert "deployment" not in text.replace(OWN_SCRIPT, "").lower()
    assert not list((tmp_path / "out").rglob("*deployment*"))


def test_several_batches_are_told_apart_and_one_image_at_a_time_is_drawn(copy: Path, spec: dict[str, Any]) -> None:
    rows = deployment_of(spec)["latency"]
    write_deployment(copy, spec, latency=[row | {"batch": batch} for batch in (16, 1) for row in rows])
    text, (facts,) = write([copy], copy / "out")

    assert "Batch</th>" in section_of(text)
    assert "is fastest in OpenVINO: 3.20 ms an image (fp32)" in facts["deployment"][0]["sentences"][0]["text"]
    assert "at a time. " not in section_of(text)


# Sentences


def test_the_fastest_runtime_and_its_ratio_to_the_baselines(store: Path, copy: Path) -> None:
    baseline, variant, _ = said(copy)

    assert baseline.startswith("is fastest in OpenVINO: 3.20 ms an image (fp32). ")
    assert variant.startswith(
        "is fastest in OpenVINO: 3.52 ms an image (fp32), 1.100 times [1.080, 1.120] as long as medlitenet's fastest. "
    )


def test_a_ratio_whose_interval_holds_one_is_no_difference(copy: Path, spec: dict[str, Any]) -> None:
    rows = deployment_of(spec)["latency"]
    rows = [row | ({"best_ratio_low": 0.97} if row["best_ratio_low"] else {}) for row in rows]

    assert (
        "; no difference in time to medlitenet's fastest is shown (1.100 times [0.970, 1.120])."
        in said(copy, latency=rows)[1]
    )


ON = "in OpenVINO on 12 images of clean"
CHANGES = {  # difference, and the ends of its interval
    "a loss within the margin": (
        (-0.003, -0.0045, -0.0016),
        f"checkpoint loses 0.0030 Dice [0.0016, 0.0045] {ON}, within the margin of 0.01;",
    ),
    "a loss, perhaps beyond it": ((-0.009, -0.012, -0.006), f"checkpoint loses 0.0090 Dice [0.0060, 0.0120] {ON};"),
    "a loss beyond it": ((-0.03, -0.04, -0.02), f"0.0300 Dice [0.0200, 0.0400] {ON}, more than the margin of 0.01;"),
    "a gain": ((0.04, 0.01, 0.07), f"this checkpoint gains 0.0400 Dice [0.0100, 0.0700] {ON};"),
    "none shown, and small": (
        (-0.0002, -0.0009, 0.0005),
        f"no loss of Dice is shown for this checkpoint {ON} (−0.0002 [−0.0009, +0.0005]), within the margin of 0.01;",
    ),
    "none shown, and unknown": (
        (-0.002, -0.03, 0.026),
        "(−0.0020 [−0.0300, +0.0260]), which does not show that there is none;",
    ),
    "one image": ((-0.002, None, None), f"this checkpoint changes by −0.0020 Dice {ON} (no interval);"),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_the_interval_decides_what_is_said_of_integers(
    copy: Path, spec: dict[str, Any], change: tuple[float | None, ...], expected: str
) -> None:
    numbers = dict(zip(("difference", "ci_low", "ci_high"), change, strict=True))

    assert expected in said(copy, scores=scored(spec, **numbers))[0]


def test_without_a_margin_in_dice_there_is_none_to_lie_within(copy: Path, spec: dict[str, Any]) -> None:
    for change in ({"margin": None}, {"primary": "assd"}):
        write_yaml(copy / "studies" / "baa.yaml", spec | change)

        assert "margin" not in " ".join(said(copy))


def test_the_score_of_the_fastest_runtime_on_the_first_evaluation_is_told(copy: Path, spec: dict[str, Any]) -> None:
    rows = scored(spec)
    slower = [row | {"difference": -0.5} for row in rows if row["runtime"] == "ONNX Runtime"]
    elsewhere = [row | {"difference": -0.4, "evaluation": "ph2"} for row in rows if row["runtime"] == "OpenVINO"]
    right = [row for row in rows if row["runtime"] == "OpenVINO"]

    assert "loses 0.0030 Dice" in said(copy, scores=[*slower, *elsewhere, *right])[0]


def test_the_file_and_the_time_in_integers(copy: Path, spec: dict[str, Any]) -> None:
    assert said(copy)[0].endswith("; its file shrinks from 13.1 to 3.4 MB; an image takes 1.90 ms (OpenVINO).")

    grown = [row | {"int8_mb": 13.4} for row in deployment_of(spec)["models"]]
    assert "its file grows from 13.1 to 13.4 MB" in said(copy, models=grown)[0]


def test_what_was_not_done_in_integers_is_said(copy: Path, spec: dict[str, Any]) -> None:
    told = deployment_of(spec)
    floats = [row for row in told["latency"] if row["dtype"] == "fp32"]
    bare = [row | {"int8_mb": None} for row in told["models"]]

    assert "In 8-bit integers what it loses in Dice was not measured; its file" in said(copy, scores=[])[0]
    assert said(copy, scores=[], latency=floats, models=bare)[0].endswith(" It was not tried in 8-bit integers.")
    assert said(copy, latency=floats[:4])[1].startswith("was not timed in floating point. In 8-bit integers no loss")


def test_ratios_are_to_the_first_model_where_the_baseline_is_missing(copy: Path, spec: dict[str, Any]) -> None:
    told = deployment_of(spec)
    others = {
        key: [row for row in told[key] if "medlitenet" not in (row.get("variant"), row.get("model"))]
        for key in ("models", "latency", "scores")
    }

    assert said(copy, **others)[1].count("as long as no_baa's fastest") == 1


# Energy


def metered(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row | {"joules": row["median_ms"] / 100} for row in deployment_of(spec)["latency"]]


def test_energy_is_told_and_drawn_where_it_was_measured(copy: Path, spec: dict[str, Any]) -> None:
    write_deployment(copy, spec, energy=None, latency=metered(spec))
    text, (facts,) = write([copy], copy / "out")

    assert "3.20 ms an image (fp32); 0.032 J an image." in facts["deployment"][0]["sentences"][0]["text"]
    assert "Energy is that of the whole processor" in section_of(text)
    assert "and energy of an image (a processor, 1 thread, each in its fastest" in text
    assert "energy (J an image, log)" in (copy / "out" / "figures" / "baa-cost.svg").read_text()


def test_why_energy_is_not_known_is_told(page: str, copy: Path, spec: dict[str, Any]) -> None:
    write_deployment(copy, spec, energy=None)

    assert "Energy is not known: this processor, or virtual machine, shows no RAPL counter." in section_of(page)
    assert "energy of an image" not in page
    assert "Energy was not measured." in section_of(write([copy], copy / "out")[0])


def test_the_cost_figure_does_without_energy() -> None:
    rows = pd.DataFrame({"variant": ["a", "b"], "parameters": [1e6, 2e6], "latency_ms": [None, None]})
    rows[["dice_mean", "dice_ci_low", "dice_ci_high"]] = [0.9, 0.8, 1.0]

    drawn = cost(rows, ["a", "b"], "dice", {}, "cost")

    assert drawn is not None
    assert "energy" not in drawn


# Several machines and stores


def test_two_machines_have_a_table_and_a_figure_each(copy: Path, spec: dict[str, Any]) -> None:
    write_deployment(copy, spec)
    write_deployment(copy, spec, "other", machine="another")
    text, (facts,) = write([copy], copy / "out")

    assert [each["machine"] for each in facts["deployment"]] == ["a processor, 1 thread", "another"]
    assert "<h4>another</h4>" in section_of(text)
    assert section_of(text).count("<table") == 6
    assert section_of(text).count('<figure class="plot"') == 2
    assert set(pd.read_csv(copy / "out" / "tables" / "baa-deployment.csv")["machine_id"]) == {"0a1b2c", "other"}


def test_two_stores_show_both_unless_one_is_a_copy(copy: Path, spec: dict[str, Any], tmp_path: Path) -> None:
    write_deployment(copy, spec)
    there = shutil.copytree(copy, tmp_path / "there")

    assert len(write([copy, there], tmp_path / "same")[1][0]["deployment"]) == 1

    write_deployment(there, spec, calibration_images=50)
    text, (facts,) = write([copy, there], tmp_path / "out")

    assert [each["id"] for each in facts["deployment"]] == ["0a1b2c", "0a1b2c"]
    assert [each["machine"] for each in facts["deployment"]] == ["a processor, 1 thread", "a processor, 1 thread (2)"]
    assert len(Links(text).ids) == len(set(Links(text).ids))


def test_studies_that_are_told_apart_take_what_is_of_their_trials(
    copy: Path, spec: dict[str, Any], tmp_path: Path
) -> None:
    there = shutil.copytree(copy, tmp_path / "there")
    write_yaml(there / "studies" / "baa.yaml", spec | {"margin": 0.5})
    write_deployment(there, spec)

    _, studies = write([copy, there], tmp_path / "out")

    assert [(each["study"], len(each["deployment"])) for each in studies] == [("baa", 1), ("baa@there", 1)]


# Processors


def test_the_processor_that_computed_the_integers_is_told(out: Path, page: str) -> None:
    assert "those of a processor that offers AVX2, AVX-512, VNNI." in section_of(page)
    for name in ("baa-deployment.csv", "baa-deployment-scores.csv"):
        assert set(pd.read_csv(out / "tables" / name)["instructions"]) == {"AVX2, AVX-512, VNNI"}


def test_integers_from_before_they_were_right_on_every_processor_are_told(copy: Path, spec: dict[str, Any]) -> None:
    path = write_deployment(copy, spec)
    write_json(path, {key: value for key, value in read_json(path).items() if key != "instructions"})

    text, (facts,) = write([copy], copy / "out")

    assert "its integers are another model where that has AVX2 and no VNNI" in section_of(text)
    assert facts["deployment"][0]["instructions"] is None


# What is not believed


def test_hostile_names_are_text(copy: Path, spec: dict[str, Any]) -> None:
    told = deployment_of(spec)
    changes = {
        "machine": HOSTILE,
        "energy": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
        "latency": [row | {"runtime": HOSTILE, "device": HOSTILE} for row in told["latency"]],
        "scores": [
            row | {"runtime": HOSTILE, "worst": [{"image": HOSTILE, "difference": 0}]} for row in told["scores"]
        ],
    }
    write_deployment(copy, spec, HOSTILE.replace("/", ""), **changes)
    text, _ = write([copy], copy / "out")

    assert section_of(text).count("&lt;script&gt;") > 10
    assert scripts_in(text)[-1] == OWN_SCRIPT
    assert all(json.loads(data) for data in scripts_in(text)[:-1])
    assert "script" not in Links(section_of(text)).tags


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"study": "another"}, "it is of the study 'another'"),
        ({"models": []}, "models: List should have at least 1 item"),
        ({"latency": []}, "latency: List should have at least 1 item"),
        ({"latency": [timing_of("stranger", "OpenVINO", "fp32", 3, 0, True)]}, "'stranger' was timed and is none of"),
        ({"latency": [timing_of("medlitenet", "OpenVINO", "fp32", -3, 0, True)]}, "latency.0.median_ms: "),
        ({"latency": [timing_of("medlitenet", "OpenVINO", "int2", 3, 0, True)]}, "latency.0.dtype: "),
        ({"calibration_images": "9"}, "calibration_images: Input should be a valid integer"),
        ({"machine": "bell\x07"}, "machine: String should match"),
        ({"machine": "x" * 1000}, "machine: String should have at most 200 characters"),
        ({"baseline": None}, "baseline: Input should be a valid string"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_left_out(
    copy: Path, spec: dict[str, Any], change: dict[str, Any], why: str
) -> None:
    write_deployment(copy, spec, **change)

    (note,) = left_out(copy)

    assert note.startswith("Left out, what was measured in other runtimes: deployment/baa/0a1b2c.json: ")
    assert why in note


@pytest.mark.parametrize("part", ["models", "scores"])
def test_a_trial_that_the_study_does_not_name_is_left_out(copy: Path, spec: dict[str, Any], part: str) -> None:
    changes: dict[str, Any] = {part: [row | {"trial": "0badc0de"} for row in deployment_of(spec)[part]]}
    write_deployment(copy, spec, **changes)

    assert "trial '0badc0de' of 'medlitenet' is none of the study." in left_out(copy)[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"study": "\\ud800"}', b"[" * 10**5, b"NaN"])
def test_a_damaged_file_is_noted_on_the_page_and_the_others_are_shown(
    copy: Path, spec: dict[str, Any], content: bytes
) -> None:
    write_deployment(copy, spec)
    (copy / "deployment" / "baa" / "bad.json").write_bytes(content)
    (copy / "deployment" / "baa" / "folder.json").mkdir()
    (study,) = load_studies([copy])

    machines, notes = load_machines(study)

    assert [each["id"] for each in machines] == ["0a1b2c"]
    assert [note.split(": ")[1] for note in notes] == ["deployment/baa/bad.json", "deployment/baa/folder.json"]
    assert notes[1].endswith("it cannot be read (Is a directory).")


def test_what_was_left_out_stands_among_the_warnings(copy: Path, spec: dict[str, Any]) -> None:
    path = write_deployment(copy, spec)
    write_json(path, {key: value for key, value in read_json(path).items() if key != "scores"})

    text, (facts,) = write([copy], copy / "out")

    assert facts["warnings"][-1].endswith("deployment/baa/0a1b2c.json: scores: Field required.")
    assert "0a1b2c.json: scores: Field required." in text
    assert 'id="baa-deployed"' not in text


@pytest.mark.parametrize("ms", [1e-6, 1e9])
def test_extreme_times_are_drawn(ms: float) -> None:
    rows = [timing_of("a", "OpenVINO", dtype, ms, 0, True) for dtype in ("fp32", "int8")]
    rows[1] |= {"p5_ms": 2 * ms, "p95_ms": ms / 2}  # not in order

    assert latencies(rows, ["a"], "figure").startswith("<svg")
