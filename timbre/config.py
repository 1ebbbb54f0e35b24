"""The schema of a run: every key that configs/train.yaml and the command line may set."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from data.config import DataConfig
from data.errors import InputError
from data.mel import AudioConfig
from losses.schedules import RateSchedule
from timbre.doctor.config import DoctorConfig
from timbre.judges.recognizer import TranscribeConfig
from timbre.lora import LoraConfig
from timbre.networks import ModelConfig
from timbre.objective import MODULES, ObjectiveConfig, check_parts
from timbre.optimization import OptimizerConfig

Schema = TypeVar("Schema")

LISTENING_JUDGES = ("recogniser", "resemblyzer", "dnsmos")
SCORED = (
    *("similarity", "similarity_spectrum", "similarity_z_spk", "mel_distance"),
    *("error_rate", "phoneme_error", "wer", "cer", "dnsmos", "f0_error", "rate_error", "silence"),
)
"""Measures of listening that a score may weigh."""


@dataclass(frozen=True)
class TrainConfig:
    """How long and what to train."""

    updates: int = 400
    """Generator updates, counted from the start of the run."""
    minutes: float | None = None
    """Time budget; the run ends at whichever comes first, and the schedules follow."""
    seed: int = 1
    """Seed of initial weights, batch order and every draw."""
    modules: list[str] = field(default_factory=lambda: ["gpt", "sovits"])
    """What is trained: tokenizer, gpt, sovits, vocoder."""
    tokenizer_augmentation: bool = True
    """Mask and warp the mel that the tokenizer hears while it is trained."""
    tokenizer_updates: int = 300
    """With an untrained tokenizer (init=none): updates it gets first, on the same voice."""
    average_decay: float | None = None
    """Decay of the moving average of the weights that is saved and judged; None: no average."""
    start_share: float = 0.0
    """Share of the weights that the run began with in those that are judged and saved: 0 takes the
    trained ones as they are, 0.3 goes almost a third of the way back (see `timbre.blending`)."""
    timbre_gain: float = 1.0
    """How far what colours the voice goes from the start in the weights that are judged and saved,
    as a multiple of what was trained: 1.25 goes a quarter further (see `timbre.blending`)."""
    frozen: list[str] = field(default_factory=list)
    """Parts of these modules that keep the weights of the bundle which the run starts from, as
    sovits.speaker_encoder; parts that start from nothing are trained."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Low-rank updates instead of a full fine-tune."""
    accumulate: int = 1
    """Parts that a batch is computed in, for memory: gradients add up, so batch, schedules and
    annealing stay what they are. 0 finds the fewest that fit the largest batch before the run
    begins; when the memory is full during it, their number doubles."""
    log_updates: int = 10
    """Updates between two rows of metrics.csv and two progress lines."""
    save_updates: int = 200
    """Updates between two saves of checkpoints/last.ckpt."""
    max_non_finite: int = 10
    """Updates in a row with a non-finite loss after which the run stops."""

    def __post_init__(self) -> None:
        if self.updates < 1 or self.log_updates < 1 or self.save_updates < 1:
            raise ValueError("train.updates, log_updates and save_updates must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"train.seed is {self.seed}; give 0 to {2**32 - 1}")
        if not 0 <= self.start_share < 1:
            raise ValueError(
                f"train.start_share is {self.start_share}; give a share from 0 to below 1"
            )
        if not 0 < self.timbre_gain <= 2:
            raise ValueError(
                f"train.timbre_gain is {self.timbre_gain}; give a multiple above 0, at most 2"
            )
        if self.accumulate < 0:
            raise ValueError(
                f"train.accumulate is {self.accumulate}; give 1 or more, or 0 to find it"
            )
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"train.minutes is {self.minutes}; give a positive number or null")
        unknown = sorted(set(self.modules) - set(MODULES))
        if unknown or not self.modules:
            raise ValueError(
                f"train.modules is {self.modules}; give one or more of {', '.join(MODULES)}"
            )
        check_parts("train.frozen", self.frozen)
        if "tokenizer" in self.modules and {"gpt", "sovits"} & set(self.modules):
            raise ValueError(
                "train.modules: gpt and sovits learn the tokens of a finished tokenizer; train it "
                "first (experiment=tokenizer), then start from its bundle"
            )
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise ValueError(f"train.average_decay is {self.average_decay}; give 0 < decay < 1")

    @property
    def ships_a_blend(self) -> bool:
        """Whether what is judged and saved are other weights than the trained ones."""
        return self.start_share != 0 or self.timbre_gain != 1


