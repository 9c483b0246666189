"""Pretrained encoder weights: from disk first, then from timm's hub, and known by the digest of what was loaded."""

import hashlib
import logging
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import timm
import torch
from torch import nn

from ..bench.errors import MedbenchError, first_line

logging.getLogger("timm.models._builder").setLevel(logging.ERROR)  # it warns of a classifier left out: we want none

HOW = "put a safetensors file with timm's names there, name a file as encoder_weights, or say encoder_weights: none"


def state_digest(module: nn.Module) -> str:
    """SHA-256 over names and bytes of all parameters and buffers, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_timm_weights(encoder: nn.Module, name: str, source: str, data: Path | None, channels: int = 3) -> None:
    """Fills a timm feature extractor with pretrained weights, in place.

    Args:
        encoder: `timm.create_model(name, features_only=True, in_chans=channels)`.
        name: timm's name of the architecture.
        source: "imagenet" (`<data>/weights/<name>.safetensors`, else timm's hub) or the path of a safetensors file.
        data: the data folder, if there is one.
        channels: of the images; where they are not three, timm makes the first convolution's weights fit: of one the
            sum over red, green and blue, of more these in turn, scaled so that the sum stays.

    Raises:
        MedbenchError: no weights are to be had, or the file does not cover the encoder.
    """
    if source != "imagenet":
        path = Path(source)
        if not path.is_file():
            raise MedbenchError(f"encoder_weights: there is no file {source}; {HOW.split(', ', 1)[1]}")
        _load_file(encoder, name, path, channels)
        return
    local = data / "weights" / f"{name}.safetensors" if data else None
    _load_file(encoder, name, local if local and local.is_file() else _from_hub(name, local), channels)


def _from_hub(name: str, local: Path | None) -> Path:
    """The safetensors file of timm's default weights, downloaded or from the hub's cache."""
    repository = getattr(timm.get_pretrained_cfg(name), "hf_hub_id", None)
    try:
        if not repository:
            raise MedbenchError("it has no pretrained weights there")
        return Path(
            huggingface_hub.hf_hub_download(repository, "model.safetensors", local_files_only=not _hub_answers())
        )
    except Exception as error:  # the hub fails in as many ways as networks do
        where = f"no file {local}" if local else "no data folder (--data or MEDBENCH_DATA) to look for weights/ in"
        reason = first_line(error)
        raise MedbenchError(
            f"ImageNet weights of {name}: {where}, and timm's hub gave none ({reason}); {HOW}"
        ) from error


def _hub_answers() -> bool:
    """Asked once here, because the hub's client tries for a minute before it gives up."""
    if urllib.request.getproxies().get("https"):
        return True
    try:
        with socket.create_connection((urlsplit(huggingface_hub.constants.ENDPOINT).hostname or "", 443), timeout=5):
            return True
    except OSError:
        return False


def _load_file(encoder: nn.Module, name: str, path: Path, channels: int) -> None:
    """Loads through timm, which accepts a file that leaves parameters at their random start: two starts tell."""
    if path.suffix != ".safetensors":
        raise MedbenchError(f"{path}: encoder weights are read from safetensors files only (nothing is unpickled)")
    loaded: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            try:
                loaded.append(
                    timm.create_model(
                        name,
                        features_only=True,
                        in_chans=channels,
                        pretrained=True,
                        pretrained_cfg_overlay={"file": str(path)},
                    )
                )
            except Exception as error:  # safetensors and torch each raise their own
                reason = first_line(error)
                raise MedbenchError(f"{path}: cannot be loaded as weights of {name} ({reason})") from error
    if state_digest(loaded[0]) != state_digest(loaded[1]):
        raise MedbenchError(f"{path}: holds no weights for some layers of {name}; is it made for another model?")
    encoder.load_state_dict(loaded[0].state_dict())
