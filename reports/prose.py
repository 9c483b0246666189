"""Text to paste into a paper: an abstract's sentences, a methods paragraph, and what to cite."""

from typing import Any

from .notes import digits_of, heading, number, signed

BIBTEX = {
    "medbench": """@software{medbench,
  title = {medbench: a benchmark and ablation suite for lightweight medical image segmentation},
  author = {{The medbench developers}},
  version = {VERSION}
}""",
    "medlitenet": """@article{medlitenet,
  title = {{MedLiteNet}},
  author = {Yu and Wang and Marks and Kechadi and Yang and Dhelim and Aung},
  journal = {arXiv preprint arXiv:2509.03041},
  year = {2025}
}""",
    "isic2018": """@article{isic2018,
  title = {Skin lesion analysis toward melanoma detection 2018: a challenge hosted by the International Skin Imaging
           Collaboration ({ISIC})},
  author = {Codella, Noel and others},
  journal = {arXiv preprint arXiv:1902.03368},
  year = {2019}
}""",
    "ham10000": """@article{ham10000,
  title = {The {HAM10000} dataset, a large collection of multi-source dermatoscopic images of common pigmented skin
           lesions},
  author = {Tschandl, Philipp and Rosendahl, Cliff and Kittler, Harald},
  journal = {Scientific Data},
  volume = {5},
  year = {2018},
  doi = {10.1038/sdata.2018.161}
}""",
    "ph2": """@inproceedings{ph2,
  title = {{PH2}: a dermoscopic image database for research and benchmarking},
  author = {Mendon{\\c{c}}a, Teresa and others},
  booktitle = {35th Annual International Conference of the IEEE Engineering in Medicine and Biology Society},
  year = {2013},
  doi = {10.1109/EMBC.2013.6610779}
}""",
}
SPLITS = {
    "holdout": "a seeded 70/10/20 split grouped by lesion and patient where known",
    "official": "the publisher's split",
    "egeunet": "a 70/30 split",
}


def abstract(facts: dict[str, Any]) -> str:
    """What was asked, on what, and what was found, a sentence a comparison on the first evaluation."""
    first, metric = facts["evaluations"][0], facts["primary"]
    digits = digits_of(metric)
    here = [row for row in facts["variants"] if row["evaluation"] == first]
    found = [row for row in facts["comparisons"] if row["evaluation"] == first and row["metric"] == metric]
    if not here:
        return "Nothing was scored yet."
    sentences = [f"We asked: {facts['question']}"]
    if facts["dataset"].get("name") == "synthetic":
        sentences.append("The images are synthetic, so what follows speaks of no photograph of skin.")
    own = next((row for row in here if row["variant"] == facts["baseline"]), here[0])
    level = f"reached a mean {heading(metric)} of {number(own[f'{metric}_mean'], digits)}"
    if own[f"{metric}_ci_low"] is not None:
        level += f" (95 % CI {number(own[f'{metric}_ci_low'], digits)} to {number(own[f'{metric}_ci_high'], digits)})"
    sentences.append(
        f"Over {_count(own['n_seeds'], 'training')} and {own['n_images']} test images {own['variant']} {level}."
    )
    for row in found:
        if row["ci_low"] is None:
            sentences.append(f"Whether {row['variant']} differs from it {row['claim']}.")
            continue
        sentences.append(
            f"Against it, {row['variant']} differed by {signed(row['difference'], digits)} "
            f"(95 % CI {signed(row['ci_low'], digits)} to {signed(row['ci_high'], digits)}, for new trainings and new "
            f"images): {row['claim']}."
        )
    return " ".join(sentences)


def methods(facts: dict[str, Any]) -> str:
    """How it was done, as a paragraph."""
    data, sizes = facts["dataset"], facts["n_images"]
    settings = facts["settings"].get(facts["baseline"], {})
    seeds = sorted({trial["seed"] for trial in facts["trials"]})
    named = "synthetic images" if data.get("name") == "synthetic" else f"images of {data.get('name')}"
    name = named if data.get("name") else "images of our own"
    split = SPLITS.get(str(data.get("split")), f"the split {data.get('split')}")
    shape = f"{data.get('size')}x{data.get('size')} pixels"
    text = [
        f"Models were trained on {sizes.get('train')} {name} ({split}; {sizes.get('validation')} for "
        f"validation, {sizes.get('test')} for test), resized to {shape}"
        + (
            f", for {settings['training.epochs']} epochs at batch size {settings.get('training.batch_size')} with "
            f"AdamW and cosine annealing, on {number(settings.get('training.bce_weight'), 1)} binary cross-entropy + "
            f"{number(settings.get('training.dice_weight'), 1)} Dice loss"
            if "training.bce_weight" in settings
            else ""
        )
        + "."
    ]
    kept = (
        "the last epoch's weights" if settings.get("training.checkpoint") == "last" else "the epoch best on validation"
    )
    text.append(
        f"Each variant was trained with {_count(len(seeds), 'seed')}; {kept} counted, and no test image selected "
        "anything."
    )
    where = "the reference masks' own resolution" if facts["score_at"] == "native" else "the input size"
    text.append(f"Masks were scored at {where}, image by image, and averaged over images.")
    if facts.get("margin"):
        text.append(
            f"A difference in {heading(facts['primary'])} within {facts['margin']} was declared practically nothing."
        )
    text.append(
        "Differences were tested by a crossed analysis of seeds and images, with trained models in the place of "
        "readers in a multi-reader multi-case study, so that intervals and p-values hold for new trainings and new "
        "images; p-values were adjusted by Holm's method over the variants."
    )
    text.append(f"Everything was computed with medbench {facts['medbench']} (protocol {facts['protocol']}).")
    return " ".join(text)


def bibtex(facts: dict[str, Any]) -> str:
    """Entries for medbench, the model, and the data sets that the study names."""
    models = {str(settings.get("model")) for settings in facts["settings"].values()}
    sets = {str(facts["dataset"].get("name")), *map(str, facts["datasets"].values())}
    is_ours = any(not model.startswith("smp:") and ":" not in model for model in models)
    wanted = ["medbench", *(["medlitenet"] if is_ours else []), *(name for name in BIBTEX if name in sets)]
    if "isic2018" in sets and "ham10000" not in sets:
        wanted.append("ham10000")  # a source of the challenge's images, which its terms ask to cite
    return "\n\n".join(BIBTEX[name] for name in wanted).replace("VERSION", str(facts["medbench"]))


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
