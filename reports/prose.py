"""Text to paste into a paper: an abstract's sentences and a methods paragraph.

What it says of how models were trained comes from the resolved study, variant by variant where they differ. What the
store does not say is left out.
"""

import json
from collections.abc import Callable, Sequence

from .artifact_losses import asked_about
from .evidence import Evidence, Row
from .looks import adjusted_by, looked
from .naming import kind, kinds, names_of
from .notes import by_groups, counted, digits_of, heading, listed, number, sides
from .settings import alike

SPLITS = {
    "holdout": "a seeded 70/10/20 split grouped by lesion and patient where known",
    "official": "the publisher's split",
    "random": "a seeded 70/10/20 split of single images, whatever lesion, patient or copy they belong to",
    "egeunet": "a seeded 63/7/30 split grouped by lesion and patient where known",
}
WEIGHTS = {"imagenet": "ImageNet weights of the encoder", "none": "random weights"}
READ = {"probabilities": "as probabilities", "softmax": "as scores of background and lesion before a softmax"}
KEPT = {
    "last": "taken as they were after the last epoch",
    "best-val": "taken from the epoch with the best validation Dice",
}
MODALITIES = {"mri": "MRI", "ct": "CT", "xray": "X-ray"}  # those that are not written as the recipe names them
REMOVED = {"train_and_test": "in training and in test", "test": "in test alone"}
PRECISIONS = {"fp16": "mixed precision (FP16)", "fp32": "single precision (FP32)"}
CHANGES = {  # of training images: what stands behind a probability of the recipe
    "flip": "flips",
    "affine": "rotation, scaling and shifts",
    "elastic": "elastic deformation",
    "colour": "changes of colour",
    "clahe": "CLAHE",
    "noise": "noise",
    "blur": "blur",
}


def abstract(evidence: Evidence) -> str:
    """What was asked, on what, and the answers to it on the first evaluation."""
    first, metric = evidence.first, evidence.primary
    digits = digits_of(metric)
    here = [row for row in evidence.variant_rows if row["evaluation"] == first]
    if not here:
        return "Nothing was scored yet."
    sentences = [f"We asked: {evidence.spec['question']}"] if evidence.spec["question"] else []
    if set(evidence.trained_on.values()) == {"synthetic"}:
        real = "photograph of skin" if evidence.study.target is None else "real image"
        sentences.append(f"The images are synthetic, so what follows speaks of no {real}.")
    own = next((row for row in here if row["variant"] == evidence.baseline), here[0])
    level = f"reached a mean {heading(metric)} of {number(own[f'{metric}_mean'], digits)}"
    if own[f"{metric}_ci_low"] is not None:
        level += f" (95 % CI {number(own[f'{metric}_ci_low'], digits)} to {number(own[f'{metric}_ci_high'], digits)})"
    if names_of(evidence.study.target):
        names = kinds(evidence.study.target)
        level += f", the mean over images of the mean over the {names} in each image's reference"
        by_class = number(own.get(f"{metric}_class_mean"), digits)
        level += f" ({by_class} as the mean over {names} of each one's mean over images)"
    cell = evidence.cells[first, own["variant"]]
    scored = cell.scores["image"].isin(list(cell.tables[metric]))
    n_trainings, n_seeds = (cell.scores.loc[scored, key].nunique() for key in ("trial", "seed"))
    over = counted(n_trainings, "training")
    if n_trainings > n_seeds and n_trainings % n_seeds == 0:  # in folds each image is tested by one training of a seed
        over += f" ({counted(n_seeds, 'seed')} of {counted(n_trainings // n_seeds, 'fold')})"
    over += f" and {counted(own['n_images'], 'test image')}"
    sentences.append(f"Over {over} {own['variant']} {level}.")
    sentences += [each.abstract for each in evidence.asked if each.evaluation == first]
    return " ".join(sentences)


