"""Re-creates the bundled voice from the Debian packages that it comes from.

    python assets/myvoice/make.py [--output assets/myvoice] [--cache FOLDER] [--seconds N]

Fetches Allison Smith's prompts for Asterisk (CC BY-SA 3.0) with `apt-get download`, installs
nothing, and writes `manifest.jsonl` with its clips and `heldout/` with `heldout.jsonl`. Needs a
Debian or Ubuntu with package lists (`apt-get update`) and ffmpeg. The choice is deterministic:

1. Prompts of 3 to 12 s are candidates. Texts that differ from what is said are corrected
   (`SPOKEN`) or left out (`EXCLUDED`); both lists come from transcribing all of them with Whisper
   base and looking at every difference.
2. Of 25 and then of 12 clips, each next one brings the most new phoneme bigrams a second.
   No sentence is in two clips, and no held-out clip shares 4 words in a row with the 25: what
   evaluation asks for has never been trained on.
3. The 4 of the 25 whose loss costs the training split the fewest bigrams are for validation.

With `--seconds N` the training split goes on to N seconds with prompts that share nothing with the
held-out and the validation clips: more of the same voice, for `scripts/data_curve.py`. Give such a
voice another `--output`; it comes without held-out clips, which are the bundled ones.
"""

import argparse
import gzip
import logging
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr

from data.corpus.debian import unpacked
from data.manifest import Utterance, write_manifest
from data.text.frontend import TextFrontend

PACKAGES = ("asterisk-core-sounds-en", "asterisk-core-sounds-en-g722")
SOURCE_RATE_HZ, RATE_HZ = 16_000, 24_000
MIN_SECONDS, MAX_SECONDS = 3.0, 12.0
VOICE_CLIPS, VALIDATION_CLIPS, HELDOUT_CLIPS = 25, 4, 12
SHARED_WORDS = 4
SPEAKER = "myvoice"
LICENCE = "CC-BY-SA-3.0"

SPOKEN = {
    "demo-enterkeywords": (
        "Please enter one or more keywords, separated by star, and then press the pound key."
    ),
    "dictate/both_help": (
        "Press star to toggle pause, press pound to enter a new dictation file name."
    ),
    "dictate/enter_filename": (
        "Enter a numeric dictation file name, followed by pound, or just pound to exit."
    ),
    "pbx-invalidpark": (
        "I am sorry, but there is no call parked on that extension. Please try again."
    ),
    "queue-periodic-announce": (
        "All of our representatives are currently busy. Please stay on the line and your call "
        "will be answered by the next available representative."
    ),
    "unidentified-no-callback": "Unidentified or withheld, and therefore cannot be called back.",
    "vm-intro": (
        "Please leave your message after the tone. When done, hang up, or press the pound key."
    ),
    "vm-mailboxfull": "Sorry, but the user's mailbox can't accept more messages.",
}
"""What is said in prompts whose script writes it in another way."""

EXCLUDED = frozenset(
    {
        "agent-newlocation",
        "auth-incorrect",
        "confbridge-lock-extended",
        "confbridge-only-participant",
        "demo-nogo",
        "dir-instr",
        "followme/pls-hold-while-try",
        "followme/sorry",
        "invalid",
        "pbx-invalid",
        "privacy-prompt",
        "privacy-unident",
        "queue-youarenext",
        "vm-forwardoptions",
        "vm-mismatch",
        "vm-review-nonurgent",
        "vm-toforward",
    }
)
"""Prompts whose words are not certain: the script and the recogniser differ."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """One recorded prompt."""

    id: str
    text: str
    audio: np.ndarray
    bigrams: frozenset[tuple[int, int]]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.audio) / RATE_HZ

    @property
    def sentences(self) -> frozenset[str]:
        """What is said, sentence by sentence, without case and punctuation."""
        return frozenset(map(_key, re.split(r"[.?!]", self.text))) - {""}

    @property
    def word_runs(self) -> frozenset[str]:
        """Every four words in a row."""
        words = _key(self.text).split()
        starts = range(len(words) - SHARED_WORDS + 1)
        return frozenset(" ".join(words[start : start + SHARED_WORDS]) for start in starts)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--cache", type=Path, default=Path("voices/cache/debian"))
    parser.add_argument("--seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with unpacked(PACKAGES, arguments.cache) as root:
        prompts = read_prompts(root)
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "LICENSE").write_text(read_licence(root), encoding="utf-8")
    voice = choose(prompts, VOICE_CLIPS)
    heldout = choose(unlike(voice, prompts), HELDOUT_CLIPS)
    validation = least_missed(voice, VALIDATION_CLIPS)
    manifest = arguments.output / "manifest.jsonl"
    if arguments.seconds:
        kept_out = [*heldout, *(prompt for prompt in voice if prompt.id in validation)]
        more = unlike(kept_out, [prompt for prompt in prompts if prompt not in voice])
        trained_on = sum(prompt.seconds for prompt in voice if prompt.id not in validation)
        write(manifest, "clips", voice + until(more, arguments.seconds - trained_on), validation)
        return
    write(manifest, "clips", voice, validation)
    # All held-out clips are "validation": nothing may train on them, even by mistake.
    write(arguments.output / "heldout.jsonl", "heldout", heldout, [p.id for p in heldout])


def read_prompts(root: Path) -> list[Prompt]:
    """Return the candidates, in the order of their names."""
    sounds = root / "usr/share/asterisk/sounds/en_US_f_Allison"
    script = root / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    lines = gzip.decompress(script.read_bytes()).decode("utf-8-sig").splitlines()
    texts = dict(re.split(r":\s*", line, maxsplit=1) for line in lines if re.match("[^;].*:", line))
    front_end = TextFrontend("en")
    prompts = []
    for path in sorted(sounds.rglob("*.g722")):
        name = path.relative_to(sounds).with_suffix("").as_posix()
        text = SPOKEN.get(name, tidy(texts.get(name, "")))
        if not text or name in EXCLUDED or re.search(r"[][<>{}*#]", text):
            continue
        audio = decode(path)
        if MIN_SECONDS <= len(audio) / RATE_HZ <= MAX_SECONDS:
            ids = front_end(text).ids.tolist()
            prompts.append(Prompt(name.replace("/", "-"), text, audio, frozenset(pairwise(ids))))
    return prompts


def read_licence(root: Path) -> str:
    """Return the licence of the recordings from Debian's copyright file."""
    copyright_file = root / "usr/share/doc/asterisk-core-sounds-en/copyright"
    paragraphs = copyright_file.read_text(encoding="utf-8").split("\n\n")
    (licence,) = [p for p in paragraphs if p.startswith(f"License: {LICENCE}\n")]
    lines = [line.strip() for line in licence.splitlines()[1:]]
    title = "Creative Commons Attribution-ShareAlike 3.0, as Asterisk's sounds are licensed"
    return "\n".join([title, "", *("" if line == "." else line for line in lines)]) + "\n"


