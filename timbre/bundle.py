"""Bundles: the folder that is a voice. Safetensors and JSON, nothing pickled."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from data.errors import InputError
from data.files import write_whole
from data.mel import AudioConfig
from data.text.symbols import SYMBOL_TABLE_VERSION, SYMBOLS
from timbre.config import parse
from timbre.networks import ModelConfig, Networks

_LOG = logging.getLogger(__name__)

FORMAT = 1
"""Raised when old bundles need a named function of this module to be read."""
BASE = Path(__file__).resolve().parent.parent / "checkpoints" / "base-24khz"
MODEL, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.safetensors", "config.json"
DISCRIMINATORS = "discriminators.safetensors"
"""What taught a bundle's decoder and vocoder, for whoever trains it further."""
LEXICON = "lexicon.tsv"
REPLAY = "replay/manifest.jsonl"
"""Clips of what a base learned, which a fine-tune mixes in so that it forgets nothing."""
_SPEAKERS = "speaker_embeddings"
_TOKENIZING = ("tokenizer.", "alignment_prior")
_BEYOND_SHAPES = {
    "tokenizer": ("tokenizer.fsq_levels",),
    "gpt": ("gpt.layout", "gpt.heads"),
    "sovits": (
        "speaker_encoder.log_std_min",
        "speaker_encoder.log_std_max",
        "decoder.residual_scale",
    ),
    "vocoder": ("vocoder.prior_istft.pitch.fmin_hz", "vocoder.prior_istft.pitch.fmax_hz"),
}
"""Settings that a module's weights depend on, and their shapes do not."""


@dataclass
class Bundle:
    """A voice, or a base that knows many."""

    networks: Networks
    """All networks, in evaluation mode."""
    audio: AudioConfig
    """Geometry of the mel."""
    speakers: list[str]
    """Names of the voices; may be empty."""
    embeddings: Tensor
    """z_spk of each voice `[speakers, channels]`."""
    name: str
    """Name of the voice or base."""
    language: str
    """Language of the voice; empty where there are several."""
    about: dict[str, Any] = field(default_factory=dict)
    """What else is known: how it was trained, when, from what."""
    lexicon: Path | None = None
    """Words and how the voice says them, as it learned them; copied into the bundle."""
    discriminators: dict[str, Tensor] = field(default_factory=dict)
    """Weights of the discriminators that taught it, saved beside it; see `load_discriminators`."""


@dataclass(frozen=True)
class Header:
    """`config.json`."""

    format: int = FORMAT
    """Version of the bundle's files."""
    symbol_table_version: int = SYMBOL_TABLE_VERSION
    """Version of the table that phonemes are numbered by."""
    symbols: int = len(SYMBOLS)
    """Rows of that table."""
    name: str = ""
    """See `Bundle.name`."""
    language: str = ""
    """See `Bundle.language`."""
    speakers: list[str] = field(default_factory=list)
    """See `Bundle.speakers`."""
    audio: AudioConfig = field(default_factory=AudioConfig)
    """See `Bundle.audio`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes of the networks."""
    about: dict[str, Any] = field(default_factory=dict)
    """See `Bundle.about`."""


