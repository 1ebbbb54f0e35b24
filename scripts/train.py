"""Fine-tune (default) or train a voice.

  python scripts/train.py data=NAME [init=base|none|PATH] [experiment=...] [any.key=value]
  python scripts/train.py resume=runs/NAME/latest [train.updates=N]

Leaves runs/NAME/<time>/: voice bundle, checkpoints, metrics.csv, TensorBoard, samples, report.md.
"""

import sys

from omegaconf import DictConfig

from timbre.commands import TRAINING_TEXTS as TEXTS
from timbre.commands import run


def main(config: DictConfig) -> int:
    """Trains; the heavy imports are here so that --help and wrong options answer at once."""
    from timbre.training import train

    return train(config, sys.argv[1:])


if __name__ == "__main__":
    run(main, "train", __doc__, verbatim=TEXTS)
