"""From the words on a command line to a composed configuration, and from exceptions to exit codes.

Exit codes: 0 ok, 2 the input is at fault (one message, no traceback), 1 a bug, 130 interrupted,
143 terminated. `--help` answers without importing Hydra or torch.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from data.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

INPUT_AT_FAULT, INTERRUPTED, TERMINATED = 2, 130, 143
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
VOICES = Path("voices")
TRAINING_TEXTS = (
    *("init", "init_parts.tokenizer", "init_parts.gpt", "init_parts.sovits", "init_parts.vocoder"),
    *("resume", "run.dir", "run.cache", "data.name", "data.manifest", "data.heldout"),
    *("data.lexicon", "data.replay.manifest", "objective.semantic.teacher", "transcribe.model"),
    "logger.project",
)
"""Keys of a run whose value is text as it stands: names and paths."""


def compose(config_name: str, overrides: list[str], verbatim: tuple[str, ...] = ()) -> DictConfig:
    """Composes `configs/<config_name>.yaml` with overrides such as `data=myvoice train.updates=10`.

    Prepared voices (`voices/data/NAME.yaml`) are on the search path, so `data=NAME` finds them. Any
    key may be set here; the command's schema then refuses those that do not exist.

    Args:
        config_name: The file in `configs/`.
        overrides: Words of the command line.
        verbatim: Keys whose value is text as it stands, though to Hydra commas, brackets, `$` and
            quotes mean something.

    Raises:
        InputError: An override is malformed, or names an option that its group does not have.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    texts, words = told_apart(overrides, verbatim)
    words = [_forced(word) for word in words]
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = hydra_compose(config_name, overrides=[*_search_path(), *words])
            for key, text in texts.items():
                OmegaConf.update(config, key, text, force_add=True)
            return config
    except (HydraException, OmegaConfBaseException) as error:
        word = (
            f"{error.override.lstrip('+')}: " if isinstance(error, OverrideParseException) else ""
        )
        raise InputError(
            f"configuration: {word}{' '.join(str(error).split())}\n"
            f"See `--help` for groups and options, configs/{config_name}.yaml for the keys."
        ) from error
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"configuration: a file in {VOICES} or configs is no YAML mapping in UTF-8 ({reason}); "
            "mend it, or take it away"
        ) from error


def told_apart(
    overrides: list[str], verbatim: tuple[str, ...]
) -> tuple[dict[str, str | None], list[str]]:
    """What is set verbatim, as OmegaConf takes it, and the words that are left for Hydra."""
    texts: dict[str, str | None] = {}
    words = []
    for word in overrides:
        key, equals, text = word.partition("=")
        if equals and (name := key.lstrip("+")) in verbatim:
            texts[name] = None if text == "null" else as_text(text)
        else:
            words.append(word)
    return texts, words


def as_text(value: str) -> str:
    """How a value of a configuration is written in which `${` refers to no other key."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)


def _search_path() -> list[str]:
    """The override by which Hydra finds prepared voices, where there are any."""
    if not VOICES.is_dir():
        return []
    # In quotes Hydra takes all as it stands but quotes, and the backslashes in front of a quote.
    path = re.sub(r"(\\*)'", r"\1\1\\'", f"file://{VOICES.resolve()}/")
    return [f"hydra.searchpath=['{path}']"]


def _forced(word: str) -> str:
    """`key=value` as `++key=value`, which Hydra accepts for keys that no YAML file mentions."""
    key = word.partition("=")[0]
    is_group = (CONFIGS / key).is_dir() or (VOICES / key).is_dir()
    return word if is_group or not key[:1].isalpha() else f"++{word}"


def usage(config_name: str, description: str) -> str:
    """The text of `--help`: what the command does and which configuration groups it composes."""
    lines = [description.strip(), "", f"Configuration: configs/{config_name}.yaml; groups:"]
    groups: dict[str, set[str]] = {}
    for root in (CONFIGS, VOICES):
        for path in sorted(root.glob("*/**/*.yaml")):
            group = path.parent.relative_to(root).as_posix()
            groups.setdefault(group, set()).add(path.stem)
    lines += [f"  {group}={'|'.join(sorted(options))}" for group, options in groups.items()]
    return "\n".join(lines)


def run(
    main: Callable[[DictConfig], int | None],
    config_name: str,
    description: str,
    verbatim: tuple[str, ...] = (),
) -> None:
    """Runs one command: parse, compose, call `main(config)`, exit with the documented code.

    Args:
        main: The command; what it returns is the exit code (None: 0).
        config_name: The file in `configs/` that the command composes.
        description: The text of `--help`.
        verbatim: Keys whose value is text as it stands (see `compose`).
    """
    words = sys.argv[1:]
    if any(word in {"-h", "--help"} for word in words):
        print(usage(config_name, description))
        sys.exit(0)
    # Of several processes that train together, the first one speaks.
    level = logging.INFO if os.environ.get("LOCAL_RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main(compose(config_name, words, verbatim))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = INPUT_AT_FAULT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.stdout.flush()
    sys.exit(code or 0)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """SIGTERM outside the training loop: nothing to save, leave with the documented code."""
    sys.exit(TERMINATED)
