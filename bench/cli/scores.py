"""The commands `medbench score` and `compare`: masks and scores that any tool made. Heavy imports wait inside the
commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MedbenchError
from ..store.folder import check_writable_file
from . import completing
from .terminal import JsonOption, console, print_json, print_table, progress_bar, told_in_one_line

if TYPE_CHECKING:
    from ...datasets.described.description import Description

SHOWN_BY_CLASS = ("dice", "iou", "hd95", "assd", "nsd1", "nsd2")  # in mm where these are known; --json has all
POOLED_BY_CLASS = ("dice", "iou")


@told_in_one_line
def score(
    prediction: Annotated[
        Path, typer.Option(help="Folder of predicted masks, or of maps of probability, which are cut at half.")
    ],
    reference: Annotated[
        Path, typer.Option(help="Folder of reference masks with the same stems; a dataset.yaml in or beside it counts.")
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="What the levels 0, 1, 2, ... in masks of several classes mean, the background first; else a "
            "dataset.yaml tells.",
        ),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(min=0, help="With --classes: the level of pixels that nobody labelled.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File for the scores of each image (and class): .csv or .json.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score masks that any tool made, image by image.

    At the size of their references. Files belong together by their stems; the endings _segmentation, _mask and _lesion
    do not count. Of several classes, or of labels with a folder each, each is scored by itself in the images that hold
    it.
    """
    if out and out.suffix not in (".csv", ".json"):
        raise MedbenchError(f"--out {out}: end the name in .csv or .json")
    if out:
        check_writable_file(out)
    from ..evaluation.class_masks import is_scored_by_class, told_masks
    from ..evaluation.scoring import score_folders
    from ..metrics import METRICS, MILLIMETRES
    from ..store.records import write_json, write_text

    told = told_masks(reference, classes, ignore)
    if told and is_scored_by_class(told[0]):
        _score_classes(prediction, reference, *told, out=out, as_json=as_json)
        return
    try:
        with progress_bar("scoring") as show:
            scores = score_folders(prediction, reference, spacing=told and told[0].spacing, on_image=show)
    except MedbenchError as error:
        if classes is None:
            raise
        raise MedbenchError(f"--classes {classes}: two are one structure in black and white; {error}") from error
    summary = scores.summary()
    if out and out.suffix == ".csv":
        write_text(out, scores.per_image.to_csv(index=False))
    elif out:
        write_json(out, summary)
    if as_json:
        print_json(summary)
        return
    cells = [
        (
            f"{metric.label}{f' ({metric.unit})' if metric.unit else ''}",
            *(f"{summary[kind][name]:.4f}" if name in summary[kind] else "" for kind in ("mean", "median", "pooled")),
        )
        for name, metric in (METRICS | MILLIMETRES).items()
        if name in summary["mean"]
    ]
    print_table(("", "mean", "median", "pooled"), cells, right=(1, 2, 3))
    typer.echo(
        f"{summary['images']} images, {summary['n_empty']} with exactly one empty mask; mean and median over images, "
        "pooled over all pixels"
    )
    _tell_codings(scores.codings)
    if scores.without_reference:
        typer.echo(f"{len(scores.without_reference)} predictions have no reference and were not scored")
    if out:
        typer.echo(f"each image's scores are in {out}")


def _tell_codings(codings: Mapping[str, Mapping[str, int]]) -> None:
    read_as = (f"{what}s {', '.join(f'{how} ({n})' for how, n in each.items())}" for what, each in codings.items())
    typer.echo(f"masks by levels: {'; '.join(read_as)}")


def _score_classes(
    prediction: Path, reference: Path, description: "Description", source: str, *, out: Path | None, as_json: bool
) -> None:
    from ..evaluation.class_scoring import score_class_folders
    from ..store.records import write_json, write_text

    with progress_bar("scoring") as show:
        scores = score_class_folders(prediction, reference, description, on_image=show)
    summary = scores.summary()
    if out and out.suffix == ".csv":
        write_text(out, scores.by_class.to_csv(index=False))
    elif out:
        write_json(out, summary)
    if as_json:
        print_json(summary)
        return
    _tell_classes(summary)
    typer.echo(f"{_levels_of(description)}, says {source}")
    _tell_codings(scores.codings)
    if scores.without_reference:
        typer.echo(f"{len(scores.without_reference)} predictions have no reference and were not scored")
    if out:
        typer.echo(f"the scores of each image{' and class' if out.suffix == '.csv' else ''} are in {out}")