def tidy(text: str) -> str:
    """Return a line of the script as a sentence: a capital, a full stop, no leading dots."""
    text = " ".join(text.lstrip(" .").rstrip(" .:").split())
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in "?!" else ".")


def _key(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def decode(path: Path) -> np.ndarray:
    """Return a G.722 file as float samples at the voice's rate."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "g722", "-i", f"file:{path}"]
    command += ["-f", "f32le", "-ac", "1", "-ar", str(SOURCE_RATE_HZ), "pipe:1"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    audio = np.frombuffer(done.stdout, dtype="<f4")
    return soxr.resample(audio, SOURCE_RATE_HZ, RATE_HZ)


def choose(prompts: list[Prompt], count: int) -> list[Prompt]:
    """Return clips that cover many phoneme bigrams and share no sentence, greedily."""
    chosen: list[Prompt] = []
    covered: set[tuple[int, int]] = set()
    used: set[str] = set()
    while len(chosen) < count:
        free = [prompt for prompt in prompts if not prompt.sentences & used]
        best = max(free, key=lambda p: (len(p.bigrams - covered) / p.seconds, p.id))
        chosen.append(best)
        covered |= best.bigrams
        used |= best.sentences
    return sorted(chosen, key=lambda prompt: prompt.id)


def unlike(kept_out: list[Prompt], prompts: list[Prompt]) -> list[Prompt]:
    """Return the prompts that share no sentence and no run of words with those kept out."""
    heard = frozenset().union(*(prompt.sentences | prompt.word_runs for prompt in kept_out))
    return [prompt for prompt in prompts if not (prompt.sentences | prompt.word_runs) & heard]


def until(prompts: list[Prompt], seconds: float) -> list[Prompt]:
    """Return the first prompts that last so long together."""
    ends = np.cumsum([prompt.seconds for prompt in prompts])
    return prompts[: int(np.searchsorted(ends, seconds)) + 1] if seconds > 0 else []


def least_missed(voice: list[Prompt], count: int) -> list[str]:
    """Return the ids of the clips that the others can best do without, one after the other."""
    missed: list[str] = []
    for _ in range(count):
        left = [prompt for prompt in voice if prompt.id not in missed]
        holders = Counter(bigram for prompt in left for bigram in prompt.bigrams)
        only_here = {p.id: sum(holders[bigram] == 1 for bigram in p.bigrams) for p in left}
        missed.append(min(only_here, key=lambda id_: (only_here[id_], id_)))
    return missed


def write(manifest: Path, folder: str, prompts: list[Prompt], validation: list[str]) -> None:
    """Write the clips as 24 kHz 16-bit FLAC, and their manifest beside the folder."""
    clips = manifest.parent / folder
    clips.mkdir(parents=True, exist_ok=True)
    for old in clips.glob("*.flac"):
        old.unlink()
    rows = []
    for prompt in prompts:
        path = clips / f"{prompt.id}.flac"
        soundfile.write(path, np.clip(prompt.audio, -1, 1), RATE_HZ, subtype="PCM_16")
        rows.append(
            Utterance(
                id=prompt.id,
                audio=path,
                text=prompt.text,
                speaker=SPEAKER,
                language="en",
                seconds=round(prompt.seconds, 3),
                split="validation" if prompt.id in validation else "train",
                source=PACKAGES[0],
                licence=LICENCE,
            )
        )
    write_manifest(manifest, rows)
    total = sum(prompt.seconds for prompt in prompts)
    bigrams = len(frozenset().union(*(prompt.bigrams for prompt in prompts)))
    logger.info("%s: %d clips, %.1f s, %d phoneme bigrams", manifest, len(rows), total, bigrams)


if __name__ == "__main__":
    main()
