"""The command `medbench artifacts`: what gets in the way, painted over images. Heavy imports wait inside it."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import MedbenchError
from . import completing
from .terminal import DataOption, progress_bar, told_in_one_line


@told_in_one_line
def artifacts(
    what: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE|NAME",
            help="An image file, a data set, or folder:PATH.",
            autocompletion=completing.datasets,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    kind: Annotated[
        str | None,
        typer.Option(help="hair, ruler, ink, bubbles, corners, patch, jpeg, ...", autocompletion=completing.artifacts),
    ] = None,
    severity: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    seed: Annotated[int, typer.Option(help="For other artifacts on the same images.")] = 0,
    data: DataOption = None,
) -> None:
    """Paint hair, a ruler or another artifact over images.

    IMAGE gives <stem>-<kind>-<severity>.png and its -mask.png; without --kind or --severity, a sheet of all of them.
    A data set gives a folder set: images/, masks/, artifacts/ and how they were made.
    """
    from ...datasets.artifacts import ARTIFACTS
    from ...datasets.artifacts.export import write_painted, write_set, write_sheet
    from ...datasets.artifacts.painting import check_severity
    from ...datasets.catalog import DATASETS, open_dataset
    from ...datasets.reading import read_image
    from ..study.sets import data_folder

    if kind is not None:
        _ = ARTIFACTS[kind]
    if severity is not None:
        check_severity(severity)
    is_set = what in DATASETS or what.startswith("folder:")
    if not is_set and Path(what).is_dir():
        raise MedbenchError(f"{what}: is a folder; of a set write folder:{what}")
    if kind is None or severity is None:
        if is_set:
            raise MedbenchError(f"{what}: name a --kind and a --severity; sheets of all are for single images")
        path = out / f"{Path(what).stem}-artifacts.png"
        kinds = (kind,) if kind else ()
        write_sheet(read_image(Path(what)), Path(what).stem, path, kinds=kinds, seed=seed)
    elif is_set:
        path = out
        image_set = open_dataset(what, data=data_folder(data))
        with progress_bar("painting") as show:
            write_set(image_set, out, kind=kind, severity=severity, seed=seed, on_image=show)
    else:
        path = write_painted(read_image(Path(what)), Path(what).stem, out, kind=kind, severity=severity, seed=seed)
    typer.echo(f"written: {path}")
