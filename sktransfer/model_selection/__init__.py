"""Choosing parameters."""

from sktransfer.model_selection._lr_range_test import RangeTest, lr_range_test

__all__ = ["RangeTest", "lr_range_test"]
