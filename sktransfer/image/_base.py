"""What the image estimators share."""

from __future__ import annotations

from typing import Any

from sktransfer._estimator import PretrainedEstimator
from sktransfer.backbones import Backbone, recall_backbone
from sktransfer.features import PreparedImages, open_notes
from sktransfer.inputs import ImageSamples, as_images
from sktransfer.training import Mix, resolve_augment, resolve_mix


class ImageEstimator(PretrainedEstimator):
    """An estimator with the parameters `image_shape` and `image_size`."""

    def _samples(self, X: Any) -> ImageSamples:
        return as_images(X, image_shape=self.image_shape)

    def _load_backbone(self) -> Backbone:
        notes, size = open_notes(self.cache), self.image_size
        return recall_backbone(notes, self.backbone, "image", image_size=size)

    def _augmented(self, samples: Any, backbone: Backbone) -> PreparedImages | None:
        if self.augment is None and self._mix() is None:
            return None
        preprocessing = backbone.preprocessing
        augment = resolve_augment(self.augment, preprocessing.size)
        return PreparedImages(samples, preprocessing, augment, remember=True)

    def _mix(self) -> Mix | None:
        return resolve_mix(self.mixup, self.cutmix)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = self.image_shape is not None
        return tags
