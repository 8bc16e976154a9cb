"""L22: when the power is back, not all the world is connected to at once."""

import asyncio

from node.ports import link
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, Ear

LIMIT, DOMAINS = 3, 12


def test_L22_so_many_links_are_opened_at_a_time_and_all_of_them_in_the_end(world, monkeypatch):
    monkeypatch.setattr(link, "OPENINGS", LIMIT)

    async def story(world):
        now, most, served = 0, 0, set()
        may_go_on = asyncio.Event()

        def talk_as(domain):
            async def talk(talker):
                nonlocal now, most
                now += 1
                most = max(most, now)
                await may_go_on.wait()
                now -= 1
                served.add(domain)

            return talk

        domains = [f"far{number}.example" for number in range(DOMAINS)]
        node = world.node(HOME)
        for domain in domains:
            await world.server(talk_as(domain), domain)
            node.options.peers[domain] = node.options.peers[CABIN]
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        for domain in domains:
            ann.sends("message", to=f"ben@{domain}", id=domain)
        await until(lambda: now == LIMIT)
        for _ in range(20):
            await asyncio.sleep(0)
        assert now == LIMIT
        may_go_on.set()
        heard = [(await ann.hears()).id for _ in domains]
        assert sorted(heard) == sorted(domains) and served == set(domains)
        assert most <= LIMIT

    world(story)
