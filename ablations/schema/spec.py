"""The schema of a study: closed, frozen and strict.

The recipe's defaults are in `defaults.yaml`, each with a comment; the schema has none of its own. The sentence below
a key is what `medbench schema` and the documentation say of it.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ...bench.errors import UnknownNameError
from ...bench.metrics import METRICS, out_of_reach
from .evaluations import ArtifactTest, AtInput, Evaluation, OtherSet, check_one_set
from .layers import OF_ONE_SET, merge, names_set
from .question import wrong_conditions, wrong_rival
from .recipe import Augment, Consistency, Count, Spec, Training, as_tuple
from .seeds import Seeds, UntilDecided, wrong_looks

NAME = r"^[A-Za-z0-9_.-]+$"
SPLIT = r"^(official|holdout|egeunet|random|kfold:([2-9]|[1-9][0-9]+))$"
TASK = r"^[A-Za-z_][A-Za-z0-9_]*$"
Size = Annotated[int, Field(ge=32, multiple_of=32)]
TaskName = Annotated[str, Field(pattern=TASK)]


class DatasetSpec(Spec):
    """A data set by name or folder, how it is split, and at what size it is trained on."""

    name: str | None = None
    """The name of a set (`medbench data list`); or give `folder`."""
    folder: str | None = None
    """A set of your own: a folder with images/ and masks/, or give `name`."""
    split: Annotated[str, Field(pattern=SPLIT)]
    """`holdout` (70/10/20), `official` (as published), `egeunet` (63/7/30), `kfold:K`; or `random`, which divides
    lesions and copies and leaves none out, to show what that does."""
    split_seed: int
    """Another number gives another division by the same rule."""
    size: Size
    """Side in pixels of the squares that models see, a multiple of 32."""
    test_images: Count | None = None
    """For a first look: evaluate on no more than so many images of each test set, the same for all variants."""
    leave_out_broken: bool
    """Go on without images that cannot be used, and say how many, instead of stopping."""
    images: Count | None = None
    """How many images, of the synthetic set only."""

    @model_validator(mode="after")
    def _is_one_set(self) -> "DatasetSpec":
        check_one_set(self.name, self.folder, self.images)
        return self


class EnsembleSpec(Spec):
    """Trained variants whose probabilities are averaged."""

    members: Annotated[tuple[str, ...], Field(min_length=2), BeforeValidator(as_tuple)]
    """Names of variants of this study."""
    weighting: Literal["validation-dice", "equal"]
    """Weights of the members: their validation Dice, or all the same."""


class OutputSpec(Spec):
    """How to read a network that gives something else than logits of one map."""

    index: int | None = None
    """Which of several maps counts, from 0 on, through tuples within tuples; -1 is the last."""
    key: str | None = None
    """Its name, where maps are named."""
    kind: Literal["logits", "probabilities", "softmax"] | None = None
    """`logits`: one channel; `probabilities`: after a sigmoid, or after a softmax over background and lesion;
    `softmax`: background and lesion before it."""
    kind_in_eval: Literal["logits", "probabilities", "softmax"] | None = None
    """The same, where the network gives something else once it is trained."""
    upsample: bool = False
    """Interpolate maps that are smaller than the image to its size."""
    bottleneck: str | None = None
    """The part of the network that heads of `tasks` see, as in encoder.layer4; medbench's own models have theirs."""

    @model_validator(mode="after")
    def _names_one(self) -> "OutputSpec":
        if self.index is not None and self.key is not None:
            raise ValueError("say index or key, not both")
        if self.model_dump(exclude_defaults=True) == {}:
            raise ValueError("says nothing; leave it out")
        return self


class TaskSpec(Spec):
    """What is to be said of an image as a whole, by a head on the bottleneck that is trained with the segmentation."""

    column: str | None = None
    """The column of the set's table that says it; the set's own `label` where the key is left out. An empty cell is
    not known: no loss and no score counts it."""
    weight: Annotated[float, Field(ge=0)] = 0.2
    """Weight of the task's cross-entropy beside the loss of the segmentation."""


