"""Goodbyes: the node ends when the last connection has closed, or when it has waited long enough."""

import asyncio

from node.net.turn import Turn


def test_goodbyes_are_over_when_the_last_has_closed(loop, run, later):
    async def story():
        turn = Turn(loop)
        for connection in ("first", "last"):
            turn.closing.add(connection)
        waiting = asyncio.ensure_future(turn.goodbyes(3))
        await asyncio.sleep(0)
        turn.closed("first")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        turn.closed("last")
        await waiting  # no time passes here

    run(story())


def test_one_who_does_not_close_is_waited_for_no_longer_than_that(loop, run, later):
    async def story():
        turn = Turn(loop)
        turn.closing.add("silent")
        waiting = asyncio.ensure_future(turn.goodbyes(3))
        await asyncio.sleep(0)
        later(2.9)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        later(0.1)
        await waiting
        turn.closing.close()

    run(story())


def test_where_nobody_closes_there_is_nothing_to_wait_for(loop, run, later):
    run(Turn(loop).goodbyes(3))
