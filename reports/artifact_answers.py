"""What artifacts cost, in words: the answers to a study that asks for robustness."""

from ..bench.stats import Claim, Finding
from .answers import Answer
from .artifact_losses import CLEAN, Average, asked_about, losses, losses_on_average
from .evidence import Evidence, Row
from .lost import Verdict, amount, more_or_less, sentence, spread, verb, verdict
from .naming import in_words_of, mean_over
from .notes import counted, digits_of, heading, listed, p_equals, signed
from .tables import records

NOT_SHOWN = "what other artifacts would do, or real ones, which lie on other lesions"
LESS_TO_LOSE = (
    "which variant scores higher under them: each loses from its own clean score, and where that is lower there is "
    "less to lose. Nor "
)
NOWHERE = "Under none of them does it lose."
PICKED = "; and the worst condition was picked for being the worst, so that other images may show less there"

Against = list[tuple[str, Finding, Claim]]
"""What a loss is compared with, by name."""


def answers(evidence: Evidence) -> list[Answer]:
    """For each variant what artifacts cost on average, under which it loses most, and how that compares with the
    baseline. Where the study names `compare_with` or `conditions` also how it compares with the first, and how clean
    scores compare, for a loss may be small because there is little to lose."""
    return [_answer(evidence, each) for each in evidence.once(losses_on_average)]


def _answer(evidence: Evidence, found: Average) -> Answer:
    metric, name, lost = evidence.primary, found.variant, found.lost
    ends = lost.gap, lost.ci_low, lost.ci_high, lost.too_few
    said = verdict(lost.ci_low, lost.ci_high, found.p_adjusted, evidence.spec["margin"] or 0.0, lost.too_few)
    over, worst = _over(evidence, found.conditions), worst_condition(evidence, name, found.conditions)
    effect = amount(metric, *ends)
    images = counted(found.n_images, "image") + (f" in {counted(found.n_groups, 'group')}" if found.n_groups else "")
    size = f"{counted(found.n_seeds, 'seed')} × {images}{mean_over(evidence.study.target)}"
    findings = ((evidence.baseline, found.more), (found.compare_with, found.more_compared))
    against: Against = [(other, more, more.claim) for other, more in findings if other and more and more.claim]
    clean = _clean(evidence, name)
    compared = [*_sentences(evidence, against), *_clean_sentence(evidence, clean), *_nothing_yet(evidence, found)]
    claim = _claim(evidence, said, against, clean)
    costs = [
        f"Against {other}: {more.cost}" if found.compare_with else more.cost for other, more, _ in against if more.cost
    ]
    may = [
        f"Against {other}: {words.may}" if found.compare_with else words.may
        for other, more, words in against
        if more.comparison.ci_low is not None
    ]
    p = f"{p_equals(found.p_adjusted)}, Holm over the variants" if said.kind != "undecided" else ""
    rest = [
        f"{over}, against the same images without ({', '.join(filter(None, [size, p]))}): {said.text}.",
        *compared,
        worst,
    ]
    on_average = " on average" if len(found.conditions) > 1 else ""
    told = f"Under {_kinds(evidence, found.conditions)} {name} {sentence(metric, *ends)}{on_average}"
    if _names_its_question(evidence):  # each of many comparisons in full is longer than an abstract
        told += f": {claim}."
    else:
        told = " ".join([f"{told}{f' ({p})' if p else ''}: {said.text}.", *compared])
    return Answer(
        evaluation=evidence.first,
        variant=name,
        compared_with=next((other for other, *_ in against), None),
        label=evidence.label(name),
        effect=effect,
        rest=" ".join(each for each in rest if each),
        claim=claim,
        may=" ".join(
            [
                _may(evidence, found, said, effect),
                *may,
                *(f"Without artifacts, against {row['baseline']}: {row['may']}" for row in clean),
            ]
        ),
        not_shown=_not_shown(evidence, worst, against),
        caveat=_caveat(evidence, found),
        cost=" ".join(costs) or None,
        brief=f": {effect} {over}: {claim}. {worst}".strip(),
        abstract=told,
    )


def _names_its_question(evidence: Evidence) -> bool:
    """Whether the study says what its answer is about. One that does not has the answer that it always had."""
    return bool(evidence.spec["compare_with"] or evidence.spec["conditions"])


def _sentences(evidence: Evidence, against: Against) -> list[str]:
    """How a loss compares with those of others, a sentence each."""
    said: list[str] = []
    for other, more, words in against:
        text = f"That is {more_or_less(evidence.primary, more.row(), other)}"
        if more.comparison.ci_low is None:
            said.append(f"{text}, which {words.verdict}.")
            continue
        family = f"Holm over the variants against {other}" if evidence.spec["compare_with"] else "Holm"
        said.append(f"{text} ({p_equals(more.p_adjusted)}, {family}): {words.verdict}.")
    return said


def _clean(evidence: Evidence, name: str) -> list[Row]:
    """The comparisons of a variant's clean scores, those of the comparisons' table; none where the study does not name
    its question."""
    if not _names_its_question(evidence):
        return []
    rows = [*evidence.comparison_rows, *evidence.compared_rows]
    here = [row for row in rows if (row["evaluation"], row["metric"]) == (CLEAN, evidence.primary)]
    return [row for row in here if row["variant"] == name]


