"""One training seed of MAGE: stage 1, stage 2 and, where wanted, stage 2b; stoppable and resumable at any step.

A trained stage 1 is an artefact of its own, named by the hash of all that determines it (data, configuration, seed),
so that configurations which differ in stage 2 only train it once.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mage.config import FORMAT_VERSION, Config, digest
from mage.data.trajectories import Statistics, Trajectories, target_return
from mage.data.windows import Windows
from mage.errors import MageError
from mage.files import write_text
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.policy import Policy
from mage.model.quantizer import codebook_use
from mage.model.transformer import MultiScaleTransformer
from mage.training.autoencoder_objective import AutoencoderObjective
from mage.training.distributed import all_agree, rank
from mage.training.inverse_dynamics_objective import InverseDynamicsObjective
from mage.training.stage import Stage
from mage.training.tokens import TrueTokens
from mage.training.transformer_objective import TransformerObjective

Log = Callable[[str], None]
History = list[dict[str, float | str]]
STAGES = ("autoencoder", "transformer", "inverse_dynamics")


class Trainer:
    """Trains all stages for one seed.

    Args:
        trajectories: what to learn from.
        config: of the run.
        seed: training seed: initial weights, batches, noise.
        artefacts: a folder in which trained autoencoders are kept and looked for.
        log: is told, in a line, whenever there is something to say.
        windows: of these trajectories, where another seed's trainer has them already.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        config: Config,
        seed: int,
        artefacts: Path | None = None,
        log: Log = lambda line: None,
        windows: Windows | None = None,
    ) -> None:
        self.trajectories, self.config, self.seed, self.log = trajectories, config, seed, log
        self.statistics = Statistics.from_trajectories(trajectories)
        self.device = choose_device(config.training.device)
        self.windows = windows or Windows(trajectories, self.statistics, config.autoencoder.horizon, self.device)
        dims = trajectories.observation_size, trajectories.action_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.autoencoder = TrajectoryAutoencoder(config.autoencoder, config.inverse_dynamics, *dims).to(self.device)
            self.transformer = MultiScaleTransformer(config.transformer, config.autoencoder, dims[0]).to(self.device)
        self.finished_history: History = []
        self.artefact = artefacts / self._artefact_name() if artefacts else None
        if self.artefact and all_agree((self.artefact / "history.json").is_file()):
            self._take_artefact(self.artefact)
        else:
            self.stage = self._begin("autoencoder")

    @property
    def step(self) -> int:
        """Steps done, over all stages."""
        return self._starts_at(self.stage.name) + self.stage.step

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(getattr(self.config.training, name).steps for name in STAGES)

    @property
    def history(self) -> History:
        """One row of metrics a logged step: stage, step, loss terms, diagnostics."""
        return self.finished_history + self.stage.history

    def advance(self, until: int) -> None:
        """Trains up to a step counted over all stages, `total_steps` at most."""
        every, until = self.config.training.log_every, min(until, self.total_steps)
        while self.step < until:
            target = min(until - self._starts_at(self.stage.name), self.stage.config.steps)
            self.stage.train_until(min(target, (self.stage.step // every + 1) * every))
            self.log(describe(self.stage.history[-1], self.stage.config.steps))
            if self.stage.step == self.stage.config.steps:
                self._next_stage()

    def policy(self) -> Policy:
        """The policy as trained so far (shares the weights)."""
        target = target_return(self.trajectories, self.config.evaluation.target_return_quantile)
        task = self.trajectories.task
        return Policy(self.config, task, self.statistics, self.autoencoder, self.transformer, target, self.seed)

    def save(self, folder: Path) -> None:
        """Writes a checkpoint from which `load` goes on: safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.autoencoder, folder / "autoencoder.safetensors")
        save_weights(self.transformer, folder / "transformer.safetensors")
        self.stage.save(folder)
        described = {
            "format_version": FORMAT_VERSION,
            "config_hash": self.config.hash(),
            "seed": self.seed,
            "dataset": self.trajectories.task.fingerprint,
            "stage": self.stage.name,
            "step": self.stage.step,
            "history": self.history,
        }
        (folder / "training.json").write_text(json.dumps(described))

    def load(self, folder: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            MageError: it is of another version, configuration or seed.
        """
        try:
            described = json.loads((folder / "training.json").read_text())
        except (OSError, ValueError):
            raise MageError(f"the checkpoint {folder} is damaged: training.json cannot be read; remove it") from None
        own = {"format_version": FORMAT_VERSION, "config_hash": self.config.hash(), "seed": self.seed}
        for name, value in (own | {"dataset": self.trajectories.task.fingerprint}).items():
            if described.get(name) != value:
                raise MageError(
                    f"the checkpoint {folder} has {name} {described.get(name)}, this run has {value}; use a new --out"
                )
        self.autoencoder.load_state_dict(load_file(folder / "autoencoder.safetensors"))
        self.transformer.load_state_dict(load_file(folder / "transformer.safetensors"))
        self.stage = self._begin(described["stage"])
        self.stage.load(folder, described["step"])
        self.finished_history = described["history"]

    def _begin(self, name: str) -> Stage:
        """The named stage at its step 0, on the weights at hand."""
        training = self.config.training
        config = getattr(training, name)
        objective: torch.nn.Module
        if name == "autoencoder":
            objective = AutoencoderObjective(self.autoencoder, self.config.inverse_dynamics, self.windows)
        elif name == "transformer":
            tokens = TrueTokens(self.autoencoder.eval(), self.windows, config.steps * config.batch_size)
            # seeded like the networks: adapters start the same whether stage 1 was trained here or taken from an
            # artefact
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                objective = TransformerObjective(
                    self.transformer, self.autoencoder, self.config.transformer, self.windows, tokens
                )
        else:
            objective = InverseDynamicsObjective(self.autoencoder, self.transformer, self.windows)
        return Stage(name, objective, len(self.windows), config, training, self.seed)

    def _next_stage(self) -> None:
        """Goes on to the next stage that has any steps; stays in the last one when all is done."""
        done = self.stage.name
        following = [name for name in STAGES[STAGES.index(done) + 1 :] if getattr(self.config.training, name).steps]
        if not following:
            return
        self.finished_history = self.history
        if done == "autoencoder":
            self._record_codebook_use()
        self.stage = self._begin(following[0])

    def _record_codebook_use(self) -> None:
        """Logs how the dataset uses the codebook after stage 1, and keeps the stage-1 artefact."""
        count = min(len(self.windows), 4096)
        spread = torch.linspace(0, len(self.windows) - 1, count, device=self.device).long()
        token_maps = self.autoencoder.eval().encode(self.windows.take(spread).trajectory_BHX)
        size = self.config.autoencoder.codebook_size
        use = codebook_use(token_maps, size)
        self.finished_history.append({"stage": "codebook", "step": self.stage.step, **use})
        self.log(
            f"codebook: {count} windows of the dataset use {use['codes_used_all']:.0f} % of {size} codes, perplexity "
            f"{use['perplexity_all']:.0f}"
        )
        if self.artefact and rank() == 0:
            self._keep_artefact(self.artefact)

    def _starts_at(self, stage: str) -> int:
        return sum(getattr(self.config.training, name).steps for name in STAGES[: STAGES.index(stage)])

    def _artefact_name(self) -> str:
        task = self.trajectories.task
        data = {"fingerprint": task.fingerprint, "discount": task.discount}
        key = digest(self.config.autoencoder_key() | data | {"seed": self.seed, "format_version": FORMAT_VERSION})
        return f"autoencoder-{key}"

    def _keep_artefact(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unfinished-"))
        save_weights(self.autoencoder, folder / "autoencoder.safetensors")
        (folder / "history.json").write_text(json.dumps(self.finished_history))
        try:
            os.replace(folder, target)
        except OSError:  # another trial has just put the same one there
            shutil.rmtree(folder)

    def _take_artefact(self, folder: Path) -> None:
        self.autoencoder.load_state_dict(load_file(folder / "autoencoder.safetensors"))
        self.finished_history = json.loads((folder / "history.json").read_text())
        self.stage = self._begin("transformer")
        self.log(f"autoencoder: taken from {folder.name}")


def save_run(folder: Path, policy: Policy, history: History) -> None:
    """Writes a trained policy and, as `metrics.jsonl`, how it was trained."""
    policy.save(folder)
    write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))


def describe(row: dict[str, float | str], steps: int) -> str:
    """A logged row as a line for people."""
    shown = (
        "reconstruction_error",
        "inverse_dynamics_error",
        "perplexity_all",
        "cross_entropy",
        "condition_error",
        "action_error_generated_tokens",
    )
    values = "".join(f", {name.replace('_', ' ')} {row[name]:.3g}" for name in shown if name in row)
    return f"{row['stage']} {row['step']}/{steps}: loss {row['loss']:.3g}{values}"


def choose_device(wanted: str) -> torch.device:
    """`auto` is the current GPU where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MageError("training.device is cuda, but torch finds no GPU here; set training.device=auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def save_weights(module: torch.nn.Module, path: Path) -> None:
    """The weights of a module as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
