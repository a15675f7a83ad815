"""Weights as safetensors, of a module or of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WHOLE = "weights.safetensors"


def save_weights(module: nn.Module, path: Path) -> None:
    """The weights of a module as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint. Version 0.1 wrote a file a network, named after it."""
    whole = folder / WHOLE
    if whole.exists():
        return load_file(whole)
    networks = [path for path in folder.glob("*.safetensors") if not path.stem.startswith(("optimi", "policy"))]
    return {f"{path.stem}.{name}": tensor for path in networks for name, tensor in load_file(path).items()}
