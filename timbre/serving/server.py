"""Listening at an address until the process is told to stop."""

from __future__ import annotations

import logging
import os
import socket

from data.errors import InputError, MachineError
from timbre.serving.config import ServeConfig

_LOG = logging.getLogger(__name__)


def serve(config: ServeConfig) -> None:
    """Serves voices; returns when interrupted.

    Raises:
        InputError: A voice cannot be served, the address cannot be listened at, or it lets others
            in without a key.
        MachineError: The packages of the extra `serve` are missing.
    """
    try:
        import uvicorn

        from timbre.serving.app import make_app
    except ModuleNotFoundError as error:
        raise MachineError(
            f"serving needs {error.name}: pip install 'timbre-voice[serve]'"
        ) from error
    app = make_app(config, os.environ.get(config.key_variable, ""))
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listening = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise InputError(
            f"host={config.host} port={config.port}: cannot listen there ({error}); give another "
            "port, or port=0 for a free one"
        ) from error
    with listening:
        host, port = listening.getsockname()[:2]
        _LOG.info("listening at http://%s:%d/", f"[{host}]" if ":" in host else host, port)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, server_header=False))
        server.run(sockets=[listening])
