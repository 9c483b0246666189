"""Which network each variant is: every option written out, its weights and code named by digests, what it costs, and
whether it can be trained as it is."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ablations.schema.spec import Study
from ..errors import MedbenchError
from .sets import Sets

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Network:
    """The network of a variant.

    Attributes:
        name: of its family, or as the study has it.
        options: all of them, defaults written out.
        encoder_weights: where the encoder's come from.
        encoder_digest: of these, None where they are random.
        code_digest: of the code of a model of the user's own.
        output: how its outputs are read, as far as the study says.
        parameters: of what is used once it is trained.
        macs: of one 256x256 image; None where it does not run on such an image.
        description: in words.
        trouble: why it cannot be trained as it is, None where it can.
    """

    name: str
    options: dict[str, Any]
    encoder_weights: str
    encoder_digest: str | None
    code_digest: str | None
    output: dict[str, Any]
    parameters: int
    macs: int | None
    description: str
    trouble: str | None

    @property
    def title(self) -> str:
        """The description without what it is made of."""
        return self.description.partition(":")[0]


def smallest_size(study: Study, variant: str) -> int:
    """The smallest images that a variant is trained on."""
    from ..training.schedule import size_at

    training, size = study.training_of(variant), study.dataset_of(variant).size
    epochs = range(training.epochs)
    return min(size_at(epoch, training.epochs, size, training.progressive_sizes) for epoch in epochs)


def resolve(study: Study, variant: str, smallest: int, seen: Mapping[str, Any], sets: Sets) -> Network:
    """The network of a variant, tried on images of the `smallest` size that it will be trained on.

    `seen` is what `planning.described` says of the images, and the tasks.
    """
    from ...models.catalog import build_model, network_of, resolve_model
    from ...models.counting import count_macs, count_parameters
    from ...models.heads import at_inference

    spec = study.variants[variant]
    assert spec.model is not None
    weights = study.encoder_weights_of(variant)
    output = study.output_of(variant)
    network = network_of({"options": spec.options, **output, **seen})
    built = build_model(spec.model, **network, encoder_weights=weights, data=sets.data)
    name, options, description = resolve_model(spec.model, spec.options)
    network = network_of({"options": options, **(output if seen.get("tasks") else {}), **seen})
    macs = count_macs(lambda: build_model(name, **network).model, channels=seen.get("channels", 3))
    return Network(
        name=name,
        options=options,
        encoder_weights=weights,
        encoder_digest=built.encoder_digest,
        code_digest=built.code_digest,
        output=output,
        parameters=count_parameters(at_inference(built.model)),
        macs=macs,
        description=description,
        trouble=_trouble(spec.model, built.model, smallest, study.dataset_of(variant).size, network),
    )


def _trouble(name: str, model: "nn.Module", smallest: int, size: int, network: Mapping[str, Any]) -> str | None:
    """Why a network cannot be trained as it is, None where it can."""
    from ...models.probing import NoPassError, check_outputs

    wanted = {key: network[key] for key in ("maps", "channels", "overlap") if key in network}
    try:
        check_outputs(model, smallest, name=name, **wanted)
    except NoPassError as error:
        with suppress(MedbenchError):
            check_outputs(model, size, name=name, **wanted)
            return f"{error}; it runs at {size}: training.progressive_sizes {{0.0: 1.0}} starts there"
        return str(error)
    except MedbenchError as error:
        return str(error)
    return None
