"""Answers: what a study found, in sentences that a reader can take away, each with what it does not show."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a study found about one variant."""

    evaluation: str
    variant: str
    compared_with: str | None = None
    """The variant that it is compared with, where it is."""
    label: str
    """The variant in words, the beginning of the sentence."""
    effect: str
    """The number that was asked for, with its 95 % interval."""
    rest: str
    """Over what, how sure, and the claim."""
    claim: str
    """The claim alone, for a table."""
    may: str
    """A sentence of what may be said."""
    not_shown: str
    """The end of a sentence that begins "It does not show"; empty where `caveat` says all."""
    caveat: str = ""
    """The end of a sentence that begins "None of this shows", for all answers alike."""
    cost: str | None = None
    """What it would take to know more, a sentence."""
    brief: str = ""
    """The same for a line that begins with the variant's name, where a study asks something else."""
    abstract: str = ""
    """The same as a sentence of an abstract."""
