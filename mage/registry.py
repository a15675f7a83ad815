"""Algorithms by name: built-in, installed as a plug-in, or a class of the user's own.

    cql                 mage/algorithms/cql.py, or the folder of that name; else an entry point of group mage.algorithms
    my_module:MyClass   that class, from wherever Python imports `my_module`

Nothing imports `mage.algorithms` but `get`, and only what was asked for.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mage.errors import FOREIGN_ERRORS, MageError
from mage.words import reason_of

if TYPE_CHECKING:
    from mage.interface.algorithm import Algorithm

GROUP = "mage.algorithms"
DEFAULT = "mage"
"""The algorithm that is trained where none is named: the one that this package is for."""


@cache
def built_in() -> tuple[str, ...]:
    """Names of the algorithms that ship with the package; the default comes first."""
    folders = importlib.util.find_spec("mage.algorithms").submodule_search_locations  # type: ignore[union-attr]
    names = [module.name for module in pkgutil.iter_modules(list(folders or ())) if not module.name.startswith("_")]
    return tuple(sorted(names, key=lambda name: (name != DEFAULT, name)))


def plug_ins() -> Mapping[str, EntryPoint]:
    """Installed algorithms by name.

    Raises:
        MageError: two packages offer one name, or one that is built in.
    """
    return _installed(tuple(sys.path))


@cache
def _installed(search_path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """Those of this path; looked up once, since that reads the metadata of every package: 50 ms."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.get(entry.name)
        if entry.name in built_in() or (other and other.value != entry.value):
            theirs = f"{_package(other)} ({other.value})" if other else "mage itself"
            raise MageError(
                f"two algorithms are called '{entry.name}': of {theirs} and of {_package(entry)} ({entry.value}); "
                "uninstall one, or name a class as module:Class"
            )
        found[entry.name] = entry
    return found


def names() -> list[str]:
    """Every algorithm that can be named here."""
    return [*built_in(), *sorted(plug_ins())]


def check_name(name: str) -> None:
    """MageError with near names where no algorithm of this name can be, without importing any."""
    if ":" in name or name in built_in() or name in plug_ins():
        return
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise MageError(f"there is no algorithm '{name}'{hint}; there are: {', '.join(names())}; or give module:Class")


def get(name: str, from_disk: bool = False) -> type[Algorithm[Any]]:
    """The class of an algorithm.

    Args:
        name: of a built-in or installed one, or `module:Class`.
        from_disk: the name was read from a file, so no code may be imported for it that is not installed: a
            `module:Class` is found where its module has been imported already.

    Raises:
        MageError: there is none of this name, it cannot be imported, or it is not an algorithm.
    """
    check_name(name)
    if ":" in name:
        return _named_class(name, from_disk)
    if name in built_in():
        module = importlib.import_module(f"mage.algorithms.{name}")
        return checked(module.ALGORITHM, name)
    entry = plug_ins()[name]
    try:
        return checked(entry.load(), name)
    except MageError:
        raise
    except FOREIGN_ERRORS as error:
        raise MageError(f"the algorithm '{name}' of {_package(entry)} cannot be imported: {_in_short(error)}") from None


def make_importable(name: str) -> str:
    """Of `module:Class` or `folder/file.py:Class`, puts the folder (by default this one) where Python finds modules.

    Returns the name by which the class is then found, here and in the workers of a local Ray: `module:Class`.
    """
    module, separator, class_name = name.rpartition(":")
    if not separator:
        return name
    folder = Path.cwd()
    if module.endswith(".py"):
        path = Path(module).expanduser().absolute()
        if not path.is_file():
            raise MageError(f"there is no file {path} for the algorithm {name}")
        folder, module = path.parent, path.stem
    look_in(folder)
    known = os.environ.get("PYTHONPATH", "")
    if str(folder) not in known.split(os.pathsep):  # for the processes of a Ray that this one starts
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), known]))
    return f"{module}:{class_name}"


def look_in(folder: str | Path) -> None:
    """Puts a folder where Python looks for modules."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def folder_of(name: str) -> str | None:
    """Of an algorithm that is a class in an imported module, the folder from which it was imported; else None."""
    module = sys.modules.get(name.partition(":")[0].partition(".")[0]) if ":" in name else None
    if module is None or not module.__file__:
        return None
    place = Path(module.__file__).absolute().parent
    return str(place.parent if hasattr(module, "__path__") else place)


class Folder:
    """Of modules; where it is unpickled, Python looks there."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return look_in, (self.path,)


def told_where(reduced: str | tuple[Any, ...], name: str) -> str | tuple[Any, ...]:
    """What `__reduce_ex__` gives of an instance of an algorithm's class, with the folder of the class before it.

    So a Ray that has been started before this process knew of the folder finds the class, too.
    """
    folder = folder_of(name)
    if folder is None or isinstance(reduced, str):
        return reduced
    make, arguments, *state = reduced
    return (_made, (Folder(folder), make, arguments), *state)


def _made(_: None, make: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    return make(*arguments)


def checked(found: Any, name: str) -> type[Algorithm[Any]]:
    """The class, where it is an algorithm and has all that is read of one; else MageError."""
    if not (isinstance(found, type) and hasattr(found, "check_class")):
        raise MageError(f"{name} is not an algorithm: {found!r} is no subclass of mage.interface.Algorithm")
    found.check_class(name)
    return found


def _named_class(name: str, from_disk: bool) -> type[Algorithm[Any]]:
    module_name, _, class_name = name.partition(":")
    if from_disk and module_name not in sys.modules:
        raise MageError(
            f"this was made by the algorithm {name}, which is not installed; install its package, or import "
            f"{module_name} before it is loaded (on the command line: --algorithm {name})"
        )
    try:
        module = sys.modules.get(module_name) or importlib.import_module(module_name)
    except FOREIGN_ERRORS as error:
        raise MageError(
            f"the algorithm {name} cannot be imported: {_in_short(error)}; put its folder on PYTHONPATH"
        ) from None
    found = getattr(module, class_name, None)
    if found is None:
        raise MageError(f"the module {module_name} has no class '{class_name}'")
    return checked(found, name)


def _package(entry: EntryPoint | None) -> str:
    return entry.dist.name if entry is not None and entry.dist is not None else "an unknown package"


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"
