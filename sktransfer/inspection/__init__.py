"""Seeing what was learned: displays and explanations."""

from sktransfer.inspection._attribution_display import AttributionDisplay
from sktransfer.inspection._comparison import BackboneComparisonDisplay
from sktransfer.inspection._curves import (
    PerturbationCurve,
    deletion_curve,
    insertion_curve,
)
from sktransfer.inspection._embedding import EmbeddingDisplay
from sktransfer.inspection._explain import explain
from sktransfer.inspection._explanations import ImageExplanation, TextExplanation
from sktransfer.inspection._freeze_depth import FreezeDepthDisplay
from sktransfer.inspection._history import HistoryDisplay
from sktransfer.inspection._top_errors import TopErrorsDisplay

__all__ = [
    "AttributionDisplay",
    "BackboneComparisonDisplay",
    "EmbeddingDisplay",
    "FreezeDepthDisplay",
    "HistoryDisplay",
    "ImageExplanation",
    "PerturbationCurve",
    "TextExplanation",
    "TopErrorsDisplay",
    "deletion_curve",
    "explain",
    "insertion_curve",
]
