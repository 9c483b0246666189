"""What a report calls the thing that is looked for: a lesion, as long as a study names nothing else."""

from ..bench.metrics import Target

LESION = "lesion"  # the word of templates and tables, which gives way


def names_of(target: Target | None) -> tuple[str, ...]:
    """Of several classes or labels, each of which has numbers of its own; none of one structure."""
    return () if target is None or target.is_single else target.names


def kind(target: Target | None) -> str:
    """What one of several names is."""
    return "label" if target is not None and target.overlap else "class"


def kinds(target: Target | None) -> str:
    return "labels" if kind(target) == "label" else "classes"


def in_words_of(target: Target | None, text: str) -> str:
    """A text about lesions as one about what is looked for.

    >>> in_words_of(None, "share of lesion"), in_words_of(Target(("polyp",)), "share of lesion")
    ('share of lesion', 'share of polyp')
    >>> in_words_of(Target(("right ventricle", "myocardium")), "on other lesions")
    'on other structures'
    """
    if target is None:
        return text
    return text.replace(LESION, target.names[0] if target.is_single else "structure")


def mean_over(target: Target | None) -> str:
    """What an image's score is the mean of, to stand behind a number of images; nothing for one structure."""
    return f", each the mean over the {kinds(target)} in its reference" if names_of(target) else ""
