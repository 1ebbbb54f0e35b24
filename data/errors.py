"""The error that says: the input is at fault, not the program."""


class InputError(Exception):
    """A file, text or setting given by the user cannot be used.

    The message says what is wrong, where (file, and line if there is one), why, and what to do
    next. Commands print it without a traceback and exit with code 2.
    """


class MachineError(InputError):
    """The machine lacks what the input takes: a program, a package, or time.

    It says nothing of the input itself, so it must not be remembered as a fact about it.
    """


class NothingToSayError(InputError):
    """A text, or a part of one, holds nothing that can be said."""
