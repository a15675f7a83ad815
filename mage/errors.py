"""The one exception that is meant for the user's eyes."""


class MageError(Exception):
    """A sentence for the user: what is wrong, with which value, and what to do. The command line exits with 2."""


class DamagedError(MageError):
    """Files that we wrote are not what we wrote: torn, truncated, changed."""


def first_line(error: BaseException) -> str:
    """The sentence that matters in one of Ray's nested errors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line]
    return (told or lines or [type(error).__name__])[-1].removeprefix("mage.errors.MageError: ")
