import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.files import check_seal
from mage.training.trainer import Trainer, choose_device
from tests.algorithms.builders import reference_config
from tests.processes import flip_last_byte

Make = Callable[..., Trainer]


@pytest.fixture
def make(tiny_maze: Trajectories, tiny_config: AlgorithmConfig) -> Make:
    """An untrained trainer of the tiny configuration with overrides."""

    def made(*overrides: str, seed: int = 0, artefacts: Path | None = None) -> Trainer:
        config = make_config(tiny_config.model_dump(), overrides)
        return Trainer(tiny_maze, config, seed, artefacts)

    return made


def same_weights(one: Trainer, other: Trainer) -> bool:
    ours, theirs = one.agent.state_dict(), other.agent.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_same_seed_gives_the_same_run_to_the_bit(make: Make, tiny_trainer: Trainer) -> None:
    torch.manual_seed(99)  # global randomness must not matter
    again = make()
    again.advance(again.total_steps)
    assert again.history == tiny_trainer.history
    assert same_weights(again, tiny_trainer)


def test_another_seed_gives_another_run(make: Make, tiny_trainer: Trainer) -> None:
    other = make(seed=1)
    other.advance(10)
    assert other.history[0]["loss"] != tiny_trainer.history[0]["loss"]


def test_all_stages_are_logged_in_their_order(tiny_trainer: Trainer) -> None:
    logged = [(row["stage"], row["step"]) for row in tiny_trainer.history]
    stages = [("autoencoder", step) for step in (10, 20, 30)] + [("codebook", 30)]
    stages += [("transformer", step) for step in (10, 20, 30)] + [("inverse_dynamics", 10)]
    assert logged == stages
    assert tiny_trainer.step == tiny_trainer.total_steps == 70


def test_every_stage_learns(tiny_trainer: Trainer) -> None:
    def course(stage: str, name: str) -> list[float]:
        return [float(row[name]) for row in tiny_trainer.history if row["stage"] == stage]

    for stage, name in [("autoencoder", "reconstruction_error"), ("transformer", "cross_entropy")]:
        values = course(stage, name)
        assert values[-1] < 0.9 * values[0]
    before = course("transformer", "action_error_generated_tokens")[-1]
    assert course("inverse_dynamics", "action_error_generated_tokens")[-1] < before


@pytest.mark.parametrize("stop", [7, 10, 30, 44, 60, 66, 70])
def test_a_run_stopped_anywhere_and_continued_is_the_undisturbed_run(
    make: Make, tiny_trainer: Trainer, tmp_path: Path, stop: int
) -> None:
    stopped = make()
    stopped.advance(stop)
    stopped.save(tmp_path)
    continued = make()
    torch.manual_seed(stop)
    continued.load(tmp_path)
    assert continued.step == stop
    continued.advance(continued.total_steps)
    assert same_weights(continued, tiny_trainer)
    # a stop between two lines adds a line and shortens what the next one averages
    disturbed = {(row["stage"], row["step"]) for row in _lines_after(continued, stop)}
    rows = [row for row in continued.history if (row["stage"], row["step"]) not in disturbed]
    assert rows == [row for row in tiny_trainer.history if (row["stage"], row["step"]) not in disturbed]
    assert len(rows) >= len(tiny_trainer.history) - 1


def _lines_after(trainer: Trainer, stop: int) -> list[dict[str, float | str]]:
    """The extra line that a stop between two lines causes, and the next."""
    lines = trainer.history
    extra = next((i for i, row in enumerate(lines) if int(row["step"]) % 10), None)
    assert (extra is None) == (stop % 10 == 0)
    return [] if extra is None else lines[extra : extra + 2]


def test_looking_at_the_policy_on_the_way_changes_nothing(make: Make, tiny_trainer: Trainer) -> None:
    watched = make()
    for step in range(10, 71, 10):
        watched.advance(step)
        watched.policy().act(watched.trajectories.observations[:3])
    assert watched.history == tiny_trainer.history
    assert same_weights(watched, tiny_trainer)


