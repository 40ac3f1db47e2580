"""
Are its probabilities to be believed?
=====================================

scikit-learn's ``CalibrationDisplay`` and ``CalibratedClassifierCV`` take the estimators
as they take any other. The question here is whether a handwritten digit is odd.
"""

import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.metrics import brier_score_loss

from sktransfer import PretrainedImageClassifier

images, odd = load_digits().images / 16, load_digits().target % 2
X, y = images[:200], odd[:200]
X_new, y_new = images[200:800], odd[200:800]
network = PretrainedImageClassifier(freeze_depth="all", image_size=32)
models = {
    "network": network,
    "calibrated": CalibratedClassifierCV(network, method="sigmoid", cv=5),
}
fig, axes = plt.subplots(
    2, 1, figsize=(6, 7), height_ratios=[3, 1], layout="constrained"
)
for name, model in models.items():
    proba = model.fit(X, y).predict_proba(X_new)[:, 1]
    CalibrationDisplay.from_predictions(y_new, proba, n_bins=8, name=name, ax=axes[0])
    axes[1].hist(proba, bins=20, histtype="step", label=name)
    print(f"{name}: Brier score {brier_score_loss(y_new, proba):.4f}")
axes[1].set(xlabel="predicted probability of an odd digit", ylabel="digits")
axes[1].legend()
plt.show()

# %%
# A line on the diagonal is calibrated: of those digits that are called odd with a
# probability of 0.8, eight in ten are. Above it odd digits are more frequent than the
# classifier says, below it less so. A lower Brier score is better.
