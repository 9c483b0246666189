"""What only a GPU can show: mixed precision trains, and latency is timed in FP16."""

from pathlib import Path

import pytest
import torch

from medbench.ablations.loading import load_study
from medbench.bench.latency import time_model
from medbench.bench.training import prepare, train
from medbench.datasets.cache import load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:.*deterministic"),
]


def test_mixed_precision_learns(tmp_path: Path) -> None:
    images = SyntheticSet(images=80, size=64)
    arrays = load_arrays(images, images.ids, 64, tmp_path, inspect(images).digests)
    training = load_study("baa", profile="quick").study.training.model_dump()
    prepare(0, 1)
    model = build_model("medlitenet").model.to("cuda")

    trained = train(model, arrays, images.ids[:64], images.ids[64:], training, size=64, seed=0, workers=2)

    assert trained.precision == "fp16"
    assert trained.history[-1]["train_loss"] < 0.7 * trained.history[0]["train_loss"]
    assert all(torch.isfinite(each).all() for each in trained.weights.values())


def test_latency_is_timed_in_half_precision() -> None:
    rows = time_model(build_model("medlitenet").model, "medlitenet", size=256, device=torch.device("cuda"))

    assert [row["dtype"] for row in rows] == ["fp16", "fp16"]
    assert all(0 < row["p5_ms"] <= row["median_ms"] <= row["p95_ms"] for row in rows)