def test_a_checkpoint_is_safetensors_and_json(make: Make, tmp_path: Path) -> None:
    trainer = make()
    trainer.advance(10)
    trainer.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("format_version", 99, "has format_version 99, this mage reads 3 to 4"),
        ("seed", 5, "has seed 5, this run has 0"),
    ],
)
def test_a_checkpoint_of_another_version_or_seed_is_refused(
    make: Make, tmp_path: Path, name: str, value: int, said: str
) -> None:
    trainer = make()
    trainer.save(tmp_path)
    described = json.loads((tmp_path / "training.json").read_text())
    (tmp_path / "training.json").write_text(json.dumps(described | {name: value}))
    with pytest.raises(MageError, match=said):
        make().load(tmp_path)


def test_a_checkpoint_of_another_configuration_is_refused_and_of_another_log_interval_is_not(
    make: Make, tmp_path: Path
) -> None:
    make().save(tmp_path)
    with pytest.raises(MageError, match=r"has config_hash .* this run has"):
        make("training.transformer.learning_rate=0.01").load(tmp_path)
    make("training.log_every=5").load(tmp_path)


def test_a_checkpoint_of_another_dataset_is_refused(make: Make, tiny_maze: Trajectories, tmp_path: Path) -> None:
    make().save(tmp_path)
    task = tiny_maze.task.model_copy(update={"fingerprint": "another"})
    other = Trainer(dataclasses.replace(tiny_maze, task=task), make().config, seed=0)
    with pytest.raises(MageError, match=r"has dataset .*, this run has another"):
        other.load(tmp_path)


def test_a_damaged_checkpoint_is_refused(make: Make, tmp_path: Path) -> None:
    make().save(tmp_path)
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(MageError, match=r"is damaged: training\.json cannot be read"):
        make().load(tmp_path)


def test_a_run_of_a_single_scale_continues_too(make: Make, tmp_path: Path) -> None:
    single = ("autoencoder.num_scales=1", "autoencoder.scales=null")
    stopped, continued, undisturbed = (make(*single) for _ in range(3))
    stopped.advance(44)
    stopped.save(tmp_path)
    continued.load(tmp_path)
    for trainer in (continued, undisturbed):
        trainer.advance(trainer.total_steps)
    assert same_weights(continued, undisturbed)


def test_stage_1_is_trained_once_for_configurations_that_differ_after_it(make: Make, tmp_path: Path) -> None:
    first = make(artefacts=tmp_path)
    first.advance(30)
    assert make(artefacts=tmp_path).step == 30
    deeper = make("transformer.depth=2", artefacts=tmp_path)
    assert deeper.step == 30
    assert deeper.history == first.history
    ours, theirs = deeper.networks["autoencoder"].state_dict(), first.networks["autoencoder"].state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_stage_1_is_trained_again_for_another_codebook_or_seed(make: Make, tmp_path: Path) -> None:
    make(artefacts=tmp_path).advance(30)
    assert make(artefacts=tmp_path).step == 30  # so what follows could have been found
    assert make("autoencoder.codebook_size=8", artefacts=tmp_path).step == 0
    assert make(seed=1, artefacts=tmp_path).step == 0


def test_a_damaged_stage_1_is_not_borrowed_but_replaced(make: Make, tiny_trainer: Trainer, tmp_path: Path) -> None:
    make(artefacts=tmp_path).advance(30)
    (weights_file,) = tmp_path.glob("*/autoencoder.safetensors")
    flip_last_byte(weights_file)
    again = make(artefacts=tmp_path)
    assert again.step == 0
    again.advance(again.total_steps)
    assert same_weights(again, tiny_trainer)
    assert make(artefacts=tmp_path).step == 30


def test_a_run_on_a_borrowed_stage_1_is_the_run_that_trained_it(
    make: Make, tiny_trainer: Trainer, tmp_path: Path
) -> None:
    make(artefacts=tmp_path).advance(30)
    torch.manual_seed(99)
    borrowing = make(artefacts=tmp_path)
    borrowing.advance(borrowing.total_steps)
    assert borrowing.history == tiny_trainer.history
    assert same_weights(borrowing, tiny_trainer)


def test_a_run_continues_in_stage_1_though_another_has_finished_it_meanwhile(
    make: Make, tiny_trainer: Trainer, tmp_path: Path
) -> None:
    stopped = make(artefacts=tmp_path / "artefacts")
    stopped.advance(20)
    stopped.save(tmp_path / "checkpoint")
    make(artefacts=tmp_path / "artefacts").advance(30)
    continued = make(artefacts=tmp_path / "artefacts")
    continued.load(tmp_path / "checkpoint")
    assert continued.step == 20
    continued.advance(continued.total_steps)
    assert same_weights(continued, tiny_trainer)


