"""Breaking texts into lines, and finding their characters there again."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sktransfer.inputs import Text


@dataclass(frozen=True)
class Lines:
    """A text, or a pair one below the other, in lines of limited length.

    Parameters
    ----------
    lines : list of str
        What stands in each line.
    places : list of ndarray of shape (n_characters, 2)
        Of each part of the text, the line and the column of its characters; a
        character that is left out at the end of a line has the column -1.
    """

    lines: list[str]
    places: list[np.ndarray]

    @classmethod
    def of(cls, text: Text, width: int) -> Lines:
        """Break a text at blanks; a word that is longer than a line within."""
        lines: list[str] = []
        places = []
        for part in [text] if isinstance(text, str) else text:
            rows = [""]
            found = np.full((len(part), 2), -1)
            for piece in re.finditer(rf"\S{{1,{width}}}|\s", part):
                content = " " if piece[0].isspace() else piece[0]
                fits = len(rows[-1]) + len(content) <= width
                if not fits and content != " ":
                    rows.append("")
                if fits or content != " ":
                    column = len(rows[-1])
                    at = np.arange(column, column + len(content))
                    found[piece.start() : piece.end(), 1] = at
                    rows[-1] += content
                found[piece.start() : piece.end(), 0] = len(lines) + len(rows) - 1
            lines += rows
            places.append(found)
        return cls(lines, places)

    def boxes(self, part: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the line, the first and the last column of a piece of the text."""
        characters = [c for c in self.places[part][start:stop].tolist() if c[1] >= 0]
        for row, group in itertools.groupby(characters, key=lambda place: place[0]):
            columns = [column for _, column in group]
            yield row, columns[0], columns[-1] + 1