class PreprocessSpec(Spec):
    """What is done to images before a network sees them."""

    hair_removal: Literal["train_and_test", "test"]
    """Dark strands are found by their shape and painted over, of RGB images. `train_and_test`: in training and in all
    evaluations. `test`: in evaluations alone; the training is that of the same variant without this key, and is done
    once for both. The artifacts of `evaluate` are painted before, those of `training.augment` after, and stay."""


class VariantSpec(Spec):
    """A model and what it overrides, or an ensemble of other variants."""

    model: str | None = None
    """One of `medbench models`, `smp:Architecture/encoder`, or `package.module:Class` of your own."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the model; an unknown one is an error."""
    output: OutputSpec | None = None
    """For a network of your own that gives several maps, probabilities, two channels or small maps, or has heads."""
    deep_supervision: (
        Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(as_tuple)] | None
    ) = None
    """Weights of the losses of a network's other maps in training, in their order; needs `output`, which says the one
    that counts and has weight 1. medbench's own models have it among their options."""
    ensemble: EnsembleSpec | None = None
    """Instead of a model: an average of other variants with the same seed. Nothing is trained for it."""
    encoder_weights: str | None = None
    """Instead of the study's."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of `training` that differ from the study's."""
    dataset: dict[Literal["name", "folder", "images", "size"], Any] = Field(default_factory=dict)
    """Another set, or another size, than the study's."""
    tasks: dict[TaskName, TaskSpec] | None = None
    """Instead of the study's, all of them: `{}` is masks alone."""
    preprocess: PreprocessSpec | None = None
    """What is done to its images before the network sees them."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> "VariantSpec":
        if (self.model is None) == (self.ensemble is None):
            raise ValueError("give either a model or an ensemble")
        learns = [self.options, self.output, self.deep_supervision, self.encoder_weights, self.training, self.dataset]
        learns += [self.tasks is not None, self.preprocess]
        if self.ensemble and any(learns):
            raise ValueError("an ensemble has members and weighting, nothing to train: set these keys at its members")
        return self


class PublishedClaim(Spec):
    """A number that somebody published, which the report sets beside ours."""

    metric: str
    """The metric that it is about."""
    value: float
    """The number."""
    spread: Annotated[float, Field(ge=0)] | None = None
    """What stands behind its ±, whatever that means there."""
    variant: str
    """The variant of this study that it is set beside."""
    evaluation: str = "clean"
    """The evaluation of this study that it is set beside."""
    under: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Settings that it was reported under, by their dotted keys, as in training.epochs; where ours differ, the report
    calls the two not comparable."""
    source: str
    """Where it was published."""
    note: str = ""
    """What else a reader should know of it."""


def _at(keys: str, message: object) -> PydanticCustomError:
    """An error about keys that only the whole study can judge."""
    return PydanticCustomError("study", "{message}", {"message": str(message), "keys": tuple(keys.split("."))})