def test_a_stage_1_that_cannot_be_kept_for_others_is_told_and_used(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    said: list[str] = []
    trainer = Trainer(tiny_maze, tiny_config, 0, tmp_path / "taken", said.append)
    trainer.advance(31)
    assert trainer.step == 31
    assert any("not kept for other trials" in line for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_two_runs_that_train_the_same_stage_1_at_once_leave_one_artefact(make: Make, tmp_path: Path) -> None:
    one, other = make(artefacts=tmp_path), make(artefacts=tmp_path)
    one.advance(30)
    other.advance(30)
    (artefact,) = tmp_path.iterdir()
    check_seal(artefact)
    shutil.rmtree(artefact)
    assert make(artefacts=tmp_path).step == 0


def test_a_run_without_stage_2b_ends_with_stage_2(make: Make) -> None:
    trainer = make("training.inverse_dynamics.steps=0", "training.autoencoder.steps=2", "training.transformer.steps=2")
    trainer.advance(10**9)
    assert trainer.step == trainer.total_steps == 4
    assert trainer.history[-1]["stage"] == "transformer"


def test_the_critic_is_trained_last_where_it_has_steps(make: Make) -> None:
    trainer = make("training.value.steps=5")
    trainer.advance(trainer.total_steps)
    assert trainer.total_steps == 75
    assert [row["stage"] for row in trainer.history[-2:]] == ["inverse_dynamics", "value"]
    assert "critic" not in make().networks


def test_the_returns_of_a_decision_transformer_are_not_discounted(tiny_maze: Trajectories) -> None:
    policy = Trainer(tiny_maze, reference_config("dt"), seed=0).policy()
    assert policy.task.discount == 1
    assert policy.target_return == np.quantile(tiny_maze.episode_returns, tiny_maze.task.target_return_quantile)
    other = Trainer(tiny_maze, reference_config("return_bc"), seed=0).policy()
    assert other.task.discount == tiny_maze.task.discount == 0.99


@given(st.integers(1, 500), st.integers(20, 500), st.integers(0, 50), st.integers(0, 50), st.integers(0, 9))
@settings(max_examples=20)
def test_milestones_lie_evenly_in_stage_2_and_end_with_the_run(
    tiny_trainer: Trainer, one: int, two: int, three: int, four: int, evaluations: int
) -> None:
    steps = {"autoencoder": one, "transformer": two, "inverse_dynamics": three, "value": four}
    config = make_config(
        tiny_trainer.config.model_dump(), [f"training.{name}.steps={count}" for name, count in steps.items()]
    )
    trainer = Trainer(tiny_trainer.trajectories, config, seed=0, data=tiny_trainer.data)
    *inside, end = trainer.milestones(evaluations)
    assert end == one + two + three + four
    check_even(inside, evaluations, one, one + two)


@pytest.mark.parametrize("evaluations", [0, 1, 4])
def test_milestones_of_an_only_stage_lie_evenly_in_it(tiny_trainer: Trainer, evaluations: int) -> None:
    config = reference_config("bc", steps=40)
    trainer = Trainer(tiny_trainer.trajectories, config, seed=0, data=tiny_trainer.data)
    *inside, end = trainer.milestones(evaluations)
    assert end == 40
    check_even(inside, evaluations, 0, 40)


def check_even(inside: list[int], count: int, begin: int, end: int) -> None:
    """So many points between begin and end, as far from each other as can be."""
    assert len(inside) == count
    gaps = [b - a for a, b in itertools.pairwise([begin, *inside, end])]
    assert min(gaps) > 0
    assert max(gaps) - min(gaps) <= 1


def test_a_loss_that_is_no_number_ends_the_run_with_advice(make: Make) -> None:
    trainer = make("training.autoencoder.learning_rate=1.0e+30")
    with pytest.raises(MageError, match=r"loss of the autoencoder is .*; lower training\.autoencoder\.learning_rate"):
        trainer.advance(30)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(MageError, match=r"training\.device is cuda, but torch finds no GPU"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"
