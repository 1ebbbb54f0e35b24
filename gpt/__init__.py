"""From phonemes to semantic tokens: the tokenizer, the aligner and the language model."""
