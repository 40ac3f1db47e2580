"""Run scikit-learn's own checks on estimators whose X is not a table.

`sklearn.utils.estimator_checks` draws tables of random numbers. It skips nearly all
of its checks for an estimator whose tags say that X is text or images. With a
*rendering*, which draws each row of a table as an image or writes it as a sentence,
every check runs through the ``fit`` and ``predict`` of such an estimator::

    from sklearn.utils.estimator_checks import parametrize_with_checks
    from sktransfer import PretrainedTextClassifier
    from sktransfer.testing import render_tabular

    @parametrize_with_checks([render_tabular(PretrainedTextClassifier(), "text")])
    def test_scikit_learn_checks(estimator, check):
        check(estimator)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import InputTags, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

__all__ = ["render_tabular", "rows_as_images", "rows_as_texts"]

Render = Callable[[np.ndarray], Any]

_FITTING = ("fit", "partial_fit", "fit_predict", "fit_transform")
_USING = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score",
    "score_samples",
    "transform",
)
_COLUMNS = ("n_features_in_", "feature_names_in_")
_OPPOSITES = (
    ("cold", "hot"),
    ("small", "large"),
    ("slow", "fast"),
    ("dark", "bright"),
    ("poor", "rich"),
    ("sad", "happy"),
    ("soft", "hard"),
    ("weak", "strong"),
    ("young", "old"),
    ("dirty", "clean"),
)
_DEGREES = ("slightly", "quite", "very", "extremely")
_WAVELENGTH = 8
_SMALLEST_SIZE = 64


def render_tabular(
    estimator: BaseEstimator, rendering: Literal["image", "text"] | Render
) -> Any:
    """Let an estimator for images or texts be checked as one for tables.

    Parameters
    ----------
    estimator : estimator object
        The estimator under test. It is cloned, and left as it is.
    rendering : {"image", "text"} or callable
        What turns a table into the estimator's kind of X: `rows_as_images`,
        `rows_as_texts`, or a function that takes a numeric array of shape
        (n_samples, n_features) and returns `n_samples` raw samples. A function must
        be importable if the estimator is to be pickled, and it must render each row
        on its own: scikit-learn checks that a prediction does not depend on the
        other rows.

    Returns
    -------
    estimator object
        An unfitted estimator of a subclass of the estimator's own class, with the
        same parameters, whose X is a numeric table and whose tags say so. Its
        methods validate X as scikit-learn's own estimators do (so that it has
        `n_features_in_` and `feature_names_in_`), render it, and call the method of
        the class under test. All else is inherited: the constructor, the
        other tags, metadata routing, the fitted attributes, the validation of y and
        of the weights.

    Raises
    ------
    ValueError
        If `rendering` is none of these.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sktransfer.testing import render_tabular
    >>> vectorizer = render_tabular(TfidfVectorizer(), "text")
    >>> vectorizer.fit([[-2.0, 0.1], [0.3, 5.0]]).vocabulary_.keys() >= {"cold", "hot"}
    True
    """
    named: dict[str, Render] = {"image": rows_as_images, "text": rows_as_texts}
    render = named.get(rendering) if isinstance(rendering, str) else rendering
    if not callable(render):
        raise ValueError(
            "The 'rendering' parameter of render_tabular must be 'image', 'text' or "
            f"a callable. Got {rendering!r} instead."
        )
    rendered: Any = clone(estimator)
    # The copy's state stays: its parameters and its metadata requests.
    rendered.__class__ = _rendered_class(rendered.__class__, render)
    return rendered


def rows_as_images(X: np.ndarray) -> np.ndarray:
    """Draw each row of a table as a colour image.

    Every feature has a cell of the image to itself, filled with a grating of its own
    direction and hue, which a network that was trained on photographs tells apart
    wherever they are. The contrast of the grating grows with the value, steeply
    around 0 and ever less far from it; its phase moves with the value, which keeps
    large values apart.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Finite numbers. They are best read where they spread over a few units.

    Returns
    -------
    ndarray of shape (n_samples, size, size, 3), uint8
        `size` is 64, or more if there are more than 64 features. An image shows its
        own row only.

    Examples
    --------
    >>> from sktransfer.testing import rows_as_images
    >>> rows_as_images([[0.0, -1.5], [2.0, 40.0]]).shape
    (2, 64, 64, 3)
    """
    X = np.asarray(X, dtype=np.float64)
    n_features = X.shape[1]
    n_columns = math.ceil(math.sqrt(n_features))
    n_rows = math.ceil(n_features / n_columns)
    size = max(_SMALLEST_SIZE, _WAVELENGTH * n_columns)
    y, x = np.mgrid[:size, :size]
    cell = (y * n_rows // size) * n_columns + x * n_columns // size
    # The last feature spreads over the cells that are left.
    cell = np.minimum(cell, n_features - 1)
    angle = np.pi * cell / n_features
    position = (x * np.cos(angle) + y * np.sin(angle)) / _WAVELENGTH
    contrast = (0.5 + np.arctan(X) / np.pi)[:, cell]
    wave = contrast * np.sin(2 * np.pi * position + X[:, cell])
    colour = _hues(n_features)[cell] - 0.5
    return np.rint(255 * (0.5 + wave[..., np.newaxis] * colour)).astype(np.uint8)


def rows_as_texts(X: np.ndarray) -> list[str]:
    """Write each row of a table as a sentence.

    A feature has a pair of opposite adjectives: "cold" and "hot" for the first.
    The sign of the value chooses the adjective and its size the degree, from
    "slightly" to "extremely", which an embedding of sentences tells apart. The value
    itself, to three digits, follows.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Finite numbers. They are best read where they spread over a few units.

    Returns
    -------
    list of str, of length n_samples
        A sentence tells of its own row only. From the eleventh feature on the
        adjectives come again; a feature takes about 8 tokens.

    Examples
    --------
    >>> from sktransfer.testing import rows_as_texts
    >>> rows_as_texts([[0.0, -1.5], [2.0, 40.0]])
    ['slightly cold 0, very small -1.5', 'very hot 2, extremely large 40']
    """
    X = np.asarray(X, dtype=np.float64)
    levels = (len(_DEGREES) * 2 / np.pi * np.arctan(np.abs(X))).astype(int)
    levels = np.minimum(levels, len(_DEGREES) - 1)
    return [
        ", ".join(map(_clause, range(X.shape[1]), *sample))
        for sample in zip(levels, X, strict=True)
    ]


def _clause(feature: int, level: int, value: float) -> str:
    adjective = _OPPOSITES[feature % len(_OPPOSITES)][int(value > 0)]
    return f"{_DEGREES[level]} {adjective} {value:.3g}"


def _hues(n_hues: int) -> np.ndarray:
    """Saturated colours around the colour circle, of shape (n_hues, 3)."""
    turn = np.arange(n_hues)[:, np.newaxis] / n_hues + np.array([0, 2 / 3, 1 / 3])
    return np.clip(np.abs(turn % 1 * 6 - 3) - 1, 0, 1)


class _Rendered:
    """What a rendered class has before the class under test in its bases."""

    _class_under_test: type
    _render: Render

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags = InputTags(two_d_array=True)
        tags.no_validation = False
        return tags

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is made at run time, so it is found by what it is made from.
        reduced: Any = super().__reduce_ex__(protocol)
        make, arguments, *state = reduced
        if arguments[:1] != (type(self),):
            return reduced
        parts = (make, self._class_under_test, self._render, *arguments[1:])
        return (_make, parts, *state)

    def _as_class_under_test(self) -> Any:
        """Return the same state, seen as the class under test.

        What a method calls on ``self`` is then the class's own, which takes raw
        samples, and not the rendered one, which takes rows.
        """
        inner: Any = object.__new__(self._class_under_test)
        inner.__dict__ = self.__dict__
        return inner


@cache
def _rendered_class(class_under_test: Any, render: Render) -> type:
    methods = {
        name: _rendered_method(class_under_test, name)
        for name in (*_FITTING, *_USING)
        if hasattr(class_under_test, name)
    }
    return type(
        f"Rendered{class_under_test.__name__}",
        (_Rendered, class_under_test),
        {
            "__doc__": class_under_test.__doc__,
            "__module__": __name__,
            "_class_under_test": class_under_test,
            "_render": staticmethod(render),
            **methods,
        },
    )


def _make(
    make: Callable[..., Any], class_under_test: type, render: Render, *args: Any
) -> Any:
    return make(_rendered_class(class_under_test, render), *args)


def _rendered_method(class_under_test: type, name: str) -> Any:
    """Return the method that takes rows; it is there where the original is."""

    # The signature is the original's: scikit-learn reads `sample_weight` from it.
    @wraps(getattr(class_under_test, name))
    def method(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        reset = name in _FITTING and not (
            name == "partial_fit" and hasattr(self, "n_features_in_")
        )
        raw = self._render(validate_data(self, X, reset=reset))
        columns = {key: vars(self)[key] for key in _COLUMNS if key in vars(self)}
        inner = self._as_class_under_test()
        result = getattr(inner, name)(raw, *args, **kwargs)
        # They are the table's, also if the class under test has its own for raw X.
        vars(self).update(columns)
        return self if result is inner else result

    return available_if(lambda self: hasattr(self._as_class_under_test(), name))(method)
