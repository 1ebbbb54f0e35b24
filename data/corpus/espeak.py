"""English in IPA, for the teachers that are told phonemes."""

import logging
from collections.abc import Callable


def ipa_of(voice: str) -> Callable[[str], str]:
    """A function from text to IPA with stress and punctuation, by espeak-ng.

    Args:
        voice: espeak-ng's, e.g. `en-us`.
    """
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    # Its logger would tell of every "of the" that espeak-ng speaks as one word.
    quiet = logging.getLogger(__name__)
    quiet.setLevel(logging.ERROR)
    backend = EspeakBackend(
        voice,
        preserve_punctuation=True,
        with_stress=True,
        language_switch="remove-flags",
        logger=quiet,
    )
    return lambda text: backend.phonemize([text], strip=True)[0]
