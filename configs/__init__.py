"""Hydra configuration files; `timbre.commands` composes them."""
