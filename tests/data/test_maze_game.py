from math import floor
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer

import mage
from mage import scenarios
from mage.config import AlgorithmConfig
from mage.data import minari_writer
from mage.data.environments import MAZE_GAME, make_environment, register_environments
from mage.data.maze_controller import Cell, next_cells
from mage.data.maze_game import MazeGame, collection
from mage.data.maze_game.collection import RECORDER
from mage.data.maze_game.drawing import COLOURS, PIXELS_A_CELL
from mage.data.maze_game.environment import GOAL, GOLD, HALF_WIDTH, SILVER, START, WALLS, centre
from mage.data.recording import Job
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.training.trainer import Trainer

NEXT = next_cells(WALLS)
SCENARIO, HIDDEN, STARTS = "maze-game", "maze-game-hidden", "maze-game-starts"
DATASET = "mage/maze-game/random-v0"
actions = st.tuples(*[st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 1.0])] * 2)


@pytest.fixture(scope="module")
def game_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MINARI_DATASETS_PATH that holds the game's data, 60 episodes of it."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        RECORDER.collect(SCENARIO, 60, workers=1, reference_episodes=5)
    return root


@pytest.fixture
def game_data(game_root: Path, monkeypatch: pytest.MonkeyPatch) -> Trajectories:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(game_root))
    return load_trajectories(scenarios.get("maze-game"), download=False)


def fixed_game() -> MazeGame:
    return MazeGame(start=START, goal=GOAL)


def walk(game: MazeGame, position: np.ndarray, *targets: Cell) -> tuple[list[float], bool]:
    """Visits the cells one after the other on shortest paths; the rewards that are not 0, and whether it ended."""
    rewards, terminated = [], False
    for target in targets:
        while (cell := (floor(position[1]), floor(position[0]))) != target:
            action = np.clip((centre(NEXT[cell, target]) - position[:2]) / 0.5, -1, 1)
            position, reward, terminated, _, _ = game.step(action)
            rewards += [reward] if reward else []
    return rewards, terminated


def test_gymnasium_finds_nothing_wrong_with_the_environment() -> None:
    register_environments()
    check_env(gym.make(MAZE_GAME, render_mode="rgb_array").unwrapped)


def test_silver_gold_goal_pays_three_times_and_ends_the_episode() -> None:
    game = fixed_game()
    observation, _ = game.reset(seed=0)
    assert observation[4:].tolist() == [0, 0]
    assert walk(game, observation, SILVER) == ([1.0], False)
    assert walk(game, game.position, GOLD) == ([1.0], False)
    assert walk(game, game.position, GOAL) == ([1.0], True)


@pytest.mark.parametrize(
    ("route", "paid"),
    [
        ([GOAL, GOLD], 0),
        ([GOLD, SILVER], 1),
        ([SILVER, GOAL], 1),
        ([SILVER, START, SILVER], 1),
        ([SILVER, GOLD, START, GOLD], 2),
        ([GOAL, SILVER, GOLD], 2),
    ],
)
def test_out_of_turn_nothing_is_paid_and_nothing_ends(route: list[Cell], paid: int) -> None:
    game = fixed_game()
    rewards, terminated = walk(game, game.reset(seed=0)[0], *route)
    assert (sum(rewards), terminated) == (paid, False)


def test_the_observation_shows_what_is_collected_but_never_where_a_coin_is() -> None:
    game = MazeGame()
    shown = np.stack([game.reset(seed=seed, options={"start": START})[0] for seed in range(50)])
    assert shown.shape == (50, 6)
    assert len(np.unique(shown[:, 2:4], axis=0)) > 20, "random goals"
    for coin in (SILVER, GOLD):
        assert not (shown[:, 2:4] == centre(coin)).all(1).any()
    game.reset(seed=0, options={"start": START})
    walk(game, game.position, SILVER)
    assert game.step(np.zeros(2))[0][4:].tolist() == [1, 0]
    walk(game, game.position, GOLD)
    assert game.step(np.zeros(2))[0][4:].tolist() == [1, 1]


