"""Write a voice as ONNX graphs, which speak without torch.

  python scripts/export.py voice=NAME output=DIR [speaker=NAME] [reference=a.wav]

docs/examples/speak_onnx.py speaks with them.
"""

from omegaconf import DictConfig

from timbre.commands import run


def main(config: DictConfig) -> None:
    """Exports; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.exporting.onnx import ExportConfig, export_voice

    export_voice(parse(ExportConfig, config))


if __name__ == "__main__":
    run(main, "export", __doc__, verbatim=("voice", "output", "speaker", "reference"))
