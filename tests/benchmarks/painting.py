"""What an artifact costs on a 256x256 image: median milliseconds by kind and severity, beside decoding a JPEG of it.

python tests/benchmarks/painting.py
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import cv2

from medbench.datasets.artifacts import ARTIFACTS, SEVERITIES, paint
from medbench.datasets.synthetic import SyntheticSet

N_IMAGES, SIDE = 40, 256


def median_ms(calls: list[Callable[[], object]]) -> float:
    times: list[float] = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def main() -> None:
    cv2.setNumThreads(0)
    source = SyntheticSet(images=N_IMAGES, size=SIDE)
    images = {id: source.image(id) for id in source.ids}
    encoded = [cv2.imencode(".jpg", image)[1] for image in images.values()]
    decode = median_ms([partial(cv2.imdecode, data, cv2.IMREAD_COLOR) for data in encoded])
    print(f"decoding a JPEG: {decode:.1f} ms\n{'':12}" + "".join(f"{severity:>7}" for severity in SEVERITIES))
    for kind in ARTIFACTS:
        row = [
            median_ms([partial(paint, image, id=id, kind=kind, severity=severity) for id, image in images.items()])
            for severity in SEVERITIES
        ]
        print(f"{kind:12}" + "".join(f"{value:7.1f}" for value in row))


if __name__ == "__main__":
    main()