@dataclass(frozen=True)
class ValidationConfig:
    """Held-out checks during training: loss terms, and listening to what the voice says.

    A run of GPT or SoVITS that starts from a voice that can speak is judged by listening: the first
    row is the *un-tuned baseline*, the best checkpoint is the one with the highest score of those
    that are understood as well, and the bundle is made of it. Other runs keep the checkpoint with
    the lowest reconstruction term, and end with their last weights.
    """

    every: int = 100
    """Updates between two validations; the first is before any training."""
    samples: int = 2
    """Held-out clips whose mel is drawn beside the true one at each validation."""
    clips: int = 4
    """Held-out clips whose texts are spoken and judged; with `sentences` 0 too, nobody listens."""
    sentences: int = 4
    """Sentences of assets/sentences/listening/LANGUAGE.txt that are spoken as well."""
    judges: list[str] = field(default_factory=lambda: ["resemblyzer"])
    """Judges to ask besides the built-in ones, where installed: resemblyzer (`val/similarity` is
    its, else the long-term spectrum's), recogniser (the model `transcribe.model`; `val/error_rate`
    is its, else the tokenizer's CTC head's), dnsmos."""
    score: dict[str, float] = field(default_factory=lambda: {"similarity": 1.0})
    """What `best` means: the sum of these measures, each times its weight; higher is better."""
    tolerance: float = 0.02
    """How far `error_rate` may be above the baseline's; 0.02 is two in a hundred."""
    lenience: float = 1.25
    """Up to so many times the human recordings' own `error_rate` is allowed in any case: a judge
    that knows the base's voices better than this one would count every step towards it as an error
    (measured: a weak CTC head heard 0.49 wrong of the base, 0.67 of the tuned voice, 0.56 of the
    human, where Whisper's errors fell)."""
    average: int = 1
    """At the end the mean of the weights of so many best checkpoints is judged as well, and is the
    voice if it scores higher (arXiv 2203.05482); 1 takes the best one alone."""
    patience: int = 4
    """Validations in a row without a better score after which the run stops; 0 never stops it."""
    babble_nats: float = 5.0
    """Held-out `semantic` above which GPT only babbles and is not listened to: chance is
    ln(codes), 6.9, and a trained GPT is at 2 to 3.5."""
    intelligible: float = 0.5
    """Highest `error_rate` at which the start of a run counts as a voice that can speak (or the
    human recordings' own, if that is higher)."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"validation.every is {self.every}; give 1 or more")
        for name in ("samples", "clips", "sentences", "patience", "tolerance", "lenience"):
            if getattr(self, name) < 0:
                raise ValueError(f"validation.{name} is {getattr(self, name)}; give 0 or more")
        if self.average < 1:
            raise ValueError(f"validation.average is {self.average}; give 1 or more")
        if unknown := sorted(set(self.judges) - set(LISTENING_JUDGES)):
            raise ValueError(
                f"validation.judges: no judge {unknown[0]!r}; there are "
                f"{', '.join(LISTENING_JUDGES)}"
            )
        if unknown := sorted(set(self.score) - set(SCORED)):
            raise ValueError(
                f"validation.score: no measure {unknown[0]!r}; there are {', '.join(SCORED)}"
            )


@dataclass(frozen=True)
class TrainerConfig:
    """Device and precision (see timbre/devices.py)."""

    accelerator: str = "auto"
    """auto, cpu, gpu or any accelerator of Lightning."""
    devices: int = 1
    """Number of devices (processes)."""
    strategy: str = "auto"
    """auto or ddp."""
    precision: str = "auto"
    """auto, 32-true, bf16-mixed or 16-mixed."""
    threads: int | None = None
    """CPU threads of torch; None: torch's own choice."""


@dataclass(frozen=True)
class RunDirConfig:
    """Where the run's files go."""

    dir: str | None = None
    """Folder of the run; None: runs/NAME/<time>."""
    cache: str = ".cache/features"
    """Where features and tokens are kept between runs; may be deleted at any time."""
    progress: str = "auto"
    """bar, lines or auto (a bar on a terminal)."""


