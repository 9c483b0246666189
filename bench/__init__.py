"""Train, evaluate, time and compare: the engine of medbench.

Ground floor (pure, no torch): errors, registry, records, metrics, stats. Above it: the training and evaluation of
trials and the store that keeps them. On top: the command line.
"""
