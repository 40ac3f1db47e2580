"""
A search over freeze depth and learning rate
============================================

How much of the network should be trained, and how fast? ``GridSearchCV`` answers that
as it answers any other question, and
:class:`~sktransfer.inspection.FreezeDepthDisplay` draws the answer: the score, and what
it costs in time.

Handwritten digits of 8x8 pixels are far from the photographs that the network was
trained on, so there may be something to gain from training more than the head.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sktransfer import PretrainedImageClassifier
from sktransfer.inspection import FreezeDepthDisplay
from sktransfer.model_selection import freeze_depths

images = load_digits().images[:90] / 16
digits = load_digits().target[:90]
depths = freeze_depths("timm/tf_efficientnet_lite0.in1k")
depths.table

# %%
# ``freeze_depths`` lists more depths than a short example should try. These three take
# a new head on a frozen network, the last stage as well, and the last two.

search = GridSearchCV(
    PretrainedImageClassifier(
        image_size=32, max_epochs=2, batch_size=32, random_state=0
    ),
    {"freeze_depth": ["all", -1, -2], "lr": [5e-4, 2e-3]},
    scoring="accuracy",
    cv=3,
).fit(images, digits)
print(search.best_params_, round(search.best_score_, 3))

# %%
# Score and time of a fit, mean and standard error over the folds. With all stages
# frozen ``lr`` has no part: the head is solved, and both rates give the same.

FreezeDepthDisplay.from_search(search)
plt.show()
