"""The error that says: the input is at fault, not the program."""


class InputError(Exception):
    """A file, text or setting given by the user cannot be used.

    The message says what is wrong, where (file, and line if there is one), why, and what to do
    next. Commands print it without a traceback and exit with code 2.
    """


class NothingToSayError(InputError):
    """A text, or a part of one, holds nothing that can be said."""
