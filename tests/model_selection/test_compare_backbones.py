"""compare_backbones gives what cross-validation gives, and what it costs."""

from __future__ import annotations

import io
import os

import joblib
import numpy as np
import pandas as pd
import pytest
from _composition import (
    WELL_ABOVE_CHANCE,
    image_classifier,
    news,
    text_classifier,
    textures,
    tfidf,
)
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy.sparse import csr_array
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import (
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sktransfer import (
    PretrainedImageRegressor,
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
    PretrainedTextRegressor,
    cache,
)
from sktransfer.exceptions import BackboneNotFoundError
from sktransfer.model_selection import BackboneComparison, compare_backbones
from sktransfer.model_selection._cost import without_store
from sktransfer.model_selection._significance import corrected_t_test, holm

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LITE = "timm/tf_efficientnet_lite{}.in1k"
MACRO = ["accuracy", "precision_macro", "recall_macro", "f1_macro"]


def compare_texts(X=None, y=None, **options):
    given = {
        "backbones": {"MiniLM": MINILM},
        "baselines": {"tf-idf": tfidf()},
        "estimator": text_classifier(),
        "cv": 3,
        "cost": False,
    }
    X = news().X if X is None else X
    y = news().y if y is None and not isinstance(X, dict) else y
    return compare_backbones(X, y, **given | options)


@pytest.fixture(scope="module")
def found() -> BackboneComparison:
    backbones = {"MiniLM": MINILM, "short": text_classifier(max_length=8)}
    return compare_texts(backbones=backbones, baselines="auto")


def row(found: BackboneComparison, model: str, dataset: str = "data") -> pd.Series:
    table = found.table
    return table[(table["model"] == model) & (table["dataset"] == dataset)].iloc[0]


def test_columns(found):
    scores = [f"{what}_{name}" for name in MACRO for what in ("mean", "se")]
    tested = ["p_value", "p_value_holm", "rank"]
    costs = ["parameters_M", "weights_MB", "peak_memory_MB", "fit_time_s"]
    latencies = ["latency_ms_median", "latency_ms_p95", "latency_batched_ms"]
    assert found.table.columns.tolist() == [
        *("dataset", "model", "kind", *scores, *tested),
        *(*costs, "refit_time_s", *latencies),
    ]
    assert found.scoring == MACRO
    assert found.fold_scores.columns.tolist() == ["dataset", "model", "fold", *MACRO]
    kinds = found.table["kind"].tolist()
    assert kinds == ["backbone", "backbone", "baseline", "baseline"]
    assert row(found, "MiniLM")["mean_accuracy"] > WELL_ABOVE_CHANCE


@pytest.mark.filterwarnings("ignore:Precision is ill-defined")
@pytest.mark.parametrize(
    ("model", "estimator"),
    [("MiniLM", text_classifier()), ("short", text_classifier(max_length=8))],
)
def test_scores_are_those_of_cross_validate(found, model, estimator):
    folds = StratifiedKFold(3)
    direct = cross_validate(estimator, news().X, news().y, cv=folds, scoring=MACRO)
    ours = found.fold_scores[found.fold_scores["model"] == model]
    for name in MACRO:
        scores = direct[f"test_{name}"]
        assert_allclose(ours[name], scores)
        assert row(found, model)[f"mean_{name}"] == pytest.approx(scores.mean())
        error = scores.std(ddof=1) / np.sqrt(3)
        assert row(found, model)[f"se_{name}"] == pytest.approx(error)


def test_classes_are_those_of_out_of_fold_predictions(found):
    X, y = news().X, news().y
    predicted = cross_val_predict(text_classifier(), X, y, cv=3)
    counts = found.confusion_matrices["data", "MiniLM"]
    assert_array_equal(counts, confusion_matrix(y, predicted))
    assert counts.index.tolist() == counts.columns.tolist() == np.unique(y).tolist()
    report = classification_report(y, predicted, output_dict=True)
    of_model = found.per_class[found.per_class["model"] == "MiniLM"]
    for _, one in of_model.iterrows():
        expected = report[one["class"]]
        for name in ("precision", "recall", "support"):
            assert one[name] == pytest.approx(expected[name])
        assert one["f1"] == pytest.approx(expected["f1-score"])


def test_p_values_are_of_the_difference_from_the_best(found):
    table = found.table
    best = table["mean_accuracy"].idxmax()
    folds = found.fold_scores.pivot(index="fold", columns="model", values="accuracy")
    assert np.isnan(table.at[best, "p_value"])
    others = table.drop(index=best)
    expected = [
        # A third of the samples is tested, two thirds are learnt from.
        corrected_t_test((folds[table.at[best, "model"]] - folds[name]).to_numpy(), 0.5)
        for name in others["model"]
    ]
    assert_allclose(others["p_value"], expected)
    assert_allclose(others["p_value_holm"], holm(np.array(expected)))
    assert table.at[best, "rank"] == 1


def test_repeated_folds_all_count():
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=0)
    found = compare_texts(cv=cv, scoring="accuracy")
    folds = found.fold_scores.pivot(index="fold", columns="model", values="accuracy")
    assert len(folds) == 12
    differences = (folds["MiniLM"] - folds["tf-idf"]).to_numpy()
    expected = corrected_t_test(differences, 0.5)
    assert row(found, "tf-idf")["p_value"] == pytest.approx(expected)
    assert found.per_class["support"].sum() == 2 * 4 * len(news().y)


