"""Turn recordings into a voice: clean, cut, transcribed, checked.

  python scripts/prepare.py input=DIR_OR_FILE speaker=NAME [language=en] [transcripts=FILE]
      [keep=all] [transcribe.model=NAME_OR_PATH] [workers=N]
  python scripts/prepare.py input=DIR speaker=NAME executor=dask scheduler=tcp://HOST:8786

Leaves voices/NAME/ (audio, manifest.jsonl, report.html) and voices/data/NAME.yaml, so that
`python scripts/train.py data=NAME` works right after.
"""

from omegaconf import DictConfig

from timbre.commands import run

TEXTS = (
    *("input", "speaker", "transcripts", "lexicon", "licence", "output", "cache", "scheduler"),
    "transcribe.model",
)


def main(config: DictConfig) -> None:
    """Prepares; the heavy imports are here so that --help and wrong options answer at once."""
    import logging

    from data.preparation.config import PrepareConfig
    from data.preparation.pipeline import prepare
    from data.preparation.summary import summary
    from timbre.config import parse

    logging.getLogger(__name__).info("%s", summary(prepare(parse(PrepareConfig, config))))


if __name__ == "__main__":
    run(main, "prepare", __doc__, verbatim=TEXTS)
