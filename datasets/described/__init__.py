"""Sets that a `dataset.yaml` describes: several classes, other channels, other files. Those of known sets lie here."""
