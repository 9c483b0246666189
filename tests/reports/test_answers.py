"""The report opens with the answer to what the study asks: its number, its interval and its claim are those of the
scores, and it says no more than they do."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from medbench.bench.stats import compare, gap, holm, summarize
from medbench.bench.store.records import read_yaml, write_yaml
from medbench.reports import load
from medbench.reports.artifact_answers import worst_condition
from medbench.reports.evidence import Evidence
from medbench.reports.lost import amount, sentence, verdict
from medbench.reports.page import write_report
from medbench.reports.sections import generalization

from ..fabricated_store import fabricate, trial_id, unsealed

CONDITIONS = {"ph2": {"kind": "hair", "severity": 3}, "worse": {"kind": "ruler", "severity": 5}}
HARM = 0.04  # that the second artifact does to every image beyond the first


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("answers"))


def write_store(store: Path) -> Path:
    """The fabricated store asked about artifacts: `ph2` is said to be hair, and a ruler does a little more harm."""
    study = fabricate(store, n_images=20, artifacts=CONDITIONS, asks="robustness")
    for known in study["variants"].values():
        for trial in known["trials"]:
            folder = store / "trials" / trial["trial"] / "evaluations"
            copy = trial_id(trial["trial"], "worse")
            shutil.copytree(folder / trial["evaluations"]["ph2"], folder / copy)
            with unsealed(folder / copy) as working:
                table = pd.read_parquet(working / "scores.parquet")
                table["dice"] -= HARM
                table.to_parquet(working / "scores.parquet")
                write_yaml(working / "config.yaml", read_yaml(working / "config.yaml") | {"name": "worse"})
            trial["evaluations"]["worse"] = copy
    study["evaluations"] = ["clean", "ph2", "worse"]
    write_yaml(store / "studies" / "baa.yaml", study)
    return store


def asked(store: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    """The answers that the page opens with, when the study's record is changed like this."""
    copy = out / "store"
    shutil.copytree(store, copy)
    path = copy / "studies" / "baa.yaml"
    write_yaml(path, read_yaml(path) | changes)
    write_report([copy], out / "report")
    (study,) = json.loads((out / "report" / "report.json").read_text())["studies"]
    page = (out / "report" / "index.html").read_text()
    head = page[page.index('<section class="study"') : page.index('id="baa-variants"')]
    assert all(each["effect"] in head for each in study["asked"] if each["evaluation"] == "clean")
    return study["asked"]


def drops(store: Path, variant: str) -> np.ndarray:
    """(S, N) what both artifacts cost on average, straight from the scores."""
    scores = load(store).query("variant == @variant")
    wide = scores.pivot(index=["evaluation", "seed"], columns="image", values="dice")
    return (wide.loc["clean"] - (wide.loc["ph2"] + wide.loc["worse"]) / 2).to_numpy()


def test_a_study_of_robustness_opens_with_what_all_artifacts_cost_on_average(store: Path, tmp_path: Path) -> None:
    found = asked(store, tmp_path)

    assert [each["variant"] for each in found] == ["medlitenet", "no_baa", "ensemble"]
    for each in found:
        expected = summarize(drops(store, each["variant"]))
        assert expected.ci_low is not None
        assert each["effect"] == f"Dice lost {expected.mean:.3f} [{expected.ci_low:.3f}, {expected.ci_high:.3f}]"
        assert "on average over 2 artifact conditions" in each["rest"]
        assert "It loses most under ruler 5" in each["rest"]
    assert found[0]["claim"] == "loses, more than the margin of 0.01"
    against = compare(drops(store, "no_baa"), drops(store, "medlitenet"))
    assert f"That is {against.difference:.3f} [" in found[1]["rest"]
    assert "more than medlitenet (p" in found[1]["rest"]
    assert found[1]["claim"].endswith("against medlitenet: worse")


def test_of_a_distance_nothing_is_called_lost(store: Path, tmp_path: Path) -> None:
    answers = asked(store, tmp_path, primary="hd95", margin=1.0, datasets={"clean": "isic2018", "ph2": "ph2"})

    page = (tmp_path / "report" / "index.html").read_text()
    assert any(" gets worse in mean HD95 under these artifacts." in each["may"] for each in answers)
    assert any("HD95 added by 2 artifact conditions" in each["may"] for each in answers)
    assert re.findall(r"(?:lose|loses|lost|gain|gains|gained) (?:in )?(?:mean )?HD95|HD95 (?:lost|gained)", page) == []


def test_one_seed_alone_is_told_with_its_loss(store: Path, tmp_path: Path) -> None:
    study = read_yaml(store / "studies" / "baa.yaml")
    variants = {name: known | {"trials": known["trials"][:1]} for name, known in study["variants"].items()}
    answer = asked(store, tmp_path, variants=variants)[0]

    lost = drops(store, answer["variant"])[0].mean()
    assert answer["may"].startswith(
        f"Of these very checkpoints of medlitenet on these very images: Dice lost {lost:.3f} (no interval"
    )


