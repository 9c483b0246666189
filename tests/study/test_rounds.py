"""Studies that are trained until they are decided, as a user runs them: rounds, looks, what is told, and going on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medbench.ablations.schema.loading import load_study
from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.bench.store.folder import Store
from medbench.bench.store.records import read_yaml, write_yaml
from medbench.bench.study.planning import Plan, plan
from medbench.bench.study.runner import _plans_before
from medbench.bench.study.sets import Sets, cache_folder

STUDY = """\
question: Is it decided?
baseline: one
variants:
  one: {model: ulite}
  two: {model: ulite, options: {kernel_size: 5}}
dataset: {name: synthetic, images: 40, size: 32}
encoder_weights: none
training: {epochs: 1, batch_size: 8}
margin: 0.9
seeds: {until: decided, at_least: 3, at_most: 5}
"""


def medbench(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})


def seeds_in(store: Path) -> list[int]:
    """Of each variant that the study's record lists."""
    record = read_yaml(store / "studies" / "mine.yaml")
    return [len(known["trials"]) for known in record["variants"].values()]


def trials_in(store: Path) -> int:
    return len(list((store / "trials").iterdir()))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rounds") / "mine.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def decided(study: Path) -> tuple[Path, str]:
    """A store whose study is decided at its first look, and what was printed."""
    store = study.parent / "decided"
    done = medbench("run", study, "--store", store, "--jobs", 1)
    assert done.exit_code == 0, done.output
    return store, done.output


def test_it_stops_at_the_first_look_that_decides(decided: tuple[Path, str]) -> None:
    store, printed = decided

    assert trials_in(store) == 6
    assert seeds_in(store) == [3, 3]
    assert "looked at after 3 seeds of each variant, of 5 at most:" in printed
    assert "two against one: " in printed
    assert ", equivalent within 0.9\n" in printed
    assert "all 6 trials are in" in printed
    assert read_yaml(store / "studies" / "mine.yaml")["looks"] == {
        "seeds": [3, 4, 5],
        "spending": "obrien-fleming",
        "order": None,
    }


def test_the_same_command_comes_to_the_same_decision_and_trains_nothing(decided: tuple[Path, str], study: Path) -> None:
    store, printed = decided

    again = medbench("run", study, "--store", store, "--jobs", 1)

    assert again.exit_code == 0
    assert "0 to do" in again.output
    assert [line for line in again.output.splitlines() if " against " in line] == [
        line for line in printed.splitlines() if " against " in line
    ]
    assert trials_in(store) == 6


