"""scikit-learn's callbacks are told of the epochs of a fit, and leave it as it is."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import rich
import torch
from _composition import TWO_FOLDS, image_classifier, news, text_classifier, textures
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from torch.nn.utils import weight_norm

from sktransfer import PretrainedImageRegressor, PretrainedTextRegressor

N = 30


@pytest.fixture(scope="module")
def texts():
    data = news()
    return data.X[:N], data.y[:N]


def quick(**parameters):
    trained = {"freeze_depth": -1, "max_epochs": 3, "batch_size": 8, "dropout": 0.3}
    return text_classifier(**trained | {"lr": 1e-3} | parameters)


@pytest.fixture(autouse=True)
def _wide_console(monkeypatch):
    """Give rich's one console, which other tests may have made, room for long lines."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(rich, "_console", None)


class Tasks:
    """Notes all tasks, and stops after an epoch if asked to."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.begun, self.ended, self.sets = [], [], 0

    def setup(self, estimator, context):
        self.sets += 1

    def teardown(self, estimator, context):
        self.sets -= 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(path(context))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(path(context))
        return context.task_name == "epoch" and context.task_id == self.stop_after


class Fitted(Tasks):
    """Keeps the fitted estimators; draws random numbers, as a user's code may."""

    def __init__(self):
        super().__init__()
        self.before, self.after = [], []

    def on_fit_task_begin(self, estimator, context, *, X, fitted_estimator):
        if fitted_estimator is not None:
            torch.rand(3)
            fitted_estimator.predict(X)
            self.before.append(fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        if context.task_name == "epoch":
            torch.rand(3)
            assert not fitted_estimator.module_.training
            fitted_estimator.predict(X)
            self.after.append(fitted_estimator)


def path(context):
    own = f"{context.task_name} {context.task_id} of {context.max_subtasks}"
    return (() if context.parent is None else path(context.parent)) + (own,)


def test_the_epochs_are_subtasks_of_the_fit(texts):
    tasks = Tasks()
    quick().set_callbacks(tasks).fit(*texts)
    fit = ("fit 0 of 3",)
    epochs = [(*fit, f"epoch {i} of 0") for i in range(3)]
    assert tasks.begun == [fit, *epochs]
    assert tasks.ended == [*epochs, fit]
    assert tasks.sets == 0


@pytest.mark.parametrize("refit", [True, False])
def test_a_repeated_run_has_epochs_of_its_own(texts, refit):
    tasks = Tasks()
    watched = quick(early_stopping=True, refit=refit, lr=0.05, n_iter_no_change=1)
    watched.set_params(max_epochs=9, lr_schedule="constant").set_callbacks(tasks)
    watched.fit(*texts)
    assert watched.n_iter_ < 9
    assert sorted(tasks.begun) == sorted(tasks.ended)
    names = [task[-2].split()[0] for task in tasks.ended if "epoch" in task[-1]]
    if refit:
        runs = ["train"] * watched.n_iter_ + ["refit"] * watched.best_epoch_
        assert tasks.begun[1] == ("fit 0 of 2", "train 0 of 9")
        again = ("fit 0 of 2", f"refit 1 of {watched.best_epoch_}")
        assert again in tasks.begun
    else:
        runs = ["fit"] * watched.n_iter_
    assert names == runs


@pytest.mark.parametrize("kind", ["text", "image"])
def test_regressors_and_images_tell_too(kind):
    data = news() if kind == "text" else textures()
    numbers = np.arange(12.0)
    options = {"freeze_depth": -1, "max_epochs": 2, "random_state": 0}
    regressor = (
        PretrainedTextRegressor(max_length=24, **options)
        if kind == "text"
        else PretrainedImageRegressor(image_size=64, **options)
    )
    monitor = ScoringMonitor(scoring="r2")
    regressor.set_callbacks(monitor).fit(data.X[:12], numbers)
    log = monitor.get_logs().data_as_pandas
    assert list(log["task_name"]) == ["fit", "epoch", "epoch"]
    assert log["r2"].iloc[0] == log["r2"].iloc[-1] > 0


def test_images_tell_with_changed_images():
    data = textures()
    tasks = Tasks()
    classifier = image_classifier(freeze_depth=-1, augment="light")
    classifier.set_callbacks(tasks).fit(data.X, data.y)
    assert tasks.begun == [("fit 0 of 1",), ("fit 0 of 1", "epoch 0 of 0")]


def test_a_frozen_fit_has_no_epochs(texts):
    monitor, tasks = ScoringMonitor(scoring="accuracy"), Tasks()
    text_classifier().set_callbacks(monitor, tasks).fit(*texts)
    assert tasks.begun == [("fit 0 of 0",)]
    assert len(monitor.get_logs().data) == 1


def test_a_score_for_each_epoch(texts):
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    fitted = quick(probe=False).set_callbacks(monitor).fit(*texts)
    log = monitor.get_logs().data_as_pandas.set_index("task_name")
    assert log.loc["epoch", "neg_log_loss"].is_monotonic_increasing
    assert log.loc["fit", "accuracy"] == fitted.score(*texts)
    assert log.loc["epoch", "neg_log_loss"].iloc[-1] == log.loc["fit", "neg_log_loss"]


def test_scores_are_weighted_as_the_fit_is(texts):
    X, y = texts
    weights = np.where(y == y[0], 0.0, 1.0)
    monitor = ScoringMonitor(scoring="accuracy")
    fitted = quick().set_callbacks(monitor).fit(X, y, sample_weight=weights)
    (row,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    assert row["accuracy"] == fitted.score(X, y, weights) > fitted.score(X, y)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"weight_averaging": True},
        {"gradual_unfreezing": True, "freeze_depth": -2},
        {"early_stopping": True, "refit": False},
        {"select_best": True, "refit": False, "lr": 0.1},
    ],
    ids=lambda parameters: next(iter(parameters), "plain"),
)
def test_the_fitted_estimator_is_that_of_a_fit_which_stops_there(texts, parameters):
    X, y = texts
    fitted = Fitted()
    quick(**parameters).set_callbacks(fitted).fit(X, y)
    for epoch in range(3):
        stopped = quick(**parameters).set_callbacks(Tasks(stop_after=epoch)).fit(X, y)
        then = fitted.after[epoch]
        assert stopped.n_iter_ == then.n_iter_ == epoch + 1
        assert stopped.best_epoch_ == then.best_epoch_
        assert_array_equal(stopped.predict_proba(X), then.predict_proba(X))
        assert list(stopped.history_.columns) == list(then.history_.columns)
        assert_array_equal(stopped.classes_, then.classes_)
    # What an epoch begins with is what the one before has left.
    for before, after in zip(fitted.before[1:], fitted.after, strict=False):
        assert_array_equal(before.predict_proba(X), after.predict_proba(X))
    assert fitted.before[0].n_iter_ == 0
    if "refit" not in parameters:
        # Nothing is held out of the probe.
        probe = quick(**parameters, max_epochs=0).fit(X, y).predict_proba(X)
        assert_array_equal(fitted.before[0].predict_proba(X), probe)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", id="accelerator")])
