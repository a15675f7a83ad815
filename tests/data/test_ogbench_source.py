"""OGBench's files and environments; what needs its package is tested where that is installed."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mage import scenarios
from mage.data.environments import OwnRandomness, build, registered_spec
from mage.data.ogbench_source import episode_spans, read_file, task_rewards
from mage.data.sources import load_trajectories
from mage.data.trajectories import target_return
from mage.errors import MageError

GIANT, TELEPORT = (scenarios.get(f"{name}-navigate-v0") for name in ("pointmaze-giant", "antmaze-teleport"))


def spans_by_hand(terminals: list[bool], at_goal: list[bool]) -> list[tuple[int, int]]:
    """Step by step: an episode opens away from the goal, and closes with a step at the goal or at the end of a walk."""
    spans, opened = [], None
    for row, (terminal, reached) in enumerate(zip(terminals, at_goal, strict=True)):
        if terminal:  # no step: the state that the walk ended in
            if opened is not None:
                spans.append((opened, row))
            opened = None
        elif reached:
            if opened is not None:
                spans.append((opened, row + 1))
            opened = None
        elif opened is None:
            opened = row
    return spans


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_walks_are_cut_into_the_episodes_that_the_environment_would_play(rows: list[tuple[bool, bool]]) -> None:
    terminals, at_goal = ([row[i] for row in [*rows, (True, False)]] for i in (0, 1))
    rewards = np.array(at_goal, np.float32) - 1.0
    assert list(episode_spans(np.array(terminals), rewards)) == spans_by_hand(terminals, at_goal)


def test_a_file_that_is_not_ogbenchs_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "walks.npz"
    np.savez(path, observations=np.zeros((3, 2)), actions=np.zeros((3, 2)), terminals=np.zeros(3))
    with pytest.raises(MageError, match=rf"{path} has no qpos; it is not a file of OGBench's mazes"):
        read_file(path)
    np.savez(
        path, observations=np.zeros((3, 2)), actions=np.zeros((3, 2)), terminals=np.zeros(3), qpos=np.zeros((2, 2))
    )
    with pytest.raises(MageError, match="different numbers of rows"):
        read_file(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MageError, match=r"is not a whole .npz file .*; delete it, and it is downloaded again"):
        read_file(path)


def test_without_the_package_the_command_that_gets_it_is_named(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ogbench", None)
    with pytest.raises(MageError, match=r'`pip install "mage-rl\[ogbench\]"`'):
        load_trajectories(TELEPORT)
    with pytest.raises(
        MageError, match=r"not here yet; get it with `mage data download --dataset ogbench/antmaze-tele"
    ):
        load_trajectories(TELEPORT, download=False)


class Dice(gym.Env):
    """An environment with the fault of OGBench's: it draws from numpy's global generator."""

    observation_space = gym.spaces.Box(0, 1, (), np.float64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.random.uniform() + self.action_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.random.uniform(), 0.0, False, False, {}


def throws(dice: gym.Env, seed: int) -> list[float]:
    return [dice.reset(seed=seed)[0], *(dice.step(0)[0] for _ in range(3))]


def test_environments_that_draw_from_the_global_generator_are_functions_of_their_own_seed() -> None:
    alone = throws(OwnRandomness(Dice()), seed=1)
    np.random.seed(0)
    expected = np.random.RandomState(0).uniform(size=3)
    one, other = OwnRandomness(Dice()), OwnRandomness(Dice())
    together = [one.reset(seed=1)[0]]
    other.reset(seed=2)
    for _ in range(3):
        together.append(one.step(0)[0])
        other.step(0)
    assert together == alone != throws(other, seed=2)
    np.testing.assert_array_equal(np.random.uniform(size=3), expected)
    later = [one.reset()[0] for _ in range(2)]
    assert later[0] != later[1]


@pytest.fixture
def ogbench() -> Any:
    return pytest.importorskip("ogbench")


def walk(environment: Any, start: np.ndarray, steps: int, seed: int) -> dict[str, np.ndarray]:
    """A walk from there with noise, mostly to the right, in OGBench's layout; it goes on at the goal."""
    environment.reset(seed=seed)
    bare, rng = environment.unwrapped, np.random.default_rng(seed)
    bare.set_xy(start)
    rows: dict[str, list] = {"observations": [], "actions": [], "qpos": [], "successes": []}
    for _ in range(steps + 1):
        rows["observations"].append(bare.get_ob())
        rows["qpos"].append(bare.data.qpos.copy())
        rows["successes"].append(bare.compute_success())
        rows["actions"].append(np.clip([1.0, 0.0] + 0.3 * rng.standard_normal(2), -1, 1))
        bare.step(rows["actions"][-1])
    return {name: np.array(values) for name, values in rows.items()} | {"terminals": np.arange(steps + 1) == steps}


