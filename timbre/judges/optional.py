"""Judges that need a package of their own, imported only when they are asked."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType


class NotAvailableError(Exception):
    """A judge cannot be asked here; the message says why and the command that changes it."""


def import_optional(module: str, command: str) -> ModuleType:
    """Imports a judge's package.

    Args:
        module: Its name.
        command: The line that installs it.

    Raises:
        NotAvailableError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            # These packages are old: they import what their own dependencies deprecate.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise NotAvailableError(f"not installed ({error}): {command}") from error
