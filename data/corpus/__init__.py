"""The base corpus: openly licensed speech fetched, made and listed by a recipe."""
