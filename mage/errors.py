"""The one exception that is meant for the user's eyes."""


class MageError(Exception):
    """A sentence for the user: what is wrong, with which value, and what to do. The command line exits with 2."""


FOREIGN_ERRORS = (Exception, SystemExit)
"""What code that is not ours may raise: an environment or a plug-in may call sys.exit, too."""


class DamagedError(MageError):
    """Files that we wrote are not what we wrote: torn, truncated, changed."""
