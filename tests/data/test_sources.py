import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from mage import scenarios
from mage.data.collect import collect
from mage.data.environments import check_environment, check_evaluation, make_environment
from mage.data.sources import load_trajectories, resolve_dataset_ids
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from tests.data.builders import write_minari

DOOR, MAZE = scenarios.get("door-expert"), scenarios.get("maze2d-umaze")


def test_a_dataset_of_ones_own_needs_no_scenario(minari_root: Path) -> None:
    trajectories = load_trajectories(None, write_minari("me/mine-v0", [[1, 2, 3], [4]]))
    task = trajectories.task
    assert (task.scenario, task.dataset_id) == ("me/mine-v0", "me/mine-v0")
    assert (task.discount, task.target_return_quantile, task.reference_scores) == (0.99, 0.9, None)
    assert (task.environment_spec, task.observation_keys) == ("", ())
    assert (task.action_low, task.action_high) == ((-1.0,), (1.0,))
    assert trajectories.episode_starts.tolist() == [0, 3, 4]
    assert trajectories.rewards.tolist() == [1, 2, 3, 4]
    assert trajectories.observations.shape == (4, 2)


def test_only_a_terminal_state_counts_as_a_termination(minari_root: Path) -> None:
    assert load_trajectories(None, write_minari("me/ended-v0", [[1, 1]], terminated=True)).terminations.tolist() == [
        True
    ]
    assert not load_trajectories(None, write_minari("me/cut-v0", [[1, 1]], terminated=False)).terminations.any()


def test_the_datasets_own_reference_scores_win_over_the_registrys(minari_root: Path) -> None:
    own = write_minari("me/own-v0", [[1, 2]], env="Pendulum-v1", ref_min_score=-1.0, ref_max_score=7.0)
    none = write_minari("me/none-v0", [[1, 2]])
    assert load_trajectories(DOOR, own).task.reference_scores == (-1.0, 7.0)
    assert load_trajectories(DOOR, none).task.reference_scores == DOOR.reference_scores
    assert load_trajectories(DOOR, none).task.scenario == "door-expert"


def test_reference_scores_the_wrong_way_round_are_refused(minari_root: Path) -> None:
    wrong = write_minari("me/wrong-v0", [[1, 2]], env="Pendulum-v1", ref_min_score=7.0, ref_max_score=7.0)
    with pytest.raises(MageError, match=r"reference scores of the dataset me/wrong-v0 are 7.0 and 7.0"):
        load_trajectories(None, wrong)


def test_a_dataset_without_an_environment_says_so_when_it_is_asked_for(minari_root: Path) -> None:
    trajectories = load_trajectories(None, write_minari("me/mine-v0", [[1]]))
    with pytest.raises(MageError, match="me/mine-v0 names no environment"):
        make_environment(trajectories.task)


def test_discrete_actions_and_odd_observations_are_refused(minari_root: Path) -> None:
    discrete = write_minari("me/discrete-v0", [[1]], action_space=spaces.Discrete(2))
    with pytest.raises(MageError, match=r"action space Discrete\(2\) of the dataset me/discrete-v0"):
        load_trajectories(None, discrete)
    odd = write_minari("me/odd-v0", [[1]], observation_space=spaces.Dict({"camera": spaces.Box(0, 1, (2,))}))
    with pytest.raises(MageError, match="observation space Dict"):
        load_trajectories(None, odd)


def test_a_missing_value_in_a_dataset_is_reported_when_it_is_loaded(minari_root: Path) -> None:
    with pytest.raises(MageError, match="rewards of the dataset me/nan-v0 are not finite at step 1 of episode 1"):
        load_trajectories(None, write_minari("me/nan-v0", [[1, 1], [1, np.nan]]))


def test_a_missing_dataset_is_answered_with_the_command_that_gets_it(minari_root: Path) -> None:
    with pytest.raises(MageError, match="get it with `mage data download --dataset D4RL/door/expert-v2`"):
        load_trajectories(DOOR, download=False)
    with pytest.raises(MageError, match="get it with `mage data collect maze2d-umaze`"):
        load_trajectories(MAZE, download=False)
    with pytest.raises(MageError, match=rf"local/door/expert-v0 is not in {minari_root}; .*MINARI_DATASETS_PATH"):
        load_trajectories(DOOR, namespace="local")


def test_a_folder_of_datasets_that_is_none_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(MageError, match=r"folder of the datasets, .*/file, cannot be used \(File exists\)"):
        load_trajectories(MAZE)
    with pytest.raises(MageError, match="cannot be used"):
        collect("maze-game", workers=1)


