"""What gets in the way on dermoscopic images, painted over clean ones at five severities.

Painting is a pure function of (image, id, kind, severity, seed), and geometry is relative to the image's shorter side,
so that the same id gets the same hairs at every size. A higher severity of one kind covers more, or lowers the
peak signal-to-noise ratio more, by targets that are written beside each kind.
"""

from . import hair, marks, optics, ruler  # each makes its kinds known  # noqa: F401
from .painting import ARTIFACTS, LOCAL, SEVERITIES, artifact, paint

__all__ = ["ARTIFACTS", "LOCAL", "SEVERITIES", "artifact", "paint"]