def test_the_abstract_to_paste_says_the_same(store: Path, tmp_path: Path) -> None:
    (first, *_) = asked(store, tmp_path)

    page = (tmp_path / "report" / "index.html").read_text()
    assert first["abstract"].startswith("Under painted hair (3) and ruler (5) medlitenet lost 0.")
    assert '</summary><pre tabindex="0">We asked: ' in page
    assert first["abstract"] in page


def test_a_study_of_generalization_opens_with_the_gaps_and_holm_over_them(store: Path, tmp_path: Path) -> None:
    scores = load(store)
    tables = {
        key: part.pivot(index="seed", columns="image", values="dice").to_numpy()
        for key, part in scores.groupby(["evaluation", "variant"])
    }
    variants = ("medlitenet", "no_baa", "ensemble")
    gaps = {name: gap(tables["clean", name], tables["ph2", name]) for name in variants}
    adjusted = holm([each.p_value for each in gaps.values()])

    study = read_yaml(store / "studies" / "baa.yaml")
    for known in study["variants"].values():
        known["settings"]["dataset"] = "isic2018"
    changes = {"asks": "generalization", "artifacts": {}, "evaluations": ["clean", "ph2"]}
    changes |= {"datasets": {"clean": "isic2018", "ph2": "ph2"}, "variants": study["variants"]}
    found = asked(store, tmp_path, **changes)

    for each, p_value in zip(found, adjusted, strict=True):
        expected = gaps[each["variant"]]
        assert p_value is not None
        assert expected.ci_low is not None
        assert each["effect"] == f"Dice lost {expected.gap:.3f} [{expected.ci_low:.3f}, {expected.ci_high:.3f}] on ph2"
        assert each["claim"].startswith("loses" if p_value < 0.05 else "no loss shown")
        assert each["label"].endswith("trained on isic2018")


def test_a_gap_that_its_scores_leave_undecided_counts_in_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"trained_on": "a", "evaluation": "b", "n_seeds": 2, "n_images": 9, "gap": 0.1}
    decided = {"variant": "x", "gap_p": 0.03, "gap_ci_low": 0.01, "gap_ci_high": 0.2, "gap_too_few": None, **ends}
    refused = {
        "variant": "y",
        **dict.fromkeys(["gap_p", "gap_ci_low", "gap_ci_high"]),
        "gap_too_few": "2 seeds",
        **ends,
    }
    single = refused | {"variant": "z", "gap_too_few": "1 seed"}
    evidence = SimpleNamespace(once=lambda _: pd.DataFrame([decided, refused, single]), names=["x", "y", "z"])
    monkeypatch.setattr(generalization, "_answer", lambda _, name, rows: (name, rows[0]["p_adjusted"]))

    assert generalization.answers(cast(Evidence, evidence)) == [("x", 0.06), ("y", None), ("z", None)]


def test_a_study_of_cost_opens_with_costs_beside_the_baselines(store: Path, tmp_path: Path) -> None:
    found = asked(store, tmp_path, asks="cost")

    assert [each["variant"] for each in found] == ["no_baa", "ensemble"]
    assert found[0]["effect"] == "0.91 times the parameters of medlitenet"  # 2.9 of 3.2 million
    assert "front of parameters" in found[0]["claim"]


def test_a_study_that_says_nothing_asks_for_differences(store: Path, tmp_path: Path) -> None:
    found = asked(store, tmp_path, asks=None)

    assert {each["evaluation"] for each in found} == {"clean", "ph2", "worse"}
    assert found[0]["effect"].startswith("Dice −0.")
    page = (tmp_path / "report" / "index.html").read_text()
    assert '<p class="lead">Under artifacts</p>' in page


def test_a_training_that_predicts_nothing_is_told_in_the_answer_and_the_abstract(store: Path, tmp_path: Path) -> None:
    failed = shutil.copytree(store, tmp_path / "failed")
    (trial, *_) = read_yaml(failed / "studies" / "baa.yaml")["variants"]["no_baa"]["trials"]
    with unsealed(failed / "trials" / trial["trial"] / "evaluations" / trial["evaluations"]["clean"]) as working:
        table = pd.read_parquet(working / "scores.parquet").assign(tp=0.0, fp=0.0)
        table.to_parquet(working / "scores.parquet")

    found = {each["variant"]: each for each in asked(failed, tmp_path)}

    caveat = "But every mask of no_baa is empty (seed 0), so this says nothing of the models."
    assert found["no_baa"]["rest"].endswith(caveat)
    assert found["no_baa"]["abstract"].endswith(caveat)
    assert "constant predictions" in found["no_baa"]["claim"]
    assert caveat not in found["ensemble"]["rest"]


