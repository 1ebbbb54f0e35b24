"""From the words on a command line to a composed configuration, and from exceptions to exit codes.

Exit codes: 0 ok, 2 the input is at fault (one message, no traceback), 1 a bug, 130 interrupted,
143 terminated. `--help` answers without importing Hydra or torch.
"""

from __future__ import annotations

import logging
import os
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
    from omegaconf.errors import OmegaConfBaseException

    search = [f"hydra.searchpath=[file://{VOICES.resolve()}]"] if VOICES.is_dir() else []
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            split = [word.partition("=") for word in overrides]
            texts = {key: text for key, equals, text in split if equals and key in verbatim}
            words = [
                _forced(key + equals + text) for key, equals, text in split if key not in texts
            ]
            config = hydra_compose(config_name, overrides=[*search, *words])
            for key, text in texts.items():
                config[key] = None if text == "null" else text.replace("${", "\\${")
            return config
    except (HydraException, OmegaConfBaseException) as error:
        word = (
            f"{error.override.lstrip('+')}: " if isinstance(error, OverrideParseException) else ""
        )
        raise InputError(
            f"configuration: {word}{' '.join(str(error).split())}\n"
            f"See `--help` for groups and options, configs/{config_name}.yaml for the keys."
        ) from error


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
