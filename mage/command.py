"""What every command line of ours does: bad input ends in one line, options are declared in a class, an option may have
several values.

What is wrong with the input ends a command with one line on stderr and exit code 2, Ctrl-C quietly with 130.
"""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from mage.errors import MageError
from mage.files import expand_variables, print_whatever_it_is

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BAD_INPUT, INTERRUPTED = 2, 130
NUMBER = "N"
"""Metavar of an option whose values are whole numbers."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
HELP = {"help_option_names": ["--help", "-h"]}

Options = TypeVar("Options", bound="DataclassInstance")


@contextmanager
def errors_end_it() -> Iterator[None]:
    """Inside, a MageError is printed and ends the program with exit code 2, and Ctrl-C ends it with 130."""
    print_whatever_it_is()
    try:
        expand_variables()
        with _warnings_in_a_line():
            yield
    except MageError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Inside, what Python's packages warn of is a line on stderr, each once."""
    told: set[str] = set()

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        line = " ".join(COLOURS.sub("", str(message)).removeprefix("WARN: ").split())
        if line not in told:
            told.add(line)
            print(f"warning: {line}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = tell
        yield


def taking(options: type[Options], **defaults: Any) -> Callable[[Callable[[Options], Any]], Callable[..., None]]:
    """Makes a command for Typer of a function of one object: its fields are the command's options.

    Args:
        options: a dataclass, each field of it `Annotated` with a `typer.Option` or `typer.Argument`.
        defaults: in place of those of the class.
    """
    hints = get_type_hints(options, include_extras=True)
    parameters = []
    for field in fields(options):
        own = inspect.Parameter.empty if field.default is MISSING else field.default
        default = defaults.get(field.name, own)
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))

    def decorate(function: Callable[[Options], Any]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            function(options(**values))

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # where Typer looks
        return command

    return decorate


def read_options(options: type[Options], description: str | None, **defaults: Any) -> Options:
    """The options that this process was started with; `--help` and wrong usage end it.

    Args:
        description: shown by `--help` as it is written.
        defaults: in place of those of the class.
    """
    read: list[Options] = []
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Script, help=description or "", context_settings=HELP)(taking(options, **defaults)(read.append))
    try:
        app()
    except SystemExit:  # which is how Typer always ends
        if not read:
            raise
    return read[0]


class SeveralValues(TyperCommand):
    """A command whose repeatable options take several values, too: `--set a=1 b=2` is `--set a=1 --set b=2`.

    All that stands alone behind such an option is its own. In a command that also has arguments, only what looks as its
    metavar says: FIELD=VALUE, N, or one of a|b.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Repeats the option before each of its values."""
        return super().parse_args(ctx, list(self._repeated(args)))

    def _repeated(self, args: Sequence[str]) -> Iterator[str]:
        known = {name: param for param in self.params if param.param_type_name == "option" for name in param.opts}
        option: str | None = None
        awaits_value = False
        rest = iter(args)
        for arg in rest:
            if arg.startswith("--"):
                name, separator, _ = arg.partition("=")
                if awaits_value and name in known:
                    raise MageError(f"{option} needs a value, and is followed by {name}")
                option, awaits_value = name, not separator and not getattr(known.get(name), "is_flag", False)
            elif awaits_value:  # an option's own value, whatever it looks like
                awaits_value = False
            elif arg.startswith("-"):
                option = None
            elif option in known and self._is_value(arg, known[option]):
                yield option
            else:
                self._check_argument(arg, option, known)
                option = None
            yield arg
            if arg == "--":
                yield from rest

    def _is_value(self, arg: str, param: Any) -> bool:
        """Whether what stands alone behind an option is one more value of it."""
        if not param.multiple or not self._has_arguments():
            return bool(param.multiple)
        form = param.metavar or ""
        if form == NUMBER:
            return arg.isdecimal()
        return "=" in arg if "=" in form else arg in form.rstrip(".").split("|")

    def _check_argument(self, arg: str, option: str | None, known: dict[str, Any]) -> None:
        """MageError where what belongs to no option is no argument of the command either."""
        if "=" in arg and "--set" in known:
            is_space = "--space" in known and arg.partition("=")[2][:1] in ("[", "{")
            raise MageError(f"'{arg}' belongs to no option; write {'--space' if is_space else '--set'} '{arg}'")
        if self._has_arguments():
            return
        if option in known:
            takes = "no value" if getattr(known[option], "is_flag", False) else "one value"
            raise MageError(f"'{arg}' belongs to no option: {option} takes {takes}")
        raise MageError(f"'{arg}' belongs to no option; --help shows those there are")

    def _has_arguments(self) -> bool:
        return any(param.param_type_name == "argument" for param in self.params)


class Script(SeveralValues):
    """The command that a whole script is."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Shows the description as it was written, of which Typer would join the lines."""
        if self.help:
            print(f"\n{self.help}")
            self.help = None
        super().format_help(ctx, formatter)
