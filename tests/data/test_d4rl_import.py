"""D4RL's files: what a real rollout leaves in one, imported, is that rollout again."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from hypothesis import given
from hypothesis import strategies as st

from mage import scenarios
from mage.data.d4rl_import import episode_ends, import_d4rl, scenario_of_file
from mage.data.environments import make_environment
from mage.data.sources import load_trajectories
from mage.errors import MageError
from tests.data.d4rl_files import Played, play, rows_of, write

LENGTHS = (7, 5, 1)


@pytest.fixture(scope="module")
def cheetah() -> list[Played]:
    return play("HalfCheetah-v4", LENGTHS)


@pytest.fixture(scope="module")
def pen() -> list[Played]:
    return play("AdroitHandPen-v1", LENGTHS)


def refusal(path: Path, *arguments: Any) -> str:
    """The sentence with which an import ends that must leave nothing behind."""
    with pytest.raises(MageError) as error:
        import_d4rl(path, *arguments)
    assert "\n" not in str(error.value)
    root = minari.storage.get_dataset_path()
    assert not [file for file in root.rglob("*") if file.is_file() and file.suffix != ".hdf5"]
    assert not [folder for folder in root.iterdir() if folder.name.startswith(".")]
    return str(error.value)


def test_the_episodes_of_a_file_are_those_that_were_played(
    minari_root: Path, tmp_path: Path, cheetah: list[Played]
) -> None:
    rows = rows_of(cheetah, terminal=[False, True])
    imported = import_d4rl(write(tmp_path / "halfcheetah_medium_replay-v2.hdf5", rows))
    assert imported.dataset_id == "imported/halfcheetah/medium-replay-v0"
    assert (imported.episodes, imported.steps, imported.terminated) == (3, 13, 1)
    assert (imported.one_step_episodes, imported.dropped_steps, imported.trimmed_observations) == (1, 0, 0)
    for episode, played in zip(minari.load_dataset(imported.dataset_id).iterate_episodes(), cheetah, strict=True):
        shown = [*played.observations[:-1], played.observations[-2]]  # the file does not say what came last
        np.testing.assert_array_equal(episode.observations, np.array(shown, np.float32))
        np.testing.assert_array_equal(episode.actions, played.actions)
        np.testing.assert_array_equal(episode.rewards, played.rewards.astype(np.float32))
        terminated, steps = len(played.rewards) == 5, len(played.rewards)
        assert episode.terminations.tolist() == [False] * (steps - 1) + [terminated]
        assert episode.truncations.tolist() == [False] * (steps - 1) + [not terminated]


def test_the_scenario_trains_on_its_imported_data_in_the_environment_that_equals_it(
    minari_root: Path, tmp_path: Path, cheetah: list[Played]
) -> None:
    import_d4rl(write(tmp_path / "halfcheetah-medium-replay-v2.hdf5", rows_of(cheetah, terminal=[False, True])))
    trajectories = load_trajectories(scenarios.get("halfcheetah-medium-replay"))
    assert trajectories.lengths.tolist() == list(LENGTHS)
    assert trajectories.terminations.tolist() == [False, True, False]
    assert trajectories.task.reference_scores == (-280.178953, 12135.0)
    spec = EnvSpec.from_json(trajectories.task.environment_spec)
    assert (spec.id, spec.max_episode_steps) == ("HalfCheetah-v4", 1000)
    observation, _ = make_environment(trajectories.task).reset(seed=0)
    np.testing.assert_allclose(observation, cheetah[0].observations[0])


def test_pen_keeps_d4rls_hundred_steps(minari_root: Path, tmp_path: Path, pen: list[Played]) -> None:
    imported = import_d4rl(write(tmp_path / "pen-expert-v1.hdf5", rows_of(pen)))
    assert imported.dataset_id == "imported/pen/expert-v0"
    trajectories = load_trajectories(scenarios.get("pen-expert"))
    environment = make_environment(trajectories.task)
    assert environment.spec is not None and environment.spec.max_episode_steps == 100
    np.testing.assert_allclose(environment.reset(seed=1)[0], trajectories.observations[7], rtol=1e-5, atol=1e-6)


def test_the_file_says_what_came_last_where_it_has_next_observations(
    minari_root: Path, tmp_path: Path, cheetah: list[Played]
) -> None:
    following = np.concatenate([episode.observations[1:] for episode in cheetah]).astype(np.float32)
    path = write(tmp_path / "halfcheetah-medium-v2.hdf5", rows_of(cheetah) | {"next_observations": following})
    for episode, played in zip(
        minari.load_dataset(import_d4rl(path).dataset_id).iterate_episodes(), cheetah, strict=True
    ):
        np.testing.assert_array_equal(episode.observations, played.observations.astype(np.float32))


def test_rows_after_the_last_end_are_dropped_as_d4rl_drops_them(
    minari_root: Path, tmp_path: Path, cheetah: list[Played]
) -> None:
    rows = rows_of(cheetah)
    rows["timeouts"][-1] = False
    imported = import_d4rl(write(tmp_path / "halfcheetah-medium-v2.hdf5", rows))
    assert (imported.episodes, imported.steps, imported.dropped_steps) == (2, 12, 1)


def test_without_timeouts_the_time_limit_cuts(minari_root: Path, tmp_path: Path) -> None:
    rows = rows_of(play("AdroitHandPen-v1", [230]))
    del rows["timeouts"]
    rows["terminals"][120] = True
    imported = import_d4rl(write(tmp_path / "pen-human-v1.hdf5", rows))
    assert load_trajectories(None, imported.dataset_id).lengths.tolist() == [100, 21, 100]
    assert (imported.terminated, imported.dropped_steps) == (1, 9)


def ends_by_hand(terminals: list[bool], timeouts: list[bool] | None, limit: int) -> list[int]:
    """Row by row, as D4RL's sequence_dataset goes, but with every episode counted from its own first step."""
    ends, step = [], 0
    for row, terminal in enumerate(terminals):
        step += 1
        if terminal or (step == limit if timeouts is None else timeouts[row]):
            ends.append(row + 1)
            step = 0
    return ends


