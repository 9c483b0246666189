"""The words of a report: the answer to each comparison, and the warnings that belong in plain sight."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..bench.stats import same_training
from .load import Study
from .tables import KNOWN

MINUS = "\N{MINUS SIGN}"
COMPARABLE = {
    "device_name": "hardware",
    "cpu": "processors",
    "instructions": "instructions of processors",
    "platform": "platforms",
    "driver": "drivers",
    "cuda": "CUDA versions",
    "medbench": "versions of medbench",
    "python": "versions of Python",
    "git_commit": "commits",
    "deterministic": "determinism settings",
}


def number(value: float | None, digits: int = 3) -> str:
    """A number with a true minus sign; a dash when there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """A number with its sign, also when positive; zero has none."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return (text[1:] if float(text) == 0 else text).replace("-", MINUS)


def p_text(value: float | None) -> str:
    """A p value to two significant digits, and below 0.001 as that."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def digits_of(metric: str) -> int:
    """Decimals to print: three for shares, two for distances."""
    return 2 if KNOWN[metric].unit else 3


def heading(metric: str) -> str:
    """The metric's label, with its unit where it has one."""
    known = KNOWN[metric]
    return f"{known.label} ({known.unit})" if known.unit else known.label


def answer(study: Study, row: dict[str, Any]) -> dict[str, str]:
    """One comparison in a sentence: what was changed, by how much, over what, and what may be claimed.

    Args:
        study: where the variant's description is.
        row: a record of the comparisons table, on the primary metric.
    """
    digits = digits_of(row["metric"])
    seeds = _seeds(row["n_seeds_variant"], row["n_seeds_baseline"])
    effect = f"{KNOWN[row['metric']].label} {signed(row['difference'], digits)}"
    over = f"{seeds} × {row['n_images']} images"
    if row["ci_low"] is None:
        reason = row["reason"]
        rest = f"against {row['baseline']} ({over}). {reason[0].upper()}{reason[1:]}."
    else:
        effect += f" [{signed(row['ci_low'], digits)}, {signed(row['ci_high'], digits)}]"
        p = p_text(row["p_adjusted"])
        p = f"p {p}" if p.startswith("<") else f"p = {p}"
        rest = f"against {row['baseline']} ({over}, {p}, Holm): {row['claim']}."
    description = (study.spec["variants"][row["variant"]].get("description") or "").strip()
    label = description[:1].upper() + description[1:] or row["variant"]
    return {
        "evaluation": row["evaluation"],
        "variant": row["variant"],
        "label": label.rstrip("."),
        "effect": effect,
        "rest": rest,
        "claim": row["claim"],
        "may": row["may"],
        "not_shown": row["not_shown"],
        "cost": row["cost"],
    }


def warnings_of(study: Study, scores: pd.DataFrame) -> list[str]:
    """What a reader must know before believing a number, a sentence each, the gravest first."""
    return [*_gaps(study, scores), *_dependence(study), *_mixtures(study)]


def provenance(study: Study) -> dict[str, dict[str, Any]]:
    """The environment of every finished "trial <id>" and "evaluation <id>"; variants may share them."""
    found: dict[str, dict[str, Any]] = {}
    for trial in study.trials:
        found[f"trial {trial.id}"] = trial.environment
        found |= {f"evaluation {each.id}": each.environment for each in trial.evaluations.values()}
    return found


