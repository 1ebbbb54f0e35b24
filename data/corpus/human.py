"""Human speech with transcripts from Debian packages."""

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TUXPAINT_LANGUAGES = frozenset({"ro", "es", "ru", "fr", "el", "bg"})
"""The other languages' texts do not match their audio."""


@dataclass(frozen=True)
class Recording:
    """An audio file of a package and what is said in it."""

    path: Path
    """Audio file."""
    speaker: str
    """Voice."""
    language: str
    """Language code."""
    text: str
    """What is said."""

    @property
    def is_plain(self) -> bool:
        """Whether the text is words only: digits and symbols may be spoken in many ways."""
        return not re.search(r"[\d$€¥£%&*+/=@#_\\]", self.text)

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits from file name and text: the same on every machine."""
        return hashlib.sha1((self.path.name + self.text).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class HumanSource:
    """Where a set of recordings comes from."""

    packages: tuple[str, ...]
    """Debian packages."""
    licence: str
    """SPDX identifier."""
    recordings: Callable[[Path], Iterator[Recording]]
    """Finds the recordings below the folder that the packages were unpacked into."""


def asterisk_russian(root: Path) -> Iterator[Recording]:
    """Telephone prompts of one Russian voice; prompts that are not speech have brackets."""
    document = root / "usr/share/doc/asterisk-core-sounds-ru/core-sounds-ru.txt.gz"
    lines = gzip.decompress(document.read_bytes()).decode("utf-8-sig").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith(";"))
    texts = {name: text.lstrip() for name, text in pairs}
    for audio in sorted(root.rglob("*.g722")):
        folder = next(parent for parent in audio.parents if parent.parent.name == "sounds")
        text = texts.get(audio.relative_to(folder).with_suffix("").as_posix(), "")
        if text and not re.search(r"[\[\]<>{}]", text):
            yield Recording(audio, "asterisk-ru", "ru", text)


def fillets(root: Path) -> Iterator[Recording]:
    """Dialogues of the two fish of Fish Fillets, in Czech and Dutch."""
    game = root / "usr/share/games/fillets-ng"
    for language in ("cs", "nl"):
        for audio in sorted((game / "sound").glob(f"*/{language}/*.ogg")):
            script = game / "script" / audio.parts[-3] / f"dialogs_{language}.lua"
            if not script.exists():
                continue
            match = re.search(
                rf'dialogId\("{re.escape(audio.stem)}",\s*"([^"]*)",\s*".*?"\)\s*\n'
                r'\s*dialogStr\("(.*?)"\)\s*$',
                script.read_text("utf-8"),
                re.MULTILINE,
            )
            role = match.group(1).removeprefix("font_") if match else ""
            if match and role in {"big", "small"}:
                yield Recording(audio, f"fillets-{language}-{role}", language, match.group(2))


def tuxpaint(root: Path) -> Iterator[Recording]:
    """Descriptions of Tux Paint's stamps, one voice a language."""
    seen: set[str] = set()
    for audio in sorted(root.rglob("*_desc_*.ogg")):
        stem, _, language = audio.stem.partition("_desc_")
        text_file = audio.with_name(stem + ".txt")
        if language not in TUXPAINT_LANGUAGES or audio.is_symlink() or not text_file.exists():
            continue
        # Many stamps share one recording.
        digest = hashlib.md5(audio.read_bytes()).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        for line in text_file.read_text("utf-8", errors="replace").splitlines():
            if line.startswith(f"{language}.utf8="):
                text = line.split("=", 1)[1].strip()
                yield Recording(audio, f"tuxpaint-{language}", language, text)


SOURCES: Mapping[str, HumanSource] = {
    "asterisk-ru": HumanSource(
        ("asterisk-core-sounds-ru", "asterisk-core-sounds-ru-g722"),
        "CC-BY-3.0",
        asterisk_russian,
    ),
    "fillets": HumanSource(
        ("fillets-ng-data", "fillets-ng-data-cs", "fillets-ng-data-nl"),
        "GPL-2.0-only",
        fillets,
    ),
    "tuxpaint": HumanSource(("tuxpaint-stamps-default",), "GPL-2.0-or-later", tuxpaint),
}