def test_what_cannot_be_answered_yet_says_what_it_takes(store: Path, tmp_path: Path) -> None:
    assert asked(store, tmp_path, evaluations=["clean"], artifacts={}) == []

    assert (
        "it takes a finished trial that was tested clean and under an artifact"
        in (tmp_path / "report" / "index.html").read_text()
    )


@pytest.mark.parametrize(
    ("drops", "said"),
    [
        ([(0.01, 0.004, 0.016), (0.03, 0.02, 0.04)], "It loses most under hair 5: 0.030 [0.020, 0.040]."),
        ([(0.01, 0.004, 0.016), (0.02, -0.01, 0.05)], "It loses most under hair 5: 0.020 [−0.010, 0.050]."),
        (
            [(0.0, -0.01, 0.01), (0.02, -0.01, 0.05)],
            "Under none of them alone is a loss shown; the largest is that under hair 5, 0.020 [−0.010, 0.050].",
        ),
        ([(-0.2, -0.3, -0.1), (0.0, 0.0, 0.0)], "Under none of them does it lose."),
        ([(0.01, None, None), (0.03, None, None)], "It loses most under hair 5: 0.030 (no interval with 1 seed)."),
        ([(0.03, 0.02, 0.04)], ""),
    ],
)
def test_the_worst_condition_is_called_so_only_where_something_is_lost(drops: list[Any], said: str) -> None:
    names = ("hair-1", "hair-5")[: len(drops)]
    rows = [
        {"variant": "a", "artifact": "hair", "severity": int(name[-1]), "drop_too_few": "1 seed"}
        | dict(zip(("drop", "drop_ci_low", "drop_ci_high"), ends, strict=True))
        for name, ends in zip(names, drops, strict=True)
    ]
    artifacts = {name: {"kind": "hair", "severity": int(name[-1])} for name in names}
    evidence: Any = SimpleNamespace(
        primary="dice", study=SimpleNamespace(artifacts=artifacts), once=lambda _: pd.DataFrame(rows)
    )

    assert worst_condition(evidence, "a", names) == said


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.03, 0.02, 0.04), "Dice lost 0.030 [0.020, 0.040]"),
        ((-0.16, -0.2, -0.1), "Dice gained 0.160 [0.100, 0.200]"),
        ((0.002, -0.003, 0.007), "Dice lost 0.002 [−0.003, 0.007]"),
        ((-0.0001, -0.002, 0.001), "Dice lost 0.000 [−0.002, 0.001]"),
        ((0.1, None, None, "1 seed"), "Dice lost 0.100 (no interval with 1 seed)"),
    ],
)
def test_a_gain_is_called_a_gain(ends: tuple[Any, ...], said: str) -> None:
    assert amount("dice", *ends) == said


def test_more_pixels_apart_is_worse_and_nothing_is_lost() -> None:
    assert amount("hd95", 3.104, 2.0, 4.0) == "HD95 (px) worse by 3.10 [2.00, 4.00]"
    assert sentence("hd95", -3.104, -4.0, -2.0) == "was better by 3.10 HD95 (px) (95 % CI 2.00 to 4.00)"


@pytest.mark.parametrize(
    ("low", "high", "p_value", "claim"),
    [
        (0.02, 0.04, 0.001, "loses, more than the margin of 0.01"),
        (0.005, 0.04, 0.01, "loses"),
        (0.002, 0.008, 0.01, "loses, less than the margin of 0.01"),
        (0.002, 0.04, 0.08, "no loss shown"),  # its p is adjusted for others
        (-0.004, 0.006, 0.7, "no loss shown, less than the margin of 0.01"),
        (-0.04, -0.02, 0.001, "gains"),
        (None, None, None, "cannot be decided with 2 seeds"),
    ],
)
def test_the_claim_of_a_loss(low: float | None, high: float | None, p_value: float | None, claim: str) -> None:
    assert verdict(low, high, p_value, 0.01, "2 seeds").text == claim


@pytest.mark.parametrize(("n_copies", "is_folded"), [(1, False), (2, True)])
def test_the_fine_print_of_many_answers_waits_to_be_asked_for(
    store: Path, tmp_path: Path, n_copies: int, is_folded: bool
) -> None:
    shutil.copytree(store, tmp_path / "store")
    path = tmp_path / "store" / "studies" / "baa.yaml"
    study = read_yaml(path)
    study["variants"] |= {f"copy{place}": study["variants"]["no_baa"] for place in range(n_copies)}
    write_yaml(path, study)

    page = write_report([tmp_path / "store"], tmp_path / "out").read_text()

    head = page[page.index('<section class="study"') : page.index('id="baa-variants"')]
    assert head.count("It may be said: ") == 3 + n_copies
    folded = head.count("<summary>What may be said, and what it does not show</summary>")
    assert folded == (3 + n_copies if is_folded else 0)
