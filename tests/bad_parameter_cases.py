"""Parameters that a user may get wrong, alone or for the data or the backbone."""

from __future__ import annotations

import os

import numpy as np
import torch
from bad_input_cases import (
    CLASSIFIERS,
    PATCHES,
    Case,
    InFolder,
    both,
    image,
    text,
    with_embedders,
    wrong,
)
from sklearn.svm import SVC
from torch import nn

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.exceptions import BackboneNotFoundError, WeightsUnavailableError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LITE0 = "timm/tf_efficientnet_lite0.in1k"
SHARED = [
    ({"freeze_depth": "al"}, "'all', an integer, or a float in [0, 1]"),
    ({"freeze_depth": 1.5}, "float in [0, 1]"),
    ({"freeze_depth": True}, "an integer"),
    ({"freeze_depth": None}, "'all'"),
    ({"head": "lineer"}, "Did you mean 'linear'?"),
    ({"head": 3}, "or a callable (n_features, n_outputs)"),
    ({"dropout": -0.1}, "[0, 1]"),
    ({"lr": -1e-3}, "(0, inf)"),
    ({"lr": "Auto"}, "a number in the range (0, inf) or 'auto'"),
    ({"lr": 0}, "(0, inf)"),
    ({"lr": True}, "a number"),
    ({"lr": "1e-3"}, "a number"),
    ({"lr": np.nan}, "a number"),
    ({"layer_decay": 0}, "(0, 1]"),
    ({"weight_decay": -1}, "[0, inf)"),
    ({"optimizer": "Adam"}, "'adamw', 'adam', 'sgd'", "Did you mean 'adam'?"),
    ({"optimizer": nn.Linear}, "torch.optim.Optimizer class"),
    ({"lr_schedule": "cosin"}, "Did you mean 'cosine'?"),
    ({"warmup_fraction": 1.1}, "[0, 1]"),
    ({"max_epochs": -1}, "an integer of at least 0"),
    ({"max_epochs": 2.5}, "an integer"),
    ({"max_epochs": True}, "an integer"),
    ({"probe": "yes"}, "True or False"),
    ({"batch_size": 0}, "an integer of at least 1"),
    ({"batch_size": True}, "an integer"),
    ({"gradient_accumulation_steps": 0}, "an integer of at least 1"),
    ({"gradient_accumulation_steps": 1.5}, "an integer of at least 1"),
    ({"gradient_checkpointing": 1}, "True or False"),
    ({"class_weight": "balance"}, "'balanced' or a dict"),
    ({"class_weight": np.ones(2)}, "'balanced' or a dict"),
    ({"class_weight": {"sport": -1.0}}, "finite weight of at least 0"),
    ({"class_weight": {"sport": "much"}}, "finite weight of at least 0"),
    ({"device": "gpu"}, "'auto', 'accelerate' or a device of torch"),
    ({"device": 3}, "'auto', 'accelerate' or a device of torch"),
    ({"device": "meta"}, "'cpu' is always there"),
    ({"precision": "float16"}, "'bfloat16'"),
    ({"cache": 1}, "True, False, or a folder (str or path)"),
    ({"cache": None}, "True, False, or a folder (str or path)"),
    ({"cache": ""}, "True, False, or a folder (str or path)"),
    ({"cache": os.devnull}, "a folder (str or path)", "There is a file of that name."),
    ({"verbose": "loud"}, "a number"),
    ({"callbacks": "EpochScoring"}, "a list of skorch callbacks"),
    ({"callbacks": [3]}, "a list of skorch callbacks"),
]
TEXT_ONLY = [
    ({"pooling": "max"}, "'auto', 'mean', 'cls'"),
    ({"long_text": "windows"}, "'truncate', 'window'", "Did you mean 'window'?"),
    ({"long_text": None}, "'truncate', 'window'", "Got None"),
    ({"max_length": 2}, "at least 3 or None"),
    ({"max_length": 16.0}, "an integer"),
]
IMAGE_ONLY = [
    ({"augment": "lite"}, "'light', 'standard'"),
    ({"augment": 3}, "a callable on images"),
    ({"image_size": 4}, "at least 8 or None"),
    ({"image_shape": 28}, "a tuple of positive integers"),
    ({"image_shape": (28, -28)}, "a tuple of positive integers"),
    ({"num_workers": -1}, "an integer of at least 0"),
]
VALUES = [
    *(wrong(kind, *words, **value) for kind in CLASSIFIERS for value, *words in SHARED),
    *(wrong("text", *words, **value) for value, *words in TEXT_ONLY),
    *(wrong("image", *words, **value) for value, *words in IMAGE_ONLY),
]