def methods(evidence: Evidence) -> str:
    """How it was done, as a paragraph."""
    begun = {trial["variant"] for trial in evidence.trials} or {*evidence.names}  # else it tells what is planned
    done = [name for name in evidence.names if name in begun]
    trained = [name for name in done if "ensemble.members" not in evidence.settings[name]]
    phrases = (
        _data,
        _input,
        _hair,
        _schedule,
        _outputs,
        _labels,
        _encoder,
        _augmentation,
        _precision,
        _trainings,
        _kept,
    )
    text = [_target(evidence), _models(evidence, trained)]
    text += [sentence for phrase in phrases if (sentence := _told(evidence, trained, phrase))]
    text = text[:3] + [sentence.replace("Models were", "They were", 1) for sentence in text[3:]]
    text += [_ensemble(name, evidence.settings[name]) for name in done if name not in trained]
    stopped = ", but for when to stop adding seeds, which test scores decided" if evidence.spec["looks"] else ""
    text += [_tests(evidence), _copies(evidence), f"No test image selected anything{stopped}.", _scoring(evidence)]
    if evidence.spec["margin"]:
        within = f"{heading(evidence.primary)} within {evidence.spec['margin']}"
        text.append(f"A difference in {within} was declared practically nothing.")
    if any(row["ci_low"] is not None for row in evidence.comparison_rows):
        adjusted = "in a declared order" if adjusted_by(evidence.study) == "in order" else "by Holm's method"
        text.append(
            "Differences were tested by a crossed analysis of seeds and images, with trained models in the place of "
            "readers in a multi-reader multi-case study, so that intervals and p-values hold for new trainings and new "
            f"images; p-values were adjusted {adjusted} over the variants"
            + (f", those against {other} by themselves." if (other := evidence.spec["compare_with"]) else ".")
        )
        text.append(looked(evidence.study, evidence.cells))
    if evidence.groups:
        text.append(by_groups(evidence.groups))
    if evidence.study.artifacts:
        ways = ("without", "with") if evidence.metric.higher_is_better else ("with", "without")
        text.append(
            f"What artifacts cost is the mean over {_conditions(evidence)} of the score {ways[0]} the artifact minus "
            f"that {ways[1]} it, paired by training and image; its interval holds for new trainings and new images too."
        )
    if evidence.spec["medbench"]:
        text.append(
            f"Everything was computed with medbench {evidence.spec['medbench']} (protocol {evidence.spec['protocol']})."
        )
    return " ".join(sentence for sentence in text if sentence)


def _target(evidence: Evidence) -> str:
    """What is looked for, where it is more than one structure of which nothing is said."""
    target = evidence.study.target
    if target is None:
        return ""
    if target.is_single:
        said = f"Each pixel was {target.names[0]} or {target.background}"
    elif target.overlap:
        said = f"A pixel could have several of the labels {listed(target.names)}"
    else:
        said = f"Each pixel had one of the classes {listed(target.names)}, or was {target.background}"
    return f"{said}; pixels that nobody labelled counted nowhere." if target.ignores else f"{said}."


def _models(evidence: Evidence, trained: Sequence[str]) -> str:
    """What each trained variant is."""
    told = [
        f"{name} ({evidence.settings[name].get('model')}: {evidence.label(name)})"
        if evidence.label(name) != name
        else f"{name} ({evidence.settings[name].get('model')})"
        for name in trained
        if evidence.settings[name].get("model")
    ]
    return f"Trained {'was' if len(told) == 1 else 'were'} {listed(told)}." if told else ""


def _told(evidence: Evidence, trained: Sequence[str], phrase: Callable[[Evidence, str], str]) -> str:
    """What a phrase says of trained variants, as a sentence; of each by name where it is not the same of all."""
    groups = [(names, text) for names, text in alike({name: phrase(evidence, name) for name in trained}) if text]
    if len(groups) == 1 and len(groups[0][0]) == len(trained) > 1:
        return f"Models were {groups[0][1]}."
    parts = [f"{listed(names)} {'was' if len(names) == 1 else 'were'} {text}" for names, text in groups]
    return "; ".join(parts) + "." if parts else ""


