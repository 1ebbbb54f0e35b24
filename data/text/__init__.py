"""Text to phonemes: symbol table, normalisers and the front end of each language."""