def _gaps(study: Study, scores: pd.DataFrame) -> Iterator[str]:
    if (study.spec.get("dataset") or {}).get("name") == "synthetic":
        yield "Synthetic images: they are computed, and nothing here speaks of photographs of skin."
    yield from study.apart
    if study.missing:
        done = f"{len(study.trials)} of {study.n_planned} trials done"
        yield f"Unfinished: {done}. " + "; ".join(study.missing) + "."
    for names in study.same:
        yield f"{same_training(names)}: their settings come to the same trials, and nothing is compared."
    seeds = {variant: {t.seed for t in study.trials if t.variant == variant} for variant in study.spec["variants"]}
    single = [variant for variant, found in seeds.items() if len(found) == 1]
    if single:
        yield (
            f"One seed only: {', '.join(single)}. What another seed would give is unknown, so no claim about the "
            "method can be made."
        )
    pairs = [variant for variant, found in seeds.items() if len(found) == 2]
    if pairs:
        yield (
            f"Two seeds: intervals can be very wide, or too narrow, by chance ({', '.join(pairs)}); three or more tell."
        )
    primary = study.spec["primary"]
    scores = scores.reindex(columns=["evaluation", "variant", "seed", "image", primary])
    for evaluation, part in scores.groupby("evaluation", sort=False):
        trainings = ["variant", "seed"]
        n_trainings, n_images = len(part[trainings].drop_duplicates()), len(set(part["image"]))
        scored: Any = part.dropna(subset=[primary])[[*trainings, "image"]].drop_duplicates()
        n_shared = int((scored["image"].value_counts() == n_trainings).sum())
        if n_shared < int(n_images):
            yield (
                f"Test images differ on {evaluation}: {n_shared} of {n_images} images have {KNOWN[primary].label} "
                "from every variant and seed; each comparison uses those that both of its variants share."
            )
    left_out = {"the data set": study.spec.get("left_out")}
    for trial in study.trials:
        # The clean test set is part of the data set.
        counts = {name: each.config.get("left_out") for name, each in trial.evaluations.items() if name != "clean"}
        left_out |= {name: n_images for name, n_images in counts.items() if n_images}
    yield from (f"Images left out of {what}: {n_images}." for what, n_images in left_out.items() if n_images)
    if study.spec.get("exclude_copies") is False and (study.spec.get("dataset") or {}).get("name") != "synthetic":
        yield "Nobody looked whether test images show the same pictures as training images (exclude_copies: true does)."
    copies = {name: n for name, n in study.spec.get("copies_left_out", {}).items() if name not in study.artifacts}
    if copies:
        listed = ", ".join(f"{n_images} of {name}" for name, n_images in copies.items())
        yield f"Test images left out because training images show the same picture: {listed}."


def _dependence(study: Study) -> Iterator[str]:
    """Where variants that are compared as independent are not."""
    trainings: dict[str, set[str]] = {}
    for trial in study.trials:
        trainings.setdefault(trial.variant, set()).update(trial.members or [trial.id])
    own = trainings.pop(study.spec["baseline"], set())
    names = [variant for variant, found in trainings.items() if found & own and variant in study.distinct]
    if names:
        yield (
            f"{', '.join(names)} {'contains' if len(names) == 1 else 'contain'} the baseline's own trainings; "
            "interval and p are wider than need be."
        )


def _mixtures(study: Study) -> Iterator[str]:
    """Where numbers of different machines, versions or code states meet."""
    environments = provenance(study).values()
    for key, label in COMPARABLE.items():
        # An evaluation added later need not know everything that a training records.
        values = sorted({str(e[key]) for e in environments if e.get(key) is not None})
        if len(values) > 1:
            yield f"Mixed {label}: {'; '.join(values)}. Numbers of different origins meet in these tables."
    names = {name for environment in environments for name in environment.get("packages", {})}
    for name in sorted(names):
        versions = sorted({str(e["packages"][name]) for e in environments if name in e.get("packages", {})})
        if len(versions) > 1:
            yield f"Mixed versions of {name}: {', '.join(versions)}."
    n_dirty = sum(bool(environment.get("git_dirty")) for environment in environments)
    if n_dirty:
        yield (
            f"Uncommitted changes: {n_dirty} of {len(environments)} trainings and evaluations were made by code that "
            "is in no commit; the environments below name them."
        )


def _seeds(n_variant: int, n_baseline: int) -> str:
    if n_variant != n_baseline:
        return f"{n_variant} and {n_baseline} seeds"
    return "1 seed" if n_variant == 1 else f"{n_variant} seeds"
