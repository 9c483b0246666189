"""Variants that are one network under two names, by their scores."""

import pyarrow as pa

from medbench.reports.copies import Known, same_scores


def scored(dice: float, **counts: int) -> Known:
    """One seed's scores of two images."""
    known = {"dice": [dice, dice / 2], **{name: [n, n] for name, n in counts.items()}}
    return {(0, None, "clean"): pa.table({"image": ["a", "b"], **known})}


def test_equal_scores_are_of_one_network() -> None:
    learnt = scored(0.8, tp=8, fp=2, fn=2, tn=88)

    assert same_scores({"one": learnt, "other": scored(0.7, tp=7, fp=3, fn=3, tn=87), "two": learnt}) == [
        ["one", "two"]
    ]


def test_scores_from_a_published_result_are_in_single_precision_and_another_order() -> None:
    [[key, own]] = scored(1 / 3, tp=8, fp=2, fn=2, tn=88).items()
    frame = own.to_pandas()
    again = frame.assign(dice=frame["dice"].astype("float32").astype("float64"), tp=frame["tp"].astype("float64"))

    assert same_scores({"own": {key: own}, "again": {key: pa.Table.from_pandas(again[[*frame][::-1]])}}) == [
        ["own", "again"]
    ]
    for other in (frame.assign(tn=87), frame.assign(dice=frame["dice"] + 1e-4)):
        assert same_scores({"own": {key: own}, "other": {key: pa.Table.from_pandas(other)}}) == []


def test_networks_that_have_learnt_nothing_are_no_copies_of_each_other() -> None:
    nothing = scored(0.0, tp=0, fp=0, fn=10, tn=90)

    assert same_scores({"one": nothing, "two": nothing}) == []
