"""freeze_depths lists depths that estimators take, and says what each means."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from _composition import image_classifier, news, text_classifier
from sklearn.model_selection import GridSearchCV
from torch import nn
from transformers import AlbertConfig, AlbertModel, AutoTokenizer

from sktransfer import PretrainedImageEmbedder, PretrainedTextClassifier
from sktransfer.backbones._packages import find_packaged
from sktransfer.exceptions import BackboneNotFoundError
from sktransfer.model_selection import FreezeDepths, freeze_depths

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LITE = "timm/tf_efficientnet_lite0.in1k"


def network(n_blocks: int = 20) -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(n_blocks)]
    return nn.Sequential(*blocks)


def test_released_stages_double():
    assert freeze_depths(MINILM) == ["all", -1, -2, -4, 0]
    assert freeze_depths(network()) == ["all", -1, -2, -4, -8, -16, 0]
    assert freeze_depths(network(1)) == ["all", 0]


@pytest.mark.parametrize(
    "backbone",
    [
        find_packaged(MINILM).folder,
        str(find_packaged(MINILM).folder),
        text_classifier(),
        PretrainedTextClassifier(),
    ],
)
def test_every_form_of_a_backbone(backbone):
    assert freeze_depths(backbone) == freeze_depths(MINILM)


def test_fitted_estimators():
    fitted = text_classifier().fit(news().X[:20], news().y[:20])
    assert freeze_depths(fitted).table.equals(freeze_depths(MINILM).table)
    images = PretrainedImageEmbedder()
    assert freeze_depths(images) == freeze_depths(LITE)


@pytest.mark.parametrize("make", [text_classifier, image_classifier])
def test_the_table_says_what_a_fit_trains(make):
    table = freeze_depths(make()).table
    assert table["freeze_depth"].tolist()[:2] == ["all", len(table) - 2]
    total = table["parameters_frozen"] + table["parameters_trained"]
    assert total.nunique() == 1
    assert table["parameters_frozen"].iloc[-1] == 0
    assert table["parameters_frozen"].is_monotonic_decreasing
    backbone = make()._load_backbone()
    assert table["frozen_up_to"].tolist()[:-1] == list(backbone.stage_names[::-1])
    n_parameters = sum(p.numel() for p in backbone.network.parameters())
    assert total.iloc[0] == n_parameters
    assert table["saves_work"].tolist() == [True] * (len(table) - 1) + [False]
    released = table[table["listed"]].index.tolist()
    assert released == [0, 1, 2, 4, len(table) - 1]


def test_the_number_of_trained_parameters_is_that_of_a_fit():
    data, table = news(), freeze_depths(MINILM).table
    fitted = text_classifier(freeze_depth=-2).fit(data.X[:10], data.y[:10])
    trained = sum(p.numel() for p in fitted.module_.tail.parameters())
    assert table.set_index("freeze_depth").at[5, "parameters_trained"] == trained


def test_it_is_a_grid():
    data = news()
    grid = {"freeze_depth": freeze_depths(MINILM)}
    search = GridSearchCV(
        text_classifier(max_epochs=0), grid, cv=2, error_score="raise"
    )
    search.fit(data.X[:30], data.y[:30])
    tried = search.cv_results_["param_freeze_depth"].tolist()
    assert tried == ["all", -1, -2, -4, 0]


def test_stages_that_own_nothing_are_left_out(tmp_path):
    """ALBERT's layers are one, and it can't be cut between them."""
    layers = {"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    words = {"vocab_size": 30522, "hidden_size": 8, "embedding_size": 8}
    AlbertModel(AlbertConfig(**words, **layers)).save_pretrained(tmp_path)
    folder = find_packaged(MINILM).folder
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    depths = freeze_depths(tmp_path)
    backbone = text_classifier(backbone=tmp_path)._load_backbone()
    owners = [stage for stage in backbone.stages if stage.parameters]
    assert len(depths) <= len(owners) + 1
    assert depths[0] == "all" and depths[-1] == 0
    table = depths.table
    assert not table["saves_work"].iloc[1:].any()
    assert table.loc[table["listed"], "parameters_trained"].is_unique


def test_copies_are_plain_lists():
    depths = freeze_depths(MINILM)
    assert isinstance(depths, FreezeDepths)
    for twin in (copy.deepcopy(depths), pickle.loads(pickle.dumps(depths))):
        assert type(twin) is list
        assert twin == depths
    assert len(pickle.dumps(depths)) < 1000


def test_errors():
    with pytest.raises(BackboneNotFoundError, match="There is no folder './missing'"):
        freeze_depths("./missing")
    with pytest.raises(TypeError, match="'backbone' parameter must be a name"):
        freeze_depths(3)
