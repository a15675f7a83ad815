"""What all pictures have in common: colours, panels side by side, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mage.errors import MageError
from mage.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")  # told apart by the colour-blind
STYLES = ("-", "--", ":", "-.")
TRIAL, MEAN, FAILED = "#4477aa", "#222222", "#cc3311"

MOST_COLUMNS = 3
"""Of panels in a picture: more would be too small on a phone."""

FORMS = (".png", ".svg", ".pdf")
"""Ends of the names of files that pictures can be written to."""


def color_of(number: int) -> str:
    """Of the line of that number."""
    return COLORS[number % len(COLORS)]


def style_of(number: int) -> str:
    """Of the line of that number; where the colours begin anew, its strokes are others."""
    return STYLES[number // len(COLORS) % len(STYLES)]


def grid(panels: int, height: float, width: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A picture of so many panels, in lines of at most `MOST_COLUMNS`.

    Args:
        height: of a panel, in inches.
        width: likewise; a picture is at least 4.6 inches wide.
    """
    from matplotlib.figure import Figure

    columns = min(panels, MOST_COLUMNS)
    lines = -(-panels // columns)
    figure = Figure(figsize=(max(4.6, width * columns), height * lines), dpi=150, layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for unused in axes[panels:]:
        unused.set_axis_off()
    return figure, axes[:panels]


def finish(panel: Axes, title: str = "") -> None:
    """Title, lines behind the data, and no frame above and at the right."""
    panel.set_title(title, fontsize="medium")
    panel.grid(color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize="small", which="both")
    panel.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: str | Path) -> None:
    """Writes a picture whole or not at all.

    Args:
        path: ends in .png, .svg or .pdf.

    Raises:
        MageError: it ends otherwise, or cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = Path(path)
    check_form(path)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."))


def check_form(path: Path) -> None:
    """MageError where no picture can be written to a file of that name."""
    if path.suffix.lower() not in FORMS:
        raise MageError(f"a picture is written as {', '.join(FORMS)}, and {path} ends in none of these")
