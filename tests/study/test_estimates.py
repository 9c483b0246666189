"""What a dry run says of time and disk, against what a run then takes."""

from pathlib import Path
from typing import Any

import pytest

from medbench.ablations.schema.loading import load_study
from medbench.bench.evaluation.testing import Scored, evaluate
from medbench.bench.study.estimates import _Meter, estimate
from medbench.bench.study.executors.local import Local
from medbench.bench.study.planning import plan
from medbench.bench.study.runner import decode, run_study
from medbench.bench.study.sets import Sets

from ..conftest import SMALL_VARIANTS
from .test_interrupted import ignore, place
from .test_run import medbench

STUDY = f"""\
question: How long?
baseline: one
{SMALL_VARIANTS}seeds: 2
training: {{epochs: 2, batch_size: 8, progressive_sizes: {{0.0: 0.5, 0.5: 1.0}}}}
evaluate: [clean, {{artifact: hair, severity: 3}}]
"""


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_bytes_are_about_what_a_run_writes(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(STUDY)
    sets = Sets(None, tmp_path / "cache")
    made = plan(load_study(str(tmp_path / "mine.yaml")), sets)

    before = bytes_below(tmp_path / "cache")
    costs = estimate(made.jobs, made.jobs, sets, threads=1)
    assert bytes_below(tmp_path / "cache") == before  # measuring leaves nothing
    decode(made.jobs, sets)
    run_study(made, place(tmp_path), ignore, execute=Local())

    assert costs.stored == pytest.approx(bytes_below(tmp_path / "runs"), rel=0.25)
    assert costs.cached == pytest.approx(bytes_below(tmp_path / "cache") - before, rel=0.25)
    assert set(costs.seconds) == {job.id for job in made.jobs}
    assert min(costs.seconds.values()) > 0


def test_seconds_follow_epochs_sizes_images_and_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(STUDY)
    sets = Sets(None, tmp_path / "cache")
    jobs = plan(load_study(str(tmp_path / "mine.yaml")), sets).jobs
    monkeypatch.setattr(_Meter, "batch", lambda *_: (8.0, 1000))
    monkeypatch.setattr(_Meter, "image", lambda *_: (0.5, 10.0))

    costs = estimate(jobs, jobs[-2:] + jobs[:1], sets, threads=1)

    [one, *_] = [job for job in jobs if not job.is_ensemble]
    batches = len(one.config["train"]) // 8
    n_scored = sum(len(each["images"]) for each in one.evaluations.values())
    assert costs.seconds[one.id] == batches * (8.0 / 4 + 8.0) + 0.5 * n_scored  # half the side, a quarter of the time
    assert [costs.seconds[job.id] for job in jobs[-2:]] == [2 * 0.5 * n_scored] * 2
    assert jobs[1].id not in costs.seconds
    assert costs.at_work == 4000


def test_painting_counts_once_for_a_study_and_not_where_the_cache_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(STUDY.replace("severity: 3", "severity: [1, 3]"))
    sets = Sets(None, tmp_path / "cache")
    jobs = plan(load_study(str(tmp_path / "mine.yaml")), sets).jobs
    monkeypatch.setattr(_Meter, "batch", lambda *_: (8.0, 1000))
    monkeypatch.setattr(_Meter, "image", lambda *_: (0.5, 10.0))
    monkeypatch.setattr(_Meter, "_arrays", lambda *_: (None, 0.25, 1.0))

    of_one, of_all = (estimate(jobs, some, sets, threads=1) for some in (jobs[:1], jobs))
    n_images = 40 + 2 * len(jobs[0].evaluations["hair-3"]["images"])
    decode(jobs[:1], sets)

    assert of_one.caching == of_all.caching == 0.25 * n_images
    assert of_one.cached == of_all.cached == n_images
    assert estimate(jobs, jobs, sets, threads=1).caching == 0


def test_each_kind_of_evaluation_is_measured_by_itself_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = "[clean, {artifact: hair, severity: [1, 5]}, {artifact: ink, severity: 2}]"
    (tmp_path / "mine.yaml").write_text(STUDY.replace("[clean, {artifact: hair, severity: 3}]", tests))
    sets = Sets(None, tmp_path / "cache")
    jobs = plan(load_study(str(tmp_path / "mine.yaml")), sets).jobs
    monkeypatch.setattr(_Meter, "batch", lambda *_: (8.0, 1000))
    scored: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Scored:
        scored.append(len(args[3]))
        return evaluate(*args, **kwargs)

    monkeypatch.setattr("medbench.bench.study.estimates.evaluate", counted)

    estimate(jobs, jobs, sets, threads=1)

    assert scored == 2 * 3 * [1, 4]  # two models; clean, hair and ink, each after one image


def test_a_model_that_breaks_takes_no_estimate_from_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    model = "{model: ulite, options: {kernel_size: 5}}"
    broken = "{model: 'tests.study.test_run:Broken'}"
    path.write_text(STUDY.replace(model, broken).replace("  both:", f"  twin: {broken}\n  both:"))

    result = medbench("run", path, "--store", tmp_path / "runs", "--dry-run")

    assert result.exit_code == 0
    lines = {
        label: line for line in result.output.splitlines() if (label := line.split(":")[0][18:]).endswith(("0", "1"))
    }
    for seed in (0, 1):
        assert lines[f"one seed {seed}"].split(": ", 1)[1].startswith("to do, about ")
        for variant in ("two", "both"):
            assert lines[f"{variant} seed {seed}"].endswith("to do, no estimate: this model is broken")
    assert "without 4 trials that have no estimate" in result.output
    assert "two and twin are one and the same training, for their settings come to the same trials" in result.output


def test_a_dry_run_names_every_trial_and_writes_none(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(STUDY)

    result = medbench("run", tmp_path / "mine.yaml", "--store", tmp_path / "runs", "--dry-run")

    assert result.exit_code == 0
    assert result.output.count("to do, about ") == 6
    assert not (tmp_path / "runs" / "trials").exists()