@pytest.mark.parametrize("cache", [True, False])
def test_callbacks_leave_a_fit_as_it_is(texts, cache, device, global_random_state):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("There is no CUDA device.")
    X, y = texts
    watched = {"early_stopping": True, "cache": cache, "device": device}
    alone = quick(**watched).fit(X, y)
    before = global_random_state()
    told = quick(**watched).set_callbacks(Fitted()).fit(X, y)
    assert global_random_state() == before
    assert_array_equal(alone.predict_proba(X), told.predict_proba(X))
    losses = ["train_loss", "valid_loss"]
    assert_array_equal(alone.history_[losses], told.history_[losses])


def test_a_fitted_estimator_is_a_thing_of_its_own(texts):
    X, y = texts
    fitted = Fitted()
    final = quick().set_callbacks(fitted).fit(X, y)
    middle = pickle.loads(pickle.dumps(fitted.after[1]))
    assert_array_equal(middle.predict_proba(X), fitted.after[1].predict_proba(X))
    assert not np.array_equal(middle.predict_proba(X), final.predict_proba(X))
    shared = {id(p) for p in final.module_.parameters()}
    assert not shared & {id(p) for p in fitted.after[2].module_.parameters()}
    assert len(final.history_) == 3


class CountedHead(torch.nn.Linear):
    copies = 0

    def __deepcopy__(self, memo):
        type(self).copies += 1
        copy = type(self)(self.in_features, self.out_features)
        copy.load_state_dict(self.state_dict())
        return copy


