"""The commands `medbench data ...`: look at data sets. Heavy imports wait inside the commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import MedbenchError
from . import completing
from .terminal import DataOption, JsonOption, print_json, print_table, progress_bar, progress_bars, told_in_one_line

app = typer.Typer(no_args_is_help=True, help="Look at data sets.")
NamesArgument = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Data sets by name, or folder:PATH.", autocompletion=completing.datasets),
]
MOST_WITHIN = 20  # pairs within one group that a table lists


@app.command("list")
@told_in_one_line
def data_list(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the data sets that medbench knows, and which are here."""
    from ...datasets.catalog import DATASETS, completeness, open_dataset, told_completeness
    from ..study.sets import data_folder

    root = data_folder(data)
    rows: list[dict[str, Any]] = []
    for name, dataset in DATASETS.items():
        path = root / name if root and dataset.read else None
        here = dataset.read is None or bool(path and path.is_dir())
        place = "built in" if dataset.read is None else str(path) if here else "not here"
        counts, holds = {}, ""
        if dataset.read and here:
            try:
                counts = completeness(name, open_dataset(name, data=root))
                holds = told_completeness(counts)
            except MedbenchError as error:
                holds = str(error).split(";")[0].removeprefix(f"{name}: ")
        rows.append(
            {
                "name": name,
                "here": here,
                "place": place,
                "holds": holds,
                "completeness": counts or None,
                "description": dataset.description,
                "how": dataset.how,
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(("name", "where", "what it is"), [(row["name"], row["place"], row["description"]) for row in rows])
    for row in rows:
        if row["holds"]:
            typer.echo(f"{row['name']} holds {row['holds']}")
    for row in rows:
        if row["name"] != "synthetic":
            typer.echo(f"{row['name']}: {row['how']} (expected in <data>/{row['name']}; --data or MEDBENCH_DATA)")


@app.command("fetch")
@told_in_one_line
def data_fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="isic2018 is downloaded; ph2 and ham10000 need --from.", autocompletion=completing.datasets
        ),
    ],
    parts: Annotated[
        list[str] | None, typer.Option("--part", help="training, validation or test; all where none is named.")
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="An archive that you have, .zip or .tar.gz.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Download a set from its publisher, or unpack your archives.

    Both go into the data folder. What breaks off goes on with the same command; digests are checked before anything is
    unpacked.
    """
    from ...datasets.catalog import open_dataset
    from ...datasets.fetching import fetch, take
    from ..study.sets import data_folder

    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    root = data_folder(data)
    if root is None:
        raise MedbenchError("say where the sets are to go: --data DIR, or set MEDBENCH_DATA")
    with progress_bars() as show:
        new = [take(name, root, file, show) for file in files] if files else fetch(name, root, parts=parts, show=show)
    for folder in new:
        typer.echo(f"new: {folder}")
    n_pairs = len(open_dataset(name, data=root))
    typer.echo(f"{name}: {n_pairs} images with masks in {root / name}; next: medbench data verify {name}")


@app.command("verify")
@told_in_one_line
def data_verify(
    name: Annotated[
        str,
        typer.Argument(help="A data set by name, or folder:PATH.", autocompletion=completing.datasets),
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every image and mask of a set; exit 1 on errors.

    Errors: files without their counterpart or that cannot be read, sizes that differ, masks that could be read in two
    ways or hold a level of no class. Notes: empty and grey masks, images that are nearly black, parts of a published
    set that are not here, classes that no mask has, columns of tables that may tell groups where none are named,
    images with equal pixels of which different things are said. How the levels of masks are read is counted, and what
    each class takes of the pixels.
    """
    from collections import Counter
    from dataclasses import asdict

    from ...datasets.base import Problem
    from ...datasets.catalog import completeness, open_dataset, told_completeness
    from ...datasets.described.census import absent, census, twins, ungrouped
    from ...datasets.inspection import inspect
    from ..study.sets import cache_folder, data_folder

    image_set = open_dataset(name, data=data_folder(data))
    with progress_bar(f"inspecting {image_set.name}") as show:
        inspection = inspect(image_set, cache_folder(), show)
    problems, counts = inspection.problems, completeness(name, image_set)
    codings = Counter(coding.name for coding in inspection.codings.values() if not coding.refusal)
    if any(here < published for here, published in counts.values()):
        problems.append(Problem(name, "", f"is not complete: {told_completeness(counts)}", "note"))
    classes = census(inspection)
    problems += [*absent(classes, image_set), *ungrouped(image_set), *twins(image_set, inspection)]
    n_errors = sum(problem.kind == "error" for problem in problems)
    if as_json:
        rows = [{"id": each.id, "file": each.file, "kind": each.kind, "message": each.message} for each in problems]
        facts = {"name": image_set.name, "images": len(image_set), "completeness": counts or None, "codings": codings}
        facts |= {"classes": [asdict(each) for each in classes]} if classes else {}
        print_json({**facts, "problems": rows})
    else:
        for problem in problems:
            typer.echo(f"{problem.kind}: {problem}")
        if classes:
            cells = [(each.name, f"{each.share:.2%}", f"{each.images:,}") for each in classes]
            print_table(("class", "of the pixels", "images"), cells, right=(1, 2))
        if codings or not classes:
            typer.echo(
                f"masks by levels: {'; '.join(f'{how} ({n:,})' for how, n in codings.most_common()) or 'none is read'}"
            )
        n_notes = len(problems) - n_errors
        counts = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((n_errors, "error"), (n_notes, "note"))]
        typer.echo(f"{image_set.name}: {len(image_set)} pairs, {', '.join(counts)}")
    if n_errors:
        raise typer.Exit(1)


