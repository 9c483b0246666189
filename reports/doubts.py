"""What a reader must know before believing a report: the warnings that belong in plain sight."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ..bench.metrics import COUNTS, constant
from ..bench.stats import same_training
from .joining import origins
from .load import Study
from .looks import outside_plan
from .naming import kind
from .notes import counted, listed
from .resolved import sets_of
from .settings import alike, flatten
from .tables import KNOWN

FEW_EPOCHS = 0.5  # of the recipe's; below it a training is named as short
FEW_IMAGES = 100  # of a test set; below it an evaluation is named as small
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


def warnings_of(study: Study, scores: pd.DataFrame) -> list[str]:
    """What a reader must know before believing a number, a sentence each, the gravest first."""
    return [
        *_nothing_to_believe(study, scores),
        *_gaps(study),
        *_too_little(study),
        *_slow_starts(study),
        *outside_plan(study),
        *_test_images(study, scores),
        *_dependence(study),
        *_mixtures(study),
    ]


def provenance(study: Study) -> dict[str, dict[str, Any]]:
    """The environment of every finished "trial <id>" and "evaluation <id>"; variants may share them."""
    found: dict[str, dict[str, Any]] = {}
    for trial in study.trials:
        found[f"trial {trial.id}"] = trial.environment
        found |= {f"evaluation {each.id}": each.environment for each in trial.evaluations.values()}
    return found


def _nothing_to_believe(study: Study, scores: pd.DataFrame) -> Iterator[str]:
    """Where the numbers say nothing of photographs, or nothing at all."""
    sets = sets_of(study.spec)
    computed = [variant for variant, name in sets.items() if name == "synthetic"]
    if computed:
        whose = "" if len(computed) == len(sets) else f" ({', '.join(computed)})"
        real = "photographs of skin" if study.target is None else "real ones"
        yield f"Synthetic images{whose}: they are computed, and nothing here speaks of {real}."
    constant: dict[tuple[str, str, str], list[str]] = {}
    for variant, word, seeds, evaluations in constant_predictions(scores):
        constant.setdefault((word, told_seeds(seeds), ", ".join(evaluations)), []).append(variant)
    for (word, seeds, where), variants in constant.items():
        each, learnt = ("predicts", "it has") if len(variants) == 1 else ("predict", "they have")
        yield (
            f"Constant predictions: every mask that {listed(variants)} {each} on {where} is {word} ({seeds}); {learnt} "
            "learnt nothing that this could show."
        )


def constant_predictions(scores: pd.DataFrame) -> list[tuple[str, str, list[int], list[str]]]:
    """Variant, "empty" or "full", seeds and evaluations: where all masks of a training are the same."""
    if not len(scores):
        return []
    by_training: Any = scores.groupby(["variant", "evaluation", "seed"], sort=False)
    seeds_of: dict[tuple[str, str, str], list[int]] = {}
    for (variant, evaluation, seed), counts in by_training[list(COUNTS)].sum().iterrows():
        if word := constant(counts):
            seeds_of.setdefault((variant, evaluation, word), []).append(int(seed))
    found: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for (variant, evaluation, word), seeds in seeds_of.items():
        found.setdefault((variant, word, tuple(seeds)), []).append(evaluation)
    return [(variant, word, list(seeds), evaluations) for (variant, word, seeds), evaluations in found.items()]


def told_same(study: Study) -> list[str]:
    """Of each group of variants that are one training what tells so; a sentence but for its stop."""
    return [same_training(names, by_scores=names in study.same_scores) for names in study.same]


def told_seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _gaps(study: Study) -> Iterator[str]:
    """What is missing of what was planned, and of what others train and test on."""
    yield from study.apart
    if study.missing:
        done = f"{study.n_trials} of {counted(study.n_planned, 'trial')} done"
        yield (
            f"{'Unfinished' if study.n_trials < study.n_planned else 'Incomplete'}: {done}. "
            + "; ".join(study.missing)
            + "."
        )
    yield from (f"{each}; they are not compared." for each in told_same(study))
    lacking = [
        f"{part} {there} of {all_}" for part, (there, all_) in study.spec["completeness"].items() if there < all_
    ]
    if lacking:
        yield f"The published set is not whole here ({', '.join(lacking)} images): others' numbers are of other images."
    if study.spec["dataset"]["split"] == "random":
        yield (
            "A random split of single images: lesions, patients and copies may lie on both sides, so that scores "
            "flatter. It is for showing what that does."
        )
    if limit := study.spec["dataset"]["test_images"]:
        n_test = max(known["n_images"].get("test", 0) for known in study.spec["variants"].values())
        of = f" of {n_test}" if n_test > limit else ""
        yield f"A first look: only {limit}{of} test images (test_images)."


def _too_little(study: Study) -> Iterator[str]:
    """Too few seeds, epochs or pixels to speak of the method."""
    seeds = {variant: {t.seed for t in study.trials if t.variant == variant} for variant in study.spec["variants"]}
    single = [variant for variant, found in seeds.items() if len(found) == 1]
    if single:
        yield (
            f"One seed only: {', '.join(single)}. What another seed would give is unknown, so no claim about the "
            "method can be made."
        )
    every = {variant: flatten(known["settings"]) for variant, known in study.spec["variants"].items()}
    settings = {variant: known for variant, known in every.items() if "model" in known}  # an ensemble is not trained
    for key, least, what, so in (
        ("epochs", FEW_EPOCHS, "epochs", "they say little of what the models can reach"),
        ("size", 1.0, "pixels a side", "what is finer no model sees"),
    ):
        whole = study.spec["recipe"].get(key, 0)
        found = {name: each.get(f"training.{key}", each.get(key, whole)) for name, each in settings.items()}
        few = {name: value for name, value in found.items() if value < least * whole}
        if few:
            listed = ", ".join(
                f"{value}" + (f" ({', '.join(names)})" if len(names) < len(settings) else "")
                for names, value in alike(few)
            )
            yield f"Few {what}: {listed}, where the recipe has {whole}; {so}."
    pairs = [variant for variant, found in seeds.items() if len(found) == 2]
    if pairs:
        yield (
            f"Two seeds: intervals can be very wide, or too narrow, by chance ({', '.join(pairs)}); three or more tell."
        )


def _slow_starts(study: Study) -> Iterator[str]:
    """Random encoders that learn at the rate of pretrained ones, beside networks without such a part."""
    own, whole = "training.encoder_learning_rate", "training.learning_rate"
    slow, others = dict[str, float](), dict[str, float]()
    for variant, known in study.spec["variants"].items():
        each = flatten(known["settings"])
        if own not in each:  # an ensemble
            continue
        if "options.backbone" not in each and not each["model"].startswith("smp:"):
            others[variant] = each[whole]
        elif each.get("encoder_weights") == "none" and each[own] < each[whole]:
            slow[variant] = each[own]
    if slow and others:
        behind, ahead = (
            ", ".join(f"{rate:g} ({', '.join(names)})" for names, rate in alike(each)) for each in (slow, others)
        )
        yield (
            f"Random encoders learn at {behind}, networks without one at {ahead}: the first may be behind for that "
            "alone. training: {encoder_learning_rate: ...} sets it."
        )


def _test_images(study: Study, scores: pd.DataFrame) -> Iterator[str]:
    """What is to be known of the images that scores are of, and of how they were scored."""
    primary = study.spec["primary"]
    scores = scores.reindex(columns=["evaluation", "variant", "seed", "image", primary])
    without = _without_any(study, scores)
    if without:
        pairs = pd.MultiIndex.from_arrays([scores["evaluation"], scores["image"]])
        scores = scores.loc[~pairs.isin([(name, image) for name, images in without.items() for image in images])]
    by_evaluation = {name: part for name, part in scores.groupby("evaluation", sort=False)}
    n_images = {name: len(set(part["image"])) for name, part in by_evaluation.items() if name not in study.repeated}
    few = [f"{name} {n}" for name, n in n_images.items() if n < FEW_IMAGES]
    if few:
        yield f"Few test images: {', '.join(few)}. Others could give other numbers, as the intervals show."
    if study.spec["score_at"] == "input":
        yield (
            "Scored at the models' input size, as some papers do: these numbers are not to be compared with scores at "
            "the resolution of the reference masks."
        )
    if at_input := study.spec["at_input"]:
        yield (
            f"{listed(at_input)} is the clean images over again, scored at the models' input size as some papers do; "
            "it is there to be read beside them."
        )
    for evaluation, part in by_evaluation.items():
        trainings = ["variant", "seed"]
        n_trainings, n_here = len(part[trainings].drop_duplicates()), len(set(part["image"]))
        scored: Any = part.dropna(subset=[primary])[[*trainings, "image"]].drop_duplicates()
        n_shared = int((scored["image"].value_counts() == n_trainings).sum())
        if n_shared < n_here:
            yield (
                f"Test images differ on {evaluation}: {n_shared} of {n_here} images have {KNOWN[primary].label} "
                "from every variant and seed; each comparison uses those that both of its variants share."
            )
    told = [f"{len(images)} of {name}" for name, images in without.items() if name not in study.repeated]
    if told:
        yield (
            f"Test images without any {kind(study.target)} in their reference: {', '.join(told)}. They have no "
            f"{KNOWN[primary].label} with any variant; what is predicted there counts as false alarms."
        )
    left_out = {"the data set": study.spec["left_out"]}
    for trial in study.trials:
        # The clean test set is part of the data set.
        known = {"clean", *study.spec["at_input"]}
        counts = {name: each.config.get("left_out") for name, each in trial.evaluations.items() if name not in known}
        left_out |= {name: n for name, n in counts.items() if n}
    yield from (f"Images left out of {what}: {n}." for what, n in left_out.items() if n)
    if study.spec["exclude_copies"] is False and set(sets_of(study.spec).values()) != {"synthetic"}:
        yield "Nobody looked whether test images show the same pictures as training images (exclude_copies: true does)."
    copies = {name: n for name, n in study.spec["copies_left_out"].items() if name not in study.repeated}
    if copies:
        told = ", ".join(f"{n} of {name}" for name, n in copies.items())
        yield f"Test images left out because training images show the same picture: {told}."


def _without_any(study: Study, scores: pd.DataFrame) -> dict[str, list[str]]:
    """By evaluation the images of whose reference no class is part, so that no variant has a score there."""
    if study.target is None:
        return {}
    known: Any = scores.groupby(["evaluation", "image"], sort=False)[study.spec["primary"]].count()
    found: dict[str, list[str]] = {}
    for evaluation, image in known.index[known == 0]:
        found.setdefault(evaluation, []).append(image)
    return found


def _dependence(study: Study) -> Iterator[str]:
    """Where variants that are compared as independent are not."""
    trainings: dict[str, set[str]] = {}
    for trial in study.trials:
        trainings.setdefault(trial.variant, set()).update(trial.members or [trial.id])
    others = {study.spec["baseline"]: "the baseline's own trainings"}
    if other := study.spec["compare_with"]:
        others[other] = f"trainings of {other} too"
    for other, whose in others.items():
        own = trainings.get(other, set())
        names = [variant for variant in study.compared(other) if trainings.get(variant, set()) & own]
        if names:
            yield (
                f"{', '.join(names)} {'contains' if len(names) == 1 else 'contain'} {whose}; "
                "its interval is wider, and its p larger, than need be."
            )


def _mixtures(study: Study) -> Iterator[str]:
    """Where numbers of different images, weights, machines, versions or code states meet."""
    known: dict[tuple[str, int | None, str], list[Any]] = {}
    for trial in study.trials:
        tested = {name: each.config for name, each in trial.evaluations.items()}
        for origin, value in origins(trial.variant, trial.fold, trial.config, tested):
            known.setdefault(origin, []).append(value)
    mixed: dict[str, dict[str, None]] = {}
    for (variant, _, what), values in known.items():
        if any(value != values[0] for value in values):
            mixed.setdefault(what, {})[variant] = None
    for what, variants in mixed.items():
        yield (
            f"Mixed {what}: trials of {listed([*variants])} differ there. Numbers of different origins meet in these "
            "tables."
        )
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
