"""Recordings and texts: audio, mel, phonemes, manifests, features and batches."""
