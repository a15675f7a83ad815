"""`mage export`: a policy for others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mage.cli_options import OwnAlgorithm, import_own
from mage.errors import MageError


def export(
    run: Annotated[Path, typer.Argument(help="A training run, or policies/<config hash>/seed-<n> of a sweep.")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write: new, empty, or an earlier export.")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="Upload to the Hugging Face Hub; a new one is private.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(metavar="ID", help="Of the weights, for the card: apache-2.0, cc-by-4.0, ..")
    ] = None,
    algorithm: OwnAlgorithm = None,
) -> None:
    """Write a policy as a folder for others, or push it: safetensors, configuration, model card; the Hub's layout."""
    if to is None and push is None:
        raise MageError("say where to: --to DIR, --push ORG/NAME, or both")
    import_own(algorithm)
    from mage.sharing.folder import export as write
    from mage.sharing.hub import check_name
    from mage.sharing.hub import push as upload

    if push:
        check_name(push)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write(run, to or Path(temporary) / "policy", license)
        if to:
            print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
            print(f'load it with: mage.load_policy("{folder}")')
        if push:
            print(f"pushed: {upload(folder, push)}")
            print(f'load it with: mage.load_policy("{push}")')
