"""A report that follows its stores while they grow."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..bench.store.records import MANIFEST
from .page import write_report

LOOK_EVERY_S = 5.0
PATTERNS = (
    "studies/*.yaml",
    f"trials/*/{MANIFEST}",
    f"trials/*/evaluations/*/{MANIFEST}",
    "latency/*/*.json",
    "deployment/*/*.json",
)


def watched(
    stores: Sequence[Path], out: Path, *, all_images: bool = False, look_every_s: float = LOOK_EVERY_S
) -> Iterator[Path]:
    """Writes the report whenever something was finished in the stores, and gives its index.html each time; without end.

    The page loads itself anew as often as it may have changed.
    """
    seen: list[tuple[str, int]] | None = None
    while True:
        now = _finished(stores)
        if now != seen:
            seen = now
            yield write_report(stores, out, all_images=all_images, refresh=max(round(2 * look_every_s), 1))
        else:
            time.sleep(look_every_s)


def _finished(stores: Sequence[Path]) -> list[tuple[str, int]]:
    """Every finished file, with when it was written."""
    paths = sorted(path for store in stores for pattern in PATTERNS for path in store.glob(pattern))
    return [(str(path), path.stat().st_mtime_ns) for path in paths]
