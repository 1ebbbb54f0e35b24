"""Loading of the packages that only some languages need."""

import importlib
import warnings
from importlib.metadata import version
from types import ModuleType

from data.errors import MachineError

INSTALL = "pip install 'timbre-voice[languages]'"


def load_package(module: str, language: str) -> ModuleType:
    """Import a module of the extra `languages`.

    Raises:
        MachineError: it is not installed; names the command that installs it.
    """
    try:
        with warnings.catch_warnings():
            # jieba imports pkg_resources and has escape sequences that newer Pythons warn of.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise MachineError(f"text in {language} needs {module} ({error}): {INSTALL}") from error


def package_versions(*packages: str) -> str:
    """Return names and versions of installed packages, for fingerprints of caches."""
    return "/".join(f"{package}-{version(package)}" for package in packages)
