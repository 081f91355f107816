"""Every error that this package raises on purpose.

The command line turns an `AnonymizeError` into one line on stderr and exit code 1.
"""


class AnonymizeError(Exception):
    """Root of all errors raised on purpose; its text is one line, fit to be shown to a user."""


class MediaError(AnonymizeError, OSError):
    """A film or picture cannot be read or written."""


class CorruptFrameError(MediaError):
    """A frame of a film cannot be decoded."""


class OptionError(AnonymizeError, ValueError):
    """An option has a value that is not supported, or options contradict each other."""


class WeightsError(AnonymizeError):
    """A weights file is missing, damaged, unsafe to read, or of another model."""


class BackendError(AnonymizeError, ImportError):
    """An optional package that was asked for is not installed or does not work."""
