"""How much of the targets can be told from features, without training."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

#: Ratios of the weights' to the noise's variance at which evidence is compared, as
#: powers of 10, times the largest squared singular value.
_RATIOS = np.linspace(-8.0, 14.0, 89)
#: Share of the variance that N-LEEP's principal components keep, and its Gaussians a
#: class (Li et al. 2021, section 4).
_NLEEP_VARIANCE = 0.8
_NLEEP_GAUSSIANS = 5
#: Samples that there have to be for each Gaussian.
_SAMPLES_A_GAUSSIAN = 4


def log_evidence(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the largest evidence of a linear model of each target, a sample.

    The model is that of LogME (You et al. 2021, section 4): a target is `features @ w`
    and noise, `w` and the noise are normal, and their two variances are those that make
    the target most probable. Given their ratio the noise's variance has a closed form;
    the ratio is searched for, so that the maximum is found whether there are more
    samples or more features, and where a fit is all but perfect.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    targets : ndarray of shape (n_samples, n_targets)
        Numbers.

    Returns
    -------
    evidence : ndarray of shape (n_targets,)
        Natural logarithm of the density of each target, over `n_samples`.
    """
    n_samples = len(features)
    # The target is normal; on the axes of U its components are independent.
    axes, singular, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    largest = singular[0] or 1.0
    spread = (singular / largest) ** 2
    energy = (axes.T @ targets) ** 2
    total = (targets**2).sum(axis=0)
    # What no feature explains; rounding must not make it negative.
    rest = np.maximum(total - energy.sum(axis=0), 0.0)
    floor = np.finfo(np.float64).eps * np.maximum(total, np.finfo(np.float64).tiny)

    def evidence(power: np.ndarray, energy: np.ndarray, left: np.ndarray) -> np.ndarray:
        variances = 1.0 + np.multiply.outer(10.0**power, spread)
        noise = ((1.0 / variances) @ energy + left) / n_samples
        spent = n_samples * (np.log(2.0 * np.pi * noise) + 1.0)
        return -0.5 * (spent.T + np.log(variances).sum(axis=-1)).T / n_samples

    left = rest + floor
    coarse = evidence(_RATIOS, energy, left)
    step = _RATIOS[1] - _RATIOS[0]
    found = coarse.max(axis=0)
    for column, start in enumerate(_RATIOS[coarse.argmax(axis=0)]):
        finer = minimize_scalar(
            lambda power, c=column: -evidence(power, energy[:, c], left[c]),
            bounds=(start - step, start + step),
            method="bounded",
        )
        found[column] = max(found[column], -finer.fun)
    return found


def h_score(features: np.ndarray, codes: np.ndarray) -> float:
    """Return the regularised H-score (Ibrahim et al. 2022, section 3).

    The H-score of Bao et al. (2019) is the trace of the inverse covariance of the
    features times the covariance of their class means. With fewer samples than features
    that covariance has no inverse and with few more a bad one; it is shrunk here as
    Ledoit and Wolf (2004) say, and the other one by the same share.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    codes : ndarray of shape (n_samples,)
        Class indices, from 0 on.
    """
    centred = features - features.mean(axis=0, dtype=np.float64)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    counts = np.bincount(codes)
    members = np.eye(len(counts))[codes]
    means = (members.T @ centred) / np.maximum(counts, 1)[:, np.newaxis]
    # Columns whose products with themselves are the covariance of the class means.
    roots = means.T * np.sqrt(counts / len(codes))
    variances, axes = np.linalg.eigh(covariance)
    # Shrunk by nothing, it may still have axes along which nothing varies.
    kept = variances > variances[-1] * len(variances) * np.finfo(np.float64).eps
    along = (axes[:, kept].T @ roots) ** 2 / variances[kept, np.newaxis]
    return float((1.0 - shrinkage) * along.sum())


def n_leep(
    features: np.ndarray, codes: np.ndarray, random_state: int | None = None
) -> float:
    """Return N-LEEP (Li et al. 2021, section 4): LEEP for networks without a head.

    The mean log-likelihood of the classes, given the Gaussians of a mixture fitted to
    the principal components of the features, which stand for the classes of a source.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    codes : ndarray of shape (n_samples,)
        Class indices, from 0 on.
    random_state : int, default=None
        Fixes where the Gaussians start.
    """
    n_samples, n_classes = len(codes), int(codes.max()) + 1
    centred = features - features.mean(axis=0, dtype=np.float64)
    reduced = centred[:, :1]
    if centred.any():
        reduced = PCA(_NLEEP_VARIANCE, svd_solver="full").fit_transform(centred)
    most = max(1, n_samples // _SAMPLES_A_GAUSSIAN)
    mixture = GaussianMixture(
        min(_NLEEP_GAUSSIANS * n_classes, most),
        covariance_type="diag",
        random_state=random_state,
        # Of the scale of the components, whatever it is.
        reg_covar=1e-3 * max(float(reduced.var(axis=0).mean()), 1e-12),
    )
    sources = mixture.fit(reduced).predict_proba(reduced)
    joint = np.eye(n_classes)[codes].T @ sources
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
    likelihood = (sources @ conditional.T)[np.arange(n_samples), codes]
    return float(np.log(likelihood).mean())


def leave_one_out(
    features: np.ndarray, targets: np.ndarray, n_neighbors: int, *, numbers: bool
) -> float:
    """Return the score of nearest neighbours by cosine, each sample left out in turn.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    targets : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Class indices, indicators or numbers.
    n_neighbors : int
        How many neighbours have a say.
    numbers : bool
        Whether the targets are numbers: the score is R^2 then, else the accuracy.
    """
    kind = KNeighborsRegressor if numbers else KNeighborsClassifier
    model = kind(min(n_neighbors, len(features) - 1), metric="cosine")
    return float(model.fit(features, targets).score(None, targets))
