"""How one model is trained, and what all parts of a study are made of: closed, frozen, strict.

The sentence below a key is what `medbench schema` and the documentation say of it.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def as_tuple(value: Any) -> Any:
    """A list of a YAML file as a tuple, which is frozen."""
    return tuple(value) if isinstance(value, list) else value


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"the least comes first, got {value[0]:g} and {value[1]:g}")
    return value


Range = Annotated[tuple[Positive, Positive], BeforeValidator(as_tuple), AfterValidator(_ascending)]


class Spec(BaseModel):
    """Base of every part of a study: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Augment(Spec):
    """Random changes of training images; probabilities and ranges are explained in defaults.yaml."""

    flip: Share
    """Probability of a horizontal flip, and again of a vertical one."""
    vertical_flip: Share | None = None
    """Probability of a vertical flip where it is another than that of a horizontal one."""
    affine: Share
    """Probability of rotating, scaling and shifting."""
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    """Rotation lies between minus and plus this many degrees."""
    scale: Range
    """Least and largest factor, drawn for each axis on its own."""
    shift: Share
    """Largest shift, as a share of the side."""
    elastic: Share
    """Probability of an elastic deformation."""
    elastic_shift: Positive
    """Standard deviation of the displacement, as a share of the side."""
    elastic_sigma: Positive
    """Smoothness of the displacement, as a share of the side."""
    colour: Share
    """Probability of a change of colour."""
    brightness: Share
    """Largest change of brightness."""
    contrast: Share
    """Largest change of contrast."""
    saturation: Share
    """Largest change of saturation."""
    hue: Annotated[float, Field(ge=0, le=0.5)]
    """Largest change of hue, as a share of the colour circle."""
    clahe: Share
    """Probability of contrast-limited adaptive histogram equalisation."""
    noise: Share
    """Probability of Gaussian noise."""
    noise_deviation: Range
    """Least and largest standard deviation of the noise, as shares of the range of values."""
    blur: Share
    """Probability of Gaussian blur."""
    blur_sigma: Range
    """Least and largest sigma of the blur, in pixels."""
    artifacts: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_tuple)] | None = None
    """Half of the training images get one of these, at a random severity; none where the key is left out."""


class Consistency(Spec):
    """Each image goes through the network with and without the artifacts that are painted on it, and both predictions
    are asked to agree: twice the work a step."""

    weight: Positive
    """Weight of the mean squared difference of their probabilities beside the loss of the segmentation."""
    ramp: Share = 0.2
    """The weight rises linearly over this share of the steps; 0: it is there from the first."""
    band: Annotated[float, Field(ge=0, lt=0.5)] = 0.02
    """Pixels within this share of the side of a mask's contour do not count."""


class Training(Spec):
    """The recipe of one training."""

    epochs: Count
    """Passes over the training images."""
    batch_size: Annotated[int, Field(ge=2)]
    """Images a step."""
    learning_rate: Positive
    """AdamW's highest learning rate, for what starts at random."""
    encoder_learning_rate: Positive
    """The same for the encoder."""
    weight_decay: Annotated[float, Field(ge=0)]
    """AdamW's weight decay."""
    warmup_epochs: Annotated[float, Field(ge=0)]
    """Epochs in which the learning rate rises to its highest; cosine annealing follows."""
    final_learning_rate: Share
    """Where annealing ends, as a share of the learning rate."""
    bce_weight: Annotated[float, Field(ge=0)]
    """Weight of binary cross-entropy in the loss."""
    dice_weight: Annotated[float, Field(ge=0)]
    """Weight of the Dice loss."""
    losses: Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """Weights of further terms of the loss, as in {focal: 0.5}; none where the key is left out."""
    class_weights: Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """Weights of classes or labels in the loss, by name, the background's in the cross-entropy alone; 1 where the key
    is left out."""
    consistency: Consistency | None = None
    """Agreement of predictions with and without painted artifacts, as in {weight: 1.0}; not asked for where the key is
    left out."""
    clip_norm: Positive
    """Gradients with a larger norm are scaled down to it."""
    precision: Literal["mixed", "full"]
    """`mixed`: FP16 on a GPU, FP32 on a CPU; `full`: FP32 everywhere."""
    progressive_sizes: dict[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(gt=0, le=1)]]
    """From which share of the epochs on images have which share of their size; a key 0.0 says where it starts."""
    checkpoint: Literal["last", "best-val"]
    """Which epoch counts: the last, or the one with the highest validation Dice. The test set has no say."""
    augment: Augment
    """Random changes of training images."""

    @model_validator(mode="after")
    def _starts_somewhere(self) -> "Training":
        if 0.0 not in self.progressive_sizes:
            raise ValueError("progressive_sizes must say what size the first epoch has (a key 0.0)")
        return self

    @model_validator(mode="after")
    def _has_artifacts_to_differ_by(self) -> "Training":
        if self.consistency and not self.augment.artifacts:
            raise ValueError("consistency compares images with and without artifacts: say which, augment.artifacts")
        return self

    @model_validator(mode="after")
    def _weighs_each_loss_once(self) -> "Training":
        for name in self.losses or ():
            if f"{name}_weight" in Training.model_fields:
                raise ValueError(f"{name} has a key of its own: say {name}_weight")
        return self
