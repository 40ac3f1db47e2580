"""What the text estimators share."""

from __future__ import annotations

from typing import Any

from sktransfer._estimator import PretrainedEstimator
from sktransfer.backbones import Backbone, recall_backbone
from sktransfer.features import PreparedImages, PreparedTexts, open_notes
from sktransfer.inputs import TextSamples, as_texts
from sktransfer.training import resolve_device


class TextEstimator(PretrainedEstimator):
    """An estimator with the parameters `pooling` and `max_length`."""

    def _samples(self, X: Any) -> TextSamples:
        return as_texts(X)

    def _load_backbone(self) -> Backbone:
        options = {"pooling": self.pooling, "max_length": self.max_length}
        notes = open_notes(self.cache)
        return recall_backbone(notes, self.backbone, "text", **options)

    def _augmented(self, samples: Any, backbone: Backbone) -> PreparedTexts | None:
        if not self.token_dropout:
            return None
        special_ids = backbone.preprocessing.tokenizer.all_special_ids
        extraction = self._extraction(resolve_device(self.device))
        records = extraction.records(backbone, backbone.cut(0), samples)
        assert not isinstance(records, PreparedImages)
        return PreparedTexts(records, self.token_dropout, special_ids)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags
