"""How many trials run at once, and with how many threads, from what the system says of itself."""

from pathlib import Path

import pytest

from medbench.ablations.schema.grid import Cell
from medbench.bench.study import sharing
from medbench.bench.study.planning import Job
from medbench.bench.study.sharing import free_cores, free_memory, threads_for, trials_at_once


def job(batch_size: int, size: int) -> Job:
    return Job(Cell("one", 0, None), "0", {"training": {"batch_size": batch_size}, "size": size}, {})


ENSEMBLE = Job(Cell("both", 0, None), "1", {"ensemble": {}, "size": 4096}, {})


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores and 32 GB."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sharing, "n_cores", lambda: 8)
    monkeypatch.setattr(sharing, "free_memory", lambda: 32e9)


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_a_trial_on_a_cpu_has_one_thread_however_many_run(at_once: int) -> None:
    assert threads_for(at_once, n_gpus=0) == 1


def test_beside_a_gpu_trials_share_the_cores() -> None:
    assert [threads_for(at_once, n_gpus=1) for at_once in (1, 3, 16)] == [8, 2, 1]


@pytest.mark.parametrize("n_gpus", [0, 1])
def test_the_number_of_threads_that_is_set_counts(n_gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    assert threads_for(2, n_gpus) == 3
    assert trials_at_once([job(2, 32)], 0) == 8 // 3


@pytest.mark.parametrize(
    ("jobs", "n_gpus", "expected"),
    [
        pytest.param([job(16, 64)], 0, 8, id="small ones: a core each"),
        pytest.param([job(16, 256)], 0, 4, id="32 GB over 1 GB and 16 x 256 x 256 x 6000 bytes: 7.3 GB"),
        pytest.param([job(16, 64), job(16, 256)], 0, 4, id="the largest counts"),
        pytest.param([job(16, 64), ENSEMBLE], 0, 8, id="an ensemble is not trained"),
        pytest.param([job(64, 512)], 0, 1, id="one at least"),
        pytest.param([], 0, 8, id="nothing to do"),
        pytest.param([job(64, 512)], 2, 2, id="one a GPU"),
    ],
)
def test_as_many_trials_run_as_cores_and_memory_allow(jobs: list[Job], n_gpus: int, expected: int) -> None:
    assert trials_at_once(jobs, n_gpus) == expected


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


GROUP = {"proc/self/cgroup": "1:cpu:/\n0::/slurm/job\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 8, id="no control groups"),
        pytest.param({**GROUP, "sys/fs/cgroup/slurm/job/cpu.max": "max 100000\n"}, 8, id="no limit"),
        pytest.param({**GROUP, "sys/fs/cgroup/slurm/job/cpu.max": "350000 100000\n"}, 3, id="three and a half"),
        pytest.param({**GROUP, "sys/fs/cgroup/slurm/cpu.max": "200000 100000\n"}, 2, id="of the group around it"),
        pytest.param({**GROUP, "sys/fs/cgroup/slurm/job/cpu.max": "50000 100000\n"}, 1, id="half a core"),
        pytest.param({**GROUP, "sys/fs/cgroup/slurm/job/cpu.max": "9900000 100000\n"}, 8, id="more than there are"),
    ],
)
def test_a_control_group_may_leave_fewer_cores(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert free_cores(system(tmp_path, files)) == expected


MEMORY = {"proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:  4000000 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, None, id="the system does not tell"),
        pytest.param(MEMORY, 4_096_000_000, id="what is available"),
        pytest.param(
            {
                **MEMORY,
                **GROUP,
                "sys/fs/cgroup/slurm/job/memory.max": "3000000000\n",
                "sys/fs/cgroup/slurm/job/memory.current": "1000000000\n",
            },
            2_000_000_000,
            id="what the control group leaves",
        ),
        pytest.param(
            {
                **MEMORY,
                **GROUP,
                "sys/fs/cgroup/slurm/job/memory.max": "max\n",
                "sys/fs/cgroup/slurm/job/memory.current": "1000000000\n",
            },
            4_096_000_000,
            id="a control group without limit",
        ),
    ],
)
def test_free_memory_is_what_the_system_and_the_control_group_leave(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    assert free_memory(system(tmp_path, files)) == expected