def test_folds_are_the_same_for_all_models():
    class Remember(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            fitted_on.append(X)
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.repeat(self.classes_[0], len(X))

    fitted_on: list = []
    # Drawn anew each time that it is asked.
    cv = StratifiedKFold(2, shuffle=True, random_state=np.random.RandomState(0))
    compare_texts(baselines=[("a", Remember()), ("b", Remember())], cv=cv)
    first, second, third, fourth = fitted_on
    assert (first, second) == (third, fourth)
    assert first != second


def test_one_pass_a_backbone(tmp_path):
    estimator = text_classifier(cache=tmp_path)
    compare_texts(estimator=estimator, cv=5)
    assert sum(n for n, _ in cache.info(tmp_path).labels.values()) == len(news().X)


def test_jobs_make_no_difference(found):
    with joblib.parallel_config("threading", n_jobs=2):
        again = compare_texts()
    same = found.fold_scores["model"] == "MiniLM"
    ours = again.fold_scores[again.fold_scores["model"] == "MiniLM"]
    assert_frame_equal(found.fold_scores[same], ours)


def test_several_data_sets():
    data = textures()
    few = np.arange(len(data.y)) % 3 > 0
    found = compare_backbones(
        {"all": (data.X, data.y), "few": (list(data.X[few]), data.y[few].tolist())},
        backbones=[LITE.format(0), LITE.format(1)],
        estimator=image_classifier(),
        scoring={"f1": "f1_macro", "right": "accuracy"},
        cv=2,
        cost=False,
        random_state=0,
    )
    assert found.scoring == ["f1", "right"]
    assert found.table["dataset"].tolist() == ["all"] * 4 + ["few"] * 4
    ranks = found.table.pivot(index="model", columns="dataset", values="rank")
    for model, mean in ranks.mean(axis=1).items():
        assert row(found, model, "all")["mean_rank"] == pytest.approx(mean)
        assert row(found, model, "few")["mean_rank"] == pytest.approx(mean)
    assert_allclose(ranks.sum(), 10)
    assert set(found.confusion_matrices) == {
        (name, model) for name in ("all", "few") for model in ranks.index
    }
    best = found.table.groupby("dataset")["p_value"].apply(lambda p: p.isna().sum())
    assert best.tolist() == [1, 1]


def test_regressors():
    X, y = textures().X, textures().X.mean(axis=(1, 2)) + 0.5
    found = compare_backbones(
        X, y, backbones={"Lite0": LITE.format(0)}, cv=2, cost=False, random_state=0
    )
    assert found.scoring == ["r2", "neg_mean_absolute_error", "spearman"]
    assert found.per_class is None and found.confusion_matrices == {}
    assert row(found, "pixels + ridge regression")["mean_r2"] > 0.5
    regressor = PretrainedImageRegressor(freeze_depth="all")
    predicted = regressor.fit(X[12:], y[12:]).predict(X[:12])
    scores = found.fold_scores.set_index("model").loc["Lite0"]
    assert scores["spearman"].iloc[0] == pytest.approx(spearmanr(y[:12], predicted)[0])


def test_the_estimator_says_what_whole_numbers_are():
    lengths = np.char.str_len(news().X)
    regressor = PretrainedTextRegressor(freeze_depth="all", max_length=24)
    found = compare_texts(y=lengths, estimator=regressor, baselines=None)
    assert found.scoring[0] == "r2"
    two = np.stack([lengths, -lengths], axis=1)
    found = compare_texts(y=two, estimator=regressor, baselines=[DummyRegressor()])
    assert found.scoring == ["r2", "neg_mean_absolute_error"]


def test_indicator_matrices():
    y = np.stack([news().y == "tech", news().y == "sports"], axis=1).astype(int)
    found = compare_texts(y=y, baselines="auto")
    assert found.per_class["class"].tolist() == [0, 1] * 3
    assert found.confusion_matrices == {}
    assert found.table["mean_accuracy"].between(0, 1).all()


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_targets_in_every_container():
    X, y = news().X, news().y
    expected = compare_texts(scoring="accuracy").fold_scores
    columns = y.tolist(), pd.Series(y, index=range(100, 160)), y.reshape(-1, 1)
    for column in columns:
        found = compare_texts(y=column, scoring="accuracy", baselines=None)
        same = expected["model"] == "MiniLM"
        assert_frame_equal(found.fold_scores, expected[same])
        assert len(found.per_class) == 5
    labels = np.stack([y == "tech", y == "sports"], axis=1).astype(int)
    dense, sparse = (
        compare_texts(pd.DataFrame({"text": X}), each, baselines=None)
        for each in (labels, csr_array(labels))
    )
    assert_frame_equal(dense.per_class, sparse.per_class)


def test_scorers_are_those_of_cross_validate():
    def number(estimator, X, y):
        return 7.0

    def several(estimator, X, y):
        return {"one": 1.0, "length": float(len(y))}

    assert compare_texts(scoring="f1_macro").scoring == ["f1_macro"]
    assert compare_texts(scoring=number).table["mean_score"].tolist() == [7.0, 7.0]
    assert compare_texts(scoring=several).table["mean_length"].tolist() == [20.0] * 2
    both = compare_texts(scoring={"seven": number, "loss": "neg_log_loss"})
    assert both.scoring == ["seven", "loss"]


def test_backbones_in_every_form():
    X, y = news().X, news().y
    fitted = text_classifier(freeze_depth=-1).fit(X[:30], y[:30])
    own = PretrainedTextClassifier(freeze_depth=-1, max_epochs=1, max_length=8)
    given = [MINILM, ("tuned", fitted), ("own", own)]
    found = compare_texts(backbones=given, cv=2, scoring="neg_log_loss")
    assert found.table["model"].tolist() == [MINILM, "tuned", "own", "tf-idf"]
    # A fitted one is where training starts from; one that is not is cloned.
    assert found.table["mean_neg_log_loss"].is_unique
    assert not hasattr(own, "backbone_")


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> BackboneComparison:
    folder = tmp_path_factory.mktemp("store")
    # A function that no other process can import.
    same = FunctionTransformer(lambda X: X)
    return compare_texts(
        estimator=text_classifier(cache=folder),
        baselines={"tf-idf": make_pipeline(same, tfidf())},
        cost=True,
    )


def test_cost(measured):
    network, words = row(measured, "MiniLM"), row(measured, "tf-idf")
    backbone = text_classifier()._load_backbone().network
    n_parameters = sum(p.numel() for p in backbone.parameters()) + 384 * 5 + 5
    assert network["parameters_M"] == pytest.approx(n_parameters / 1e6)
    assert network["weights_MB"] == pytest.approx(4 * n_parameters / 1e6, rel=1e-3)
    assert network["peak_memory_MB"] > 0.5 * network["weights_MB"]
    assert np.isnan(words["parameters_M"])
    assert 0 < words["weights_MB"] < 1
    assert words["peak_memory_MB"] < network["peak_memory_MB"]
    for each in (network, words):
        assert 0 < each["latency_ms_median"] <= each["latency_ms_p95"]
        assert each["refit_time_s"] <= each["fit_time_s"]
    # What is stored is not what is measured: a look-up is much quicker.
    assert network["latency_batched_ms"] > 20 * words["latency_batched_ms"]
    added = (network["fit_time_s"] - network["refit_time_s"]) * 1000
    assert added == pytest.approx(40 * network["latency_batched_ms"])
    assert words["fit_time_s"] == words["refit_time_s"]


def test_measured_models_use_no_store(tmp_path):
    own = without_store(text_classifier(cache=tmp_path))
    pipeline = make_pipeline(PretrainedTextEmbedder(cache=tmp_path), DummyClassifier())
    for estimator in (own, without_store(pipeline)):
        estimator.fit(news().X[:10], news().y[:10]).predict(news().X[:10])
    assert not cache.info(tmp_path).labels
    assert pipeline[0].cache == tmp_path


def test_it_writes_itself(measured, tmp_path):
    text = measured.to_markdown()
    heading, rule, *lines = text.splitlines()
    names = [cell.strip() for cell in heading.strip("|").split("|")]
    assert names[:2] == ["model", "accuracy"]
    assert rule == "| " + " | ".join(["---"] * len(names)) + " |"
    assert len(lines) == 2
    mean, error = (row(measured, "MiniLM")[f"{w}_accuracy"] for w in ("mean", "se"))
    assert f"| MiniLM | {mean:.3f} ± {error:.3f} |" in lines[0]
    frame = pd.read_csv(io.StringIO(measured.to_csv()))
    assert_frame_equal(frame, measured.table, check_dtype=False)
    html = measured.to_html()
    assert html.count("<tr") == 3 and f"{mean:.3f} ± {error:.3f}" in html
    assert measured._repr_html_() == html
    assert "tf-idf" in repr(measured) and "BackboneComparison" in repr(measured)
    for write in (measured.to_markdown, measured.to_html, measured.to_csv):
        assert write(tmp_path / "table") is None
        assert (tmp_path / "table").read_text("utf-8") == write()


def test_what_is_not_known_is_not_shown():
    names = {"a|b": MINILM}
    found = compare_texts(backbones=names, baselines={"<b>": tfidf()})
    assert found.table["latency_ms_median"].isna().all()
    text = found.to_markdown()
    assert "latency" not in text and "nan" not in text
    assert "| a\\|b |" in text
    assert "&lt;b&gt;" in found.to_html()


class Broken(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        if len(X) != 40 or X[0] == news().X[0]:
            raise RuntimeError("it broke")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))


