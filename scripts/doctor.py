"""Read the curves of a run: what is wrong, and what to do.

  python scripts/doctor.py run=runs/NAME/latest [picture=curves.png]

Prints one line per finding, beginning with its name, and what to change. Exit code 0: healthy, 3:
findings.
"""

from omegaconf import DictConfig

from timbre.commands import run


def main(config: DictConfig) -> int:
    """Examines; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.doctor.command import DoctorCommandConfig, examine

    answer, code = examine(parse(DoctorCommandConfig, config))
    print(answer)
    return code


if __name__ == "__main__":
    run(main, "doctor", __doc__, verbatim=("run", "picture"))
