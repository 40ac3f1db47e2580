"""A name, folder, module or fitted estimator becomes a `Backbone`."""

from sktransfer.backbones._attention import in_float32
from sktransfer.backbones._backbone import Backbone
from sktransfer.backbones._cut import Cut, Stage, StoredState, Uncuttable
from sktransfer.backbones._deferred import Notes, recall_backbone
from sktransfer.backbones._load import kind_of, load_backbone
from sktransfer.backbones._module import identity_of
from sktransfer.backbones._preprocessing import (
    ImagePreprocessing,
    TextPreprocessing,
    collate,
)
from sktransfer.backbones._randomness import global_randomness_lock

__all__ = [
    "Backbone",
    "Cut",
    "ImagePreprocessing",
    "Notes",
    "Stage",
    "StoredState",
    "TextPreprocessing",
    "Uncuttable",
    "collate",
    "global_randomness_lock",
    "identity_of",
    "in_float32",
    "kind_of",
    "load_backbone",
    "recall_backbone",
]