@given(st.lists(actions, max_size=60), st.integers(0, 1000))
def test_neither_the_agent_nor_the_line_it_draws_ever_enters_a_wall(moves: list[tuple], seed: int) -> None:
    game = MazeGame()
    path = [game.reset(seed=seed)[0], *(game.step(np.array(move))[0] for move in moves)]
    positions = np.array(path, dtype=float)[:, :2]
    assert not inside_walls(positions[:, None] + (HALF_WIDTH - 1e-6) * DIAGONALS).any()
    moved = np.diff(positions, axis=0)
    assert np.abs(moved).max(initial=0) <= 0.5 + 1e-6
    on_the_way = positions[:-1, None] + np.linspace(0, 1, 21)[:, None] * moved[:, None]
    deep = inside_walls(on_the_way[..., None, :] + 1e-6 * DIAGONALS).all(-1)  # what touches a wall is not in it
    assert not deep.any()


DIAGONALS = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])


def inside_walls(positions: np.ndarray) -> np.ndarray:
    columns, rows = np.moveaxis(np.floor(positions).astype(int), -1, 0)
    inside: np.ndarray = np.array(WALLS)[rows, columns] == 1
    return inside


def test_along_a_wall_the_agent_slides() -> None:
    game = fixed_game()
    game.reset(seed=0)
    positions = np.stack([game.step(np.array([-1.0, 1.0]))[0][:2] for _ in range(4)])
    assert (positions[1:, 0] == 1 + HALF_WIDTH).all()
    assert (np.diff(positions[:, 1]) > 0.3).all()


def test_the_ground_is_slippery_by_a_tenth_of_an_action() -> None:
    game, still = MazeGame(start=(5, 2)), []
    for seed in range(300):
        before = game.reset(seed=seed)[0][:2]
        still.append(game.step(np.zeros(2))[0][:2] - before)
    assert np.std(still) == pytest.approx(0.05, rel=0.15)
    assert np.mean(still) == pytest.approx(0, abs=0.01)


def test_the_seed_and_the_actions_decide_an_episode() -> None:
    first, second = MazeGame(), MazeGame()
    for seed in (0, 1, 0):
        np.testing.assert_array_equal(first.reset(seed=seed)[0], second.reset(seed=seed)[0])
        for action in np.random.default_rng(seed).uniform(-1, 1, (50, 2)):
            np.testing.assert_array_equal(first.step(action)[0], second.step(action)[0])
    assert not np.array_equal(first.reset(seed=0)[0], first.reset(seed=1)[0])


def test_the_evaluation_starts_in_its_cell_and_not_always_at_the_same_point() -> None:
    game = fixed_game()
    starts = np.stack([game.reset(seed=seed)[0] for seed in range(20)])
    assert (np.floor(starts[:, :2]) == np.floor(centre(START))).all()
    assert len(np.unique(starts[:, :2], axis=0)) == 20
    assert (starts[:, 2:4] == centre(GOAL)).all()


def test_a_start_in_a_wall_is_refused() -> None:
    with pytest.raises(MageError, match=r"start of the maze game is \[0, 0\]; it has to be"):
        MazeGame(start=(0, 0))
    with pytest.raises(MageError, match=r"goal of the maze game is \[1, 99\]"):
        MazeGame().reset(options={"goal": (1, 99)})


def test_the_picture_shows_the_agent_where_it_is_and_drops_a_collected_coin() -> None:
    game = MazeGame(start=START, goal=GOAL, render_mode="rgb_array")
    game.reset(seed=0)
    before = game.render()
    agents = [game.position]
    walk(game, game.position, SILVER, START)
    after = game.render()
    agents.append(game.position)
    assert before is not None
    assert after is not None
    assert before.shape == (9 * PIXELS_A_CELL, 9 * PIXELS_A_CELL, 3)
    assert before.dtype == np.uint8
    for picture, agent in zip((before, after), agents, strict=True):
        assert pixel(picture, agent) == COLOURS["agent"]
        assert pixel(picture, centre(GOAL)) == COLOURS["goal"]
        assert pixel(picture, centre(GOLD)) == COLOURS["gold"]
        assert pixel(picture, centre((0, 0))) == COLOURS["wall"]
    assert (pixel(before, centre(SILVER)), pixel(after, centre(SILVER))) == (COLOURS["silver"], COLOURS["floor"])
    assert fixed_game().render() is None