def save_bundle(folder: Path, bundle: Bundle) -> None:
    """Writes the bundle, weights in 16 bits; each file appears whole or not at all.

    What speaks is in `model.safetensors`; the tokenizer, which only training and judging need, is
    in `tokenizer.safetensors`, and the discriminators, which only training needs, are in
    `discriminators.safetensors`, so that a voice can be shared without them. The lexicon that the
    voice was trained with becomes `lexicon.tsv`.

    Args:
        folder: Created if it is not there.
        bundle: What to save.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = bundle.networks.state_dict() | {_SPEAKERS: bundle.embeddings}
    tensors = {name: _compact(tensor) for name, tensor in state.items()}
    teachers = {name: _compact(tensor) for name, tensor in bundle.discriminators.items()}
    header = Header(
        name=bundle.name,
        language=bundle.language,
        speakers=bundle.speakers,
        audio=bundle.audio,
        model=bundle.networks.config,
        about=bundle.about,
    )
    tokenizing = {name: t for name, t in tensors.items() if name.startswith(_TOKENIZING)}
    speaking = {name: t for name, t in tensors.items() if name not in tokenizing}
    # Not save_file, which leaves a file that only its owner may read.
    write_whole(folder / TOKENIZER, save(tokenizing))
    write_whole(folder / DISCRIMINATORS, save(teachers) if teachers else None)
    write_whole(folder / MODEL, save(speaking))
    write_whole(folder / LEXICON, None if bundle.lexicon is None else bundle.lexicon.read_bytes())
    write_whole(folder / CONFIG, json.dumps(asdict(header), indent=1, ensure_ascii=False))


def _compact(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()


def load_bundle(folder: Path) -> Bundle:
    """Reads a bundle; older ones are brought up to date.

    Without `tokenizer.safetensors` the voice speaks, but cannot be fine-tuned or judged.

    Raises:
        InputError: The folder is not a bundle, is damaged, or comes from a newer version.
    """
    header = read_header(folder)
    tensors = _read_tensors(folder / MODEL)
    if _SPEAKERS not in tensors:
        raise InputError(f"{folder / MODEL} holds no voices; copy the bundle again or train anew")
    embeddings = tensors.pop(_SPEAKERS).float()
    networks = Networks(header.model, header.audio)
    if (folder / TOKENIZER).is_file():
        tensors |= _read_tensors(folder / TOKENIZER)
    else:
        state = networks.state_dict()
        tensors |= {name: t for name, t in state.items() if name.startswith(_TOKENIZING)}
    load_weights(networks, tensors, header.symbols, str(folder))
    return Bundle(
        networks=networks.eval(),
        audio=header.audio,
        speakers=header.speakers,
        embeddings=embeddings,
        name=header.name,
        language=header.language,
        about=header.about,
        lexicon=folder / LEXICON if (folder / LEXICON).is_file() else None,
    )


def load_discriminators(folder: Path) -> dict[str, Tensor]:
    """Weights of the discriminators that taught a bundle, by their names in a run; none without.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / DISCRIMINATORS
    return _read_tensors(path) if path.is_file() else {}


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); copy the bundle again or train anew"
        ) from error


def load_weights(networks: Networks, tensors: dict[str, Tensor], symbols: int, where: str) -> None:
    """Loads weights into networks, growing what depends on the symbol table.

    Raises:
        InputError: The weights are not of networks of this shape.
    """
    grown = grow_symbol_table(networks.state_dict(), tensors, symbols)
    try:
        networks.load_state_dict(grown)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{where}: the weights do not fit the model ({reason})") from error


def take_modules(
    networks: Networks, bundle: Bundle, names: list[str], audio: AudioConfig
) -> list[str]:
    """Copies the named modules' weights from a bundle; what the bundle lacks stays fresh.

    A decoder of another kind thus starts with the trunk that both kinds share.

    Args:
        networks: Copied into.
        bundle: Copied from.
        names: Modules (`tokenizer` brings its alignment prior along).
        audio: What the networks hear; must be the bundle's.

    Returns:
        Names of the tensors that were copied.

    Raises:
        InputError: The bundle was made for other audio or other sizes, or its weights mean
            something else in these networks.
    """
    if bundle.audio != audio:
        raise InputError(
            f"bundle {bundle.name!r} was trained on {bundle.audio}, this run wants {audio}; "
            "choose the bundle's audio group, or init=none"
        )
    prefixes = tuple(f"{name}." for name in names if name != "tokenizer")
    if "tokenizer" in names:
        prefixes += _TOKENIZING
    present = networks.state_dict()
    found = {n: t for n, t in bundle.networks.state_dict().items() if n.startswith(prefixes)}
    for name, tensor in found.items():
        if name in present and present[name].shape != tensor.shape:
            raise InputError(
                f"bundle {bundle.name!r} is a {bundle.networks.config.name!r} model and does not "
                f"fit this run's sizes ({name} is {tuple(tensor.shape)}, not "
                f"{tuple(present[name].shape)}); choose model={bundle.networks.config.name}, or "
                "init=none"
            )
    _check_meaning(networks, bundle, names)
    kept = {name: tensor for name, tensor in found.items() if name in present}
    networks.load_state_dict(kept, strict=False)
    fresh = sorted(
        {n.rpartition(".")[0] for n in present if n.startswith(prefixes)}
        - {n.rpartition(".")[0] for n in kept}
    )
    if fresh:
        _LOG.info("not in bundle %r, so untrained: %s", bundle.name, ", ".join(fresh[:5]))
    return list(kept)