@app.command("audit")
@told_in_one_line
def data_audit(
    names: NamesArgument,
    split: Annotated[
        str | None,
        typer.Option(help="Say in which part, or fold, of this split each image lies: holdout, kfold:5, ..."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find images that occur twice, within a set or across sets.

    Even resized, cropped a little, mirrored or turned. Exit code 1 where there are any. Pairs within one group, such as
    neighbouring slices of a patient, are divided by no split: where dataset.yaml names a set's groups they are told
    apart, and more than 20 are only counted.
    In a study, `exclude_copies: true` leaves such images out of the tests.
    """
    from ...datasets.audit import audit
    from ...datasets.catalog import open_dataset
    from ...datasets.splits import folds_of, make_split
    from ..study.sets import Sets, cache_folder, check_named_apart, data_folder

    sources = [
        {"folder": name.removeprefix("folder:")} if name.startswith("folder:") else {"name": name} for name in names
    ]
    with progress_bars() as tell:
        opener = Sets(data_folder(data), cache_folder(), tell)  # as a study opens them: equal pixels are in one group
        sets = [opener.open(source, leave_out_broken=True).image_set for source in sources]
    check_named_apart((source, each.name) for source, each in zip(sources, sets, strict=True))
    group_of: dict[str, str] = {}
    for name, each in zip(names, sets, strict=True):
        if not each.is_described:
            continue
        declared = open_dataset(name, data=data_folder(data))  # opened above, equal pixels are in one group
        group_of |= {f"{declared.name}/{id}": f"{declared.name}/{group}" for id, group in declared.groups.items()}
    part_of: dict[str, str] = {}
    folds = folds_of(split) if split else None
    for each in sets if split else ():
        if folds:  # each image is tested in one of them, and learnt from in the others
            tested = {f"fold {fold}": make_split(each, str(split), fold=fold).test for fold in folds}
        else:
            found = make_split(each, str(split))
            tested = {part: getattr(found, part) for part in ("train", "validation", "test")}
        part_of |= {f"{each.name}/{id}": part for part, ids in tested.items() for id in ids}
    with progress_bar("looking") as show:
        pairs = audit(sets, cache=cache_folder(), progress=show)
    rows = [
        {
            "a": pair.a,
            "b": pair.b,
            "kind": pair.kind,
            "similarity": pair.similarity,
            **({"same_group": group_of.get(pair.a, pair.a) == group_of.get(pair.b, pair.b)} if group_of else {}),
            **({"parts": [part_of.get(pair.a), part_of.get(pair.b)]} if split else {}),
        }
        for pair in pairs
    ]
    n_within = sum(row.get("same_group", False) for row in rows)
    if as_json:
        print_json({"pairs": rows})
    else:
        cells = [
            (row["a"], row["b"], row["kind"], f"{row['similarity']:.2f}", " and ".join(map(str, row.get("parts", ()))))
            for row in rows
            if n_within <= MOST_WITHIN or not row.get("same_group")
        ]
        header = ("image", "and", "kind", "similarity", f"parts of {split}" if split else "")
        print_table(header, cells, right=(3,))
        typer.echo(f"{len(pairs)} pairs in {sum(map(len, sets))} images of {', '.join(each.name for each in sets)}")
        if n_within:
            told = ", which --json lists" if n_within > MOST_WITHIN else ""
            typer.echo(f"{n_within} of them lie within one group{told}; {len(pairs) - n_within} across groups")
        if split:
            apart = sum(len(set(row["parts"])) > 1 for row in rows)
            typer.echo(f"{apart} of them lie in two {'folds' if folds else 'parts'} of {split}")
    if pairs:
        raise typer.Exit(1)


@app.command("describe")
@told_in_one_line
def data_describe(
    names: NamesArgument,
    write: Annotated[
        bool, typer.Option("--write", help="Propose a dataset.yaml for a folder, and write it there.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put data sets side by side, or describe a folder.

    Sizes of images, areas and contrast of lesions, colours of lesion and skin. With --write the classes, channels and
    columns that a folder's files show, as a dataset.yaml for you to complete; one that is there already stays.
    """
    if write:
        _propose(names)
        return
    from ...datasets.catalog import open_dataset
    from ...datasets.lesions import describe
    from ..study.sets import data_folder

    described: dict[str, dict[str, Any]] = {}
    for name in names:
        image_set = open_dataset(name, data=data_folder(data))
        with progress_bar(f"looking at {image_set.name}") as show:
            described[name] = describe(image_set, on_image=show)
    if as_json:
        print_json(described)
        return
    keys = next(iter(described.values()))
    cells = [(key.replace("_", " "), *(_spread(described[name][key]) for name in names)) for key in keys]
    print_table(("", *names), cells)
    typer.echo(
        "Median and, in brackets, the range of the middle 90 %. Colours are CIELAB; skin is a band around the lesion."
    )


def _propose(names: list[str]) -> None:
    from ...datasets.catalog import DATASETS
    from ...datasets.described.proposing import propose

    if len(names) > 1 or names[0] in DATASETS:
        raise MedbenchError("--write: takes one folder of your own, with images/ and masks/")
    root = Path(names[0].removeprefix("folder:"))
    with progress_bar(f"looking at {root.name}") as show:
        path = propose(root, show)
    text = path.read_text(encoding="utf-8")
    typer.echo(text, nl=False)
    is_told = "\ngroup: " in text or ", for group or label: " not in text
    groups = "" if is_told else ", say group: COLUMN where images belong together (a patient, a video)"
    typer.echo(f"wrote {path}; give the classes their names{groups}, then: medbench data verify folder:{root}")


def _spread(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    low, middle, high = (f"{number:.3g}" for number in (value["p5"], value["median"], value["p95"]))
    return f"{middle} ({low} to {high})"
