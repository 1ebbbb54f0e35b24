"""The teacher of a distilled GPT."""

from __future__ import annotations

import torch

from data.errors import InputError
from data.mel import AudioConfig
from timbre.bundle import Bundle
from timbre.networks import Networks


def check_teacher(bundle: Bundle, student: Networks, own: AudioConfig) -> None:
    """Whether the teacher reads and writes what the student does.

    Raises:
        InputError: Another mel, another sequence layout, or other tokens.
    """
    where = f"objective.semantic.teacher: {bundle.name!r}"
    if bundle.audio != own:
        raise InputError(f"{where} was trained on {bundle.audio}, this run wants {own}")
    theirs, ours = bundle.networks.gpt.config, student.gpt.config
    if (theirs.layout, theirs.codes) != (ours.layout, ours.codes):
        raise InputError(
            f"{where} writes {theirs.codes} tokens in the {theirs.layout} layout, this run "
            f"{ours.codes} in the {ours.layout} layout; choose a teacher of the same kind"
        )
    tokens = bundle.networks.tokenizer.state_dict()
    same = all(
        torch.equal(tensor.cpu().half(), tokens[name].cpu().half())
        for name, tensor in student.tokenizer.state_dict().items()
        if name in tokens
    )
    if not same:
        raise InputError(
            f"{where} has another tokenizer, so its tokens mean something else; start from its "
            "bundle (init=), or take the tokenizer from there (init_parts.tokenizer=)"
        )
