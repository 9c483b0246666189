"""Light models of the literature that MedLiteNet is compared with, each written from its paper, a module a family.

Here stands what is known of them without torch. None has a pretrained encoder.
"""

from ..entries import Entry, Family

FAMILIES: dict[str, Family] = {}
PEERS: dict[str, Entry] = {}
