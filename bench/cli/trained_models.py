"""The commands `medbench predict` and `export`: a trained model put to use. Heavy imports wait inside the commands."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MedbenchError
from . import completing
from .terminal import DataOption, StoreOption, console, progress_bar, progress_bars, told_in_one_line

if TYPE_CHECKING:
    from ..store.folder import Store

TrialArgument = Annotated[
    str,
    typer.Argument(
        metavar="TRIAL",
        help="The id of a trial, how it begins, or its folder.",
        autocompletion=completing.trials,
    ),
]


class Format(StrEnum):
    """What a model is exported to."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"


@told_in_one_line
def predict(
    trial: TrialArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="JPEG, PNG, BMP or TIFF files, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the masks, <stem>.png each.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write masks anew that are in the folder, as after an interruption.")
    ] = False,
    store: StoreOption = Path("runs"),
) -> None:
    """Segment images with a trained model.

    A mask an image, at the image's own size, white where the lesion is. Exactly what evaluations score:
    `medbench score` compares the masks with references. Subfolders are left alone; exit 1 where an image could not be
    read.
    """
    opened, id = _found(trial, store)
    from ..evaluation.predicting import find_images, predict_images
    from ..study.trials import trained_model
    from ..training.device import best_device

    found = find_images(images, out, overwrite=overwrite)
    model = trained_model(opened, id).to(best_device())
    with progress_bar("segmenting") as show:
        n_empty, problems = predict_images(model, found, opened.config(id)["size"], out, on_image=show)
    console().print(f"{len(found) - len(problems)} masks are in {out}; {n_empty} of them are empty")
    if problems:
        console(stderr=True).print("\n".join(problems))
        raise typer.Exit(1)


@told_in_one_line
def export(
    trial: TrialArgument,
    to: Annotated[Format, typer.Option(help="The file's format.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="In 8-bit integers (ONNX), their ranges taken from training images.")
    ] = False,
    store: StoreOption = Path("runs"),
    data: DataOption = None,
) -> None:
    """Write a trained model as ONNX or TorchScript.

    It is checked against torch before it is written. Its input is `image`, float32 (batch, 3, size, size), RGB from 0
    to 1, then less the mean and over the deviation that stand in an ONNX file's metadata; its output `logits`, (batch,
    1, size, size), above 0 where the lesion is.
    """
    if int8 and to != Format.ONNX:
        raise MedbenchError("--int8: only with --to onnx")
    if out.is_dir():
        raise MedbenchError(f"{out}: is a folder; name the file to write")
    opened, id = _found(trial, store)
    with progress_bars() as show:
        show("loading the model", 0, 0)
        from ..cost.exporting import OPSET, to_int8, to_onnx, to_torchscript
        from ..store.provenance import package_version
        from ..store.records import write_bytes
        from ..study.deployment import calibration_of
        from ..study.sets import Sets, cache_folder, data_folder
        from ..study.trials import trained_model

        model, size = trained_model(opened, id), opened.config(id)["size"]
        show(f"writing {to}, and comparing it with torch", 0, 0)
        if to == Format.TORCHSCRIPT:
            content = to_torchscript(model, size)
        else:
            notes = {"trial": id, "medbench": package_version("medbench") or ""}
            content = to_onnx(model, size, notes)
            if int8:
                show("taking the ranges of integers from training images", 0, 0)
                content = to_int8(content, calibration_of(opened, id, Sets(data_folder(data), cache_folder(), show)))
    write_bytes(out, content)
    opset = f", opset {OPSET}" if to == Format.ONNX else ""
    same = "integers: `medbench deployment` measures what they lose" if int8 else "logits as torch's to 1e-4"
    console().print(f"{out}: {len(content) / 1e6:.1f} MB{opset}, {size}x{size}, any batch; {same}")


def _found(trial: str, store: Path) -> "tuple[Store, str]":
    """The store and the id of a trial that is named by either, and whose files are as they were written."""
    from ..store.folder import Store

    folder = Path(trial).absolute()
    is_folder = folder.is_dir() and folder.parent.name == "trials"
    opened = Store(folder.parent.parent if is_folder else store)
    id = opened.trial_named(folder.name if is_folder else trial)
    opened.check(id)
    return opened, id