def _check_meaning(networks: Networks, bundle: Bundle, names: list[str]) -> None:
    """Refuses weights that fit in shape alone."""
    theirs, ours = bundle.networks.config, networks.config
    for module in names:
        for setting in _BEYOND_SHAPES[module]:
            part = attrgetter(setting.partition(".")[0])
            if getattr(part(theirs), "kind", "") != getattr(part(ours), "kind", ""):
                continue  # what the kinds do not share stays fresh
            before, now = (attrgetter(setting)(config) for config in (theirs, ours))
            if before != now:
                raise InputError(
                    f"bundle {bundle.name!r} was trained with model.{setting}={before}, this run "
                    f"has {now}, where its weights would mean something else; set "
                    f"model.{setting}={before}, or let {module} start from nothing: "
                    f"init_parts.{module}=none"
                )


def grow_symbol_table(
    present: dict[str, Tensor], saved: dict[str, Tensor], symbols: int
) -> dict[str, Tensor]:
    """Old weights for today's larger symbol table: new symbols keep their fresh rows.

    The table only grows at its end, so the first `symbols` rows are those of the old one.
    """
    grown = {}
    for name, tensor in saved.items():
        fresh = present.get(name)
        if (
            fresh is not None
            and tensor.shape != fresh.shape
            and tensor.shape[1:] == fresh.shape[1:]
            and tensor.shape[0] == symbols < fresh.shape[0]
        ):
            larger = fresh.clone()
            larger[:symbols] = tensor.to(fresh.dtype)
            tensor = larger
        grown[name] = tensor
    return grown


def find_bundle(voice: str) -> Path:
    """The bundle that a user means: a bundle, a run, `base`, or the name of a trained voice.

    Raises:
        InputError: There is none; the message says where it was looked for.
    """
    if voice == "base":
        if is_bundle(BASE):
            return BASE
        raise InputError(
            f"no base checkpoint is bundled at {BASE}. Train one with `python scripts/train.py "
            "experiment=tokenizer data=CORPUS init=none`, then experiment=vocoder and "
            "experiment=pretrain; or train on your voice alone with init=none"
        )
    looked = [Path(voice), Path(voice) / "voice", Path("runs") / voice / "latest" / "voice"]
    for folder in looked:
        if is_bundle(folder):
            return folder
    raise InputError(
        f"voice {voice!r}: no bundle (model.safetensors and config.json) at "
        f"{', '.join(map(str, looked))}; train it first: python scripts/train.py data=NAME"
    )


def is_bundle(folder: Path) -> bool:
    """Whether the folder holds the files that a voice cannot speak without."""
    return all((folder / name).is_file() for name in (MODEL, CONFIG))


@torch.inference_mode()
def mean_embedding(networks: Networks, mels: Iterable[Tensor]) -> Tensor:
    """z_spk `[1, channels]` of a voice: the mean over its recordings `[mels, frames]`, in fp32."""
    device = networks.alignment_prior.device
    each = [
        networks.sovits(mel[None].to(device), torch.tensor([mel.shape[1]], device=device)).float()
        for mel in mels
    ]
    return torch.cat(each).mean(dim=0, keepdim=True)


def read_header(folder: Path) -> Header:
    """What a bundle says of itself, without its weights.

    Raises:
        InputError: The folder is not a bundle, or one of a newer version.
    """
    path = folder / CONFIG
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); is {folder} a bundle?") from error
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise InputError(f"{path} is not a bundle's config (it has no format); copy it again")
    newest = {"format": FORMAT, "symbol_table_version": SYMBOL_TABLE_VERSION}
    if "${" in json.dumps(header):
        raise InputError(
            f"{path} holds ${{, which could read this machine's environment; a bundle has no such "
            "thing: copy it again from where you trust it"
        )
    for name, known in newest.items():
        if header.get(name, known) > known:
            raise InputError(
                f"{path}: made by a newer Timbre ({name} {header[name]}, this one knows {known}); "
                "update Timbre"
            )
    try:
        return parse(Header, OmegaConf.create(header))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