def _tell_classes(summary: dict[str, Any]) -> None:
    """The table by class, with the two means below it."""
    from ..metrics import METRICS, MILLIMETRES

    def cells(means: dict[str, Any], names: Sequence[str]) -> list[str]:
        return ["" if means[name] is None else f"{means[name]:.4f}" for name in names]

    known = METRICS | MILLIMETRES
    shown = [f"{name}_mm" if f"{name}_mm" in summary["mean"] else name for name in SHOWN_BY_CLASS]
    titles = [f"{known[name].label}{f' ({known[name].unit})' if known[name].unit else ''}" for name in shown]
    header = ("", "images", *titles, *(f"pooled {METRICS[name].label}" for name in POOLED_BY_CLASS), "false alarms")
    rows = [
        (
            name,
            str(each["images"]),
            *cells(each["mean"], shown),
            *cells(each["pooled"], POOLED_BY_CLASS),
            "" if each["false_alarm"] is None else f"{100 * each['false_alarm']:.1f} %",
        )
        for name, each in summary["classes"].items()
    ]
    over_classes = cells(summary["class_mean"], shown), cells(summary["pooled"], POOLED_BY_CLASS)
    n_scored = sum(row["dice"] is not None for row in summary["per_image"])
    over_images = cells(summary["mean"], shown)
    rows.append(("mean over classes", "", *over_classes[0], *over_classes[1], ""))
    rows.append(("mean over images", str(n_scored), *over_images, *("" for _ in POOLED_BY_CLASS), ""))
    print_table(header, rows, right=tuple(range(1, len(header))))
    n = summary["images"]
    none = f", {n - n_scored} without any class, which have no score" if n > n_scored else ""
    typer.echo(
        f"{n} images{none}; {summary['n_empty']} in which nothing is found of a class that is there. A class is scored "
        "in the images whose reference holds it, an image by the mean over its classes; pooled over all pixels; false "
        "alarms: share of the images without the class in which it is predicted"
    )


def _levels_of(description: "Description") -> str:
    """What masks hold, in words."""
    if description.labels:
        return f"masks of the labels {', '.join(description.labels)}"
    told = [f"{level} {name}" for level, name in zip(description.levels, description.names, strict=True)]
    return f"masks hold {', '.join(told)}{'' if description.ignore is None else f', {description.ignore} ignored'}"


@told_in_one_line
def compare(
    scores: Annotated[
        Path,
        typer.Argument(
            help="CSV file with the columns variant, seed, image and metrics, group if images belong together, and "
            "class if an image has a row for each of its classes."
        ),
    ],
    baseline: Annotated[str, typer.Option(help="The variant that the others are compared with.")],
    metric: Annotated[str, typer.Option(help="The column that is compared.", autocompletion=completing.metrics)],
    margin: Annotated[
        float, typer.Option(min=0, help="A difference below it counts as practically nothing; 0: none does.")
    ] = 0.0,
    higher_is_better: Annotated[
        bool | None,
        typer.Option("--higher-is-better/--lower-is-better", help="For metrics that medbench does not know."),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="Of several classes, the one to compare on; else the mean over them."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare variants from a table that any tool made.

    It says what may be claimed of new trainings and new images, and what may not.
    """
    if not scores.is_file():
        raise MedbenchError(f"{scores}: there is no such file")
    from ..evaluation.comparing import compare_variants, measure_of, of_classes
    from ..evaluation.score_tables import read_scores

    measure = measure_of(metric, higher_is_better)
    read = read_scores(scores, metric, measure.bounds, name=class_name)
    measure = of_classes(measure, read)
    found = compare_variants(read, baseline, measure=measure, margin=margin)
    if as_json:
        by_class = {"classes": read.classes} if read.classes else {}
        print_json({**found, "metric": metric, **by_class})
        return
    terminal = console()
    rows = [
        (
            row["variant"],
            f"{row['mean']:.4f}",
            "" if row["ci_low"] is None else f"{row['ci_low']:.4f} to {row['ci_high']:.4f}",
            f"{row['n_seeds']} x {row['n_images']}",
            str(row["place"]),
            "" if row["first_share"] is None else f"{100 * row['first_share']:.0f} %",
        )
        for row in found["variants"]
    ]
    header = ("variant", f"mean {measure.label}", "95 % CI", "seeds x images", "place", "first in")
    print_table(header, rows, right=(1, 4, 5))
    if read.classes:
        what = f"mean over those of {', '.join(read.classes)} that it holds; --class compares on one of them"
        what = f"that of {read.classes[0]}" if len(read.classes) == 1 else f"the {what}"
        without = f"; {read.n_without} images that hold none are left out" if read.n_without else ""
        terminal.print(f"The score of an image is {what}{without}.")
    n_groups = found["variants"][0].get("n_groups")
    new = "new images" if n_groups is None else f"new groups of images (by {n_groups} groups)"
    alone = "" if n_groups is None else ", image by image"
    terminal.print(
        f"Intervals hold for new seeds and {new}. First in: share of two-way bootstrap resamples; it describes "
        "stability and is no test.\n"
    )
    for row in found["comparisons"]:
        span = "" if row["ci_low"] is None else f" [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]"
        p = "" if row["p_adjusted"] is None else f", p = {row['p_adjusted']:.2g} (Holm)"
        terminal.print(f"{row['variant']} - {baseline}: {row['difference']:+.4f}{span}{p}: {row['claim']}")
        if row["reason"]:
            terminal.print(f"  {row['reason'][0].upper()}{row['reason'][1:]}.")
        terminal.print(f"  It may be said: {row['may']}")
        terminal.print(f"  It does not show {row['not_shown']}")
        if row["cost"]:
            terminal.print(f"  {row['cost']}")
        fixed = row["fixed_model"]
        if fixed["wilcoxon_p"] is not None:
            terminal.print(
                f"  Of these very checkpoints alone{alone}: Wilcoxon p = {fixed['wilcoxon_p']:.2g}, "
                f"permutation p = {fixed['permutation_p']:.2g}."
            )
