"""Judge a voice: words, likeness, sound and pace, beside human recordings and the base.

  python scripts/evaluate.py voice=NAME reference=MANIFEST_OR_FOLDER [sentences=FILE]
  python scripts/evaluate.py voice=base speaker=NAME [transcribe.model=NAME_OR_PATH] [output=DIR]

Prints a table; leaves report.md, report.json and the sounds in the output folder.
"""

from omegaconf import DictConfig

from timbre.commands import run

TEXTS = (
    *("voice", "reference", "sentences", "prompt", "base", "other", "speaker", "output"),
    "transcribe.model",
)


def main(config: DictConfig) -> None:
    """Evaluates; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.evaluation import EvaluationConfig, evaluate

    print(evaluate(parse(EvaluationConfig, config)))


if __name__ == "__main__":
    run(main, "evaluate", __doc__, verbatim=TEXTS)