class Study(Spec):
    """One question: variants x seeds on a data set, with evaluations."""

    question: str
    """What the study asks, in a sentence; the report's heading."""
    registered: str | None = None
    """Where and when the plan was written down before any test score was seen, in a sentence that the report quotes."""
    asks: Literal["difference", "robustness", "generalization", "cost"]
    """What the answer is about: variants against the baseline, what artifacts cost, what is lost on other data sets,
    or what accuracy costs. The report opens with it."""
    baseline: str
    """The variant that the others are compared with."""
    compare_with: str | None = None
    """A variant beside the baseline that the answer compares the others with too: the rival that they must beat. For
    `asks: difference` and `robustness`; its comparisons are a family of their own."""
    variants: Annotated[dict[Annotated[str, Field(pattern=NAME)], VariantSpec], Field(min_length=1)]
    """What is compared, by name."""
    dataset: DatasetSpec
    """What is trained on, and how it is split."""
    sets: Annotated[dict[Annotated[str, Field(pattern=NAME)], dict[str, Any]], Field(min_length=2)] | None = None
    """The same study on each of these data sets, by names of yours: what of `dataset` each has. The report puts the
    answers side by side."""
    encoder_weights: str
    """`imagenet`, `none`, or the path of a safetensors file with timm's names."""
    tasks: dict[TaskName, TaskSpec] | None = None
    """What is learnt of images as a whole beside their masks, by name, as in {diagnosis: {column: dx}}."""
    seeds: Seeds
    """Trainings of each variant: a number n for 0 to n - 1, a list, or `{until: decided, at_least: 3, at_most: 12}`."""
    training: Training
    """The recipe of every variant, but for what a variant overrides."""
    evaluate: Annotated[tuple[Evaluation, ...], Field(min_length=1), BeforeValidator(as_tuple)]
    """Test sets: `clean`, other data sets, artifacts. The first is the one that the report opens with."""
    conditions: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_tuple)] | None = None
    """The artifacts with their severities, as in [hair-5], that the answer to `asks: robustness` is about; all of
    `evaluate` where the key is left out. The others are shown, and are exploratory."""
    primary: str
    """The metric that claims are about; all others are exploratory."""
    margin: Annotated[float, Field(ge=0)]
    """Differences of the primary metric below it count as practically nothing; 0: none does."""
    score_at: Literal["native", "input"]
    """Score at the resolution of the reference masks, or at the models' input size as some papers do."""
    exclude_copies: bool
    """Test on no image that shows the same picture as one that any variant learns from."""
    claims: Annotated[tuple[PublishedClaim, ...], BeforeValidator(as_tuple)] = ()
    """Numbers that others published; the report sets ours beside them."""
    profiles: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named overlays of this study, chosen by `--profile`; laid over medbench's own of that name."""

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        if self.baseline not in self.variants:
            raise _at("baseline", UnknownNameError("variant", self.baseline, self.variants))
        if self.primary not in METRICS:
            raise _at("primary", UnknownNameError("metric", self.primary, METRICS))
        metric = METRICS[self.primary]
        if why := out_of_reach(self.margin, metric.label, metric.bounds):
            raise _at("margin", why)
        if len(set(self.all_seeds)) < len(self.all_seeds):
            raise _at("seeds", f"seeds must differ from each other, got {list(self.all_seeds)}")
        if isinstance(self.seeds, UntilDecided) and (why := wrong_looks(self.seeds, self)):
            raise _at("seeds", why)
        sizes = {variant.dataset.get("size", self.dataset.size) for variant in self.variants.values() if variant.model}
        at_input = any(isinstance(each, AtInput) for each in self.evaluate)
        if len(sizes) > 1 and (self.score_at == "input" or at_input):
            key = "evaluate" if at_input else "score_at"
            raise _at(key, f"variants of the sizes {sorted(sizes)} can be compared at the native resolution only")
        if self.score_at == "input" and at_input:
            raise _at("evaluate", "score_at: input is what the study says of all its evaluations; leave it out here")
        names: list[str] = []
        for each in self.evaluate:
            names += ["clean"] if each == "clean" else each.names if isinstance(each, ArtifactTest) else [each.name]
        if len(set(names)) < len(names):
            raise _at("evaluate", f"two evaluations have one name in {', '.join(names)}")
        kinds = [type(each) for each in self.evaluate]
        if self.asks == "robustness" and not ("clean" in self.evaluate and ArtifactTest in kinds):
            raise _at("asks", "robustness is answered from `clean` and an artifact; add both to `evaluate`")
        if self.asks == "generalization" and OtherSet not in kinds:
            raise _at("asks", "generalization is answered from another data set; add one to `evaluate`")
        for index, each in enumerate(self.claims):
            for key, known in (("variant", self.variants), ("metric", METRICS), ("evaluation", names)):
                if getattr(each, key) not in known:
                    raise _at(f"claims.{index}.{key}", UnknownNameError(key, getattr(each, key), known))
            for key in each.under:
                if not key.startswith("options.") and key not in SETTINGS:
                    raise _at(f"claims.{index}.under.{key}", UnknownNameError("setting", key, SETTINGS))
        trained = [name for name, variant in self.variants.items() if variant.model]
        for name, variant in self.variants.items():
            for member in variant.ensemble.members if variant.ensemble else ():
                if member not in trained:
                    raise _at(f"variants.{name}.ensemble.members", UnknownNameError("member", member, trained))
            if variant.output and variant.output.bottleneck and not self.tasks_of(name):
                raise _at(f"variants.{name}.output.bottleneck", "is what heads of tasks see, and there are no tasks")
        return self

    @model_validator(mode="after")
    def _answers_what_it_names(self) -> "Study":
        painted = [name for each in self.evaluate if isinstance(each, ArtifactTest) for name in each.names]
        misnamed = wrong_rival(self.compare_with, self.asks, self.baseline, self.variants)
        for key, why in (
            ("compare_with", misnamed),
            ("conditions", wrong_conditions(self.conditions, self.asks, painted)),
        ):
            if why:
                raise _at(key, why)
        return self

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Of all trainings that there may be."""
        return tuple(range(self.seeds.at_most)) if isinstance(self.seeds, UntilDecided) else self.seeds

    def training_of(self, variant: str) -> Training:
        """The recipe of a variant: the study's with the variant's own keys laid over it."""
        overlay = self.variants[variant].training
        return Training.model_validate(merge(self.training.model_dump(), overlay), strict=True)

    def dataset_of(self, variant: str) -> DatasetSpec:
        """What a variant is trained on: the study's set with the variant's own keys laid over it."""
        overlay = self.variants[variant].dataset
        base = self.dataset.model_dump(exclude=OF_ONE_SET if names_set(overlay) else None)
        return DatasetSpec.model_validate({**base, **overlay}, strict=True)

    def output_of(self, variant: str) -> dict[str, Any]:
        """`output` and `deep_supervision` of a variant, as far as it says them."""
        spec = self.variants[variant]
        said: dict[str, Any] = {}
        if spec.output:
            said["output"] = spec.output.model_dump(exclude_defaults=True)
        if spec.deep_supervision:
            said["deep_supervision"] = list(spec.deep_supervision)
        return said

    def tasks_of(self, variant: str) -> dict[str, TaskSpec]:
        """What a variant learns of images as a whole: its own tasks, or the study's; an ensemble has none."""
        spec = self.variants[variant]
        return {} if spec.ensemble else (self.tasks or {}) if spec.tasks is None else spec.tasks

    def hair_removal_of(self, variant: str) -> Literal["train_and_test", "test"] | None:
        """From which of its images a variant's hair is removed."""
        preprocess = self.variants[variant].preprocess
        return preprocess and preprocess.hair_removal

    def encoder_weights_of(self, variant: str) -> str:
        """Where the encoder of a variant gets its weights."""
        return self.variants[variant].encoder_weights or self.encoder_weights


SETTINGS = {"dataset", "split", "score_at", "size", "model", "encoder_weights", "preprocess.hair_removal"}
SETTINGS |= {f"training.{key}" for key in Training.model_fields}
PARTS: dict[type[Spec], str] = {  # in reading order, with where each stands in a file
    Study: "the study itself",
    DatasetSpec: "dataset",
    VariantSpec: "variants.NAME",
    OutputSpec: "variants.NAME.output",
    TaskSpec: "tasks.NAME",
    PreprocessSpec: "variants.NAME.preprocess",
    EnsembleSpec: "variants.NAME.ensemble",
    UntilDecided: "seeds: until it is decided",
    Training: "training",
    Consistency: "training.consistency",
    Augment: "training.augment",
    OtherSet: "evaluate: a data set",
    ArtifactTest: "evaluate: an artifact",
    AtInput: "evaluate: at the input size",
    PublishedClaim: "claims: one of them",
}