class Plain(nn.Module):
    """A network that doesn't say what its stages are."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x)


FITTING = [
    text("depth above", ValueError, "between -7 and 7", "7 stages", freeze_depth=8),
    text("depth below", ValueError, "the backbone has 7 stages", freeze_depth=-8),
    image("depth above", ValueError, "between -8 and 8", "8 stages", freeze_depth=9),
    text("long texts", ValueError, "at most 512", "Got 513", max_length=513),
    text(
        "class_weight that leaves nothing",
        ValueError,
        "'class_weight'",
        "no sample a weight above 0",
        class_weight={"sport": 0, "business": 0},
    ),
    *both("random_state", ValueError, "cannot be used to seed", random_state="zero"),
    image("image_shape", ValueError, "C in 1, 3, 4", image_shape=(32, 16, 2),
          X=PATCHES.reshape(4, -1)),
    *both("head of another type", TypeError, "torch.nn.Module when it is called with",
          "Got int", head=lambda n_features, n_outputs: 3, late=True),
    *both("head with too many outputs", ValueError, "into (1, ", ", 3)",
          head=lambda n_features, n_outputs: nn.Linear(n_features, 3), late=True),
    *both("head for another width", ValueError, "takes embeddings", "'head'",
          head=lambda n_features, n_outputs: nn.Linear(7, n_outputs), late=True),
    image("augment to another type", ValueError, "(3, 64, 64)", "Got int",
          augment=lambda picture: 3, max_epochs=1, late=True),
    image("augment to another size", ValueError, "Got a tensor of shape (3, 9, 64)",
          augment=lambda picture: picture[:, :9], max_epochs=1, late=True),
]  # fmt: skip

OFFLINE = ("are not on this machine and could not be downloaded", "[offline]", MINILM)

BACKBONES = [
    *both("no backbone", TypeError, "or a fitted estimator", "Got None", backbone=None),
    *both("another estimator", TypeError, "Got SVC()", backbone=SVC()),
    *both("a class", TypeError, "Got <class", backbone=PretrainedTextClassifier),
    *both("a folder that isn't there", BackboneNotFoundError, "There is no folder",
          backbone=InFolder(lambda folder: folder / "nothing")),
    *both("a folder without a model", BackboneNotFoundError, "no config.json",
          "save_pretrained", backbone=InFolder(lambda folder: folder)),
    text("unfitted source", ValueError, "PretrainedTextClassifier, is not fitted",
         backbone=PretrainedTextClassifier()),
    image("unfitted source", ValueError, "is not fitted. Fit it on the source task",
          backbone=PretrainedImageClassifier()),
    image("misspelt torchvision", BackboneNotFoundError, "torchvision has no",
          "Did you mean resnet50", backbone="resnet51"),
    image("misspelt timm", BackboneNotFoundError, "timm has no", "tf_efficientnet_",
          backbone="timm/tf_efficientnet_light0"),
    image("misspelt weights", BackboneNotFoundError, "'resnet18.a1_in2k'",
          "it knows resnet18.a1_in1k", backbone="timm/resnet18.a1_in2k"),
    text("misspelt hub name", WeightsUnavailableError, *OFFLINE,
         "Did you mean 'sentence-transformers/all-MiniLM-L6-v2'?",
         backbone="sentence-transformers/all-MiniLM-L6-v3"),
    text("no such hub name", BackboneNotFoundError, "knows no model named 'a/b/c'",
         backbone="a/b/c"),
    text("hub unreachable", WeightsUnavailableError, *OFFLINE, "We couldn't connect",
         backbone="google-bert/bert-base-uncased"),
    image("hub unreachable", WeightsUnavailableError, *OFFLINE,
          backbone="google/vit-base-patch16-224"),
    image("hub unreachable for timm", WeightsUnavailableError, *OFFLINE,
          backbone="timm/resnet18.a1_in1k"),
    image("texts", ValueError, "takes texts", "images was expected", backbone=MINILM),
    text("images", ValueError, "takes images", "texts was expected", backbone=LITE0),
    text("torchvision for texts", ValueError, "takes images", backbone="resnet50"),
    text("a module for texts", TypeError, "model of transformers", "Got Plain",
         backbone=Plain()),
    image("no stages", ValueError, "Plain does not say what its stages are",
          backbone=Plain()),
]  # fmt: skip

CASES: list[Case] = with_embedders([*VALUES, *FITTING, *BACKBONES])