def pixel(picture: np.ndarray, position: np.ndarray) -> tuple[int, ...]:
    column, row = (position * PIXELS_A_CELL).astype(int)
    return tuple(picture[row, column].tolist())


def test_one_worker_or_two_record_the_same_episodes(minari_root: Path) -> None:
    for workers, name in ((1, "mage/one-v0"), (2, "mage/two-v0")):
        RECORDER.collect(SCENARIO, 12, 3, workers, reference_episodes=1, dataset_id=name)
    one, two = (load_trajectories(None, name).task for name in ("mage/one-v0", "mage/two-v0"))
    assert (one.fingerprint, one.reference_scores) == (two.fingerprint, two.reference_scores)


def test_a_disk_without_room_is_told_before_anything_is_written(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minari_writer.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20 + 20_000))
    with pytest.raises(MageError, match=r"mage/maze-game/random-v0 takes 0\.\d MB, and .* has 1\.1 MB free; make room"):
        RECORDER.collect(SCENARIO, 10, workers=1, reference_episodes=1)
    assert list(minari_root.iterdir()) == []


def test_the_room_that_is_asked_for_is_what_a_dataset_takes(game_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(game_root))
    episodes = [collection._columns(episode) for episode in collection.play(Job(SCENARIO, "mixed", 0, range(60)))]
    asked = sum(minari_writer.stored_bytes(EpisodeBuffer(**episode)) for episode in episodes)
    taken = (game_root / DATASET / "data" / "main_data.hdf5").stat().st_size
    assert taken <= asked <= 2 * taken


def test_the_seed_decides_the_data_and_more_episodes_leave_the_first_as_they_are(
    game_data: Trajectories, minari_root: Path
) -> None:
    for seed in (0, 1):
        RECORDER.collect(SCENARIO, 3, seed, 1, reference_episodes=1, dataset_id=f"mage/seed{seed}-v0")
    same, other = (load_trajectories(None, f"mage/seed{seed}-v0") for seed in (0, 1))
    np.testing.assert_array_equal(same.observations, game_data.observations[: same.steps])
    assert other.task.fingerprint != same.task.fingerprint


def test_the_data_holds_every_return_and_random_starts_and_goals(game_data: Trajectories) -> None:
    returns = game_data.episode_returns
    assert set(returns) == {0, 1, 2, 3}
    assert (returns == 0).sum() > (returns == 3).sum(), "mostly wandering"
    np.testing.assert_array_equal(game_data.terminations, returns == 3)
    assert game_data.lengths.max() == scenarios.get("maze-game").max_episode_steps
    first = game_data.observations[game_data.episode_starts[:-1]]
    assert len(np.unique(np.floor(first[:, :2]), axis=0)) > 15
    assert len(np.unique(first[:, 2:4], axis=0)) > 15


def test_the_noiseless_controller_always_wins_and_chance_hardly_finds_a_coin(game_data: Trajectories) -> None:
    assert game_data.task.reference_scores is not None
    random, controller = game_data.task.reference_scores
    assert controller == 3
    assert random < 0.5


def test_the_measured_returns_are_stored_with_the_data(game_data: Trajectories) -> None:
    metadata = minari.load_dataset(DATASET).storage.metadata
    assert metadata["data_mean_return"] == pytest.approx(game_data.episode_returns.mean())
    assert metadata["controller_mean_return"] == 3
    assert f"Mean return {game_data.episode_returns.mean():.2f};" in metadata["description"]


