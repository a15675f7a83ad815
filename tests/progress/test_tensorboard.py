"""TensorBoard reads what we write: curves, and what is on its HPARAMS page."""

from pathlib import Path

import pytest

from mage.errors import MageError
from mage.progress.trackers.tensorboard import EventFile

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """The points of a curve as TensorBoard shows them."""
    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def test_a_row_of_a_loss_curve_is_a_point_a_metric_at_its_step_over_all_stages(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.add_row({"stage": "transformer", "step": 10, "loss": 0.5, "cross_entropy": 0.25}, 40)
    file.close()
    assert curve(tmp_path, "transformer/loss") == [(40, 0.5)]
    assert curve(tmp_path, "transformer/cross_entropy") == [(40, 0.25)]


def test_steps_that_are_done_again_after_an_interruption_are_shown_once(tmp_path: Path) -> None:
    for steps in ([10, 20, 30], [20, 30, 40]):
        file = EventFile(tmp_path)
        for step in steps:
            file.add(step, {"loss": step / 10 + steps[0]})
        file.close()
    assert curve(tmp_path, "loss") == [(10, 11.0), (20, 22.0), (30, 23.0), (40, 24.0)]


def test_a_configuration_stands_beside_its_score(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.add(1, {"score": 70.0})
    file.add_configuration({"transformer.depth": 2, "autoencoder.scales": [1, 3]}, {"score": 70.0})
    file.close()
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    pages = events.PluginTagToContent("hparams")
    assert b"transformer.depth" in pages["_hparams_/session_start_info"]
    assert b"[1, 3]" in pages["_hparams_/session_start_info"]
    assert b"score" in pages["_hparams_/experiment"]


def test_nothing_said_leaves_no_file(tmp_path: Path) -> None:
    EventFile(tmp_path / "seed-0").close()
    assert not any(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_told_in_a_line_and_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    file = EventFile(tmp_path / "taken")
    for step in range(30):
        with pytest.raises(MageError, match=r"cannot write curves to .*taken"):
            file.add(step, {"loss": 1.0})
    file.close()