def test_a_download_that_fails_is_one_sentence(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_REMOTE", "nowhere://nothing")
    with pytest.raises(
        MageError, match=r"could not be downloaded .*`mage data download --dataset D4RL/door/expert-v2`"
    ) as error:
        load_trajectories(DOOR)
    assert "\n" not in str(error.value)


def test_a_damaged_dataset_is_named(minari_root: Path) -> None:
    write_minari("me/mine-v0", [[1]])
    (minari_root / "me/mine-v0/data/main_data.hdf5").write_bytes(b"not hdf5")
    with pytest.raises(MageError, match=r"dataset me/mine-v0 .* cannot be read"):
        load_trajectories(None, "me/mine-v0")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("total_episodes", None, "NoneType"),
        ("ref_min_score", [1.0], "not 'list'"),
        ("eval_env_spec", 5, "AssertionError"),
    ],
)
def test_metadata_that_makes_no_sense_is_one_sentence_with_a_reason(
    minari_root: Path, name: str, value: Any, reason: str
) -> None:
    write_minari("me/mine-v0", [[1]], env="Pendulum-v1", eval_env="Pendulum-v1", ref_min_score=0.0, ref_max_score=1.0)
    path = minari_root / "me/mine-v0/data/metadata.json"
    metadata = json.loads(path.read_text())
    metadata[name] = json.dumps(json.loads(metadata[name]) | value) if isinstance(value, dict) else value
    path.write_text(json.dumps(metadata))
    with pytest.raises(MageError, match=reason):
        load_trajectories(None, "me/mine-v0")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kwargs": {"nonsense": 1}}, "'nonsense'"),
        ({"entry_point": "os:nothing"}, "'nothing'"),
        ({"id": "Own-v7", "entry_point": "a_package_of_mine:Own"}, "Own-v7 .*a_package_of_mine"),
    ],
)
def test_data_of_an_environment_that_is_not_here_is_trained_on_and_not_evaluated(
    minari_root: Path, changes: dict[str, Any], reason: str
) -> None:
    write_minari("me/mine-v0", [[1]], env="Pendulum-v1", eval_env="Pendulum-v1")
    path = minari_root / "me/mine-v0/data/metadata.json"
    metadata = json.loads(path.read_text())
    metadata["eval_env_spec"] = json.dumps(json.loads(metadata["eval_env_spec"]) | changes)
    path.write_text(json.dumps(metadata))
    trajectories = load_trajectories(None, "me/mine-v0")
    check_environment(trajectories)
    for evaluates in (lambda: check_evaluation(trajectories), lambda: make_environment(trajectories.task)):
        with pytest.raises(MageError, match=f"cannot be built here: .*{reason.rpartition(' ')[2]}") as caught:
            evaluates()
        assert "\n" not in str(caught.value)


def test_metadata_that_is_no_table_is_one_sentence(minari_root: Path) -> None:
    write_minari("me/mine-v0", [[1]])
    (minari_root / "me/mine-v0/data/metadata.json").write_text("[]")
    with pytest.raises(MageError, match=r"dataset me/mine-v0 .* cannot be read"):
        load_trajectories(None, "me/mine-v0")


def test_damage_that_hdf5_finds_late_is_one_sentence(minari_root: Path) -> None:
    """h5py raises RuntimeError, no OSError, for a damaged list of an episode's members."""
    write_minari("me/mine-v0", [[1], [2]])
    path = minari_root / "me/mine-v0/data/main_data.hdf5"
    of_the_file, *of_episodes = path.read_bytes().split(b"HEAP")
    path.write_bytes(b"HEAP".join([of_the_file, b"XXXX".join(of_episodes)]))
    with pytest.raises(MageError, match=r"dataset me/mine-v0 .* cannot be read"):
        load_trajectories(None, "me/mine-v0")


def test_a_value_too_large_for_single_precision_is_told_and_nothing_else(
    minari_root: Path, recwarn: pytest.WarningsRecorder
) -> None:
    write_minari("me/mine-v0", [[1, 1e300]])
    with pytest.raises(MageError, match="rewards of the dataset me/mine-v0 are not finite at step 1"):
        load_trajectories(None, "me/mine-v0")
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_actions_of_another_size_than_the_action_space_are_refused(minari_root: Path) -> None:
    write_minari("me/mine-v0", [[1]])
    path = minari_root / "me/mine-v0/data/metadata.json"
    metadata = json.loads(path.read_text())
    wide = {"type": "Box", "dtype": "float32", "shape": [3], "low": [-1.0] * 3, "high": [1.0] * 3}
    path.write_text(json.dumps(metadata | {"action_space": json.dumps(wide)}))
    with pytest.raises(MageError, match="actions of the dataset me/mine-v0 have 1 values, its action space has 3"):
        load_trajectories(None, "me/mine-v0")


