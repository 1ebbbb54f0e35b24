"""Judges: what a voice says, whose it sounds like and how well, one judge a file."""
