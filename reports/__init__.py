"""Turn finished trials in a store into a page that a reader can check: every number names the trials it came from."""

from .load import load as load
from .page import write_report as write_report
