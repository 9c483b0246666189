"""What the trained models of a study are tested on.

The sentence below a key is what `medbench schema` and the documentation say of it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from .recipe import Count, Spec, as_tuple


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, int) else as_tuple(value)


def check_one_set(name: str | None, folder: str | None, images: int | None) -> None:
    """ValueError where a set is named in none or in both ways, or counted though it brings its own images."""
    if (name is None) == (folder is None):
        raise ValueError("give either the name of a data set or a folder")
    if images is not None and name != "synthetic":
        raise ValueError("images is the number of synthetic images; other sets bring their own")


class OtherSet(Spec):
    """An evaluation on a named data set: all its images, or the test part that the study's split gives.

    A trial that was trained on the set itself is always tested on its test part.
    """

    dataset: str | None = None
    """The name of a set; or give `folder`."""
    folder: str | None = None
    """A set of your own; or give `dataset`."""
    images: Count | None = None
    """How many images, of the synthetic set only."""
    part: Literal["all", "test"] = "all"
    """All images of the set, or the part that the study's split holds out of it."""

    @model_validator(mode="after")
    def _is_one_set(self) -> "OtherSet":
        check_one_set(self.dataset, self.folder, self.images)
        return self

    @property
    def name(self) -> str:
        """What the evaluation is called in tables."""
        return self.dataset or Path(self.folder or "").resolve().name


class ArtifactTest(Spec):
    """Evaluations on the study's own test images with an artifact painted over them, one a severity."""

    artifact: str
    """The kind of artifact, as `medbench artifacts` paints it."""
    severity: Annotated[
        tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1), BeforeValidator(_one_or_more)
    ]
    """1 to 5, one or a list; each is an evaluation of its own."""

    @property
    def names(self) -> dict[str, int]:
        """What the evaluations are called in tables, with their severities."""
        return {f"{self.artifact}-{severity}": severity for severity in self.severity}

    @model_validator(mode="after")
    def _differs(self) -> "ArtifactTest":
        if len(self.names) < len(self.severity):
            raise ValueError("severities must differ from each other")
        return self


class AtInput(Spec):
    """An evaluation on the study's own test images, scored at the models' input size beside that at the study's
    `score_at`: what a paper that shrinks the masks would report of the same trainings."""

    score_at: Literal["input"]
    """At the size of the models' input."""

    @property
    def name(self) -> str:
        """What the evaluation is called in tables."""
        return "clean-at-input"


def _kind_of_evaluation(value: Any) -> str:
    if isinstance(value, str):
        return "clean"
    keys = set(value) if isinstance(value, dict) else type(value).model_fields
    return next((kind for key, kind in (("artifact", "artifact"), ("score_at", "input")) if key in keys), "other")


Evaluation = Annotated[
    Annotated[Literal["clean"], Tag("clean")]
    | Annotated[OtherSet, Tag("other")]
    | Annotated[ArtifactTest, Tag("artifact")]
    | Annotated[AtInput, Tag("input")],
    Discriminator(_kind_of_evaluation),
]
