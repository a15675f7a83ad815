"""A filled table of the paper as Markdown, CSV, LaTeX or HTML.

What was measured stands first, or `-`; what was published stands in parentheses beside it, grey where there is grey.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from html import escape

from mage.errors import MageError
from mage.paper.printed import Cell, Estimate, Printed, Row

NOTHING = "-"


def to_markdown(tables: Sequence[Printed]) -> str:
    """Padded, so that it reads as well on a terminal."""
    return "\n\n".join(_markdown(table) for table in tables)


def _markdown(table: Printed) -> str:
    def value(estimate: Estimate) -> str:
        written = estimate.written(table.digits)
        return f"**{written}**" if estimate.is_bold else written

    rows = [[*table.head, *table.columns]]
    for labels, row in zip(_sparse(table.rows), table.rows, strict=True):
        rows.append([*labels, *(_cell(cell, value, str) for cell in row.cells)])
    rows = [[text.replace("|", r"\|") for text in row] for row in rows]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = "\n".join(f"- {note}" for note in table.notes)
    return f"### Table {table.number}: {table.caption}\n\n" + "\n".join(lines) + f"\n\n{notes}\n"


def to_csv(tables: Sequence[Printed]) -> str:
    """One table, four columns a method: measured mean and error, published mean and error; without notes.

    Raises:
        MageError: there are several, whose columns differ.
    """
    if len(tables) != 1:
        raise MageError("a CSV file has the columns of one table; name one --table, or choose another --as")
    (table,) = tables
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kinds = ("", " error", " published", " published error")
    names = [head or "Row" for head in table.head]
    writer.writerow([*names, "Scenario id", *(column + kind for column in table.columns for kind in kinds), "Mark"])
    for row in table.rows:
        numbers = [n for cell in row.cells for n in (*_numbers(cell.measured), *_numbers(cell.published))]
        writer.writerow([*row.labels, row.scenario or "", *numbers, max(cell.mark for cell in row.cells)])
    return text.getvalue()


def _numbers(estimate: Estimate | None) -> tuple[str, str]:
    """Mean and error as text that keeps every digit, empty where there is none."""
    if estimate is None:
        return "", ""
    return f"{estimate.mean:.10g}", "" if estimate.error is None else f"{estimate.error:.10g}"


def to_latex(tables: Sequence[Printed]) -> str:
    """`table` environments for a document that uses the packages booktabs and xcolor."""
    return "% \\usepackage{booktabs,xcolor}\n" + "\n".join(_latex(table) for table in tables)


def _latex(table: Printed) -> str:
    def value(estimate: Estimate) -> str:
        written = estimate.written(table.digits, r" \pm ")
        return rf"$\mathbf{{{written}}}$" if estimate.is_bold else f"${written}$"

    def grey(text: str) -> str:
        return rf"\textcolor{{gray}}{{{text}}}"

    def line(texts: Sequence[str]) -> str:
        return " & ".join(texts) + r" \\"

    body = []
    for index, (labels, row) in enumerate(zip(_sparse(table.rows), table.rows, strict=True)):
        if index and (row.scenario is None or labels[0]) and len(table.head) > 1:
            body.append(r"\midrule")
        marked = [_cell(cell, value, grey).replace("†", r"$^\dagger$") for cell in row.cells]
        body.append(line([*map(_for_latex, labels), *marked]))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_for_latex(f'Table {table.number} of the paper: {table.caption}')}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.head)}{'c' * len(table.columns)}}}",
            r"\toprule",
            line([*map(_for_latex, table.head), *map(_for_latex, table.columns)]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
            r"\footnotesize " + " \\\\\n".join(map(_for_latex, table.notes)),
            r"\end{table}",
            "",
        ]
    )


def _for_latex(text: str) -> str:
    """Text whose special characters LaTeX prints."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"†": r"$^\dagger$", "±": r"$\pm$", "<": r"$<$", ">": r"$>$"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return re.sub(r"[\\~^†±<>&%$#_{}]", lambda found: special[found.group()], text)


def to_html(tables: Sequence[Printed]) -> str:
    """A page of its own, without scripts or anything from elsewhere."""
    style = (
        "table{border-collapse:collapse}td,th{padding:.2em .6em;text-align:left}thead,.mean{border-top:1px solid}"
        "thead{border-bottom:1px solid}.published{color:gray}caption{text-align:left;font-weight:bold}"
    )
    body = "\n".join(_html(table) for table in tables)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Tables of the paper</title>\n'
        f"<style>{style}</style>\n{body}</html>\n"
    )


def _html(table: Printed) -> str:
    def value(estimate: Estimate) -> str:
        written = escape(estimate.written(table.digits))
        return f"<b>{written}</b>" if estimate.is_bold else written

    def grey(text: str) -> str:
        return f'<span class="published">{text}</span>'

    def line(tag: str, texts: Sequence[str], kind: str = "") -> str:
        return f"<tr{kind}>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    lines = ["<table>", f"<caption>{escape(f'Table {table.number}: {table.caption}')}</caption>"]
    lines.append(f"<thead>{line('th', [escape(head) for head in (*table.head, *table.columns)])}</thead>")
    for labels, row in zip(_sparse(table.rows), table.rows, strict=True):
        texts = [*map(escape, labels), *(_cell(cell, value, grey) for cell in row.cells)]
        lines.append(line("td", texts, ' class="mean"' if row.scenario is None else ""))
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return "\n".join([*lines, "</table>", f"<ul>{notes}</ul>", ""])


FORMATS: dict[str, Callable[[Sequence[Printed]], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "html": to_html,
}


def _cell(cell: Cell, value: Callable[[Estimate], str], grey: Callable[[str], str]) -> str:
    """What was measured, or `-`, and in parentheses what was published."""
    measured = value(cell.measured) + cell.mark if cell.measured else NOTHING
    return f"{measured} {grey(f'({value(cell.published)})')}" if cell.published else measured


def _sparse(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The rows' labels, of which a group is named at its first row only, as in print."""
    labels, group = [], ""
    for row in rows:
        is_again = len(row.labels) > 1 and row.scenario is not None and row.labels[0] == group
        labels.append(("", *row.labels[1:]) if is_again else row.labels)
        group = row.labels[0]
    return labels
