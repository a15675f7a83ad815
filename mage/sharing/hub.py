"""Policies on the Hugging Face Hub: org/name, or org/name@revision. Token and endpoint are `huggingface_hub`'s."""

from __future__ import annotations

import re
from pathlib import Path

from mage.errors import MageError
from mage.interface.policy import SHARED, read_description_file

PART = r"[A-Za-z0-9][\w.-]*"
NAME = re.compile(rf"{PART}/{PART}")


def is_on_hub(name: str) -> bool:
    """Whether a name means a policy on the Hub: org/name, where nothing here is called so or is a folder called org."""
    repository = name.partition("@")[0]
    is_here = Path(name).exists() or Path(repository).parent.exists()
    return bool(NAME.fullmatch(repository)) and not is_here


def check_name(name: str) -> None:
    """MageError unless a policy can be called that on the Hub."""
    if not NAME.fullmatch(name):
        raise MageError(f"'{name}' is no name on the Hugging Face Hub; write ORG/NAME, such as my-name/maze-policy")


def fetch(name: str) -> Path:
    """Downloads a policy, or finds it in the Hub's cache, and returns its folder.

    The description comes first: of what is no policy of ours no weights are fetched, and both are of one commit.

    Raises:
        MageError: there is none of that name, it may not be read, there is no network, or it is no policy of ours.
    """
    from huggingface_hub import hf_hub_download

    repository, _, revision = name.partition("@")
    try:
        described = Path(hf_hub_download(repository, SHARED.described, revision=revision or None))
        read_description_file(described)
        weights = hf_hub_download(repository, SHARED.weights, revision=described.parent.name)
    except MageError:
        raise
    except Exception as error:  # its own, those of HTTP and of the disk share no base class
        raise MageError(
            f"there is no folder {name} here, and from the Hugging Face Hub it cannot be got: {_reason(error)}"
        ) from error
    return Path(weights).parent


def push(folder: Path, repository: str) -> str:
    """Uploads a folder, to a new private repository where there is none of that name yet, and returns its address.

    Raises:
        MageError: there is no token, it may not write there, or there is no network.
    """
    from huggingface_hub import HfApi

    check_name(repository)
    hub = HfApi(library_name="mage-rl")
    try:
        address = hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload policy by mage export")
    except Exception as error:  # see above
        raise MageError(
            f"{repository} cannot be pushed to the Hugging Face Hub: {_reason(error)}; `hf auth login` lets you in"
        ) from error
    return str(address)


def _reason(error: Exception) -> str:
    """What an error says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")
