"""Build the base corpus: `python scripts/corpus.py target=DIR`."""

import logging
import sys
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from data.corpus.build import main
from data.corpus.config import CorpusConfig
from data.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


def run(overrides: list[str]) -> int:
    """Build with the default recipe and overrides such as `target=DIR`; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config = OmegaConf.merge(
        OmegaConf.structured(CorpusConfig),
        OmegaConf.load(ROOT / "configs/corpus/base.yaml"),
        OmegaConf.from_dotlist(overrides),
    )
    try:
        report = main(cast(CorpusConfig, OmegaConf.to_object(config)), ROOT)
    except InputError as error:
        logging.error("%s", error)
        return 2
    logging.info("%s", report)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
