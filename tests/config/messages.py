"""What a user is told about overrides that do not work."""

import pytest

from mage.config import load_config
from mage.errors import MageError


def message_of(*overrides: str) -> str:
    """The message; a second line would break the command line's output."""
    with pytest.raises(MageError) as caught:
        load_config("cpu", overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert ": :" not in message
    return message