@given(st.data(), st.integers(1, 5), st.integers(1, 30))
def test_episodes_end_where_a_plain_loop_ends_them(data: st.DataObject, limit: int, rows: int) -> None:
    flags = st.lists(st.booleans(), min_size=rows, max_size=rows)
    terminals, timeouts = data.draw(flags), data.draw(st.none() | flags)
    given_timeouts = None if timeouts is None else np.array(timeouts)
    assert episode_ends(np.array(terminals), given_timeouts, limit).tolist() == ends_by_hand(terminals, timeouts, limit)


def test_ants_contact_forces_are_left_out_if_they_are_the_zeros_that_d4rl_recorded(
    minari_root: Path, tmp_path: Path
) -> None:
    rows = rows_of(play("Ant-v4", [4, 3]))
    assert rows["observations"].shape == (7, 27)
    rows["observations"] = np.pad(rows["observations"], ((0, 0), (0, 84)))
    imported = import_d4rl(write(tmp_path / "ant_medium_expert-v2.hdf5", rows))
    assert (imported.dataset_id, imported.trimmed_observations) == ("imported/ant/medium-expert-v0", 84)
    trajectories = load_trajectories(scenarios.get("ant-medium-expert"))
    np.testing.assert_array_equal(trajectories.observations, rows["observations"][:, :27])
    assert make_environment(trajectories.task).reset(seed=0)[0].shape == (27,)
    rows["observations"][3, 50] = 0.1
    path = write(tmp_path / "ant_medium-v2.hdf5", rows)
    with pytest.raises(MageError, match="contact forces that are not zero, which Ant-v4 does not show"):
        import_d4rl(path)


