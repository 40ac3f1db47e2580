"""Side-by-side measurements: `python -m benchmarks.NAME` prints a table."""

import os

# All weights come with installed packages: no library has to ask a hub for news.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
