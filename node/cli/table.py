"""Prints rows as a table for people."""

from node.cli.log import escaped

CELL = 1000  # characters; forty readings fit


def print_table(rows: list[tuple[str, ...]]) -> None:
    """The first row is the head. All rows are equally long."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        # A board's words are a stranger's.
        cells = (escaped(cell, CELL).ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
