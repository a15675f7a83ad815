"""Stage 2b: the inverse dynamics goes on learning, on the Z that the transformer generates (ours, not the paper's).

    L = ||I(Z_generated) - a_0||^2 / A

In stage 1 it sees true Z, which carries the action noise of the behaviour policy; acting, it sees generated Z, whose
noise is another draw. Learning on generated Z teaches it what of Z to believe.

A Z that is generated whole is a function of (s_0, R_0), whatever the data did there: the least error on it has the
mean action at (s_0, R_0), for every plan. So that the action belongs to its plan, the coarsest `given_scales` are kept
from the window itself and only the finer ones are generated, given them.

Past the end of its episode a window repeats its last row. Before a goal that is the truth; before a time limit it is
not, and the mean action there is to stand still. `whole_windows` leaves those out.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.heard_condition import generate_guided, rows_a_plan
from mage.algorithms.mage.sequence import Windows
from mage.algorithms.mage.token_choice import Choice, TokenChoice, all_rows
from mage.algorithms.mage.transformer import MultiScaleTransformer
from mage.algorithms.mage.true_tokens import TrueTokens
from mage.errors import MageError
from mage.interface import ONE, Info, Kept, Stage, minimise

LARGEST_POOL = 131_072
"""Windows for which Z is generated, once: generating costs ten times what a step on it does."""

SEED = 0
"""Of the windows of the pool and, where tokens are sampled, of their draws."""


class InverseDynamicsLearning:
    """Stage 2b on the steps of a dataset, with all but the inverse dynamics frozen.

    What the window does not give of Z is generated as the policy will generate it (greedy, sampled or expected), for
    all windows or, where there are more than `LARGEST_POOL`, for so many drawn at random. Where the window gives all
    that I reads, it learns from all windows.
    """

    def __init__(
        self,
        autoencoder: TrajectoryAutoencoder,
        transformer: MultiScaleTransformer,
        decoder: nn.Module,
        config: MageConfig,
        windows: Windows,
    ) -> None:
        self.autoencoder, self.transformer, self.decoder = autoencoder, transformer, decoder
        self.config, self.windows, self.data = config, windows, windows.steps
        self.read = Kept(self._read_all)
        training = config.training.inverse_dynamics
        self.tokens = TrueTokens(autoencoder, windows, draws=training.steps * training.batch_size)

    def stage(self) -> Stage:
        """As the trainer runs it."""
        return Stage(
            "inverse_dynamics",
            self.config.training.inverse_dynamics,
            {ONE: [self.autoencoder.inverse_dynamics]},
            minimise(self.loss),
            self.diagnose,
            tells=("action_error_generated_tokens",),
            acts=False,
            stacks=True,
            keeps=[self.read, self.tokens.kept],
        )

    def loss(self, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info)."""
        loss = self._error(rows_B)
        return loss, {"loss": loss}

    @torch.no_grad()
    def diagnose(self, rows_B: Tensor) -> Info:
        """Action error on generated tokens, on windows drawn apart."""
        return {"action_error_generated_tokens": self._error(rows_B)}

    def _error(self, indices_B: Tensor) -> Tensor:
        chosen_B = indices_B % len(self._pool)
        rows_B = self._pool[chosen_B]
        is_kept = len(self._pool) <= LARGEST_POOL
        read_BLC = self.read()[chosen_B] if is_kept else self._read_given(self.tokens.take(rows_B))
        action_BA = self.autoencoder.act(read_BLC, self.windows.conditions(rows_B), decoder=self.decoder)
        return (action_BA - self.data.actions(rows_B)).pow(2).mean()

    @cached_property
    def _pool(self) -> Tensor:
        """The rows for which Z is generated."""
        rows = torch.arange(len(self.data), device=self.data.device)
        if self.config.training.inverse_dynamics.whole_windows:
            rows = rows[self.windows.are_whole(rows)]
            if not len(rows):
                raise MageError(
                    f"training.inverse_dynamics.whole_windows: no episode has {self.windows.horizon} steps, "
                    "autoencoder.horizon, or ends before its time limit; set it to false"
                )
        if self._reads_what_is_given:
            return rows
        drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(SEED))[:LARGEST_POOL]
        return rows[drawn.sort().values.to(rows.device)]

    @property
    def _reads_what_is_given(self) -> bool:
        """Whether nothing that I reads is generated."""
        read = self.autoencoder.scales_read or self.config.autoencoder.num_scales
        return self.config.training.inverse_dynamics.given_scales >= read

    def _read_all(self) -> Tensor:
        """What I reads of every window of the pool, (P, L, C)."""
        choose = TokenChoice(self.config.policy, all_rows(torch.Generator().manual_seed(SEED)))
        return torch.cat([self._read_of(part, choose) for part in self._pool.split(1024)])

    @torch.no_grad()
    def _read_of(self, rows_B: Tensor, choose: TokenChoice) -> Tensor:
        model, given = self.autoencoder, self._own_coarse_tokens(rows_B)
        if self._reads_what_is_given:
            return self._read_given(given)
        conditions_BY = self.windows.conditions(rows_B)
        guidance = self.config.policy.guidance
        repeated = [tokens_Bl.repeat(rows_a_plan(guidance), 1) for tokens_Bl in given]

        def generate(told_BY: Tensor, choose: Choice) -> tuple[list[Tensor], Tensor]:
            return self.transformer.generate(told_BY, model.quantizer, choose, repeated)

        return model.read(*generate_guided(generate, conditions_BY, choose, guidance))

    @torch.no_grad()
    def _read_given(self, tokens: list[Tensor]) -> Tensor:
        """What I reads of windows whose own tokens these are, the coarsest at least."""
        given = tokens[: self.config.training.inverse_dynamics.given_scales]
        return self.autoencoder.read(given, self.autoencoder.quantizer.decode(given))

    def _own_coarse_tokens(self, rows_B: Tensor) -> list[Tensor]:
        scales = self.config.training.inverse_dynamics.given_scales
        if not scales:
            return []
        batch = self.windows.take(rows_B)
        return self.autoencoder.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])[:scales]
