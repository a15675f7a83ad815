"""The one exception that is meant for the user's eyes."""


class MageError(Exception):
    """A sentence for the user: what is wrong, with which value, and what to do. The command line exits with 2."""


class DamagedError(MageError):
    """Files that we wrote are not what we wrote: torn, truncated, changed."""
