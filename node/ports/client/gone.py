"""What stands at the other end of a line that was given up."""


class Gone:
    """The connection of a session that has none, and the owner of a connection that has none.

    To write to it, or to be told by it, is no mistake and has no effect.
    """

    __slots__ = ()

    owner = None
    peer_address = ("nowhere", 0)
    tls = None
    unsent = 0

    def write(self, data: bytes) -> None: ...

    def close(self, reason: str = "") -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def received(self, data: bytes) -> None: ...

    def overflowed(self) -> None: ...

    def closed(self, reason: str) -> None: ...


GONE = Gone()