def test_neither_a_scenario_nor_a_dataset_is_refused() -> None:
    with pytest.raises(MageError, match="Neither a scenario nor a dataset id"):
        load_trajectories(None)


def test_an_explicit_id_wins_then_the_namespace_then_the_published_set_then_the_built_in(minari_root: Path) -> None:
    assert resolve_dataset_ids(MAZE, "me/mine-v0", "local") == ("me/mine-v0",)
    assert resolve_dataset_ids(MAZE, None, "local") == ("local/maze2d/umaze-v0",)
    assert resolve_dataset_ids(MAZE) == ("mage/maze2d/umaze-v0",)
    assert resolve_dataset_ids(DOOR) == ("D4RL/door/expert-v2",)
    write_minari("imported/maze2d/umaze-v0", [[1]])
    assert resolve_dataset_ids(MAZE) == ("imported/maze2d/umaze-v0",)
    write_minari("D4RL/pointmaze/umaze-v2", [[1]])
    assert resolve_dataset_ids(MAZE) == ("D4RL/pointmaze/umaze-v2",)


def test_a_mixture_is_its_datasets_end_to_end(minari_root: Path) -> None:
    parts = [write_minari("local/ant/medium-v0", [[1, 2], [3]]), write_minari("local/ant/expert-v0", [[4, 5, 6]])]
    mixed = load_trajectories(scenarios.get("ant-medium-expert"), namespace="local")
    assert mixed.task.dataset_id == "local/ant/medium-v0+local/ant/expert-v0"
    assert mixed.rewards.tolist() == [1, 2, 3, 4, 5, 6]
    assert mixed.episode_starts.tolist() == [0, 2, 3, 6]
    singles = [load_trajectories(None, part) for part in parts]
    np.testing.assert_array_equal(mixed.observations, np.concatenate([one.observations for one in singles]))
    assert mixed.task.fingerprint not in {one.task.fingerprint for one in singles}
    assert load_trajectories(None, "+".join(parts)).task.fingerprint == mixed.task.fingerprint


def test_a_copy_of_the_whole_mixture_is_taken_where_there_is_one(minari_root: Path) -> None:
    ant = scenarios.get("ant-medium-expert")
    write_minari("local/ant/medium-expert-v0", [[1]])
    assert resolve_dataset_ids(ant, namespace="local") == ("local/ant/medium-expert-v0",)


def test_data_of_different_environments_does_not_mix(minari_root: Path) -> None:
    one, other = write_minari("me/one-v0", [[1]]), write_minari("me/other-v0", [[1]], spaces.Box(-1, 1, (3,)))
    with pytest.raises(MageError, match=r"me/one-v0 .* 2 observation values\) and me/other-v0 .*cannot be mixed"):
        load_trajectories(None, f"{one}+{other}")
    pendulum = write_minari("me/pendulum-v0", [[1]], env="Pendulum-v1")
    with pytest.raises(MageError, match=r"environment none, .*\(Pendulum-v1"):
        load_trajectories(None, f"{one}+{pendulum}")


def test_data_that_nobody_publishes_is_asked_for_as_a_d4rl_file(minari_root: Path) -> None:
    with pytest.raises(
        MageError, match=r"`mage data import-d4rl ant-medium-replay-v2.hdf5 --scenario ant-medium-replay`"
    ):
        load_trajectories(scenarios.get("ant-medium-replay"))


def test_a_scenario_may_be_evaluated_elsewhere_than_its_data_says(minari_root: Path) -> None:
    write_minari("me/mine-v0", [[1]], env="Pendulum-v1")
    spec = EnvSpec.from_json(load_trajectories(scenarios.get("multi2d-medium"), "me/mine-v0").task.environment_spec)
    assert (spec.id, spec.max_episode_steps) == ("PointMaze_Medium-v3", 600)
    assert spec.kwargs["reset_target"] is False
    kept = EnvSpec.from_json(load_trajectories(MAZE, "me/mine-v0").task.environment_spec)
    assert kept.id == "Pendulum-v1"


def test_loading_twice_gives_the_same_fingerprint(
    tiny_maze: Trajectories, tiny_maze_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    assert load_trajectories(MAZE).task == tiny_maze.task
    assert tiny_maze.task.observation_keys == ("observation", "desired_goal")
