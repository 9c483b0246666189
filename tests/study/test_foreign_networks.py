"""Networks that others wrote take part unchanged where the study says what they give; else nothing is trained."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from medbench.bench.cli import app

NETWORKS = '''\
import sys
import warnings

from torch import nn


class Chain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))


class Sigmoid(Chain):
    def forward(self, image):
        return super().forward(image).sigmoid()


class Several(Chain):
    """As EGE-UNet's public code: smaller ideas of the mask in a tuple, then the mask, all after a sigmoid."""

    def __init__(self):
        super().__init__()
        self.aside = nn.Conv2d(8, 1, 1)

    def forward(self, image):
        x = self[1](self[0](image))
        aside = self.aside(nn.functional.avg_pool2d(x, 2))
        return (aside.sigmoid(),), self[2](x).sigmoid()


class Wide(Chain):
    """Takes no image of 32 pixels."""

    def forward(self, image):
        return super().forward(image) + nn.functional.pad(image, (-17, -17, -17, -17)).mean()


class Talking(Chain):
    """Prints, warns, and calls nothing lesion whatever it sees."""

    def __init__(self):
        super().__init__()
        print("talks")

    def forward(self, image):
        print("talks")
        print("talks", file=sys.stderr)
        warnings.warn("talks", stacklevel=1)
        return super().forward(image) * 0 - 5
'''
STUDY = """\
question: Are they read right?
baseline: plain
variants:
  plain: {model: "foreign_networks:Chain"}
"""
REST = """\
dataset: {name: synthetic, images: 30, size: 64}
encoder_weights: none
seeds: 1
training: {epochs: 2, batch_size: 8, progressive_sizes: {0.0: 1.0}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "foreign_networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, variants: str, *words: str) -> Result:
    (folder / "mine.yaml").write_text(STUDY + variants + REST)
    return CliRunner().invoke(app, ["run", "mine.yaml", *words])


def trials(folder: Path) -> dict[str, Path]:
    record = yaml.safe_load((folder / "runs" / "studies" / "mine.yaml").read_text())
    return {name: folder / "runs/trials" / each["trials"][0]["trial"] for name, each in record["variants"].items()}


def test_a_network_that_would_be_misread_is_refused_before_anything_is_trained(folder: Path) -> None:
    done = run(folder, '  squashed: {model: "foreign_networks:Sigmoid"}\n')

    assert done.exit_code == 2
    assert "mine.yaml:5: variants.squashed.model: foreign_networks:Sigmoid gives values from" in done.output
    assert "output: {kind: probabilities}" in done.output
    assert not list((folder / "runs").glob("trials/*"))


def test_what_one_variant_lacks_leaves_the_plan_of_the_others(folder: Path) -> None:
    wrong = '  squashed: {model: "foreign_networks:Sigmoid"}\n  several: {model: "foreign_networks:Several"}\n'
    wrong += "  fixed: {model: medlitenet, options: {backbone: swin_tiny_patch4_window7_224}}\n"

    done = run(folder, wrong, "--dry-run")

    lines = done.output.splitlines()
    assert done.exit_code == 2
    assert sum("cannot be trained as it is" in line for line in lines) == 3
    assert any("plain seed 0: to do, about" in line for line in lines)
    assert any(line.startswith("about") and "on this machine" in line for line in lines)
    assert "mine.yaml:5: variants.squashed.model" in done.output
    assert "mine.yaml:6: variants.several.model" in done.output
    assert "mine.yaml:7: variants.fixed.model: medlitenet does not run on 2 images of 64 pixels" in done.output
    assert "{index: 1, kind: probabilities}" in done.output


def test_with_its_outputs_named_a_network_is_trained_as_it_was_published(folder: Path) -> None:
    said = (
        '  squashed: {model: "foreign_networks:Sigmoid", output: {kind: probabilities}}\n'
        '  several: {model: "foreign_networks:Several", output: {index: 1, kind: probabilities}, '
        "deep_supervision: [0.5]}\n"
        '  alone: {model: "foreign_networks:Several", output: {index: 1, kind: probabilities}}\n'
    )

    done = run(folder, said)

    assert done.exit_code == 0, done.output
    found = trials(folder)
    losses = {name: pd.read_parquet(each / "history.parquet")["train_loss"] for name, each in found.items()}
    assert losses["squashed"].tolist() == pytest.approx(losses["plain"].tolist(), rel=1e-4)  # the same network
    assert losses["several"].iloc[0] > 1.2 * losses["alone"].iloc[0]  # the other map's loss came on top
    config = yaml.safe_load((found["several"] / "config.yaml").read_text())
    assert config["output"] == {"index": 1, "kind": "probabilities"}
    assert config["deep_supervision"] == [0.5]
    assert "output" not in yaml.safe_load((found["plain"] / "config.yaml").read_text())
    reported = CliRunner().invoke(app, ["report", "-o", "page"])
    assert reported.exit_code == 0, reported.output
    settings = json.loads((folder / "page" / "report.json").read_text())
    assert "deep_supervision" in json.dumps(settings)
    exported = CliRunner().invoke(app, ["export", found["several"].name, "--to", "onnx", "-o", "several.onnx"])
    assert exported.exit_code == 0, exported.output


def test_a_network_is_silent_and_what_it_fails_to_learn_is_told(folder: Path) -> None:
    variants = '  talking: {model: "foreign_networks:Talking"}\n'

    dry, done = run(folder, variants, "--dry-run"), run(folder, variants, "--jobs", "1")

    assert (dry.exit_code, done.exit_code) == (0, 0), done.output
    assert "talks" not in dry.output + done.output
    assert "talking seed 0: clean: WARNING: every mask that it predicts is empty\n" in done.stdout
    assert "evaluation(s) every predicted mask is empty, or full, see above\n" in done.stdout


def test_a_network_too_deep_for_the_smallest_images_is_told_with_the_size_that_it_takes(folder: Path) -> None:
    growing = "training: {progressive_sizes: {0.0: 0.5, 0.5: 1.0}}"

    done = run(folder, f'  wide: {{model: "foreign_networks:Wide", {growing}}}\n')

    assert done.exit_code == 2
    assert "does not run on 2 images of 32 pixels in training" in done.output
    assert "it runs at 64: training.progressive_sizes {0.0: 1.0} starts there" in done.output


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ('{model: "foreign_networks:Several", deep_supervision: [1.0]}', "deep_supervision needs output"),
        (
            "{model: medlitenet, output: {index: 0}}",
            "model 'medlitenet' is medbench's own and gives logits; leave it out",
        ),
        ("{model: egeunet, deep_supervision: [1.0]}", "write options: {deep_supervision: [...]}, [] for none"),
        ("{model: ensemble}", "instead of model write ensemble:"),
        ("{model: medlitenet, output: {}}", "says nothing; leave it out"),
        ("{model: medlitenet, output: {index: 0, key: out}}", "index or key, not both"),
        ("{model: medlitenet, output: {kind: sigmoid}}", "'logits', 'probabilities' or 'softmax'"),
    ],
)
def test_what_contradicts_itself_is_told_at_its_line(folder: Path, variant: str, said: str) -> None:
    done = run(folder, f"  odd: {variant}\n", "--dry-run")

    assert done.exit_code == 2
    assert "mine.yaml:5" in done.output
    assert said in done.output
