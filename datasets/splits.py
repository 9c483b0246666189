"""Splits: lists of ids made by a seeded hash, the same for every variant; only `random` goes through groups."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..bench.errors import MedbenchError, UnknownNameError
from .base import PUBLISHED, ImageSet, Part

RULES = ("official", "holdout", "egeunet", "random", "kfold:K")

Groups = list[list[str]]


@dataclass(frozen=True)
class Split:
    """Ids of the three parts, each sorted; no id is in two of them."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def make_split(image_set: ImageSet, rule: str, *, seed: int = 0, fold: int | None = None) -> Split:
    """Divides a set by one of five rules.

    - `official`: the publisher's three parts as published, whatever their groups.
    - `holdout`: 70 % train, 10 % validation, 20 % test.
    - `egeunet`: 70 % and 30 % test, as that line of papers divides; because those papers choose the epoch on the 30 %
      and we do not, a tenth of the 70 % is validation.
    - `random`: sizes as of `holdout`, by single images whatever their groups, as many papers divide: lesions and copies
      come to lie on both sides. For showing what that does.
    - `kfold:K`: test is fold `fold` (0 to K - 1) of K, validation a tenth of the rest.

    Groups stay on one side and sizes come as near to the shares as they allow; among single images the sizes are exact,
    rounded in favour of the test. The order comes from the SHA-256 of seed and group key, so that neither the order of
    ids nor a library's random generator matters.
    """
    folds = folds_of(rule)
    if folds is None and rule not in RULES[:-1]:
        raise UnknownNameError("split", rule, RULES, " K is the number of folds, as in kfold:5.")
    if folds is None and fold is not None:
        raise MedbenchError(f"split {rule}: has no folds; leave fold out, or use kfold:K")
    if rule == "official":
        return _official(image_set)

    groups = _shuffled({id: id for id in image_set.ids} if rule == "random" else image_set.groups, image_set.ids, seed)
    n = len(image_set.ids)
    if folds:
        test, rest = _fold(image_set.name, groups, len(folds), fold)
        validation, train = _take(rest, _count(rest) // 10)
    else:
        n_train = n * 7 // 10
        n_validation = n_train // 10 if rule == "egeunet" else n // 10
        n_test = n - n_train - (0 if rule == "egeunet" else n_validation)
        test, rest = _take(groups, n_test)
        validation, train = _take(rest, n_validation)
    split = Split(train=_ids(train), validation=_ids(validation), test=_ids(test))
    for part in ("train", "validation", "test"):
        if not getattr(split, part):
            raise MedbenchError(
                f"{image_set.name}: {n} images in {len(groups)} groups are too few for the split {rule}: "
                f"nothing is left for {part}"
            )
    return split


def folds_of(rule: str) -> range | None:
    """The numbers of the folds of `kfold:K`, None of another rule; MedbenchError where there are fewer than 2."""
    kfold = re.fullmatch(r"kfold:(\d+)", rule)
    if kfold and int(kfold[1]) < 2:
        raise MedbenchError(f"split {rule}: needs at least 2 folds")
    return range(int(kfold[1])) if kfold else None


def _official(image_set: ImageSet) -> Split:
    parts: dict[Part, list[str]] = {"train": [], "validation": [], "test": []}
    for id in image_set.ids:
        if id in image_set.official:
            parts[image_set.official[id]].append(id)
    missing: dict[Part, int] = {part: image_set.without_truth.get(part, 0) for part, ids in parts.items() if not ids}
    if missing:
        absent = " and ".join(PUBLISHED[part] for part, n in missing.items() if not n)
        blank = " and ".join(f"{PUBLISHED[part]} ({n:,} images)" for part, n in missing.items() if n)
        lacks = [f"no images of the official {absent} part: put its folders beside the others"] if absent else []
        lacks += [f"ground truth is missing for the official {blank} part: put it beside the images"] if blank else []
        if len(missing) == len(parts) and not blank:
            lacks = ["has no official split"]
        others = f"holdout, egeunet and kfold:K can be run on the {len(image_set):,} images with masks"
        raise MedbenchError(f"{image_set.name}: {'; '.join(lacks)}; {others}")
    return Split(**{part: tuple(sorted(ids)) for part, ids in parts.items()})


def _shuffled(keys: Mapping[str, str], ids: Iterable[str], seed: int) -> Groups:
    """The ids of each group, by its key, groups in hashed order."""
    members: dict[str, list[str]] = defaultdict(list)
    for id in ids:
        members[keys[id]].append(id)
    return [members[key] for key in sorted(members, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())]


def _take(groups: Groups, target: int) -> tuple[Groups, Groups]:
    """Groups with about `target` images, at least one group, and the groups that are left.

    Groups are taken in order as long as they fit. If a group too large for the gap brings the count nearer to the
    target, the smallest one is added.
    """
    taken: Groups = []
    left: Groups = []
    gap = max(target, 1)
    for group in groups:
        if len(group) <= gap:
            taken.append(group)
            gap -= len(group)
        else:
            left.append(group)
    if left:
        smallest = min(left, key=len)
        if len(smallest) < 2 * gap or not taken:
            taken.append(smallest)
            left.remove(smallest)
    return taken, left


def _fold(name: str, groups: Groups, n_folds: int, fold: int | None) -> tuple[Groups, Groups]:
    """The groups of one fold and those of the others; the largest groups are dealt first, each to the smallest fold."""
    if fold is None or not 0 <= fold < n_folds:
        raise MedbenchError(f"split kfold:{n_folds}: fold must be 0 to {n_folds - 1}, got {fold}")
    if len(groups) < max(n_folds, 3):
        raise MedbenchError(f"{name}: {len(groups)} groups are too few for the split kfold:{n_folds}")
    folds: list[Groups] = [[] for _ in range(n_folds)]
    sizes = [0] * n_folds
    for group in sorted(groups, key=len, reverse=True):
        smallest = sizes.index(min(sizes))
        folds[smallest].append(group)
        sizes[smallest] += len(group)
    chosen = {id(group) for group in folds[fold]}
    return folds[fold], [group for group in groups if id(group) not in chosen]


def _count(groups: Groups) -> int:
    return sum(len(group) for group in groups)


def _ids(groups: Iterable[list[str]]) -> tuple[str, ...]:
    return tuple(sorted(id for group in groups for id in group))
