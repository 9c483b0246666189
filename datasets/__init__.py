"""Images and their masks: where they lie, how they are read, split, checked and kept ready for training."""