def test_weights_are_copied_only_for_callbacks_that_ask(texts):
    CountedHead.copies = 0
    quick(head=CountedHead).set_callbacks(Tasks()).fit(*texts)
    assert CountedHead.copies == 0
    # One score an epoch; both monitors share what is made for them.
    monitors = [ScoringMonitor(scoring="accuracy") for _ in range(2)]
    quick(head=CountedHead).set_callbacks(*monitors).fit(*texts)
    assert CountedHead.copies == 3


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_are_computed_are_copied(texts):
    def head(n_features, n_outputs):
        return weight_norm(torch.nn.Linear(n_features, n_outputs))

    fitted = Fitted()
    final = quick(head=head, probe=False).set_callbacks(fitted).fit(*texts)
    last = fitted.after[2].predict_proba(texts[0])
    assert_array_equal(last, final.predict_proba(texts[0]))


def test_a_callback_may_stop_the_watched_run(texts):
    stopped = quick(early_stopping=True).set_callbacks(Tasks(stop_after=0)).fit(*texts)
    assert stopped.n_iter_ == stopped.best_epoch_ == 1
    assert stopped.score(*texts) > 0.8


def test_callbacks_are_let_go_when_a_fit_fails(texts):
    X, y = texts
    tasks = Tasks()
    with pytest.raises(ValueError, match="diverged"):
        quick(lr=1e30, optimizer="sgd").set_callbacks(tasks).fit(X, y)
    assert tasks.sets == 0
    assert ("fit 0 of 3",) in tasks.begun


def test_clones_and_copies_keep_the_callbacks(texts):
    X, y = texts
    tasks = Tasks()
    estimator = quick().set_callbacks(tasks)
    assert clone(estimator)._skl_callbacks == [tasks]
    of_module = quick(backbone=estimator.fit(X, y)).set_callbacks(tasks)
    assert clone(of_module)._skl_callbacks == [tasks]
    copy = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(copy.predict(X), estimator.predict(X))
    assert "_skl_callbacks" not in vars(estimator.set_callbacks())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_shows_candidates_folds_and_epochs(texts, n_jobs, capsys):
    X, y = texts
    monitor = ScoringMonitor(scoring="accuracy")
    estimator = quick(max_epochs=2).set_callbacks(monitor)
    search = GridSearchCV(estimator, {"lr": [1e-4, 1e-3]}, cv=TWO_FOLDS, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    folds = "GridSearchCV - candidate-split-evaluation | PretrainedTextClassifier - fit"
    assert all(f"{folds} #{i}" in shown for i in range(4))
    assert shown.count("100%") >= 7
    log = monitor.get_logs(include_lineage=True).data_as_pandas
    # Four folds and the best candidate on all samples.
    assert (log["task_name"] == "epoch").sum() == 5 * 2
    epochs = log[log["task_name"] == "epoch"]
    assert set(epochs["parent_task_id_path"]) == {
        (0, 1),
        *((0, 0, i) for i in range(4)),
    }
    assert epochs["accuracy"].between(0.5, 1).all()


@pytest.mark.filterwarnings("ignore:The estimator FunctionTransformer does not")
def test_a_search_of_a_pipeline_reaches_the_epochs(texts, capsys):
    tasks = Tasks()
    pipeline = Pipeline([("same", FunctionTransformer()), ("clf", quick())])
    search = GridSearchCV(pipeline, {"clf__max_epochs": [1, 2]}, cv=TWO_FOLDS)
    bar = ProgressBar(max_propagation_depth=2)
    search.set_callbacks(tasks, bar).fit(*texts)
    shown = capsys.readouterr().out
    assert shown.count("fit-final-estimator | PretrainedTextClassifier - fit") >= 5
    # Of each candidate two folds; and the better of them, on all samples.
    of_fit = [task for task in tasks.ended if task[-1].startswith("epoch")]
    assert len(of_fit) == 2 * 1 + 2 * 2 + search.best_params_["clf__max_epochs"]
    assert {len(task) for task in of_fit} == {4, 5}
    assert sorted(tasks.begun) == sorted(tasks.ended)


def test_the_same_scores_with_a_progress_bar(texts, capsys):
    def scores(*callbacks):
        search = GridSearchCV(quick(), {"lr": [1e-4, 1e-3]}, cv=TWO_FOLDS)
        return search.set_callbacks(*callbacks).fit(*texts).cv_results_

    name = "mean_test_score"
    assert_array_equal(scores()[name], scores(ProgressBar())[name])
    assert "100%" in capsys.readouterr().out
