"""What a shell completes: names that are known without torch, and trials of the store. Where nothing fits, it offers
files."""

from collections.abc import Iterable
from contextlib import suppress

from .terminal import default_store


def studies(incomplete: str) -> list[str]:
    """Studies that ship."""
    from ...ablations.schema.loading import shipped_studies

    return _fitting(shipped_studies(), incomplete)


def models(incomplete: str) -> list[str]:
    """Models that medbench itself brings."""
    from ...models.names import ENSEMBLE, MODELS

    return _fitting([*MODELS, ENSEMBLE], incomplete)


def datasets(incomplete: str) -> list[str]:
    """Data sets by name."""
    from ...datasets.catalog import DATASETS

    return _fitting([*DATASETS, "folder:"], incomplete)


def artifacts(incomplete: str) -> list[str]:
    """Kinds of artifacts."""
    from ...datasets.artifacts import ARTIFACTS

    return _fitting(ARTIFACTS, incomplete)


def metrics(incomplete: str) -> list[str]:
    """Metrics by name."""
    from ..metrics import METRICS

    return _fitting(METRICS, incomplete)


def trials(incomplete: str) -> list[str]:
    """Trials of the store that commands take where none is named."""
    with suppress(OSError):
        return _fitting((path.name for path in (default_store() / "trials").iterdir()), incomplete)
    return []


def stored_studies(incomplete: str) -> list[str]:
    """Studies of that store."""
    return _fitting((path.stem for path in (default_store() / "studies").glob("*.yaml")), incomplete)


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete) and not name.startswith("."))
