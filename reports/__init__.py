"""Turn finished trials in a store into a page that a reader can check: every number names the trials it came from."""

from typing import TYPE_CHECKING, Any

from .load import load as load

if TYPE_CHECKING:
    from .page import write_report as write_report


def __getattr__(name: str) -> Any:
    """Whoever reads scores need not wait for what draws figures."""
    if name != "write_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .page import write_report

    return write_report
