"""The benchmark of starting counts the processor's time of a process, and holds it to a bound."""

from benchmarks.startup import BOUNDS, COMMANDS, NOTHING, TRAINING, cpu_seconds, least_seconds, markdown, table


def test_a_process_that_works_takes_what_its_children_take_and_one_that_sleeps_nothing() -> None:
    nothing = cpu_seconds(["-c", "pass"])
    asleep = cpu_seconds(["-c", "import time; time.sleep(0.5)"])
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    assert 0 < nothing < 0.3 and asleep < 0.4 < cpu_seconds(["-c", child])


def test_every_command_runs_but_those_that_need_the_dataset() -> None:
    short = {name: COMMANDS[name] for name in (NOTHING, "import mage")}
    least = least_seconds(short, repeats=1)
    assert set(least) == set(short) and all(0 < taken < 60 for taken in least.values())


def test_a_bound_that_is_missed_shows_and_opening_is_what_it_adds_to_the_imports() -> None:
    seconds = dict.fromkeys(COMMANDS, 0.1) | {"mage --help": 0.6, TRAINING: 2.0}
    seconds[list(COMMANDS)[-1]] = 3.5
    rows = table(seconds).set_index("what")
    assert list(rows.index[~rows["kept"]]) == ["mage --help"]
    over = rows["over `python -c pass`"].round(6).to_dict()
    assert rows.loc["opening it", "CPU s"] == 1.5 and over["mage --help"] == 6
    assert f"| `mage --help` | 0.60 | 6.0 | {BOUNDS['mage --help']:g} |" in markdown(table(seconds))
