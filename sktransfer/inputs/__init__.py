"""Raw ``X``, ``y`` and ``sample_weight`` to validated samples, codes and weights."""

from sktransfer.inputs._array_digests import array_digest
from sktransfer.inputs._arrays import IMAGE_SHAPES, is_image_shape
from sktransfer.inputs._folders import load_image_folder
from sktransfer.inputs._images import ImageSamples, as_images
from sktransfer.inputs._labels import Labels, encode_labels
from sktransfer.inputs._repeated import distinct, merge_repeated
from sktransfer.inputs._targets import check_values, check_weights
from sktransfer.inputs._texts import Text, TextSamples, as_texts
from sktransfer.inputs._weights import weigh_classes

__all__ = [
    "IMAGE_SHAPES",
    "ImageSamples",
    "Labels",
    "Text",
    "TextSamples",
    "array_digest",
    "as_images",
    "as_texts",
    "check_values",
    "check_weights",
    "distinct",
    "encode_labels",
    "is_image_shape",
    "load_image_folder",
    "merge_repeated",
    "weigh_classes",
]
