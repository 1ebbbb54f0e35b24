"""From anybody's recordings to a voice: decoded, cut, transcribed, checked and split."""
