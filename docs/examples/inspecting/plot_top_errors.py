"""
The worst errors
================

An accuracy says how often a classifier is wrong.
:class:`~sktransfer.inspection.TopErrorsDisplay` shows what it is most wrong about: the
samples whose true class it finds least probable.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay

from sktransfer import PretrainedImageClassifier
from sktransfer.inspection import TopErrorsDisplay

images, digits = load_digits().images / 16, load_digits().target
clf = PretrainedImageClassifier(freeze_depth="all", image_size=64)
clf.fit(images[:300], digits[:300])
X, y = images[300:800], digits[300:800]
print(f"accuracy on {len(y)} other digits: {clf.score(X, y):.3f}")

# %%

display = TopErrorsDisplay.from_estimator(clf, X, y, n=9)
plt.show()

# %%
# Their positions in ``X`` are kept, so that labels can be looked at and put right:

display.indices

# %%
# And which digits it takes for which, of all errors:

ConfusionMatrixDisplay.from_estimator(clf, X, y, cmap="Blues", colorbar=False)
plt.show()