def test_data_that_no_environment_of_today_shows_is_imported_without_one(minari_root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rows_of([Played(rng.normal(size=(6, 29)), np.zeros((5, 8), np.float32), np.zeros(5))])
    name = "Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed.hdf5"
    imported = import_d4rl(write(tmp_path / name, rows))
    assert (imported.dataset_id, imported.environment) == ("imported/antmaze/umaze-v0", None)
    trajectories = load_trajectories(scenarios.get("antmaze-umaze-play"))
    assert trajectories.observation_size == 29
    with pytest.raises(MageError, match="names no environment"):
        make_environment(trajectories.task)


@pytest.mark.parametrize(
    ("file", "scenario"),
    [
        ("pen-expert-v1.hdf5", "pen-expert"),
        ("halfcheetah_medium_expert-v2.hdf5", "halfcheetah-medium-expert"),
        ("kitchen_microwave_kettle_bottomburner_light-v0.hdf5", "kitchen-mixed"),
        ("maze2d-large-sparse-v1.hdf5", "maze2d-large"),
    ],
)
def test_a_file_under_d4rls_name_needs_no_scenario(file: str, scenario: str) -> None:
    assert scenario_of_file(Path("somewhere") / file).name == scenario


def test_any_other_file_does_and_no_file_fits_two_scenarios(minari_root: Path, tmp_path: Path) -> None:
    assert "say which it is with --scenario" in refusal(write(tmp_path / "mine.hdf5", {}))
    assert "D4RL has no data of maze-game" in refusal(tmp_path / "mine.hdf5", "maze-game")
    known = [scenario for name in scenarios.names() if (scenario := scenarios.get(name)).d4rl_name]
    for scenario in known:
        assert scenario_of_file(Path(f"{scenario.d4rl_name}.hdf5")) == scenario
        assert scenario.d4rl_file is None or scenario_of_file(Path(scenario.d4rl_file)) == scenario


def test_what_is_no_d4rl_file_is_refused_in_one_sentence(
    minari_root: Path, tmp_path: Path, cheetah: list[Played]
) -> None:
    path, rows = tmp_path / "halfcheetah-medium-v2.hdf5", rows_of(cheetah)
    assert f"There is no file {path}" in refusal(path)
    path.write_bytes(b"not HDF5")
    assert "is not a whole HDF5 file" in refusal(path)
    write(path, rows)
    path.write_bytes(path.read_bytes()[:-500])
    assert "is not a whole HDF5 file (" in refusal(path) and "truncated" in refusal(path)
    write(path, {"observations": rows["observations"], "reward": rows["rewards"]})
    assert "has no actions, rewards, terminals, so it is no D4RL file; at its top level it has obs" in refusal(path)
    write(path, rows | {"actions": rows["actions"][:-1]})
    assert "actions of " in refusal(path) and "have the shape (12, 6); of 13 rewards" in refusal(path)
    write(path, rows | {"rewards": rows["rewards"][:0]})
    assert "has no rows" in refusal(path)
    write(path, rows | {"actions": np.array([b"left"] * 13)})
    assert "shape (13,); of 13 rewards it is (13, values of a row)" in refusal(path)
    write(path, rows | {"rewards": np.array([b"1"] * 13)})
    assert "of the type |S1, which is no number" in refusal(path)
    write(path, rows | {"rewards": np.where(np.arange(13) % 5 == 3, np.nan, rows["rewards"])})
    assert "rewards of " in refusal(path) and "not finite in 2 rows, first in row 3" in refusal(path)
    write(path, rows | {"terminals": np.where(np.arange(13) == 2, np.nan, 0.0)})
    assert "terminals of " in refusal(path) and "not finite in 1 rows, first in row 2" in refusal(path)
    write(path, rows | {"timeouts": rows["timeouts"] & False})
    assert "No episode ends in " in refusal(path)
    with h5py.File(path, "w") as file:
        file[b"\xff"] = file["actions"] = np.zeros(13)
    assert "at its top level it has actions, b'\\xff'." in refusal(path)


def test_damage_inside_a_file_is_told_too(minari_root: Path, tmp_path: Path, cheetah: list[Played]) -> None:
    path = write(tmp_path / "halfcheetah-medium-v2.hdf5", rows_of(cheetah))
    with h5py.File(path) as file:
        chunk = file["observations"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    assert "is not a whole HDF5 file" in refusal(path)


def test_the_data_of_another_environment_is_refused(minari_root: Path, tmp_path: Path, cheetah: list[Played]) -> None:
    path = write(tmp_path / "pen-expert-v1.hdf5", rows_of(cheetah))
    assert "has 17 observation and 6 action values, AdroitHandPen-v1 has 45 and 24" in refusal(path)


def test_a_dataset_that_is_there_stays_as_it_is(minari_root: Path, tmp_path: Path, cheetah: list[Played]) -> None:
    path = write(tmp_path / "halfcheetah-medium-v2.hdf5", rows_of(cheetah))
    before = load_trajectories(None, import_d4rl(path).dataset_id).task.fingerprint
    with pytest.raises(MageError, match=r"already here; `minari delete imported/halfcheetah/medium-v0`"):
        import_d4rl(path)
    assert load_trajectories(scenarios.get("halfcheetah-medium")).task.fingerprint == before
    assert import_d4rl(path, dataset_id="me/cheetah-v0").dataset_id == "me/cheetah-v0"
    for name in ("x y", "me/mine"):
        with pytest.raises(MageError, match=f"{name} cannot be a dataset's id"):
            import_d4rl(path, dataset_id=name)


def test_more_data_than_the_disk_holds_is_refused_before_it_is_read(minari_root: Path, tmp_path: Path) -> None:
    path, rows = tmp_path / "halfcheetah-medium-v2.hdf5", 10**12
    with h5py.File(path, "w") as file:
        for name, shape in {"observations": (rows, 17), "actions": (rows, 6), "rewards": (rows,)}.items():
            file.create_dataset(name, shape, np.float32, chunks=True)
        file.create_dataset("terminals", (rows,), bool, chunks=True)
    assert "takes 98000000.0 MB, and " in refusal(path)


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(tmp_path: Path, cheetah: list[Played]) -> None:
    """Files of this process may not grow beyond 20 kB, which the operating system enforces as a full disk does."""
    path = write(tmp_path / "halfcheetah-medium-v2.hdf5", rows_of(cheetah))
    program = (
        "import pathlib, resource, signal, sys; from mage.data.d4rl_import import import_d4rl\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "import_d4rl(pathlib.Path(sys.argv[1]))"
    )
    here = tmp_path / "here"
    environment = {"MINARI_DATASETS_PATH": str(here), "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", program, path], env=environment, capture_output=True, text=True)
    assert (
        f"imported/halfcheetah/medium-v0 cannot be written to {here} (File too large)" in ended.stderr.splitlines()[-1]
    )
    assert list(here.iterdir()) == []
