"""How many times each variant of a study is trained: so many times, or until the study is decided.

The sentence below a key is what `medbench schema` and the documentation say of it.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from .recipe import Spec, as_tuple

if TYPE_CHECKING:
    from .spec import Study


class UntilDecided(Spec):
    """Trainings in rounds, one of each variant at a time, until every comparison of the primary metric on the first
    evaluation is decided: better, worse, or equivalent within the margin. The error is held over all looks."""

    until: Literal["decided"]
    """What ends it."""
    at_least: Annotated[int, Field(ge=2)]
    """Seeds of each variant at the first look."""
    at_most: Annotated[int, Field(ge=2)]
    """Where it ends, decided or not."""
    spending: Literal["obrien-fleming", "pocock"] = "obrien-fleming"
    """How the 5 % are spent over the looks: `obrien-fleming` little at first, `pocock` about alike at each."""
    order: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_tuple)] | None = None
    """The variants but the baseline in the order in which they are tested, each at the full level until one fails, in
    the place of Holm's method."""

    @model_validator(mode="after")
    def _has_looks(self) -> "UntilDecided":
        if self.at_most <= self.at_least:
            raise ValueError(f"at_most must be above at_least, got {self.at_most} and {self.at_least}")
        return self


def _fixed(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError(
            f"say a number, a list of seeds, or {{until: decided, at_least: 3, at_most: 12}}, got {value!r}"
        )
    if isinstance(value, int) and value < 1:
        raise ValueError(f"say a number of trainings from 1 on, or a list of seeds, got {value!r}")
    return tuple(range(value)) if isinstance(value, int) else as_tuple(value)


def _kind(value: Any) -> str:
    return "rounds" if isinstance(value, dict | UntilDecided) else "fixed"


Seeds = Annotated[
    Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1), BeforeValidator(_fixed), Tag("fixed")
    ]
    | Annotated[UntilDecided, Tag("rounds")],
    Discriminator(_kind),
]


def wrong_looks(looks: UntilDecided, study: "Study") -> str | None:
    """Why a study cannot be trained until it is decided; None where it can."""
    others = [name for name in study.variants if name not in (study.baseline, study.compare_with)]
    if not others and not study.compare_with:
        return "there is nothing to decide: the study has one variant; say a number"
    if study.asks != "difference":
        return f"until decided goes by differences of scores, and the study asks for {study.asks}; say a number"
    if looks.order is not None:
        if study.compare_with:
            return "order is of one family of comparisons; leave it or compare_with out"
        if sorted(looks.order) != sorted(others):
            return f"order must name each variant but the baseline once: {', '.join(others)}"
    return None
