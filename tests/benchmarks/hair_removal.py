"""How much of painted hair is found and removed, what else is changed, and how long it takes.

`python tests/benchmarks/hair_removal.py`, with the real images (MEDBENCH_DATA or ../shared/data): those of ISIC 2018 in
the training part of the default split that people marked as free of any artifact (isic_bias.csv), clean and after
painting, and such that they marked as hairy alone.
"""

import os
import time
from pathlib import Path

import cv2
import numpy as np

from medbench.datasets.annotations import FLAGS, annotations
from medbench.datasets.artifacts import paint
from medbench.datasets.catalog import open_dataset
from medbench.datasets.hair_removal import hair_mask, remove_hair
from medbench.datasets.splits import make_split

IMAGES = 60


def main() -> None:
    cv2.setNumThreads(1)
    images = open_dataset("isic2018", data=Path(os.environ.get("MEDBENCH_DATA", "../shared/data")))
    train = make_split(images, "holdout", seed=0, fold=None).train
    flags = annotations(images, set(train))["flags"]
    others = {id for name in FLAGS.values() if name != "hair" for id in flags[name]}
    rng = np.random.default_rng(0)
    hairy, clean = (
        [images.image(str(id)) for id in rng.choice(sorted(part - others), IMAGES, replace=False)]
        for part in ({*flags["hair"]}, {*train} - {*flags["hair"]})
    )
    print(f"{IMAGES} images each, the first of {clean[0].shape[1]} x {clean[0].shape[0]} pixels")
    for name, part in (("marked as hairy", hairy), ("without artifact", clean)):
        shares = [100 * hair_mask(image).mean() for image in part]
        changed = [100 * (remove_hair(image) != image).any(axis=2).mean() for image in part]
        print(
            f"{name}: taken for hair, % of the image: median {np.median(shares):.2f}, mean {np.mean(shares):.2f}; "
            f"pixels that change: median {np.median(changed):.2f}, mean {np.mean(changed):.2f}"
        )
    for severity in (1, 3, 5):
        rows: list[list[float]] = []
        for number, image in enumerate(clean):
            painted, hair = paint(image, id=str(number), kind="hair", severity=severity)
            started = time.process_time()
            found = remove_hair(painted)
            seconds = time.process_time() - started
            mask = hair_mask(painted)
            before, after = (np.abs(each.astype(float) - image).mean(axis=2) for each in (painted, found))
            hit = float((mask & hair).sum())
            row = [hit / hair.sum(), hit / max(1, mask.sum()), before[hair].mean(), after[hair].mean()]
            rows.append([*row, before.mean(), after.mean(), 1000 * seconds])
        recall, precision, *errors, ms = np.mean(rows, axis=0)
        print(
            f"painted hair {severity}: recall {recall:.3f}, precision {precision:.3f}; absolute error in levels of 255 "
            "within the hair {:.1f} -> {:.1f}, over the image {:.2f} -> {:.2f}; ".format(*errors)
            + f"{ms:.1f} ms an image"
        )


if __name__ == "__main__":
    main()