@pytest.fixture
def walks(ogbench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Three real walks in pointmaze-giant, the second through the task's goal; OGBench's file of them is there."""
    environment = build(registered_spec(GIANT))
    environment.reset(seed=0)
    bare: Any = environment.unwrapped
    goal = np.array(bare.cur_goal_xy)
    walks_here = [
        walk(environment, start, 40, seed) for seed, start in enumerate([goal * 0, goal - (2.5, 0), goal * 0])
    ]
    rows = {name: np.concatenate([walked[name] for walked in walks_here]) for name in walks_here[0]}
    monkeypatch.setenv("OGBENCH_DATA_DIR", str(tmp_path / "ogbench"))
    (tmp_path / "ogbench").mkdir()
    parts = {name: rows[name] for name in ("observations", "actions", "terminals", "qpos")}
    np.savez(tmp_path / "ogbench" / f"{GIANT.name}.npz", allow_pickle=False, **parts)
    environment.close()
    return rows


def test_rewards_are_ogbenchs_own_and_what_the_environment_pays(walks: dict[str, np.ndarray]) -> None:
    rewards = task_rewards(GIANT, walks["qpos"])
    np.testing.assert_array_equal(rewards, walks["successes"].astype(np.float32) - 1.0)
    assert 0 < walks["successes"].sum() < 30


def test_a_walk_ends_at_the_goal_and_goes_on_as_another_episode_when_it_has_left(
    minari_root: Path, walks: dict[str, np.ndarray]
) -> None:
    trajectories = load_trajectories(GIANT, GIANT.dataset_ids[0])
    away = ~walks["successes"] & ~walks["terminals"]
    assert trajectories.terminations.tolist().count(True) >= 1
    assert (trajectories.rewards == 0).sum() == away.sum()
    np.testing.assert_array_equal(
        trajectories.rewards[trajectories.episode_starts[1:] - 1] == 1, trajectories.terminations
    )
    assert target_return(trajectories) == 1  # the goal, which no end of a walk that is cut off looks like
    np.testing.assert_array_equal(trajectories.observations[:40], walks["observations"][:40].astype(np.float32))
    assert trajectories.episode_starts[:2].tolist() == [0, 40]
    episode = minari.load_dataset(GIANT.dataset_ids[0])[0]
    np.testing.assert_array_equal(episode.observations[-1], walks["observations"][40].astype(np.float32))


def test_the_evaluation_environment_is_the_single_task_and_deterministic(
    minari_root: Path, walks: dict[str, np.ndarray]
) -> None:
    from mage.data.environments import make_environment

    environment = make_environment(load_trajectories(GIANT, GIANT.dataset_ids[0]).task)
    assert environment.spec is not None and environment.spec.max_episode_steps == 1000
    first = [environment.reset(seed=seed)[0] for seed in (3, 4, 3)]
    np.testing.assert_array_equal(first[0], first[2])
    assert (first[0] != first[1]).any()
    bare: Any = environment.unwrapped
    bare.set_xy(bare.cur_goal_xy)
    *_, terminated, _, info = environment.step(np.zeros(2, np.float32))
    assert terminated and info["success"] == 1.0


def test_teleports_are_drawn_from_the_episodes_own_seed(ogbench: Any) -> None:
    one, other = (build(registered_spec(TELEPORT)) for _ in range(2))

    def landing(environment: Any, seed: int) -> np.ndarray:
        environment.reset(seed=seed)
        bare = environment.unwrapped
        for _ in range(4):
            bare.set_xy(np.array(bare._teleport_info["teleport_in_xys"][0]))
            environment.step(np.zeros(8, np.float32))
        return bare.get_xy()

    landings = [landing(one, seed) for seed in range(6)]
    np.random.seed(0)
    np.testing.assert_array_equal(landings, [landing(other, seed) for seed in range(6)])
    assert len({tuple(np.round(xy)) for xy in landings}) > 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the folder tmp_path/published over HTTP; the address."""
    (tmp_path / "published").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "published"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_a_file_that_is_not_there_is_downloaded_by_ogbench(
    minari_root: Path, walks: dict[str, np.ndarray], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ogbench.utils.DATASET_URL", server)
    name = f"{GIANT.name}.npz"
    file = (tmp_path / "ogbench" / name).rename(tmp_path / "published" / name)
    with pytest.raises(MageError, match=rf"{name} could not be downloaded .*404.*OGBENCH_DATA_DIR"):
        load_trajectories(GIANT, GIANT.dataset_ids[0])
    assert list((tmp_path / "ogbench").iterdir()) == []
    (tmp_path / "published" / f"{GIANT.name}-val.npz").write_bytes(file.read_bytes())
    assert load_trajectories(GIANT, GIANT.dataset_ids[0]).episodes >= 3
    file.write_bytes(file.read_bytes()[:1000])
    (tmp_path / "ogbench" / name).unlink()
    minari.delete_dataset(GIANT.dataset_ids[0])
    with pytest.raises(MageError, match="the connection ended early"):
        load_trajectories(GIANT, GIANT.dataset_ids[0])
    assert not (tmp_path / "ogbench" / name).exists()