def test_models_that_cannot_be_timed_are_told_and_keep_nothing_from_being_decided(
    decided: tuple[Path, str], study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = study.parent / "untimed"
    shutil.copytree(decided[0], store)
    shutil.rmtree(store / "latency")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("mat1 and mat2 must have the same dtype")

    monkeypatch.setattr("medbench.bench.study.timing_job.time_side_by_side", refuse)
    done = medbench("run", study, "--store", store, "--jobs", 1)

    assert done.exit_code == 0, done.output
    assert "latency of mine" in done.output
    assert "FAILED: RuntimeError: mat1 and mat2 must have the same dtype" in done.output
    assert "WARNING: the models of mine could not be timed, see above" in done.output
    assert "all 6 trials are in" in done.output
    assert not (store / "failed").exists()
    assert done.output.index("looked at after 3 seeds") < done.output.index("latency of mine")  # once, at the end
    assert done.output.count("FAILED") == 1


def test_the_report_says_when_it_was_looked_at_and_what_intervals_are(
    decided: tuple[Path, str], tmp_path: Path
) -> None:
    store, printed = decided

    done = medbench("report", store, "-o", tmp_path)

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    [facts] = json.loads((tmp_path / "report.json").read_text())["studies"]
    assert done.exit_code == 0, done.output
    assert page.count("is decided, from 3 to 5 of each variant; it was looked at after 3 seeds of each variant.") == 2
    assert "repeated confidence intervals, which hold whatever made the study stop" in page
    assert " over all looks, Holm): equivalent within 0.9." in page
    assert facts["looks"]["seeds"] == [3, 4, 5]
    [row] = [row for row in facts["comparisons"] if (row["metric"], row["evaluation"]) == ("dice", "clean")]
    assert f"{row['difference']:+.4f} [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}], {row['claim']}" in printed


def test_status_tells_what_is_decided(decided: tuple[Path, str]) -> None:
    store, _ = decided

    told, as_json = medbench("status", store), medbench("status", store, "--json")

    assert "mine: 6 of 6 trials done" in told.output
    assert "two against one: " in told.output
    assert "equivalent within 0.9" in told.output
    assert "one more seed of each variant" not in told.output
    [row] = json.loads(as_json.output)
    assert row["decisions"][0]["verdict"] == "equivalent within 0.9"
    assert row["looks"] == [3, 4, 5]


def test_what_is_not_decided_goes_on_to_the_last_look_from_wherever_it_is(study: Path) -> None:
    """Two seeds were trained before, as a fixed number; then a plan of looks was made, and cut short."""
    store, none = study.parent / "undecided", ("--set", "margin=0", "--jobs", 1)
    plan = "seeds={until: decided, at_least: 2, at_most: 3, spending: pocock}"
    assert medbench("run", study, "--store", store, *none, "--set", "seeds=2").exit_code == 0

    done = medbench("run", study, "--store", store, *none, "--set", plan)
    status = medbench("status", store)

    assert done.exit_code == 0, done.output
    first, second = done.output.split("looked at after 2 seeds")
    assert "0 to do" in first
    assert "two against one" in second.splitlines()[1]
    assert "2 to do" in second
    assert "looked at after 3 seeds of each variant, of 3 at most:" in second
    assert "not everything is decided, and no look is left" in second
    assert (trials_in(store), seeds_in(store)) == (6, [3, 3])
    assert "not decided" in status.output
    assert read_yaml(store / "studies" / "mine.yaml")["plans_before"] == [{"seeds": [2], "trained": 2}]
    report = medbench("report", store, "-o", store / "page")
    assert report.exit_code == 0
    page = (store / "page" / "index.html").read_text(encoding="utf-8")
    assert "Planned anew: first 2 seeds, then 2 to 3 seeds until it is decided." in page
    assert "looked at after 2 and 3 seeds of each variant, which decided 0 of 1, and the rest stays open." in page
    assert "under an earlier plan" not in page
    assert "not everything is decided, and no look is left" in status.output
    assert "one more seed" not in status.output


def test_seeds_that_another_plan_had_are_not_dropped_in_silence(decided: tuple[Path, str], study: Path) -> None:
    store = study.parent / "fewer"
    shutil.copytree(decided[0], store)

    for seeds in (2, 1):
        assert medbench("run", study, "--store", store, "--jobs", 1, "--set", f"seeds={seeds}").exit_code == 0
        assert medbench("report", store, "-o", store / "page").exit_code == 0
        [facts] = json.loads((store / "page" / "report.json").read_text())["studies"]
        assert f"3 seeds of a variant were trained under an earlier plan, and {seeds} are shown" in str(
            facts["warnings"]
        )

    plans = "first 3 to 5 seeds until it is decided, then 2 seeds, then 1 seed"
    assert f"Planned anew: {plans}." in str(facts["warnings"])


def test_seeds_added_to_a_number_after_scores_were_there_are_named(decided: tuple[Path, str], study: Path) -> None:
    """A plan of 5 seeds, of which 3 were trained, becomes the number 3, then 4; nothing is trained for the last."""
    store = study.parent / "more"
    shutil.copytree(decided[0], store)
    path = store / "studies" / "mine.yaml"

    def planned(seeds: int) -> Plan:
        return plan(load_study(str(study), settings=[f"seeds={seeds}"]), Sets(None, cache_folder()))

    write_yaml(path, planned(3).record)
    same, more = _plans_before(planned(3).record, Store(store)), _plans_before(planned(4).record, Store(store))
    write_yaml(path, planned(4).record | more)
    interrupted = _plans_before(planned(4).record, Store(store))
    done = medbench("report", store, "-o", store / "page")
    for evaluation in store.glob("trials/*/evaluations/*"):
        shutil.rmtree(evaluation)
    write_yaml(path, planned(3).record)

    assert same == {}
    assert done.exit_code == 0, done.output
    [facts] = json.loads((store / "page" / "report.json").read_text())["studies"]
    assert "Planned anew: first 3 seeds, then 4 seeds. Scores may have been seen in between" in str(facts["warnings"])
    assert more == interrupted == {"plans_before": [{"seeds": [3], "trained": 3}]}
    assert _plans_before(planned(4).record, Store(store)) == {}  # no score could be seen


def test_a_dry_run_says_when_it_may_stop(study: Path) -> None:
    done = medbench("run", study, "--store", study.parent / "dry", "--dry-run", "--jobs", 1)

    assert done.exit_code == 0, done.output
    assert "10 trials on" in done.output
    assert "it stops when every comparison is decided, looked at after 3 seeds of each variant (about " in done.output
    assert not (study.parent / "dry").exists()


def test_a_dry_run_of_what_is_decided_adds_no_seed(decided: tuple[Path, str], study: Path) -> None:
    done = medbench("run", study, "--store", decided[0], "--dry-run")

    assert done.exit_code == 0, done.output
    assert "mine is decided after 3 seeds of each variant: no seed is added" in done.output
    assert "6 trials on" in done.output
    assert "0 to do" in done.output
    assert "it stops when" not in done.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("seeds={until: decided, at_least: 3, at_most: 3}", "at_most must be above at_least, got 3 and 3"),
        ("seeds={until: decided, at_least: 1, at_most: 3}", "at_least: Input should be greater than or equal to 2"),
        ("seeds={until: done, at_least: 3, at_most: 5}", "until: Input should be 'decided'"),
        ("seeds={until: decided, at_least: 3, at_most: null}", "at_most: Input should be a valid integer"),
        ("asks=cost", "until decided goes by differences of scores, and the study asks for cost"),
        (
            "seeds={until: decided, at_least: 3, at_most: 5, order: [one]}",
            "order must name each variant but the baseline once: two",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(study: Path, change: str, said: str) -> None:
    with pytest.raises(MedbenchError) as error:
        load_study(str(study), settings=[change])

    assert said in str(error.value)


def test_a_profile_that_ships_leaves_the_plan_of_a_study_alone_and_its_own_may_change_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY + "profiles: {cpu: {margin: 0.5}, short: {seeds: 2}}\n", encoding="utf-8")

    assert load_study(str(path), profile="cpu").study.all_seeds == (0, 1, 2, 3, 4)
    assert load_study(str(path), profile="cpu").study.margin == 0.5
    assert load_study(str(path), profile="short").study.all_seeds == (0, 1)
    assert load_study(str(path), profile="cpu", settings=["seeds=2"]).study.all_seeds == (0, 1)


def test_a_study_of_one_variant_has_nothing_to_decide(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("\n".join(line for line in STUDY.splitlines() if not line.startswith("  two")), encoding="utf-8")

    with pytest.raises(MedbenchError, match="there is nothing to decide: the study has one variant"):
        load_study(str(path))
