"""The commands `medbench predict` and `export`: a trained model put to use. Heavy imports wait inside the commands."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MedbenchError
from ..quiet import quietly
from ..store.folder import check_writable_file
from . import completing
from .chosen import DEFAULT_SIZE, OptionsOption, OutputOption, choose_all, found_trial
from .terminal import DataOption, StoreOption, console, progress_bar, progress_bars, told_in_one_line

WITHOUT_HAIR = (
    "the model was trained on images without hair, which is not part of the file: remove it from the whole image "
    "first, as medbench.datasets.hair_removal.remove_hair does"
)
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
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="JPEG, PNG, BMP or TIFF files, or folders of them; .npy and .nii where the trial's set may have them.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the masks, <stem>.png each.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write masks anew that are in the folder, as after an interruption.")
    ] = False,
    store: StoreOption = Path("runs"),
) -> None:
    """Segment images with a trained model.

    A mask an image, at the image's own size, white where the lesion is. Of several classes it holds their numbers, 0
    for the background, as indices of a palette; labels have a folder each. Exactly what evaluations score: `medbench
    score` compares the masks with references. A model that has tasks also writes labels.csv, with the class and the
    probabilities of each image; one that was trained on images without hair has it removed first. Subfolders are left
    alone; exit 1 where an image could not be read.
    """
    opened, id = found_trial(trial, store)
    from ..evaluation.predicting import Sight, find_images, predict_images
    from ..study.trials import seen_by, trained_model
    from ..training.device import best_device

    sight = Sight.of(opened.config(id)["size"], seen_by(opened, id))
    found = find_images(images, out, sight, overwrite=overwrite)
    model = trained_model(opened, id).to(best_device())
    with progress_bar("segmenting") as show, quietly():
        written = predict_images(model, found, sight, out, on_image=show)
    terminal, target = console(), sight.target
    terminal.print(f"{written.n_masks} masks are in {out}; {written.n_empty} of them are empty")
    if sight.is_hairless:
        terminal.print("hair was removed from the images first, as in the model's training")
    if sight.tasks:
        terminal.print(f"{', '.join(sight.tasks)} of each image: {out / 'labels.csv'}")
    if not target.is_single:
        if not target.overlap:
            told = ", ".join(f"{code} {name}" for code, name in enumerate((target.background, *target.names)))
            terminal.print(f"they hold {told}")
        terminal.print(f"not found: {', '.join(f'{name} in {written.without[name]}' for name in target.names)} images")
    if written.problems:
        console(stderr=True).print("\n".join(written.problems))
        raise typer.Exit(1)


@told_in_one_line
def export(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL|MODEL",
            help="A trial: its id, how it begins, or its folder. Or a model's name, to try: its weights are random.",
            autocompletion=completing.trials,
        ),
    ],
    to: Annotated[Format, typer.Option(help="The file's format.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="In 8-bit integers (ONNX), their ranges taken from training images.")
    ] = False,
    options: OptionsOption = None,
    output: OutputOption = None,
    size: Annotated[int | None, typer.Option(min=32, help="Pixels a side, of a model by name.")] = None,
    store: StoreOption = Path("runs"),
    data: DataOption = None,
) -> None:
    """Write a trained model as ONNX or TorchScript.

    It is checked against torch before it is written. Its input is `image`, float32 (batch, channels, size, size), RGB
    or what the trial's set has, from 0 to 1, then less the mean and over the deviation that stand in an ONNX file's
    metadata; its output `logits`, (batch, maps, size, size): one map, above 0 where the lesion is; or one for each
    class, the background first, or for each label, in the order of the metadata. Softmax and sigmoid are left to you. A
    model's name in the place of a trial tells whether it can be exported before it is trained.
    """
    if int8 and to != Format.ONNX:
        raise MedbenchError("--int8: only with --to onnx")
    check_writable_file(out)
    (chosen,) = choose_all([trial], store, options, output)
    if chosen.trial and size:
        raise MedbenchError(f"{trial}: a trial has its own size: leave out --size")
    if int8 and not chosen.trial:
        raise MedbenchError("--int8: takes ranges from the training images of a trial; a model by name has none")
    with progress_bars() as show, quietly():
        show("loading the model", 0, 0)
        from ..cost.exporting import OPSET, to_int8, to_onnx, to_torchscript
        from ..store.provenance import package_version
        from ..store.records import write_bytes
        from ..study.deployment import calibration_of
        from ..study.sets import Sets, cache_folder, data_folder

        side = chosen.size or size or DEFAULT_SIZE
        chosen.check_outputs(side)
        model, channels, target = chosen.build().eval(), chosen.channels, chosen.target
        is_hairless = "hair_removal" in chosen.seen.get("source", {})
        show(f"writing {to}, and comparing it with torch", 0, 0)
        if to == Format.TORCHSCRIPT:
            content = to_torchscript(model, side, channels=channels)
        else:
            origin = {"trial": chosen.id} if chosen.id else {"model": trial, "weights": "random"}
            notes = {**origin, "medbench": package_version("medbench") or ""}
            notes |= {"preprocess": WITHOUT_HAIR} if is_hairless else {}
            window = chosen.seen.get("source", {}).get("window")
            content = to_onnx(model, side, notes, channels=channels, target=target, window=window)
            if int8 and chosen.trial:
                show("taking the ranges of integers from training images", 0, 0)
                content = to_int8(content, calibration_of(*chosen.trial, Sets(data_folder(data), cache_folder(), show)))
    write_bytes(out, content)
    opset = f", opset {OPSET}" if to == Format.ONNX else ""
    same = "integers: `medbench deployment` measures what they lose" if int8 else "logits as torch's to 1e-4"
    weights = "" if chosen.trial else "random weights, nothing is trained; "
    console().print(f"{out}: {len(content) / 1e6:.1f} MB{opset}, {side}x{side}, any batch; {weights}{same}")
    if is_hairless:
        console().print(WITHOUT_HAIR)
    if not target.is_single:
        names = target.names if target.overlap else (target.background, *target.names)
        left = "sigmoid" if target.overlap else "softmax"
        console().print(f"maps in order: {', '.join(names)}; {left}, for probabilities, is left to you")
