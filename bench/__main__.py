"""`python -m medbench.bench` is `medbench`."""

from .cli import app

app()
