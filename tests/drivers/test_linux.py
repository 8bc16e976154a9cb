"""The node's own machine, in trees of files as a Pi 4, an older Pi, a PC and a virtual machine have them."""

import asyncio
import types

import pytest

from node.drivers.linux import Driver, Options
from node.hub.driver import DriverError, Field

ANY = {
    "proc/loadavg": "0.42 0.20 0.11 1/93 18008\n",
    "proc/meminfo": "MemTotal:         948304 kB\nMemFree:          102400 kB\nMemAvailable:     559500 kB\n",
    "proc/uptime": "273841.57 1021700.12\n",
    "proc/sys/kernel/osrelease": "6.12.47+rpt-rpi-v8\n",
}

PI = ANY | {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """`machine(files)` makes a tree of them; a second call changes it. None removes a file."""
    disk = types.SimpleNamespace(f_blocks=1000, f_bfree=430, f_bavail=380)
    monkeypatch.setattr("node.drivers.linux.machine.os.statvfs", lambda _: disk)

    def machine(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
        return Driver(Options(root=tmp_path))

    return machine


def run(work):
    async def inside():
        async with asyncio.timeout(5):
            return await work

    return asyncio.run(inside())


def opened(driver):
    run(driver.open(lambda readings: None))
    return driver


def test_a_pi_tells_everything(machine):
    driver = opened(machine(PI))
    assert run(driver.read()) == {
        "temperature": "48.3",
        "load": "0.42",
        "memory": "41",
        "disk": "60",  # 570 of the 950 that we may use
        "uptime": "273841",
        "undervoltage": "false",
    }
    assert driver.about == {"name": "Raspberry Pi 4 Model B Rev 1.4", "version": "6.12.47+rpt-rpi-v8"}


def test_its_fields_say_what_they_are_and_do_not_chatter(machine):
    fields = {field.name: field for field in opened(machine(PI)).fields}
    assert [(field.name, field.unit, str(field.deadband)) for field in fields.values() if field.shown] == [
        ("temperature", "°C", "1"),
        ("load", "", "0.5"),
        ("memory", "%", "5"),
        ("disk", "%", "1"),
    ]
    assert fields["uptime"] == Field("uptime", unit="s", shown=False, deadband=3600)
    assert fields["undervoltage"].type == "boolean"


def test_a_machine_without_thermometer_and_supply_watch_has_no_such_fields(machine):
    driver = opened(machine(ANY))
    names = [field.name for field in driver.fields]
    assert names == ["load", "memory", "disk", "uptime"] == list(run(driver.read()))
    assert driver.about == {"name": "Linux", "version": "6.12.47+rpt-rpi-v8"}


@pytest.mark.parametrize(
    "kind", ["cpu-thermal", "x86_pkg_temp", "soc_thermal", "CPU-therm", "bcm2835_thermal", "imx_thermal_zone"]
)
def test_the_zone_of_the_processor_is_found_among_others(machine, kind):
    driver = machine(
        ANY
        | {
            "sys/class/thermal/thermal_zone0/type": "iwlwifi_1\n",
            "sys/class/thermal/thermal_zone0/temp": "20000\n",
            "sys/class/thermal/thermal_zone1/type": f"{kind}\n",
            "sys/class/thermal/thermal_zone1/temp": "51000\n",
        }
    )
    assert run(opened(driver).read())["temperature"] == "51.0"


def test_the_sensor_of_a_pc_without_zones_is_found(machine):
    driver = machine(
        ANY
        | {
            "sys/class/hwmon/hwmon0/name": "nvme\n",
            "sys/class/hwmon/hwmon0/temp1_input": "20000\n",
            "sys/class/hwmon/hwmon1/name": "k10temp\n",
            "sys/class/hwmon/hwmon1/temp1_input": "38375\n",
        }
    )
    assert run(opened(driver).read())["temperature"] == "38.4"


def test_the_wifi_is_not_taken_for_the_processor(machine):
    driver = machine(
        ANY
        | {
            "sys/class/thermal/thermal_zone0/type": "iwlwifi_1\n",
            "sys/class/thermal/thermal_zone0/temp": "20000\n",
        }
    )
    assert "temperature" not in run(opened(driver).read())


def test_frost_is_told(machine):
    driver = machine(PI | {"sys/class/thermal/thermal_zone0/temp": "-2500\n"})
    assert run(opened(driver).read())["temperature"] == "-2.5"


@pytest.mark.parametrize(
    ("throttled", "said"),
    [("0", "false"), ("50005", "true"), ("50000", "false"), ("4", "false"), ("1", "true")],
)
def test_only_a_supply_that_is_weak_now_is_told(machine, throttled, said):
    driver = opened(machine(PI | {"sys/devices/platform/soc/soc:firmware/get_throttled": f"{throttled}\n"}))
    assert run(driver.read())["undervoltage"] == said


@pytest.mark.parametrize(("alarm", "said"), [("0", "false"), ("1", "true")])
def test_the_alarm_of_a_newer_kernel_tells_a_weak_supply(machine, alarm, said):
    gone = {"sys/devices/platform/soc/soc:firmware/get_throttled": None}
    driver = opened(machine(PI | gone | {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": f"{alarm}\n"}))
    assert run(driver.read())["undervoltage"] == said


def test_a_source_that_fails_for_a_while_is_left_out_and_comes_back(machine):
    driver = opened(machine(PI))
    machine({"sys/class/thermal/thermal_zone0/temp": "none at the moment\n", "proc/loadavg": None})
    assert set(run(driver.read())) == {"memory", "disk", "uptime", "undervoltage"}
    machine(PI | {"sys/class/thermal/thermal_zone0/temp": "49000\n"})
    assert run(driver.read())["temperature"] == "49.0"
    assert run(driver.read())["load"] == "0.42"


def test_a_kernel_without_memavailable_tells_no_memory(machine):
    driver = opened(machine(ANY | {"proc/meminfo": "MemTotal: 948304 kB\nMemFree: 102400 kB\n"}))
    assert "memory" not in [field.name for field in driver.fields]


def test_where_nothing_can_be_read_it_says_so(machine, tmp_path, monkeypatch):
    def away(folder):
        raise OSError("no such folder")

    monkeypatch.setattr("node.drivers.linux.machine.os.statvfs", away)
    with pytest.raises(DriverError, match=f"nothing can be read below {tmp_path}"):
        opened(machine({}))
    driver = opened(machine(ANY))
    machine(dict.fromkeys(ANY))
    with pytest.raises(DriverError, match="any more"):
        run(driver.read())


def test_nothing_can_be_set(machine):
    driver = opened(machine(PI))
    assert driver.controls == ()
    with pytest.raises(DriverError, match="there is no fan"):
        run(driver.write("fan", "on"))


def test_it_is_never_gone(machine):
    driver = machine(PI)

    async def wait():
        await driver.open(lambda readings: None)
        gone = asyncio.ensure_future(driver.gone())
        done, _ = await asyncio.wait([gone], timeout=0.02)
        assert not done
        gone.cancel()
        await driver.close()

    run(wait())


def test_this_very_machine_can_be_read(tmp_path):
    driver = opened(Driver(Options(disk=tmp_path)))
    readings = run(driver.read())
    assert {"load", "memory", "disk", "uptime"} <= set(readings)
    assert 0 <= float(readings["memory"]) <= 100
    assert 0 <= float(readings["disk"]) <= 100
    assert int(readings["uptime"]) > 0
