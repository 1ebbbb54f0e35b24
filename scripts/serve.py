"""Serve voices: a web page, and speech for programs that know OpenAI's /v1/audio/speech.

python scripts/serve.py voice=NAME
TIMBRE_KEY=secret python scripts/serve.py voice=DIR_OF_BUNDLES host=0.0.0.0 port=8080
"""

from omegaconf import DictConfig

from timbre.commands import run


def main(config: DictConfig) -> None:
    """Serves; the heavy imports are here so that --help answers at once."""
    from timbre.config import parse
    from timbre.serving.config import ServeConfig
    from timbre.serving.server import serve

    serve(parse(ServeConfig, config))


if __name__ == "__main__":
    run(main, "serve", __doc__, verbatim=("voice", "host", "key_variable"))
