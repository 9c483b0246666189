"""What a dry run says of time and disk, against what a run then takes."""

from pathlib import Path

import pytest

from medbench.ablations.loading import load_study
from medbench.bench.estimates import _Meter, estimate
from medbench.bench.executors.local import Local
from medbench.bench.planning import plan
from medbench.bench.runner import decode, run_study
from medbench.bench.sets import Sets

from .conftest import SMALL_VARIANTS
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


def test_a_dry_run_of_a_model_that_breaks_still_prints_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    model = "{model: medlitenet, options: {backbone: mobilenetv3_small_050, width: 32, boundary_attention: false}}"
    broken = "{model: 'tests.test_run:Broken'}"
    path.write_text(STUDY.replace(model, broken).replace("  both:", f"  twin: {broken}\n  both:"))

    result = medbench("run", path, "--store", tmp_path / "runs", "--dry-run")

    assert result.exit_code == 0
    assert "no estimate: this model is broken" in result.output
    assert "two and twin are one and the same training, for their settings come to the same trials" in result.output
    assert result.output.count("to do") >= 6


def test_a_dry_run_names_every_trial_and_writes_none(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(STUDY)

    result = medbench("run", tmp_path / "mine.yaml", "--store", tmp_path / "runs", "--dry-run")

    assert result.exit_code == 0
    assert result.output.count("to do, about ") == 6
    assert not (tmp_path / "runs" / "trials").exists()
