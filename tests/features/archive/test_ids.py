"""A row's number and its id: there and back, and nothing to be seen in between."""

import random

import pytest

from node.features.archive.ids import Ids

KEY = bytes(range(32))


@pytest.mark.parametrize("row", [1, 2, 1000, 2**31, 2**32 - 1, 2**32, 2**40 + 7, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("archive", [1, 5001, 2**32 - 1])
def test_there_and_back(archive, row):
    id = Ids(KEY).seal(archive, row)
    assert len(id) == 16
    assert Ids(KEY).open(archive, id) == row


def test_A11_no_two_are_alike_and_they_tell_nothing():
    ids = [Ids(KEY).seal(archive, row) for archive in (1, 2) for row in range(5000)]
    assert len(set(ids)) == len(ids)
    steps = {int(later, 16) - int(sooner, 16) for sooner, later in zip(ids, ids[1:], strict=False)}
    assert len(steps) == len(ids) - 1
    ones = sum(int(id, 16).bit_count() for id in ids) / len(ids)
    assert 31.5 < ones < 32.5  # of 64 bits
    changed = [int(a, 16) ^ int(b, 16) for a, b in zip(ids, ids[1:], strict=False)]
    assert 31.5 < sum(map(int.bit_count, changed)) / len(changed) < 32.5


def test_another_key_or_another_archive_gives_other_ids():
    assert len({Ids(KEY).seal(1, 7), Ids(KEY[::-1]).seal(1, 7), Ids(KEY).seal(2, 7)}) == 3


def test_what_was_never_given_opens_to_rows_that_are_not_there():
    chance = random.Random(1)
    opened = [Ids(KEY).open(1, f"{chance.getrandbits(64):016x}") for _ in range(1000)]
    assert min(opened) > 2**45  # the numbers of rows are below 2^40


@pytest.mark.parametrize(
    "text",
    ["", "1", "0" * 15, "0" * 17, "0" * 15 + "g", "A" * 16, "0x" + "0" * 14, "+" + "0" * 15, " " + "0" * 15]
    + ["0" * 8 + "_" + "0" * 7, "٠" * 16, "0" * 16 + "\n", "'; DROP TABLE stanzas; --"],
)
def test_there_is_one_spelling(text):
    assert Ids(KEY).open(1, text) is None
