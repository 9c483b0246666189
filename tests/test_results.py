"""What README and the page of results say of published studies is what their reports say."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medbench.bench.store.records import read_json
from medbench.reports.notes import number, signed

ROOT = Path(__file__).parent.parent
REFERENCE = "2026-11-30-medlitenet"
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERDICTS = README[README.index("\n## Results\n") : README.index("\n## The main job on real images\n")]
RESULTS = VERDICTS + (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def study(folder: str) -> dict[str, Any]:
    assert f"(reports/published/{folder})" in VERDICTS
    [found] = read_json(ROOT / "reports" / "published" / folder / "report.json")["studies"]
    return found


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this first heading."""
    table = RESULTS[RESULTS.index(f"| {header} |") :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def spread(row: dict[str, Any] | None, key: str = "difference") -> str:
    if row is None:
        return ""
    text = signed if key == "difference" else number
    return f"{text(row[key])} [{text(row['ci_low'])}, {text(row['ci_high'])}]"


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return study(REFERENCE)


@pytest.fixture(scope="module")
def mending() -> dict[str, Any]:
    return study("2026-11-29-mending")


def test_what_is_said_of_the_attention_is_what_its_report_says() -> None:
    found = study("2026-11-29-baa")

    clean, ph2 = (row for row in found["comparisons"] if (row["variant"], row["metric"]) == ("no_baa", "dice"))
    told = " ".join(RESULTS.split())
    assert (clean["evaluation"], ph2["evaluation"]) == ("clean", "ph2")
    assert (
        f"Without it Dice changes by {spread(clean)}: {clean['claim']}, decided after {clean['n_seeds_variant']} seeds"
        in told
    )
    proof = f"{signed(ph2['tost_low'], 4)} to {signed(ph2['tost_high'], 4)}"
    assert f"On PH2 {spread(ph2)}, {ph2['claim']} (by the 90 % interval, {proof})." in told
    looks = [number for number in found["looks"]["seeds"] if number <= clean["n_seeds_variant"]]
    assert looks == [3, 4, 5]
    assert '--set "' + found["set"][0].replace(" = ", "=") in told


def test_the_table_of_the_reference_study_is_that_of_its_report(reference: dict[str, Any]) -> None:
    found = {(row["variant"], row["evaluation"]): row for row in reference["variants"]}
    against = {row["variant"]: row for row in clean_dice(reference)}

    def told(variant: str) -> list[str]:
        own, other = found[variant, "clean"], against.get(variant)
        dice = f"{number(own['dice_mean'])} [{number(own['dice_ci_low'])}, {number(own['dice_ci_high'])}]"
        elsewhere = [number(found[variant, name]["dice_mean"]) for name in ("ph2", "ham10000", "hair-5")]
        difference = f"{spread(other)}, {other['claim']}" if other else ""
        low, ratio, high = (own[f"latency_{key}"] for key in ("low", "ratio", "high"))
        time = f"{ratio:.2f} [{low:.2f}, {high:.2f}]" if low else ""
        return [f"`{variant}`", f"{own['parameters'] / 1e6:.2f} M", dice, difference, *elsewhere, time]

    whole = [row["variant"] for row in reference["variants"] if (row["evaluation"], row["n_seeds"]) == ("clean", 3)]
    assert rows("variant") == [told(variant) for variant in whole]
    took = number(found[reference["baseline"], "clean"]["latency_ms"], 1)
    assert f"a multiple of `medlitenet`'s {took} ms on one thread" in " ".join(RESULTS.split())


def test_its_other_metrics_are_those_of_its_tables(reference: dict[str, Any]) -> None:
    table = pd.read_csv(ROOT / "reports/published" / REFERENCE / "tables/medlitenet-cpu-comparisons.csv")
    clean: Any = table[table["evaluation"] == "clean"]
    differences: dict[tuple[str, str], Any] = {(row["variant"], row["metric"]): row for _, row in clean.iterrows()}

    def told(variant: str, metric: str, digits: int) -> str:
        low, high = (signed(differences[variant, metric][key], digits) for key in ("ci_low", "ci_high"))
        return f"{signed(differences[variant, metric]['difference'], digits)} [{low}, {high}]"

    digits = {"iou": 3, "hd95": 2, "biou": 3}
    whole = [row["variant"] for row in clean_dice(reference) if row["n_seeds_variant"] == 3]
    assert rows("against `medlitenet`") == [
        [f"`{variant}`", *(told(variant, *each) for each in digits.items())] for variant in whole
    ]


def test_what_is_said_of_the_modules_and_of_the_paper_holds(reference: dict[str, Any]) -> None:
    told, found = " ".join(RESULTS.split()), {row["variant"]: row for row in clean_dice(reference)}
    modules = ["no_baa", "no_transformer", "no_aspp", "no_scse"]
    assert {found[name]["claim"] for name in modules} == {"equivalent within 0.01"}
    assert "Without any one of the four modules Dice is equivalent within 0.01" in told
    assert found["scratch"]["claim"] == "worse"
    assert f"ImageNet's weights are worth {number(-found['scratch']['difference'])} after 12 epochs" in told
    assert f"the ensemble adds {spread(found['ensemble'])}: {found['ensemble']['claim']}" in told

    def of(variant: str) -> str:
        row = next(row for row in reference["variants"] if (row["variant"], row["evaluation"]) == (variant, "clean"))
        dice, iou, *pooled = (number(row[key]) for key in ("dice_mean", "iou_mean", "pooled_dice", "pooled_iou"))
        return f"`{variant}` has {dice} and {iou}, over all pixels together {pooled[0]} and {pooled[1]}"

    assert f"Here {of('medlitenet')}; {of('ensemble')}." in told
    assert {row["verdict"] for row in reference["published"]} == {"not comparable"}
    lost = {row["variant"]: row for row in reference["lost_on_average"]}
    assert f"cost `medlitenet` {spread(lost['medlitenet'], 'lost')} on average, most of all the heaviest JPEG" in told
    drops = {
        (row["artifact"], row["severity"]): row["drop"]
        for row in reference["robustness"]
        if row["variant"] == "medlitenet"
    }
    assert max(drops, key=drops.__getitem__) == ("jpeg", 5)
    assert {row["device"] for row in reference["latency"]} == {"AMD EPYC, 1 thread"}
    history = pd.read_parquet(ROOT / "reports/published" / REFERENCE / "history.parquet")
    trainings, hours = history["trial"].nunique(), history["seconds"].sum() / 3600
    images = next(row["n_images"] for row in reference["variants"] if row["evaluation"] == "clean")
    assert f"{trainings} trainings, {images} test images; {hours:.1f} hours of training on one core" in told
    assert (reference["n_trials"], reference["n_planned"]) == (36, 36)
    assert found["unet_mobilenetv2"]["claim"] == "equivalent within 0.01"
    assert "so is a plain U-Net on the same encoder" in told
    from_nothing = ["scratch", "resnet18_scratch", "unext", "egeunet", "ultralight_vmunet"]
    assert {found[name]["claim"] for name in from_nothing} == {"worse"}
    assert "Whatever starts from nothing is worse" in told


def test_what_starts_from_nothing_is_set_beside_scratch(reference: dict[str, Any]) -> None:
    pairs = {(row["a"], row["b"]): row for row in reference["pairwise"]}
    macs = {row["variant"]: row["macs"] for row in reference["variants"]}
    table, worse = list[list[str]](), list[str]()
    for variant in ("resnet18_scratch", "unext", "egeunet", "ultralight_vmunet"):
        is_first = (variant, "scratch") in pairs
        row, sign = (pairs[variant, "scratch"], 1) if is_first else (pairs["scratch", variant], -1)
        low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
        difference = {"difference": sign * row["difference"], "ci_low": low, "ci_high": high}
        p = row["p_adjusted"]
        told = number(p) if p >= 0.001 else "< 0.001"
        table.append([f"`{variant}`", f"{macs[variant] / 1e9:.2f} G", spread(difference), told])
        worse += [variant] if difference["difference"] < 0 and p < 0.05 else []

    assert rows("beside `scratch`") == table
    assert worse == ["egeunet"]
    assert "only `egeunet` is worse" in " ".join(RESULTS.split())


def clean_dice(study: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons that claims are made by."""
    return [row for row in study["comparisons"] if (row["evaluation"], row["metric"]) == ("clean", "dice")]


def test_the_table_of_mending_is_that_of_its_report(mending: dict[str, Any]) -> None:
    means = {(row["variant"], row["evaluation"]): number(row["dice_mean"]) for row in mending["variants"]}

    def told(row: dict[str, Any] | None) -> str:
        return f"{spread(row)}, {row['claim']}" if row else ""

    assert rows("trained, or shown") == [
        [
            f"`{each['variant']}`",
            means[each["variant"], "clean"],
            spread(each, "lost"),
            told(each["more"]),
            told(each["more_compared"]),
            means[each["variant"], "ph2"],
        ]
        for each in mending["lost_on_average"]
    ]


def test_what_is_said_beside_it_holds(mending: dict[str, Any]) -> None:
    lost = {row["variant"]: row["lost"] for row in mending["lost_on_average"]}
    assert 1 - lost["painted"] / lost["medlitenet"] == pytest.approx(2 / 3, abs=0.05)
    washed_out = {row["variant"]: number(row["drop"]) for row in mending["robustness"] if row["artifact"] == "contrast"}
    costs = f"cost {washed_out['medlitenet']}, and {washed_out['low_contrast']} where training had seen such"
    assert costs in " ".join(RESULTS.split())  # of the two severities the second
    assert {row["claim"] for row in clean_dice(mending)} == {"equivalent within 0.01"}
    assert "Clean Dice is equivalent within 0.01 for all." in RESULTS
    real = [row for row in mending["strata"] if row["artifact"] == "hair" and row["difference"] is not None]
    assert len(real) == 7
    assert all(row["difference_ci_low"] < 0 < row["difference_ci_high"] for row in real)
    told = " ".join(RESULTS.split())
    assert f"On the {real[0]['n_with']} test photographs with real hair no variant is shown" in told
    [own] = [each for each in mending["strata"] if (each["artifact"], each["variant"]) == ("hair", "medlitenet")]
    anything = spread({"lost": own["lost"], "ci_low": own["lost_ci_low"], "ci_high": own["lost_ci_high"]}, "lost")
    assert (
        f"on the {own['n_with']} test photographs with real hair `medlitenet` is not shown to lose anything: " in told
    )
    assert f"anything: {anything.replace(', ', ', +')}." in told
    assert own["lost_ci_low"] < 0 < own["lost_ci_high"]
    trainings = {row["variant"]: row["n_seeds"] for row in mending["lost_on_average"]}
    assert {*trainings.values()} == {3}
    history = pd.read_parquet(ROOT / "reports" / "published" / "2026-11-29-mending" / "history.parquet")
    hours = history["seconds"].sum() / 3600
    assert f"{hours:.0f} hours of training on one core" in RESULTS
    told = f"{mending['n_trials']} trainings, {mending['lost_on_average'][0]['n_images']} test images"
    assert told in " ".join(RESULTS.split())


def test_trainings_on_two_processors_differ_as_told() -> None:
    published, dice = ROOT / "reports" / "published", dict[str, Any]()
    for folder in (REFERENCE, "2026-11-29-baa"):
        counts: Any = pd.read_parquet(published / folder / "scores" / "clean.parquet")
        of_images = 2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"])
        dice[folder] = of_images.groupby(counts["trial"]).mean()
    apart = (dice[REFERENCE] - dice["2026-11-29-baa"]).dropna().abs()

    told = " ".join((ROOT / "docs" / "explanation" / "protocol.md").read_text(encoding="utf-8").split())
    assert len(apart) == 6
    assert f"differ by {number(apart.min())} to {number(apart.max())} in Dice, as two seeds do" in told
    assert "six trainings that two [published results](../results.md) share" in told


def test_what_protocol_alone_does_is_told(mending: dict[str, Any]) -> None:
    told = dict[str, tuple[str, str, str]]()
    for metric in ("dice", "iou"):
        rows = [
            each for each in mending["other_protocols"] if (each["variant"], each["metric"]) == ("medlitenet", metric)
        ]
        read = [rows[0]["ours"], *(each["value"] for each in rows)]
        told[metric] = number(min(read)), number(max(read)), number(rows[0]["ours"])
    (low, high, dice), (least, most, iou) = told.values()
    reads = f"reads between {low} and {high} Dice, and between {least} and {most} IoU"
    assert f"{reads}, where medbench reports {dice} and {iou}." in " ".join(RESULTS.split())
