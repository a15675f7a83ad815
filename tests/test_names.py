"""Generic code names no algorithm and none of MAGE's parts: one more algorithm is one more file."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import mage
from mage import registry

PACKAGE = Path(mage.__file__).parent
ALLOWED = {
    "algorithms": "they are what is named",
    "config/upgrade.py": "names what version 0.1 wrote",
}
PARTS = (
    "autoencoder",
    "transformer",
    "codebook",
    "quantizer",
    "token_map",
    "inverse_dynamics",
    "adapted_decoder",
    "behaviour_cloning",
    "decision_transformer",
    "latent",
)


def generic_files() -> list[str]:
    """Every module of the package that must not know its algorithms."""
    names = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    return sorted(name for name in names if not any(name == own or name.startswith(f"{own}/") for own in ALLOWED))


def code_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of its names and strings, without comments and docstrings; of strings, what is no example."""
    previous = tokenize.INDENT
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = token.type == tokenize.STRING and previous in (tokenize.INDENT, tokenize.NEWLINE, tokenize.NL)
        if token.type in (tokenize.NAME, tokenize.STRING) and not is_docstring:
            yield token.start[0], token.string
        if token.type != tokenize.COMMENT:
            previous = token.type


def violations(source: str, algorithms: tuple[str, ...]) -> list[str]:
    """Where code names an algorithm (as a string of its own) or a part (in a name, or as a string of its own)."""
    found = []
    for line, text in code_of(source):
        is_string = text[-1] in "\"'"
        word = re.sub(r"^[a-z]*[\"']+|[\"']+$", "", text) if is_string else text
        names_algorithm = is_string and word in algorithms
        names_part = any(re.search(rf"\b_?{part}s?\b|^{part}_|_{part}$", word) for part in PARTS)
        if names_algorithm or (names_part and not (is_string and " " in word)):
            found.append(f"{line}: {text}")
    return found


@pytest.mark.parametrize("name", generic_files())
def test_generic_code_names_no_algorithm_and_no_part_of_one(name: str) -> None:
    source = (PACKAGE / name).read_text(encoding="utf-8")
    # the package bears the name of its first algorithm, so that one is looked for in comparisons only
    others = tuple(name for name in registry.built_in() if name != registry.DEFAULT)
    assert violations(source, others) == []
    assert re.findall(rf"[!=]= *\"{registry.DEFAULT}\"", source) == []


def test_the_probe_sees_names_and_strings_but_no_comments() -> None:
    algorithms = ("bc", "dt")
    assert violations('if config.algorithm == "bc":\n    pass\n', algorithms) == ['1: "bc"']
    assert violations("use = config.autoencoder.codebook_size\n", algorithms) == ["1: autoencoder", "1: codebook_size"]
    assert violations('"""Of bc and the autoencoder."""\nx = 1  # as bc does\n', algorithms) == []
