"""`medbench compare`: variants from a table that any tool made."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.evaluation.score_tables import read_scores
from medbench.bench.stats import compare, fixed_model, holm, summarize

KEYS = {"variant", "difference", "ci_low", "ci_high", "p_value", "p_adjusted", "claim"}


def frame() -> pd.DataFrame:
    """Three variants of 3, 4 and 3 seeds on 30 images; `good` is 0.03 better, `same` as good as `base`."""
    rng = np.random.default_rng(0)
    image = rng.normal(0.85, 0.05, 30)
    rows = [
        {"variant": variant, "seed": seed, "image": f"im{index}", "dice": image[index] + shift + rng.normal(0, 0.01)}
        for variant, shift, seeds in (("base", 0.0, 3), ("good", 0.03, 4), ("same", 0.0, 3))
        for seed in range(seeds)
        for index in range(30)
    ]
    return pd.DataFrame(rows).assign(**dict.fromkeys(("hd95", "HD95", "loss"), lambda table: 1 - table["dice"]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    frame().sample(frac=1, random_state=0).to_csv(path, index=False)
    return path


def run(file: Path, *words: str, metric: str = "dice", baseline: str = "base") -> Any:
    command = ["compare", str(file), "--baseline", baseline, "--metric", metric, *words]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


def compared(file: Path, *words: str, metric: str = "dice") -> dict[str, dict[str, Any]]:
    result = run(file, "--json", *words, metric=metric)
    assert result.exit_code == 0, result.output
    return {row["variant"]: row for row in json.loads(result.stdout)["comparisons"]}


def tables() -> dict[str, Any]:
    return tables_of(frame())


def tables_of(table: pd.DataFrame) -> dict[str, Any]:
    wide = table.pivot(index=["variant", "seed"], columns="image", values="dice")
    return {variant: wide.loc[variant].to_numpy() for variant in ("base", "good", "same")}


def test_json_holds_the_crossed_comparison_of_every_variant(file: Path) -> None:
    found = compared(file)

    assert set(found) == {"good", "same"}
    expected = {name: compare(tables()[name], tables()["base"]) for name in found}
    assert all(row.keys() >= KEYS for row in found.values())
    for name, row in found.items():
        assert row["difference"] == pytest.approx(expected[name].difference)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected[name].ci_low, expected[name].ci_high))
    adjusted = holm([comparison.p_value for comparison in expected.values()])
    assert [row["p_adjusted"] for row in found.values()] == pytest.approx(adjusted)
    assert found["good"]["claim"] == "better"


def test_rows_may_come_in_any_order(file: Path) -> None:
    np.testing.assert_allclose(read_scores(file, "dice").tables["good"], tables()["good"])


def test_fixed_model_tests_stand_apart(file: Path) -> None:
    row = compared(file)["same"]

    expected = fixed_model(tables()["same"], tables()["base"], rng=np.random.default_rng(1))
    assert row["fixed_model"]["wilcoxon_p"] == pytest.approx(expected.wilcoxon_p)
    assert row["fixed_model"]["permutation_p"] == pytest.approx(expected.permutation_p, abs=0.02)


def test_variants_have_mean_interval_and_place(file: Path) -> None:
    rows = {row["variant"]: row for row in json.loads(run(file, "--json").stdout)["variants"]}

    expected = summarize(tables()["good"], bounds=(0, 1))
    assert (rows["good"]["mean"], rows["good"]["ci_low"]) == pytest.approx((expected.mean, expected.ci_low))
    assert (rows["good"]["place"], rows["good"]["first_share"]) == (1, 1)
    assert rows["good"]["n_seeds"] == 4


def test_a_margin_allows_equivalence(file: Path) -> None:
    assert compared(file)["same"]["claim"] == "no difference shown"
    assert compared(file, "--margin", "0.02")["same"]["claim"] == "equivalent within 0.02"


@pytest.mark.parametrize(("metric", "words"), [("hd95", []), ("HD95", []), ("loss", ["--lower-is-better"])])
def test_of_some_metrics_less_is_better(file: Path, metric: str, words: list[str]) -> None:
    row = compared(file, *words, metric=metric)["good"]

    assert row["difference"] < 0
    assert row["claim"] == "better"


def test_the_text_says_what_may_and_what_may_not_be_said(file: Path) -> None:
    output = run(file, "--margin", "0.001").output

    assert "mean Dice" in output
    assert "It may be said: For new trainings and new images, good is better than base in mean Dice." in output
    assert "It does not show that there is no difference." in output
    assert "Of these very checkpoints alone: Wilcoxon p = " in output
    assert "To find a difference of 0.001 in 80 % of such studies takes " in output


def test_a_metric_that_medbench_does_not_know_needs_a_direction(file: Path) -> None:
    result = run(file, metric="loss")

    assert result.exit_code == 2
    assert "loss: no metric that medbench knows; say --higher-is-better or --lower-is-better" in result.output


def test_the_direction_of_a_known_metric_cannot_be_turned(file: Path) -> None:
    result = run(file, "--lower-is-better")

    assert result.exit_code == 2
    assert "of Dice, higher is better" in result.output


def test_one_image_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    frame().query("image == 'im3'").to_csv(path, index=False)

    assert compared(path)["good"]["claim"] == "cannot be decided with 1 image"


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    frame().query("seed == 0").to_csv(path, index=False)

    row = compared(path)["good"]

    assert row["claim"] == "cannot be decided with 1 seed"
    assert (row["ci_low"], row["p_value"]) == (None, None)
    assert run(path).exit_code == 0
    assert {row["first_share"] for row in json.loads(run(path, "--json").stdout)["variants"]} == {None}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(index=7), "no dice of variant base, seed 0, image im7 (1 missing in all); score that image"),
        (lambda t: t.replace({"dice": {t.loc[3, "dice"]: None}}), ":5: dice of variant base, seed 0, image im3 is ''"),
        (lambda t: pd.concat([t, t.iloc[[4]]]), ":302: a second score of variant base, seed 0, image im4"),
        (
            lambda t: t.rename(columns={"seed": "run"}),
            "needed are variant, seed, image and metrics, separated by commas; there are 'variant', 'run', 'image'",
        ),
        (lambda t: t.rename(columns={"dice": "Dice"}), "unknown metric 'dice'. Did you mean 'Dice'?"),
        (lambda t: t[:0], "holds no scores"),
        (
            lambda t: pd.concat([t, t.query("seed == 0").assign(seed=9)]),
            "seed 9 of variant base has the scores of another",
        ),
        (lambda t: t.query("variant == 'base'"), "base is the only variant"),
        (
            lambda t: pd.concat([t, t[t["image"] == "im0"].assign(image=" Mean")], ignore_index=True),
            ":302: image ' Mean' is by its name a summary of others and would count as one more; leave such rows out",
        ),
        (lambda t: t.replace({"seed": {2: "AVERAGE"}}), ":62: seed 'AVERAGE' is by its name a summary of others"),
        (
            lambda t: t.assign(dice=100 * t["dice"]),
            "it is a share from 0 to 1: divide percent by 100",
        ),
        (
            lambda t: t.assign(dice=t["dice"].where(t.index != 9, 1.01)),
            ":11: dice of variant base, seed 0, image im9 is 1.01; it is a share from 0 to 1\n",
        ),
        (
            lambda t: t[t["image"].str[2:].astype(int) % 4 == t["seed"]],
            "no image of variant base has scores of two of its seeds (0, 1, 2); where they are the folds of one "
            "training, give all folds the same seed",
        ),
        (
            lambda t: t.assign(group=t["image"].where(t["image"] < "im2", "NaN")),
            ":4: group 'NaN' of image im2 is by its name none, and would join images that have nothing in common",
        ),
        (lambda t: t.assign(dice=t["dice"].where(t.index != 9, -0.01)), ":11: dice of variant base, seed 0, image im9"),
        (lambda t: t.query("variant != 'base'"), "unknown variant 'base'"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_in_one_line(tmp_path: Path, spoil, message: str) -> None:
    path = tmp_path / "scores.csv"
    spoil(frame()).to_csv(path, index=False)

    result = run(path)

    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda header, rows: [header, *(f"{row}," for row in rows)],
            "rows have more fields than the header (variant,",
        ),
        (lambda header, rows: [header, *(f"x,y,{row}" for row in rows)], "rows have more fields than the header ("),
        (lambda header, rows: [f"{header},dice", *(f"{row},0.5" for row in rows)], "2 columns 'dice'; keep one, or"),
        (lambda header, rows: [f"seed,{header}", *(f"0,{row}" for row in rows)], "2 columns 'seed'; keep one, or"),
    ],
    ids=["a comma at each line's end", "two fields more", "two columns of a metric", "two of a key"],
)
def test_columns_that_do_not_fit_their_header_are_told_in_one_line(file: Path, change: Any, message: str) -> None:
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join(change(header, rows)))

    result = run(file)

    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_row_names_as_r_writes_them_are_no_column(file: Path, tmp_path: Path) -> None:
    header, *rows = file.read_text().splitlines()
    named = tmp_path / "named.csv"
    named.write_text("\n".join([header, *(f'"{place}",{row}' for place, row in enumerate(rows, start=1))]))

    assert run(named, "--json").stdout == run(file, "--json").stdout
    named.write_text(named.read_text().replace(rows[3], rows[3].replace("0.", "x.", 1)))
    assert f"{named}:5: dice of variant" in run(named).output


def test_what_rounding_carried_beyond_a_bound_is_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = frame().assign(hd95=lambda t: t["dice"] - t["dice"].min() - 1e-9)
    table.assign(dice=table["dice"].mask(table["image"] == "im3", 1.0000001)).to_csv(path, index=False)

    read = read_scores(path, "dice", (0, 1)).tables["base"], read_scores(path, "hd95", (0, np.inf)).tables

    assert (read[0].max(axis=1) == 1).all()
    assert min(each.min() for each in read[1].values()) == 0


def test_a_distance_in_millimetres_is_told_with_its_unit(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    frame().rename(columns={"hd95": "hd95_mm"}).to_csv(path, index=False)

    assert "in mean HD95 (mm)." in run(path, metric="hd95_mm").output
    assert "in mean HD95." in run(path, metric="HD95").output


def test_a_distance_is_never_negative(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    frame().assign(hd95=lambda t: t["dice"] - 0.8).to_csv(path, index=False)

    result = run(path, metric="hd95")

    assert result.exit_code == 2
    assert "it cannot be negative" in result.output


def test_of_an_unknown_metric_no_range_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    frame().assign(loss=lambda t: 100 * (t["dice"] - 0.9)).to_csv(path, index=False)

    assert run(path, "--lower-is-better", "--margin", "5", metric="loss").exit_code == 0


def test_a_margin_as_wide_as_the_range_is_refused(file: Path) -> None:
    result = run(file, "--margin", "1")

    assert result.exit_code == 2
    assert "margin 1: no two means of Dice are further apart than 1; one point of 100 is 0.01" in result.output
    assert run(file, "--margin", "1", metric="hd95").exit_code == 0


def test_a_copy_of_the_baseline_is_not_compared_and_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = frame()
    pd.concat([table, table.query("variant == 'base'").assign(variant="copy")]).to_csv(path, index=False)

    result = run(path, "--margin", "0.001")
    found = json.loads(run(path, "--margin", "0.001", "--json").stdout)

    rows = {row["variant"]: row for row in found["comparisons"]}
    assert rows["copy"]["claim"] == "the same scores"
    assert rows["copy"]["may"] == "copy has exactly base's scores, seed by seed and image by image."
    assert rows["copy"].keys() == rows["good"].keys()
    spoken = ("p_value", "p_adjusted", "ci_low", "minimum_detectable", "seeds_needed", "cost", "p_equivalence")
    assert {rows["copy"][key] for key in spoken} == {None}
    adjusted = holm([compare(tables()[name], tables()["base"]).p_value for name in ("good", "same")])
    assert [rows[name]["p_adjusted"] for name in ("good", "same")] == pytest.approx(adjusted)
    place, share = ({row["variant"]: row[key] for row in found["variants"]} for key in ("place", "first_share"))
    assert place["copy"] == place["base"]
    assert share["copy"] == share["base"]
    assert result.output.count("Of these very checkpoints alone") == 2
    assert "copy - base: +0.0000: the same scores" in result.output


def test_nothing_is_ranked_where_all_tables_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = frame().query("variant == 'base'")
    pd.concat([table, table.assign(variant="copy")]).to_csv(path, index=False)

    variants = json.loads(run(path, "--json").stdout)["variants"]

    assert [(row["place"], row["first_share"]) for row in variants] == [(1, None), (1, None)]


def test_two_seeds_far_apart_decide_nothing_and_quote_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = frame().query("variant != 'same' and seed < 2")
    far = (table["variant"] == "good") & (table["seed"] == 1)
    table.assign(dice=table["dice"] - 0.4 * far).to_csv(path, index=False)

    output = run(path, "--margin", "0.01").output
    row = compared(path, "--margin", "0.01")["good"]

    assert row["claim"] == "cannot be decided with 2 seeds"
    assert {row[key] for key in ("ci_low", "p_value", "p_adjusted", "minimum_detectable", "seeds_needed", "cost")} == {
        None
    }
    assert ": cannot be decided with 2 seeds\n  2 seeds leave fewer than the 2 degrees of freedom" in output
    assert re.search(r"takes \d", output) is None


def test_the_interval_of_a_mean_stays_within_the_range_of_its_metric(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = frame().query("seed < 2").assign(dice=lambda t: (t["dice"] + 0.09 + 0.05 * (t["seed"] == 0)).clip(upper=1))
    table.to_csv(path, index=False)

    rows = json.loads(run(path, "--json").stdout)["variants"]

    assert max(summarize(tables_of(table)[row["variant"]]).ci_high or 0 for row in rows) > 1
    assert all(0 < row["ci_low"] < row["mean"] < row["ci_high"] < 1 for row in rows)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,"b\n'])
def test_what_is_no_table_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(content)

    result = run(path)

    assert result.exit_code == 2
    assert f"{path}: " in result.output


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "none.csv")

    assert result.exit_code == 2
    assert "none.csv: there is no such file" in result.output


def in_groups(table: pd.DataFrame, size: int = 3) -> pd.DataFrame:
    """Thirty images, `size` of a patient."""
    return table.assign(group=[f"p{int(image[2:]) // size}" for image in table["image"]])


def test_images_of_a_group_count_together_and_the_answer_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    in_groups(frame()).sample(frac=1, random_state=1).to_csv(path, index=False)
    groups = [int(image[2:]) // 3 for image in sorted(frame()["image"].unique())]

    row, output = compared(path)["good"], run(path).output

    expected = compare(tables()["good"], tables()["base"], groups=groups, bounds=(0, 1))
    assert (row["ci_low"], row["p_value"]) == pytest.approx((expected.ci_low, expected.p_value))
    assert (row["n_images"], row["n_groups"]) == (30, 10)
    summary = summarize(tables()["good"], groups=groups, bounds=(0, 1))
    found = {each["variant"]: each for each in json.loads(run(path, "--json").stdout)["variants"]}["good"]
    assert (found["ci_low"], found["n_groups"]) == (pytest.approx(summary.ci_low), 10)
    assert "Intervals hold for new seeds and new groups of images (by 10 groups)." in output
    assert "For new trainings and new groups of images, good is better than base in mean Dice." in output
    assert "Of these very checkpoints alone, image by image: Wilcoxon p = " in output


def test_an_image_without_a_group_is_by_itself_though_another_group_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = in_groups(frame())
    first = table["image"].isin(["im0", "im1", "im2", "im3"])
    table.assign(group=np.where(first, "", table["group"].replace("p3", "im0"))).to_csv(path, index=False)

    assert compared(path)["good"]["n_groups"] == 4 + 9  # im0 to im3, the rest of p1, p2, p3 as im0, and p4 to p9


@pytest.mark.parametrize("cells", [lambda table: "", lambda table: table["image"]], ids=["empty", "all different"])
def test_a_column_that_puts_no_images_together_changes_nothing(file: Path, tmp_path: Path, cells: Any) -> None:
    path = tmp_path / "grouped.csv"
    table = pd.read_csv(file)
    table.assign(group=cells(table)).to_csv(path, index=False)

    assert run(path, "--json").stdout == run(file, "--json").stdout
    assert run(path).output == run(file).output


def test_an_image_in_two_groups_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    table = in_groups(frame())
    table.loc[(table["variant"] == "good") & (table["image"] == "im4"), "group"] = "elsewhere"
    table.to_csv(path, index=False)

    result = run(path)

    assert result.exit_code == 2
    assert "scores.csv:96: image im4 is in group 'elsewhere' here and in 'p1' above" in result.output


def test_groups_are_no_metric(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    in_groups(frame()).to_csv(path, index=False)

    assert "unknown metric 'group'" in run(path, "--higher-is-better", metric="group").output


def by_class(table: pd.DataFrame) -> pd.DataFrame:
    """Each image with an edge and a core, the latter 0.1 lower and not in every third image; im0 has neither."""
    core = table.assign(**{"class": "core", "dice": table["dice"] - 0.1})
    none = core["image"].isin([f"im{index}" for index in range(0, 30, 3)])
    both = pd.concat([table.assign(**{"class": "edge"}), core.assign(dice=core["dice"].mask(none))], ignore_index=True)
    return both.assign(dice=both["dice"].mask(both["image"] == "im0"))


def tables_by_class(name: str | None) -> dict[str, Any]:
    kept: Any = by_class(frame()).query("image != 'im0'")
    if name:
        kept = kept[kept["class"] == name].dropna(subset="dice")
    return tables_of(kept.groupby(["variant", "seed", "image"], as_index=False)["dice"].mean())


@pytest.mark.parametrize(
    ("name", "label", "n_images", "told"),
    [
        ("edge", "Dice of edge", 29, "The score of an image is that of edge; 1 images that hold none are left out."),
        ("core", "Dice of core", 20, "The score of an image is that of core; 10 images that hold none are left out."),
        (
            None,
            "Dice over classes",
            29,
            " that it holds; --class compares on one of them; 1 images that hold none are left out.",
        ),
    ],
)
def test_several_classes_are_compared_on_one_or_on_the_mean_over_those_of_each_image(
    tmp_path: Path, name: str | None, label: str, n_images: int, told: str
) -> None:
    path = tmp_path / "scores.csv"
    by_class(frame()).sample(frac=1, random_state=0).to_csv(path, index=False)
    words = ("--class", name) if name else ()

    found, output = compared(path, *words)["good"], run(path, *words).output

    wanted = tables_by_class(name)
    expected = compare(wanted["good"], wanted["base"], bounds=(0, 1))
    assert (found["difference"], found["ci_low"]) == pytest.approx((expected.difference, expected.ci_low))
    assert found["n_images"] == n_images
    assert told in output
    assert f"good is better than base in mean {label}." in output


def test_classes_and_groups_go_together(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    in_groups(by_class(frame())).to_csv(path, index=False)

    found = compared(path, "--class", "core")["good"]

    wanted = tables_by_class("core")
    images = sorted(f"im{index}" for index in range(30) if index % 3)
    expected = compare(wanted["good"], wanted["base"], groups=[int(image[2:]) // 3 for image in images], bounds=(0, 1))
    assert (found["ci_low"], found["p_value"]) == pytest.approx((expected.ci_low, expected.p_value))
    assert found["n_groups"] == 10


def test_a_column_class_of_which_each_image_has_one_changes_nothing(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "told.csv"
    pd.read_csv(file).assign(**{"class": lambda t: np.where(t["image"] > "im2", "nevus", "")}).to_csv(path, index=False)

    assert run(path).output == run(file).output
    assert run(path, "--json").stdout == run(file, "--json").stdout


@pytest.mark.parametrize(
    ("spoil", "words", "message"),
    [
        (
            lambda t: t.assign(
                dice=t["dice"].mask(t.eval("variant == 'good' and seed == 2 and image == 'im4' and `class` == 'core'"))
            ),
            (),
            "no dice of class core in image im4 of variant good, seed 2, and there is one of variant base, seed 0; a "
            "cell is empty where the reference does not hold the class, for all alike",
        ),
        (
            lambda t: t.drop(index=t.index[(t["variant"] == "base") & (t["seed"] == 1) & (t["image"] == "im5")]),
            ("--class", "edge"),
            "no dice of class edge in image im5 of variant base, seed 1, and there is one of variant base, seed 0",
        ),
        (lambda t: t, ("--class", "cores"), "unknown class 'cores'. Did you mean 'core'?"),
        (lambda t: t.drop(columns="class"), ("--class", "core"), "--class core: there is no column 'class'"),
        (lambda t: t.replace({"class": {"core": "Mean"}}), (), "class 'Mean' is by its name none, or a summary of"),
        (lambda t: t.assign(dice=None), (), "every dice of edge, core is empty"),
        (
            lambda t: pd.concat([t, t.iloc[[4]]]),
            (),
            ":602: a second score of variant base, seed 0, image im4, class edge",
        ),
        (
            lambda t: t.assign(dice=t["dice"].astype(object).mask(t.index == 7, "n/a")),
            (),
            ":9: dice of variant base, seed 0, image im7, class edge is 'n/a', not a number",
        ),
    ],
)
def test_what_is_wrong_with_classes_is_told_in_one_line(
    tmp_path: Path, spoil: Any, words: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "scores.csv"
    spoil(by_class(frame())).to_csv(path, index=False)

    result = run(path, *words)

    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
