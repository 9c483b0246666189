"""What 8-bit integers lose on real images: as medbench exports them, with weights of 7 bits, and in plain 8 bits.

python tests/benchmarks/integers.py TRIAL --store runs --data DIR

A processor with VNNI adds products of activation and weight in 32 bits. One with AVX2 alone adds two of them in 16 and
cuts off what does not fit; OpenVINO can be told to use those instructions on any processor. Dice at the model's input
size on the trial's first test images: the paired difference to torch's, its 95 % interval over images, and the worst.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime.quantization as quantization
import pandas as pd
from numpy.typing import NDArray

from medbench.bench.cost.exporting import onnxruntime_session, openvino_session, to_int8, to_onnx
from medbench.bench.metrics import score_masks
from medbench.bench.store.folder import Store
from medbench.bench.store.provenance import instructions
from medbench.bench.store.records import read_yaml
from medbench.bench.study.deployment import calibration_of, paired_loss
from medbench.bench.study.sets import Sets, cache_folder, data_folder
from medbench.bench.training.batches import to_input

Array = NDArray[np.float32]
SESSIONS = {"ONNX Runtime": onnxruntime_session, "OpenVINO": openvino_session}
AS_WITHOUT_VNNI = {"ONEDNN_MAX_CPU_ISA": "AVX2"}


@contextmanager
def made_otherwise(**options: Any) -> Iterator[None]:
    """While it lasts, integers are made with other options than medbench's."""
    before = quantization.quantize_static
    quantization.quantize_static = lambda *args, **kwargs: before(*args, **kwargs | {"extra_options": {}} | options)
    try:
        yield
    finally:
        quantization.quantize_static = before


def logits_of(model: Path, runtime: str, images: Path) -> Array:
    """Logits (N, 1, S, S) of an exported model, an image at a time."""
    run = SESSIONS[runtime](model.read_bytes(), threads=1)
    return np.concatenate([run(image[None]) for image in np.load(images)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trial")
    parser.add_argument("--store", type=Path, default=Path("runs"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument(
        "--session", nargs=4, help=argparse.SUPPRESS
    )  # model, runtime, images, file: in a process apart
    asked = parser.parse_args()
    if asked.session:
        model, runtime, images, out = asked.session
        np.save(out, logits_of(Path(model), runtime, Path(images)))
        return

    import torch

    from medbench.bench.study.trials import trained_model

    store, sets = Store(asked.store), Sets(data_folder(asked.data), cache_folder())
    id = store.trial_named(asked.trial)
    config = read_yaml(next((store.trial(id) / "evaluations").glob("*/config.yaml")))
    size, ids = store.config(id)["size"], config["images"][: asked.images]
    arrays = sets.arrays(sets.of(config), size)
    rows = [arrays.row[each] for each in ids]
    reference = arrays.masks[rows] > 0
    images = to_input(torch.from_numpy(np.array(arrays.images[rows])), torch.device("cpu")).contiguous()
    model = trained_model(store, id)
    plain, calibration = to_onnx(model, size), calibration_of(store, id, sets)

    def dice(logits: Array) -> pd.Series:
        return pd.Series(score_masks(logits[:, 0] > 0, reference)["dice"], ids)

    with torch.inference_mode():
        of_torch = dice(torch.cat([model(each[None]) for each in images]).numpy())
    print(f"{len(ids)} images of {config['name']} at {size} pixels, Dice {of_torch.mean():.4f}; {instructions()}")
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images.numpy())
        (Path(folder) / "medbench.onnx").write_bytes(to_int8(plain, calibration))
        for form, reduced in (("7 bits", True), ("8 bits", False)):
            with made_otherwise(reduce_range=reduced):
                (Path(folder) / f"{form}.onnx").write_bytes(to_int8(plain, calibration))
        for form in ("medbench", "7 bits", "8 bits"):
            for runtime, environment in (("ONNX Runtime", {}), ("OpenVINO", {}), ("OpenVINO", AS_WITHOUT_VNNI)):
                words = [f"{folder}/{form}.onnx", runtime, f"{folder}/images.npy", f"{folder}/logits.npy"]
                command = [sys.executable, __file__, id, "--session", *words]
                subprocess.run(command, check=True, env=os.environ | environment)
                found = paired_loss(dice(np.load(f"{folder}/logits.npy")), of_torch)
                low, high = found["ci_low"], found["ci_high"]
                where = f"{runtime}{', as without VNNI' if environment else ''}"
                loss = f"{found['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
                print(f"{form:8}  {where:27} {loss}, worst {found['worst'][0]['difference']:+.2f}")


if __name__ == "__main__":
    main()
