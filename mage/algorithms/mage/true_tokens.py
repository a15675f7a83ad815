"""The true token maps of the dataset's windows, as the frozen autoencoder of stage 1 writes them."""

from __future__ import annotations

import torch
from torch import Tensor

from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.sequence import Windows
from mage.interface import Kept


class TrueTokens:
    """Token maps by window index.

    Encoded once and kept where training will draw more windows than the dataset has; else encoded as they are drawn,
    which for a million windows and a short training is five times less work.
    """

    def __init__(self, autoencoder: TrajectoryAutoencoder, windows: Windows, draws: int) -> None:
        self.autoencoder, self.windows, self.draws = autoencoder, windows, draws
        self.kept = Kept(self._encode_all)

    def take(self, indices_B: Tensor) -> list[Tensor]:
        """One (B, l_k) map a scale."""
        if self.draws < len(self.windows):
            return self._encode(indices_B)
        return list(self.kept()[indices_B].long().split(self.autoencoder.config.schedule, dim=1))

    def _encode(self, indices_B: Tensor) -> list[Tensor]:
        batch = self.windows.take(indices_B)
        return self.autoencoder.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])

    def _encode_all(self) -> Tensor:
        everything = torch.arange(len(self.windows), device=self.windows.steps.device)
        # every process keeps its own: a million windows of 15 tokens are 30 MB of 16 bits, and 120 MB as they come
        small = torch.int16 if self.autoencoder.config.codebook_size <= 2**15 else torch.int32
        return torch.cat([torch.cat(self._encode(part), 1).to(small) for part in everything.split(1024)])