def test_a_model_that_fails_is_named():
    with pytest.raises(RuntimeError, match="(?s)it broke.*baseline 'mine' .* 'data'"):
        compare_texts(baselines={"mine": Broken()})
    with pytest.raises(ValueError, match="(?s)'lr' parameter.*backbone 'bad'"):
        compare_texts(backbones={"good": MINILM, "bad": text_classifier(lr=-1)})
    with pytest.raises(BackboneNotFoundError, match="There is no folder './none'"):
        compare_texts(backbones=["./none", MINILM])


def test_a_cost_that_cannot_be_measured():
    here = os.getpid()

    def head(n_features, n_outputs):
        if os.getpid() != here:
            raise RuntimeError("not at home")
        return nn.Linear(n_features, n_outputs)

    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten())
    own = image_classifier(backbone=network, image_size=8, head=head, cache=False)
    given = {"backbones": {"own": own}, "baselines": None, "cv": 2}
    with pytest.raises(RuntimeError, match="(?s)not at home.*cost=False leaves that"):
        compare_backbones(textures().X, textures().y, **given)


def test_error_score_stands_for_scores():
    given = {"good": MINILM, "bad": text_classifier(lr=-1)}
    with pytest.warns(FitFailedWarning) as caught:
        found = compare_texts(
            backbones=given, baselines={"mine": Broken()}, error_score=np.nan
        )
    told = [str(warning.message) for warning in caught]
    assert "3 of 3 fits of 'bad' on 'data' failed" in told[0]
    assert "2 of 3 fits of 'mine' on 'data' failed" in told[1] and "it broke" in told[1]
    assert all(warning.filename == __file__ for warning in caught)
    assert found.table["mean_accuracy"].isna().tolist() == [False, True, True]
    assert found.table["rank"].tolist() == [1.0, 2.5, 2.5]
    assert "nan" not in found.to_markdown().replace("nan ± nan", "")
    with pytest.warns(FitFailedWarning):
        found = compare_texts(baselines={"mine": Broken()}, error_score=0)
    assert (found.fold_scores.query("model == 'mine'")["accuracy"] == 0).sum() == 2
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match="All fits of all models"),
    ):
        compare_texts(backbones=[given["bad"]], baselines=None, error_score=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"X": "text"}, ValueError, "Iterable over raw text documents expected"),
        ({"y": ["a", "b"]}, ValueError, "inconsistent numbers of samples"),
        ({"X": {}}, ValueError, "a dict of .X, y. pairs"),
        ({"X": {"a": 1}}, ValueError, "Got a dict of int"),
        ({"X": {"a": ([], [])}, "y": [1]}, ValueError, "and another y"),
        ({"backbones": []}, ValueError, "must have one entry at least"),
        ({"backbones": [MINILM] * 2}, ValueError, "more than once: give a dict"),
        (
            {"backbones": [LITE.format(0), MINILM]},
            ValueError,
            "takes images. A backbone",
        ),
        ({"backbones": [tfidf()]}, TypeError, "'backbone' parameter must be a name"),
        ({"backbones": [PretrainedTextEmbedder()]}, TypeError, "are 'baselines'"),
        ({"backbones": {"tf-idf": MINILM}}, ValueError, "'tf-idf' among both"),
        ({"baselines": "none"}, ValueError, "must be 'auto', None, a list"),
        ({"estimator": tfidf()}, TypeError, "must be None, or a classifier or a"),
        ({"error_score": "warn"}, ValueError, "must be 'raise' or a number"),
        ({"scoring": "acc"}, ValueError, "'acc' is not a valid scoring value"),
        ({"cv": 1}, ValueError, "at least one train/test split"),
        ({"y": [["a", "b"]] * 30 + [["c", "d"]] * 30}, ValueError, "Give 'scoring'"),
    ],
)
def test_errors(options, error, message):
    with pytest.raises(error, match=message):
        compare_texts(**options)


def test_data_sets_of_one_kind():
    X, y = news().X, news().y
    data = {"topics": (X, y), "numbers": (X, np.arange(60) + 0.5)}
    with pytest.raises(ValueError, match="'topics' for classifiers, 'numbers' for reg"):
        compare_backbones(data, backbones=[MINILM], cost=False)
    with pytest.raises(ValueError, match="which takes texts, and 'timm/.*"):
        compare_backbones(X, y, backbones=[LITE.format(0), MINILM])
    with pytest.raises(ValueError, match="compare_backbones requires y"):
        compare_backbones(X, backbones=[MINILM])
