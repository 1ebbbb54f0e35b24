"""Speak text with a trained voice.

python scripts/synthesize.py voice=runs/NAME/latest text="..." output=x.wav
python scripts/synthesize.py voice=NAME text_file=book.txt output=book.wav timestamps=srt
python scripts/synthesize.py voice=NAME lines=sentences.txt output=DIR
python scripts/synthesize.py voice=base reference=someone.wav text="..." output=x.wav
python scripts/synthesize.py voice=NAME text="..." output=- | aplay -f S16_LE -r 24000
"""

from omegaconf import DictConfig

from timbre.commands import run

TEXTS = (
    *("voice", "text", "text_file", "lines", "output", "reference", "speaker", "save_voice"),
    "lexicon",
)


def main(config: DictConfig) -> None:
    """Speaks; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.synthesis import SynthesisConfig, synthesize_files

    synthesize_files(parse(SynthesisConfig, config))


if __name__ == "__main__":
    run(main, "synthesize", __doc__, verbatim=TEXTS)
