"""Are the intervals of `medbench latency` true? One model against itself under other names, where every ratio is 1.

`make benchmarks` runs it. 95 % intervals should hold 1 in about 95 of 100 comparisons; beside them, those that would
come of rounds of a single instance, which hold what sets two instances of one model apart for a difference of models.
One thread, 128 pixels, torch eager, ONNX Runtime and OpenVINO.
"""

import argparse
from typing import Any

import torch

from medbench.bench.cost import latency
from medbench.bench.cost.latency import pinned, time_side_by_side
from medbench.bench.cost.runtimes import Subject
from medbench.bench.training.device import prepare
from medbench.models.catalog import build_model

NAMES, RUNTIMES = ("a", "b", "c", "d"), ("eager", "onnxruntime", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    asked = parser.parse_args()
    prepare(0, 1)
    model = build_model("medlitenet").model
    plain, rows = latency.ratio_to, list[dict[str, Any]]()
    by_rounds: dict[int, dict[str, Any]] = {}

    def watched(instances: Any, reference: Any) -> dict[str, float | None]:
        if reference is not None:
            one = [[times] for times in instances[0]], [[times] for times in reference[0]]
            # Asked for twice, the second time of the fastest runtimes; kept, so that its id stays its own.
            by_rounds[id(instances)] = {**plain(*one), "of": instances}
        return plain(instances, reference)

    latency.ratio_to = watched
    with pinned(1):
        for _ in range(asked.repetitions):
            subjects = [Subject(name, model, 128) for name in NAMES]
            for runtime in RUNTIMES:
                rows += time_side_by_side(
                    subjects, batches=[1], dtypes=["fp32"], runtimes=[runtime], device=torch.device("cpu")
                )
    for title, found in (("over instances", rows), ("over the rounds of one instance", by_rounds.values())):
        ratios = [each for each in found if each["ratio_low"] is not None]
        held = sum(each["ratio_low"] <= 1 <= each["ratio_high"] for each in ratios)
        width = sorted(each["ratio_high"] / each["ratio_low"] - 1 for each in ratios)[len(ratios) // 2]
        print(f"{title}: {held} of {len(ratios)} intervals hold 1, median width {100 * width:.1f} %")


if __name__ == "__main__":
    main()
