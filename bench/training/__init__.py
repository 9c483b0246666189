"""One training: batches, the step, the loss, checkpoints, and the loop over them."""
