"""How much speech does a voice need? Fine-tune on growing parts of it, and judge each.

  python scripts/data_curve.py data=NAME 'seconds=[0,10,30,60]' [repeats=N] [output=DIR]
  python scripts/data_curve.py data=NAME "training=['train.updates=240']"

0 is the un-tuned base. Prints a table; leaves curve.json, curve.png and data_curve.md, and a run
for each amount, in runs/data-curve/NAME. The same command goes on with a curve that was stopped.
"""

from omegaconf import DictConfig

from timbre.commands import run

TEXTS = ("data", "reference", "sentences", "output", "transcribe.model")


def main(config: DictConfig) -> int:
    """Trains and judges; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.data_curve import DataCurveConfig, measure_curve

    answer, code = measure_curve(parse(DataCurveConfig, config))
    if answer:
        print(answer)
    return code


if __name__ == "__main__":
    run(main, "data_curve", __doc__, verbatim=TEXTS)
