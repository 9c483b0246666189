"""Train, evaluate, time and compare: the engine of medbench, a room for each subject.

No room imports another above it: `tests/test_architecture.py` holds the table.
"""