def _data(evidence: Evidence, variant: str) -> str:
    sizes, name = evidence.split_sizes[variant], evidence.trained_on[variant]
    if not {"train", "validation", "test"} <= sizes.keys():
        return ""
    rule = str(evidence.spec["dataset"]["split"] or "")
    seed = evidence.spec["dataset"].get("split_seed")
    split = SPLITS.get(rule, "")
    if rule.startswith("kfold:"):
        split = f"{rule.removeprefix('kfold:')}-fold cross-validation grouped by lesion and patient where known"
    if evidence.study.target is not None:
        split = split.replace("lesion and patient", "patient")
    modality = evidence.settings[variant].get("modality", "")
    parts = ["" if modality == "other" else MODALITIES.get(modality, modality)]
    parts += [split, "" if seed is None or rule == "official" else f"split seed {seed}"]
    parts.append(
        f"{'in the first fold ' if rule.startswith('kfold:') else ''}{sizes['validation']} for validation and "
        f"{sizes['test']} for test"
    )
    kind = "synthetic image" if name == "synthetic" else "image"
    source = f" of {name}" if name and name != "synthetic" else ""
    return f"trained on {counted(sizes['train'], kind)}{source} ({'; '.join(part for part in parts if part)})"


def _input(evidence: Evidence, variant: str) -> str:
    settings = evidence.settings[variant]
    if (size := settings.get("size")) is None:
        return ""
    channels = settings.get("channels")
    of = f" of {counted(channels, 'channel')}" if channels else ""
    text = f"shown images{of} resized to {size} × {size} pixels{_window(evidence, variant)}"
    sizes = next((trial["sizes"] for trial in evidence.trials if trial["variant"] == variant), [])
    return f"{text}, in training at {', then '.join(map(str, sizes))} a side" if len(sizes) > 1 else text


def _hair(evidence: Evidence, variant: str) -> str:
    """From which images hair was removed before a model saw them."""
    removal = evidence.settings[variant].get("preprocess.hair_removal")
    how = "shown images without dark hair, removed by closings along lines and inpainting after DullRazor"
    return f"{how}, {REMOVED[removal]}" if removal else ""


def _window(evidence: Evidence, variant: str) -> str:
    """Between which values images of more than 8 bits were seen, each training's own part deciding."""
    trials = [trial for trial in evidence.study.trials if trial.variant == variant]
    windows = [trial.config.get("source", {}).get("window") for trial in trials]
    told = dict.fromkeys(f"{window[0]:g} to {window[1]:g}" for window in windows if window)
    percents = json.loads(evidence.settings[variant].get("window_percentiles", "[]"))
    where = f" ({listed(percents)} % of the training part's pixels lie below)" if percents else ""
    return f" and seen in 8 bits from {listed(told)}{where}" if told else ""


def _schedule(evidence: Evidence, variant: str) -> str:
    recipe = _recipe(evidence, variant)
    if "epochs" not in recipe:
        return ""
    text = f"trained for {counted(recipe['epochs'], 'epoch')}"
    if "batch_size" in recipe:
        text += f" at batch size {recipe['batch_size']}"
    if {"learning_rate", "encoder_learning_rate", "weight_decay"} <= recipe.keys():
        text += f" with AdamW (learning rate {recipe['learning_rate']}"
        if part := _encoder_of(evidence, variant):
            text += f", {recipe['encoder_learning_rate']} for {part}"
        text += f", weight decay {recipe['weight_decay']}) and cosine annealing"
    if warmup := recipe.get("warmup_epochs"):
        text += f" after {counted(int(warmup) if warmup == int(warmup) else warmup, 'epoch')} of warm-up"
    if {"bce_weight", "dice_weight"} <= recipe.keys():
        entropy, dice = _terms(evidence)
        text += f", on {recipe['bce_weight']} {entropy} + {recipe['dice_weight']} {dice}"
        further = ((key.removeprefix("losses."), recipe[key]) for key in recipe if key.startswith("losses."))
        text += "".join(f" + {weight} {name} loss" for name, weight in further)
        weights = {
            key.removeprefix("class_weights."): recipe[key] for key in recipe if key.startswith("class_weights.")
        }
        if weights:
            text += f", with the weights {listed(f'{name} {weight}' for name, weight in weights.items())}"
    settings = evidence.settings[variant]
    if weights := json.loads(settings.get("deep_supervision") or settings.get("options.deep_supervision") or "[]"):
        text += f", and on the same of further maps of the network, with the weights {listed(weights)}"
    if weight := settings.get("options.artifact_weight"):
        gate = ", which its attention heeds" if settings.get("options.gated") else ", dropped at inference"
        text += f", and on {weight} of the same of where artifacts are painted, told by a head of its own{gate}"
    if weight := recipe.get("consistency.weight"):
        text += (
            f", and on {weight} of the mean squared difference of its probabilities with and without the artifacts, "
            f"away from contours (by {recipe['consistency.band']} of the side) and rising over "
            f"{recipe['consistency.ramp']} of the steps"
        )
    return text