def test_evaluation_rebuilds_the_game_with_its_fixed_start_and_goal(game_data: Trajectories) -> None:
    environment = make_environment(game_data.task)
    assert environment.spec is not None
    assert environment.spec.kwargs == {"start": list(START), "goal": list(GOAL)}
    assert environment.spec.max_episode_steps == scenarios.get("maze-game").max_episode_steps
    assert isinstance(environment.unwrapped, MazeGame)
    environment.close()


def test_recorded_actions_replayed_give_the_recorded_episode(game_data: Trajectories) -> None:
    dataset = minari.load_dataset(DATASET)
    best = int(game_data.episode_returns.argmax())
    recorded, seed = dataset[best], next(iter(dataset.storage.get_episode_metadata([best])))["seed"]
    environment = dataset.recover_environment()
    observation, info = environment.reset(seed=int(seed))
    for step, action in enumerate(recorded.actions):
        np.testing.assert_array_equal(observation, recorded.observations[step])
        assert info["success"] == recorded.infos["success"][step]
        observation, reward, terminated, truncated, info = environment.step(action)
        assert reward == recorded.rewards[step]
    assert terminated
    assert not truncated
    assert info["success"]


def test_a_policy_of_the_game_is_evaluated_like_any_other(
    game_data: Trajectories, tiny_config: AlgorithmConfig
) -> None:
    trainer = Trainer(game_data, tiny_config, seed=0)
    trainer.advance(trainer.total_steps)
    episodes = mage.evaluate(trainer.policy(), episodes=3)
    assert episodes["return"].isin([0, 1, 2, 3]).all()
    assert episodes["length"].between(1, 120).all()
    np.testing.assert_allclose(episodes["success"].astype(float), episodes["return"] == 3)


def test_the_hidden_game_is_the_same_game_and_does_not_tell_what_was_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, hidden = (collection.play(Job(name, "mixed", 0, range(20))) for name in (SCENARIO, HIDDEN))
    for one, other in zip(shown, hidden, strict=True):
        np.testing.assert_array_equal(one.observations[:, :4], other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.rewards, other.rewards)
    assert max(episode.rewards.sum() for episode in hidden) == 3
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = minari.load_dataset(RECORDER.collect(HIDDEN, 10, workers=1, reference_episodes=2))
    environment = data.recover_environment(eval_env=True)
    check_env(environment.unwrapped, skip_render_check=True)
    start, _ = environment.reset(seed=0)
    assert start.shape == data.observation_space.shape == (4,)
    assert (floor(start[1]), floor(start[0])) == START and tuple(start[2:]) == tuple(centre(GOAL))


def test_the_game_of_many_starts_has_the_same_data_and_an_evaluation_from_anywhere(
    game_data: Trajectories, minari_root: Path
) -> None:
    RECORDER.collect(STARTS, 12, workers=1, reference_episodes=10)
    data = load_trajectories(scenarios.get(STARTS), download=False)
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(data, name), getattr(game_data, name)[: len(getattr(data, name))])
    environment = make_environment(data.task)
    shown = np.stack([environment.reset(seed=seed)[0] for seed in [*range(50), 7]])
    environment.close()
    cells = {(floor(y), floor(x)) for x, y in shown[:, :2]}
    assert len(cells) > 20
    assert not cells & {SILVER, GOLD, GOAL}
    assert (shown[:, 2:4] == centre(GOAL)).all()
    np.testing.assert_array_equal(shown[-1], shown[7])


def test_from_every_start_the_whole_game_can_be_played_in_time(minari_root: Path) -> None:
    whole = collection.play(Job(STARTS, "whole", 0, range(60)))
    assert {episode.rewards.sum() for episode in whole} == {3}
    assert len({tuple(np.floor(episode.observations[0, :2])) for episode in whole}) > 15
    assert "Evaluation has a random start and a fixed goal" in description_of(STARTS)
    assert "Evaluation has a fixed start and a fixed goal" in description_of(SCENARIO)


def description_of(scenario: str) -> str:
    dataset = minari.load_dataset(RECORDER.collect(scenario, 1, workers=1, reference_episodes=1))
    return str(dataset.storage.metadata["description"])
