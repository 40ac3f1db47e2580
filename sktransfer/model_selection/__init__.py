"""Choosing parameters and backbones."""

from sktransfer.model_selection._backbone_comparison import BackboneComparison
from sktransfer.model_selection._compare_backbones import compare_backbones
from sktransfer.model_selection._freeze_depths import FreezeDepths, freeze_depths
from sktransfer.model_selection._lr_range_test import RangeTest, lr_range_test
from sktransfer.model_selection._transferability import transferability

__all__ = [
    "BackboneComparison",
    "FreezeDepths",
    "RangeTest",
    "compare_backbones",
    "freeze_depths",
    "lr_range_test",
    "transferability",
]