def _terms(evidence: Evidence) -> tuple[str, str]:
    """The loss's cross-entropy and its Dice."""
    target = evidence.study.target
    if target is None or target.is_single:
        return "binary cross-entropy", "Dice loss"
    if target.overlap:
        return "binary cross-entropy of each label", "Dice loss averaged over images and labels"
    return f"cross-entropy over the classes and {target.background}", "Dice loss averaged over images and classes"


def _encoder_of(evidence: Evidence, variant: str) -> str:
    """What learns at a rate of its own; nothing where a model has no such part."""
    model = str(evidence.settings[variant].get("model") or "")
    if ":" in model and not model.startswith("smp:"):
        return "a part called encoder, if there is one"
    has_one = model.startswith("smp:") or "options.backbone" in evidence.settings[variant]
    return "the encoder" if has_one or not model else ""


def _outputs(evidence: Evidence, variant: str) -> str:
    """How the outputs of a network were read that gives something else than logits."""
    settings = evidence.settings[variant]
    kinds = (("", settings.get("output.kind")), (" in evaluation", settings.get("output.kind_in_eval")))
    parts = [f"{READ[kind]}{when}" for when, kind in kinds if kind in READ]
    parts += ["as smaller maps, interpolated to the size of the image"] if settings.get("output.upsample") else []
    return f"taken to give its output {' and '.join(parts)}" if parts else ""


def _labels(evidence: Evidence, variant: str) -> str:
    """What is learnt of images as a whole."""
    tasks = evidence.spec["variants"][variant]["settings"].get("tasks", {})
    told = [
        f"{name} ({len(task['classes'])} classes, {task['weight']} of the cross-entropy in the loss)"
        for name, task in tasks.items()
    ]
    return f"also taught, by a linear layer on the mean over the bottleneck, {listed(told)}" if told else ""


def _encoder(evidence: Evidence, variant: str) -> str:
    weights, model = (evidence.settings[variant].get(key) for key in ("encoder_weights", "model"))
    if weights == "none" and ":" in str(model) and not str(model).startswith("smp:"):
        return "started as its own code starts it"
    return "" if weights is None else f"started from {WEIGHTS.get(weights, f'encoder weights of the file {weights}')}"


def _augmentation(evidence: Evidence, variant: str) -> str:
    recipe = _recipe(evidence, variant)
    known = {key.removeprefix("augment."): value for key, value in recipe.items() if key.startswith("augment.")}
    if not known:
        return ""
    kinds = [f"{said} ({known[key]})" for key, said in CHANGES.items() if known.get(key)]
    text = f"trained with augmentation, each with its probability: {', '.join(kinds)}" if kinds else ""
    if known.get("artifacts"):
        painted = f"artifacts painted on half of the images ({listed(json.loads(known['artifacts']))})"
        text = f"{text}; and with {painted}" if text else f"trained with {painted} and no other augmentation"
    return text or "trained without augmentation"


def _precision(evidence: Evidence, variant: str) -> str:
    made = dict.fromkeys(trial["environment"] for trial in evidence.trials if trial["variant"] == variant)
    found = dict.fromkeys(evidence.environments[name]["fields"].get("precision") for name in made)
    return f"trained in {listed([PRECISIONS.get(each, each) for each in found])}" if found and None not in found else ""


