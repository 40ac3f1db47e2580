from __future__ import annotations

import numpy as np
import pytest

from benchmarks._measure import (
    MIB,
    Ratios,
    Table,
    TreePeak,
    apart,
    disagreement,
    standard_error,
)


def allocate(n_bytes: int) -> int:
    print("progress")
    return int(np.ones(n_bytes, dtype=np.uint8).sum())


def test_standard_error_is_of_the_mean():
    assert standard_error([0.7, 0.8, 0.9]) == pytest.approx(0.1 / np.sqrt(3))


def test_accuracies_within_two_standard_errors_agree():
    # Each has an error of 0.0577, so the difference has one of 0.0816.
    theirs = [0.7, 0.8, 0.9]
    assert disagreement([0.85, 0.95, 1.05], theirs, 300) is None


@pytest.mark.parametrize("shift", [0.18, -0.18])
def test_accuracies_further_apart_disagree_in_either_direction(shift):
    theirs = np.array([0.7, 0.8, 0.9])
    reason = disagreement((theirs + shift).tolist(), theirs.tolist(), 300)
    assert reason is not None
    assert f"{shift:+.3f}" in reason and "0.163" in reason


def test_folds_that_agree_by_accident_leave_an_error_of_one_sample():
    assert disagreement([0.92] * 3, [0.90] * 3, 100) is None
    assert disagreement([0.93] * 3, [0.90] * 3, 100) is not None


def test_ratio_is_printed_for_equal_accuracies():
    ratios = Ratios()
    assert ratios.cell("a grid", 123.4, 10.0, None) == "12.3x"
    ratios.finish()


def test_refused_ratio_is_explained_and_fails_the_run(capsys):
    ratios = Ratios()
    assert ratios.cell("a grid", 123.4, 10.0, "accuracies differ") == "–"
    with pytest.raises(SystemExit) as stopped:
        ratios.finish()
    assert stopped.value.code == 1
    assert "No ratio for a grid: accuracies differ." in capsys.readouterr().out


def test_table_is_markdown_with_three_significant_digits(capsys):
    table = Table("data", "seconds", "ratio")
    table.row("text", 0.012345, "3x")
    table.row("image", 1234.5, 7)
    table.row("none", 0.0, float("nan"))
    assert capsys.readouterr().out.splitlines() == [
        "| data | seconds | ratio |",
        "|---|---|---|",
        "| text | 0.0123 | 3x |",
        "| image | 1234 | 7 |",
        "| none | 0 | nan |",
    ]


def test_table_refuses_a_row_of_another_width():
    table = Table("data", "seconds")
    with pytest.raises(ValueError, match="3 cells for 2 columns"):
        table.row("text", 1.0, 2.0)


def test_peak_memory_is_of_the_process_that_the_function_ran_in(capfd):
    here = np.ones(400 * MIB, dtype=np.uint8)
    little, much = apart(allocate, 1), apart(allocate, 300 * MIB)
    assert len(here) == much.value + 100 * MIB
    assert 250 * MIB < much.peak - little.peak < 350 * MIB
    # Standard output is for tables.
    assert "progress" not in capfd.readouterr().out


def test_tree_peak_counts_what_was_allocated():
    with TreePeak(interval=0.01) as before:
        pass
    with TreePeak(interval=0.01) as after:
        held = np.ones(200 * MIB, dtype=np.uint8)
        for _ in range(20):
            held.sum()
    assert after.peak - before.peak > 100 * MIB
