"""Raw ``X``, ``y`` and ``sample_weight`` to validated samples, codes and weights."""

from sktransfer.inputs._images import ImageSamples, as_images
from sktransfer.inputs._repeated import distinct, merge_repeated
from sktransfer.inputs._targets import check_weights, encode_targets
from sktransfer.inputs._texts import TextSamples, as_texts

__all__ = [
    "ImageSamples",
    "TextSamples",
    "as_images",
    "as_texts",
    "check_weights",
    "distinct",
    "encode_targets",
    "merge_repeated",
]
