"""Voices behind a web address: what `scripts/serve.py` does."""