@dataclass(frozen=True)
class LoggerConfig:
    """Where metrics go beside metrics.csv."""

    tensorboard: bool = True
    """Write TensorBoard events into the run's folder."""
    wandb: bool = False
    """Send everything to Weights & Biases as well (the package wandb)."""
    mlflow: bool = False
    """Send everything to MLflow as well (the package mlflow or mlflow-skinny)."""
    project: str = "timbre"
    """Project of Weights & Biases, experiment of MLflow."""
    offline: bool = False
    """Weights & Biases writes into the run's folder only; `wandb sync` sends it later."""
    mlflow_uri: str | None = None
    """Address of the MLflow server; None: the run's folder mlruns/."""


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How long and what to train."""
    audio: AudioConfig = field(default_factory=AudioConfig)
    """configs/audio: geometry of the mel."""
    data: DataConfig = field(default_factory=lambda: DataConfig(manifest=MISSING))
    """configs/data: the voice."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """configs/model: sizes and variants."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """configs/objective: terms and weights."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """configs/optimizer: optimizer and learning rates."""
    schedule: RateSchedule = field(default_factory=RateSchedule)
    """configs/schedule: the learning rate over the updates."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """configs/trainer: device and precision."""
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    """configs/logger: where metrics go."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Held-out checks."""
    doctor: DoctorConfig = field(default_factory=DoctorConfig)
    """Who watches the curves."""
    transcribe: TranscribeConfig = field(default_factory=TranscribeConfig)
    """The speech recogniser that validation may ask."""
    run: RunDirConfig = field(default_factory=RunDirConfig)
    """Where files go."""
    init: str = "base"
    """base, none, or the bundle whose weights to start from."""
    init_parts: dict[str, str] = field(default_factory=dict)
    """Modules that start from elsewhere than `init`, e.g. `init_parts.vocoder=PATH`."""
    resume: str | None = None
    """Folder of a run to continue."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.init_parts) - set(MODULES)):
            raise ValueError(
                f"init_parts: no module {unknown[0]!r}; there are {', '.join(MODULES)}"
            )
        modules = set(self.train.modules)
        predicted = self.objective.vocoder_input == "predicted" and "vocoder" in modules
        if predicted and not {"gpt", "sovits"} & modules:
            raise ValueError(
                "objective.vocoder_input=predicted needs gpt or sovits among train.modules: only "
                "then is a mel predicted"
            )
        if self.train.lora.rank:
            self._check_adapted()
        weights = self.objective.weights
        acoustic = bool({"sovits", "vocoder"} & modules) and "gpt" not in modules
        if (weights.policy or weights.preference) and acoustic:
            raise ValueError(
                "objective.weights.policy and preference train GPT: put gpt into train.modules, or "
                "set them to 0"
            )

    def source_of(self, module: str) -> str:
        """The bundle that gives a module its first weights, or none."""
        return self.init_parts.get(module, self.init)

    def _check_adapted(self) -> None:
        adapted = self.train.lora.parts(self.train.modules)
        if not adapted:
            raise ValueError(
                "train.lora.rank: none of train.lora.modules is in train.modules; name what is "
                "trained, or set the rank to 0"
            )
        for part in adapted:
            name = part.split(".")[0]
            if self.source_of(name) == "none":
                raise ValueError(
                    f"train.lora.rank updates trained weights, and {name} starts from nothing: "
                    "give init= or init_parts= a bundle, or set the rank to 0"
                )


def parse(schema: type[Schema], config: DictConfig) -> Schema:
    """Checks a composed configuration against its schema and makes the dataclasses of it.

    Raises:
        InputError: An unknown key (the message lists the valid ones), a wrong type, or a value that
            a dataclass refuses.
    """
    try:
        structured = OmegaConf.structured(schema)
        _make_writable(structured)
        merged = OmegaConf.merge(structured, config)
        values = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
        return cast(Schema, _build(schema, values))
    except ConfigKeyError as error:
        raise InputError(f"configuration: {_unknown_key(schema, error)}") from error
    except (ValidationError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"configuration: {error.full_key or ''}: {reason}") from error
    except ValueError as error:
        raise InputError(f"configuration: {error}") from error


def _build(kind: Any, value: Any) -> Any:
    """A value of the annotated type: dataclasses of mappings, and tuples, which OmegaConf lists."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _build(hints[name], item) for name, item in value.items()})
    if get_origin(kind) is list and isinstance(value, list):
        return [_build(get_args(kind)[0], item) for item in value]
    if get_origin(kind) is tuple and isinstance(value, list):
        arguments = get_args(kind)
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_build(item_kind, item) for item_kind, item in zip(each, value, strict=True))
    return value


def _make_writable(node: DictConfig) -> None:
    """OmegaConf marks frozen dataclasses read-only; while merging they are only a schema."""
    OmegaConf.set_readonly(node, False)
    for name in node:
        if not OmegaConf.is_missing(node, name) and isinstance(node[name], DictConfig):
            _make_writable(node[name])


def _unknown_key(schema: type, error: ConfigKeyError) -> str:
    """One line: the wrong key, its likeliest correction, and the valid names beside it."""
    full_key = error.full_key or str(error.key)
    parent, _, key = full_key.rpartition(".")
    names = [f.name for f in fields(_section(schema, parent))]
    close = difflib.get_close_matches(key, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown key {full_key!r}.{hint} Valid here: {', '.join(names)}."


def _section(schema: Any, path: str) -> Any:
    """The dataclass at a dotted path of the schema (the deepest one that is a dataclass)."""
    current = schema
    for name in path.split(".") if path else []:
        following = get_type_hints(current).get(name)
        if not is_dataclass(following):
            break
        current = following
    return current
