"""The true token maps of the dataset's windows, as the frozen autoencoder of stage 1 writes them."""

from __future__ import annotations

import torch
from torch import Tensor

from mage.data.windows import Windows
from mage.model.autoencoder import TrajectoryAutoencoder


class TrueTokens:
    """Token maps by window index.

    Encoded once and kept where training will draw more windows than the dataset has; else encoded as they are drawn,
    which for a million windows and a short training is five times less work.
    """

    def __init__(self, autoencoder: TrajectoryAutoencoder, windows: Windows, draws: int) -> None:
        self.autoencoder, self.windows = autoencoder, windows
        self.kept_NT = self._encode_all() if draws >= len(windows) else None

    def take(self, indices_B: Tensor) -> list[Tensor]:
        """One (B, l_k) map a scale."""
        if self.kept_NT is None:
            return self.autoencoder.encode(self.windows.take(indices_B).trajectory_BHX)
        return list(self.kept_NT[indices_B].long().split(self.autoencoder.config.schedule, dim=1))

    def _encode_all(self, batch_size: int = 1024) -> Tensor:
        parts = []
        for start in range(0, len(self.windows), batch_size):
            indices = torch.arange(
                start, min(start + batch_size, len(self.windows)), device=self.windows.rows_NX.device
            )
            parts.append(torch.cat(self.autoencoder.encode(self.windows.take(indices).trajectory_BHX), 1).int())
        return torch.cat(parts)