def _trainings(evidence: Evidence, variant: str) -> str:
    folds: dict[int, set[int | None]] = {}
    for trial in evidence.trials:
        if trial["variant"] == variant:
            folds.setdefault(trial["seed"], set()).add(trial["fold"])
    if not folds:
        return ""
    seeds, found = sorted(folds), {frozenset(each) for each in folds.values()}
    of_each = [f"{seed} in {counted(len(folds[seed]), 'fold')}" if len(found) > 1 else str(seed) for seed in seeds]
    text = f"trained with {counted(len(seeds), 'seed')} ({', '.join(of_each)})"
    has_folds = found != {frozenset({None})} and len(found) == 1
    return f"{text} in each of {counted(len(folds[seeds[0]]), 'fold')}" if has_folds else text


def _kept(evidence: Evidence, variant: str) -> str:
    return KEPT.get(_recipe(evidence, variant).get("checkpoint", ""), "")


def _recipe(evidence: Evidence, variant: str) -> Row:
    settings = evidence.settings[variant]
    return {key.removeprefix("training."): value for key, value in settings.items() if key.startswith("training.")}


def _ensemble(name: str, settings: Row) -> str:
    members = listed(json.loads(settings["ensemble.members"]))
    weights = "equal weights" if settings.get("ensemble.weighting") == "equal" else "their validation Dice as weights"
    return f"{name} averages the probabilities of {members} of one seed, with {weights}."


def _tests(evidence: Evidence) -> str:
    """Every test set by name, with its images; artifacts with their severities."""
    parts = [_test(evidence, name) for name in evidence.spec["evaluations"] if name not in evidence.study.repeated]
    painted: dict[str, list[int]] = {}
    for each in evidence.study.artifacts.values():
        painted.setdefault(each["kind"], []).append(each["severity"])
    if painted:
        listed = [f"{kind} ({', '.join(map(str, severities))})" for kind, severities in painted.items()]
        parts.append(f"the study's own test images with painted artifacts (severity): {', '.join(listed)}")
    return f"They were tested on {'; '.join(part for part in parts if part)}." if any(parts) else ""


def _conditions(evidence: Evidence) -> str:
    """What losses are a mean over."""
    if not evidence.spec["conditions"]:
        return "these conditions"
    named = (evidence.study.artifacts[each] for each in asked_about(evidence.study))
    return listed(f"{each['kind']} ({each['severity']})" for each in named)


def _copies(evidence: Evidence) -> str:
    """Whether test images that training had seen as copies were left out."""
    left_out = {name: n for name, n in evidence.spec["copies_left_out"].items() if name not in evidence.study.repeated}
    if not evidence.spec["exclude_copies"]:
        return ""
    listed_out = ", ".join(f"{n} of {name}" for name, n in left_out.items()) or "there was none"
    return f"Test images that show the same picture as a training image were left out ({listed_out})."


def _test(evidence: Evidence, evaluation: str) -> str:
    groups = alike(evidence.tested_on.get(evaluation, {}))
    said = [
        f"{listed(names) + ': ' if len(groups) > 1 else ''}{counted(n, 'image')}"
        f"{f' of {name}' if name and name != evaluation else ''}"
        for names, (name, n) in groups
    ]
    return f"{evaluation} ({'; '.join(said)})" if said else ""


def _scoring(evidence: Evidence) -> str:
    places = {"native": "the reference masks' own resolution", "input": "the models' input size"}
    where = f" at {places[evidence.spec['score_at']]}" if evidence.spec["score_at"] else ""
    target = evidence.study.target
    if evidence.spec["at_input"]:
        where += f" (those of {listed(evidence.spec['at_input'])} at {places['input']})"
    sizes = alike({name: sides(each) for name, each in evidence.mask_sizes.items()})
    told = [f"{size} pixels{f' in {listed(names)}' if len(sizes) > 1 else ''}" for names, size in sizes]
    where += f" ({'; '.join(told)})" if told else ""
    if not names_of(target):
        return f"Masks were scored{where}, image by image, and averaged over images."
    one, all_ = kind(target), kinds(target)
    return (
        f"Masks were scored{where}, image by image: a {one} counted in an image whose reference holds it, whatever was "
        f"predicted; an image's score is the mean over its {all_}, and these were averaged over the images with any. "
        f"What was predicted of a {one} in an image without it was counted apart, as a false alarm. Pooled scores are "
        f"means over {all_} of each one's confusion matrix over all pixels."
    )
