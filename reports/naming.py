"""What a report calls the thing that is looked for: a lesion, as long as a study names nothing else."""

from ..bench.metrics import Target

LESION = "lesion"  # the word of templates and tables, which gives way


def has_classes(target: Target | None) -> bool:
    """Whether there are several classes or labels, each with numbers of its own."""
    return target is not None and not target.is_single


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
    return f", each the mean over the {kinds(target)} in its reference" if has_classes(target) else ""
