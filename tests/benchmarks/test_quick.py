"""`make bench` fails where a figure has grown, and only there."""

from benchmarks.quick import COMMITTED, FIGURES, evaluates, losses, markdown, over, read_table


def test_a_figure_that_has_grown_by_more_than_is_allowed_is_a_line() -> None:
    committed = {"acting": 2.0, "training": 10.0, "opening": 1.0}
    assert losses(committed, {"acting": 2.29, "training": 3.0, "opening": 1.0}) == []
    assert losses(committed, {"acting": 2.4, "training": 11.6, "opening": 1.0}) == [
        "acting: 2.40 times its floor, 20% more than 2.00 before",
        "training: 11.60 times its floor, 16% more than 10.00 before",
    ]
    assert losses(committed, {"acting": 2.4, "training": 11.6}, ["training"]) == [
        "training: 11.60 times its floor, 16% more than 10.00 before"
    ]


def test_a_figure_that_one_table_lacks_is_a_line() -> None:
    (gone,) = losses({"acting": 2.0, "training": 10.0}, {"acting": 2.0})
    (new,) = losses({"acting": 2.0}, {"acting": 2.0, "training": 10.0})
    assert gone.startswith("training: not measured") and "no such figure" in new


def test_the_committed_table_has_every_figure_and_is_read_as_it_was_written() -> None:
    committed = read_table(COMMITTED.read_text())
    assert list(committed) == list(FIGURES) and all(ratio > 0 for ratio in committed.values())
    assert read_table(f"# Words\n\n{markdown(committed)}\n") == committed


def test_work_that_takes_three_times_its_floor_is_found_to() -> None:
    def floor() -> int:
        return sum(range(20_000))

    def work() -> list[int]:
        return [floor() for _ in range(3)]

    assert 2 < over((work, floor), seconds=0) < 4.5


def test_an_evaluation_takes_longer_than_its_environments() -> None:
    assert evaluates(0, environments=2) > 1
