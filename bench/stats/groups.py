"""Images that come in groups: slices of one patient, frames of one video.

Images of one group are alike, so that a mean over images knows less than so many images by themselves would tell.
Whatever deviations e[i] are summed over images are then summed group by group first,

    T[g] = sum of e[i] over the images of group g,    M = sum_g a_g T[g]^2 / N

in the place of a mean square M over images: M / N is the variance of a mean over images for new groups. The factors

    a_g = 1 / (1 - 2 w_g + sum_h w_h^2),    w_g = the group's share of the images

make it right on average where the images of a group are as one, and hardly too large where they are not; they are
G / (G - 1) for G groups of one size, and groups of single images leave var(e, ddof=1).

Degrees of freedom by Satterthwaite, as Bell and McCaffrey have them for regressions: those of M where the images of a
group are as one. They are G - 1 for G groups of one size and fewer where sizes differ, so that a patient with half of
all images, and a hundred with one each, do not count for many.

Sources: variances by groups, Liang and Zeger (1986), Biometrika 73(1), and Cameron and Miller (2015), Journal of Human
Resources 50(2); of images in a diagnostic study, Obuchowski (1997), Biometrics 53(2); factors and degrees of freedom
after Bell and McCaffrey (2002), Survey Methodology 28(2).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Labels = Sequence[Hashable]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The groups that N images come in, G of them.

    Attributes:
        place: (N,) the group of each image, from 0 to G - 1.
        sizes: (G,) the images of each group, 1 or more.
    """

    place: NDArray[np.intp]
    sizes: Values

    def __len__(self) -> int:
        return self.sizes.size

    def sums(self, values: Values) -> Values:
        """(R, G) the sums over each group of values (R, N)."""
        return np.stack([np.bincount(self.place, row, len(self)) for row in values]).astype(np.float64, copy=False)

    def mean_square(self, deviations: Values) -> float:
        """M of deviations (R, N), summed over rows; two groups or more."""
        return float((self._factors() * np.square(self.sums(deviations)).sum(axis=0)).sum()) / self.place.size

    @property
    def effective(self) -> float:
        """As many groups of one size would leave the same degrees of freedom, which are one less; from 2 to G.

        Where u[g] have variances w_g^2, T[g] = u[g] - w_g sum(u) have covariances C[g, h], a_g C[g, g] is w_g^2, and
        the degrees of freedom of sum_g a_g T[g]^2 are (sum_g w_g^2)^2 / sum_gh a_g a_h C[g, h]^2. Here that sum is
        written out, for C[g, h] = -w_g w_h (w_g + w_h - sum_k w_k^2) has no need of G x G numbers.
        """
        share = self.sizes / self.place.size
        total, scaled = float((share**2).sum()), self._factors() * share**2
        b0, b1, b2 = (float((scaled * share**power).sum()) for power in range(3))
        every = 2 * b0 * b2 + (total * b0) ** 2 + 2 * b1**2 - 4 * total * b0 * b1
        diagonal = float(np.square(scaled * (2 * share - total)).sum())  # where g is h and C is of another form
        return 1 + total**2 / (every - diagonal + float((share**4).sum()))

    def _factors(self) -> Values:
        share = self.sizes / self.place.size
        return 1 / (1 - 2 * share + (share**2).sum())


def groups_of(labels: Labels | None, n_images: int, name: str = "groups") -> Groups | None:
    """The groups that labels, one an image, tell of; None where every image is one by itself.

    Raises:
        ValueError: there are not as many labels as images.
    """
    if labels is None:
        return None
    if len(labels) != n_images:
        raise ValueError(f"{name} has {len(labels)} labels for {n_images} images; give one for each")
    places: dict[Hashable, int] = {}
    place = np.array([places.setdefault(label, len(places)) for label in labels], dtype=np.intp)
    if len(places) == n_images:
        return None
    return Groups(place, np.bincount(place).astype(np.float64))
