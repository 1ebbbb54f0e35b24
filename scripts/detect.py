"""Listen for the mark that synthetic speech carries.

  python scripts/detect.py input=a.wav,b.wav
  python scripts/detect.py input=DIR

Prints a line for each recording. Exit code 0: all are marked, 3: some are not.
"""

from omegaconf import DictConfig

from timbre.commands import run


def main(config: DictConfig) -> int:
    """Listens; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.detection import DetectionConfig, detect

    lines, code = detect(parse(DetectionConfig, config))
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    run(main, "detect", __doc__, verbatim=("input",))
