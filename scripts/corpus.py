"""Build the base corpus: openly licensed human speech, and voices of speech synthesisers.

  python scripts/corpus.py target=DIR [corpus=wide] [replay.target=FOLDER]

Leaves audio, manifest.jsonl and report.json; the same command goes on with a corpus that was
stopped.
"""

from omegaconf import DictConfig

from timbre.commands import run

TEXTS = ("target", "replay.target")


def main(config: DictConfig) -> None:
    """Builds; the heavy imports are here so that --help and wrong options answer at once."""
    import logging

    from data.corpus.build import main as build
    from data.corpus.config import CorpusConfig
    from timbre.commands import CONFIGS
    from timbre.config import parse

    report = build(parse(CorpusConfig, config), CONFIGS.parent)
    logging.getLogger(__name__).info("%s", report)


if __name__ == "__main__":
    run(main, "corpus", __doc__, verbatim=TEXTS)
