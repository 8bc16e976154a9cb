"""A power meter and a temperature probe on one Modbus line: pymodbus's simulator, a process of its own.

Usage: python modbus_devices.py PORT. It takes lines `DEVICE ADDRESS VALUE`, and says `ready` and `set`.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.live.peers import DEADLINE, socat

METER, PROBE = 1, 2


class Devices:
    """A cable (socat) with the simulated devices at its far end; `port` is the near one."""

    def __init__(self, folder: Path):
        self.port = folder / "ttyRS485"
        self.far = folder / "ttyFAR"

    def __enter__(self) -> "Devices":
        self.start()
        return self

    def start(self) -> None:
        self._cable = socat(*(f"pty,raw,echo=0,link={end}" for end in (self.port, self.far)))
        words = [sys.executable, "-m", "tests.live.modbus_devices", str(self.far)]
        self._simulator = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._simulator.stdout.readline() == "ready\n"

    def set(self, device: int, address: int, value: int) -> None:
        """Puts a number into a register."""
        self._simulator.stdin.write(f"{device} {address} {value}\n")
        self._simulator.stdin.flush()
        assert self._simulator.stdout.readline() == "set\n"

    def pull(self) -> None:
        """The adapter is pulled, and the devices are without power."""
        for process in (self._cable, self._simulator):
            if process.poll() is None:
                process.kill()
                process.wait(DEADLINE)
        for end in (self.port, self.far):
            end.unlink(missing_ok=True)  # another may get its number

    def __exit__(self, *error) -> None:
        self.pull()


async def simulate(port: str) -> None:
    from pymodbus.server import ModbusSerialServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    def device(id):
        return SimDevice(id, simdata=[SimData(0, values=[0] * 512, datatype=DataType.REGISTERS)])

    server = ModbusSerialServer([device(METER), device(PROBE)], port=port, baudrate=9600)
    await server.serve_forever(background=True)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        id, address, value = map(int, line.split())
        await server.context.async_setValues(id, 16, address, [value])
        print("set", flush=True)
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(simulate(sys.argv[1]))
