"""The browser, and in it the page whose address a module's `index` gives."""

from collections.abc import Iterator
from typing import Any

import pytest

from ..chromium import WIDE, launched, opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, index: str) -> Iterator[Any]:
    """Opened wide; whatever it complains of or asks the network for fails the test."""
    with opened(browser, index, viewport=WIDE) as page:
        yield page
