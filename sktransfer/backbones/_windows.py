"""Where a text that is too long for an encoder is divided."""

from __future__ import annotations

from collections.abc import Sequence


def token_windows(words: Sequence[int | None], capacity: int) -> list[tuple[int, int]]:
    """Return the windows over a text's tokens: where each starts, and where it ends.

    Each starts half a window after the one before. Both ends are moved back to the
    beginning of a word, unless it is more than a quarter of the window away: a piece
    of a word is encoded otherwise than the word, and may take more tokens.

    Parameters
    ----------
    words : sequence of int or None
        Which word each token is a part of; None for none.
    capacity : int
        Tokens in a window, at most.
    """
    windows: list[tuple[int, int]] = []
    start = 0
    while start + capacity < len(words):
        stop = _word_start(words, start + capacity, capacity // 4)
        if not windows or stop > windows[-1][1]:
            windows.append((start, stop))
        middle = start + max(1, capacity // 2)
        start = max(start + 1, _word_start(words, middle, capacity // 4))
    return [*windows, (start, len(words))]


def _word_start(words: Sequence[int | None], place: int, furthest: int) -> int:
    """Return where the word that is cut at `place` starts, if it is not too far."""
    for start in range(place, place - furthest - 1, -1):
        if words[start] is None or words[start] != words[start - 1]:
            return start
    return place
