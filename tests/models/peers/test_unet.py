"""The U-Net is the one that papers list, counted by hand."""

import pytest

from medbench.models.peers import PEERS


@pytest.mark.parametrize(("name", "width"), [("unet", 32), ("unet_64", 64)])
def test_its_parameters_are_those_of_the_paper_with_norms(name: str, width: int) -> None:
    widths = [width * 2**level for level in range(5)]

    def convolution(inputs: int, outputs: int) -> int:
        return 3 * 3 * inputs * outputs + 2 * outputs  # and a factor and an offset of the norm

    down = sum(convolution(a, b) + convolution(b, b) for a, b in zip([3, *widths], widths, strict=False))
    up = sum(2 * 2 * 2 * a * a + a for a in widths[:-1])
    decoder = sum(convolution(2 * a, a) + convolution(a, a) for a in widths[:-1])
    head = width + 1

    assert PEERS[name].cost.parameters == down + up + decoder + head