def _clean_sentence(evidence: Evidence, rows: list[Row]) -> list[str]:
    digits, parts = digits_of(evidence.primary), list[str]()
    for row in rows:
        size = signed(row["difference"], digits)
        if row["ci_low"] is None:
            parts.append(f"by {size} from {row['baseline']}'s, which {row['claim']}")
            continue
        size += f" [{signed(row['ci_low'], digits)}, {signed(row['ci_high'], digits)}]"
        parts.append(f"by {size} from {row['baseline']}'s ({p_equals(row['p_adjusted'])}, Holm): {row['claim']}")
    return [f"Its clean {heading(evidence.primary)} differs {', and '.join(parts)}."] if parts else []


def _nothing_yet(evidence: Evidence, found: Average) -> list[str]:
    other = found.compare_with
    lacks = other and not found.more_compared and found.variant in evidence.study.compared(other)
    return [f"With {other} there is nothing to compare it yet."] if lacks else []


def _claim(evidence: Evidence, said: Verdict, against: Against, clean: list[Row]) -> str:
    """All verdicts in a line, which may be all that is read: no loss is called better or worse without the clean score
    that it is counted from."""
    if not _names_its_question(evidence):
        decided = [words.verdict for _, more, words in against if more.comparison.ci_low is not None]
        return "; ".join([said.text, *(f"against {evidence.baseline}: {each}" for each in decided)])
    lost = [f"against {other}: {words.verdict}" for other, _, words in against]
    scores = [f"against {row['baseline']}: {row['claim']}" for row in clean]
    parts = ((f"loss {', '.join(lost)}", lost), (f"clean {evidence.metric.label} {', '.join(scores)}", scores))
    return "; ".join([said.text, *(text for text, told in parts if told)])


def _not_shown(evidence: Evidence, worst: str, against: Against) -> str:
    if _names_its_question(evidence):
        return " Nor, ".join(f"against {other}, {words.not_shown}" for other, _, words in against)
    decided = [words.not_shown for _, more, words in against if more.comparison.ci_low is not None]
    return decided[0] if decided else _others(evidence, is_picked=worst not in ("", NOWHERE))


def _caveat(evidence: Evidence, found: Average) -> str:
    is_picked = len(found.conditions) > 1
    return f"{LESS_TO_LOSE}{_others(evidence, is_picked=is_picked)}" if _names_its_question(evidence) else ""


def _others(evidence: Evidence, *, is_picked: bool) -> str:
    return f"{in_words_of(evidence.study.target, NOT_SHOWN)}{PICKED if is_picked else ''}."


def _over(evidence: Evidence, conditions: tuple[str, ...]) -> str:
    """What a mean is over, in words."""
    n_planned, is_named = len(asked_about(evidence.study)), bool(evidence.spec["conditions"])
    names = listed(condition_name(evidence, each) for each in conditions)
    lacks = len(conditions) < n_planned
    of = [f"of {n_planned}; the others are not scored for every variant yet"] if lacks else []
    if len(conditions) == 1:
        return f"under {names}{f' ({of[0]})' if of and is_named else ''}"
    notes = ", ".join([*([names] if is_named else []), *of])
    return f"on average over {len(conditions)} artifact conditions{f' ({notes})' if notes else ''}"


def condition_name(evidence: Evidence, condition: str) -> str:
    """An artifact and its severity, in words."""
    artifact = evidence.study.artifacts[condition]
    return f"{artifact['kind']} {artifact['severity']}"


def _may(evidence: Evidence, found: Average, said: Verdict, effect: str) -> str:
    metric, name = evidence.metric.label, found.variant
    if said.kind in ("loses", "gains"):
        images = "groups of images" if found.n_groups else "images"
        told = verb(evidence.primary, said.kind)
        return f"For new trainings and new {images}, {name} {told} in mean {metric} under these artifacts."
    if said.kind == "undecided":
        return f"Of these very checkpoints of {name} on these very images: {effect}."
    told = verb(evidence.primary, "to lose or to gain")
    return f"Under these artifacts, {name} is not shown {told} in mean {metric}."


def worst_condition(evidence: Evidence, variant: str, conditions: tuple[str, ...]) -> str:
    """Of several conditions the one under which a variant loses most, in a sentence."""
    names = {condition_name(evidence, each) for each in conditions}
    rows = [row for row in records(evidence.once(losses)) if row["variant"] == variant]
    known = [(name, row) for row in rows if (name := f"{row['artifact']} {row['severity']}") in names]
    if len(known) < 2:
        return ""
    name, worst = max(known, key=lambda each: each[1]["drop"])
    if worst["drop"] <= 0:
        return NOWHERE
    size = spread(evidence.primary, *(worst[key] for key in ("drop", "drop_ci_low", "drop_ci_high", "drop_too_few")))
    lows = [row["drop_ci_low"] for _, row in known if row["drop_ci_low"] is not None]
    if lows and max(lows) <= 0:
        return f"Under none of them alone is a loss shown; the largest is that under {name}, {size}."
    return f"It loses most under {name}: {size}."


def _kinds(evidence: Evidence, conditions: tuple[str, ...]) -> str:
    severities: dict[str, list[int]] = {}
    for each in conditions:
        artifact = evidence.study.artifacts[each]
        severities.setdefault(artifact["kind"], []).append(artifact["severity"])
    return "painted " + listed(f"{kind} ({', '.join(map(str, found))})" for kind, found in severities.items())
