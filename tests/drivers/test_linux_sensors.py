"""Every kind of sensor that the kernel shows, in trees of files: what is told, in which unit and how exactly."""

import os
from decimal import Decimal

import pytest

from node.config import ConfigError
from node.hub.driver import DriverError, Field
from tests.drivers.linux import Tree, field, first, opened

HWMON = {
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "36850\n",
    "sys/class/hwmon/hwmon2/name": "coretemp\n",
    "sys/class/hwmon/hwmon2/temp1_input": "51000\n",
    "sys/class/hwmon/hwmon2/temp1_label": "Package id 0\n",
    "sys/class/hwmon/hwmon2/temp1_crit_alarm": "0\n",
    "sys/class/hwmon/hwmon2/temp2_input": "-20\n",
    "sys/class/hwmon/hwmon2/temp2_label": "Core 0\n",
    "sys/class/hwmon/hwmon2/temp2_max": "100000\n",
    "sys/class/hwmon/hwmon3/name": "nct6779\n",
    "sys/class/hwmon/hwmon3/fan2_input": "1184\n",
    "sys/class/hwmon/hwmon3/fan2_fault": "1\n",
    "sys/class/hwmon/hwmon3/in0_input": "888\n",
    "sys/class/hwmon/hwmon3/in0_label": "Vcore\n",
    "sys/class/hwmon/hwmon3/curr1_input": "1250\n",
    "sys/class/hwmon/hwmon3/power1_input": "9360000\n",
    "sys/class/hwmon/hwmon3/humidity1_input": "48250\n",
    "sys/class/hwmon/hwmon3/intrusion0_alarm": "1\n",
}
OTHERS = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/class/thermal/cooling_device0/type": "cpu-thermal\n",
    "sys/bus/w1/devices/w1_bus_master1/w1_master_slave_count": "1\n",
    "sys/bus/w1/devices/28-0316a2797bff/temperature": "21437\n",
    "sys/bus/iio/devices/iio:device0/name": "bme280\n",
    "sys/bus/iio/devices/iio:device0/in_temp_input": "21430\n",
    "sys/bus/iio/devices/iio:device0/in_pressure_input": "101.325003906\n",
    "sys/bus/iio/devices/iio:device0/in_humidityrelative_input": "48310\n",
    "sys/bus/iio/devices/iio:device1/name": "ads1015\n",
    "sys/bus/iio/devices/iio:device1/in_voltage0_raw": "1094\n",
    "sys/bus/iio/devices/iio:device1/in_voltage_scale": "3.000000000\n",
    "sys/bus/iio/devices/iio:device1/in_voltage0-voltage1_raw": "-12\n",
    "sys/bus/iio/devices/iio:device1/in_voltage-voltage_scale": "2.0\n",
    "sys/bus/iio/devices/iio:device1/in_voltage1_raw": "10\n",
    "sys/bus/iio/devices/iio:device1/in_voltage1_scale": "500\n",
    "sys/bus/iio/devices/iio:device1/in_voltage1_offset": "-4\n",
    "sys/bus/iio/devices/iio:device2/name": "mlx90614\n",
    "sys/bus/iio/devices/iio:device2/in_temp_object_raw": "15150\n",
    "sys/bus/iio/devices/iio:device2/in_temp_offset": "-13657.500000\n",
    "sys/bus/iio/devices/iio:device2/in_temp_scale": "20\n",
    "sys/bus/iio/devices/iio:device2/in_proximity_raw": "7\n",
    "sys/bus/iio/devices/iio:device2/in_illuminance_input": "1234.567\n",
    "sys/class/power_supply/BAT0/capacity": "81\n",
    "sys/class/power_supply/BAT0/capacity_level": "Normal\n",
    "sys/class/power_supply/BAT0/status": "Not charging\n",
    "sys/class/power_supply/BAT0/voltage_now": "12345678\n",
    "sys/class/power_supply/BAT0/temp": "301\n",
    "sys/class/power_supply/AC/online": "1\n",
    "sys/class/power_supply/USB/online": "2\n",
    "sys/class/net/eth0/operstate": "up\n",
    "sys/class/net/wlan0/operstate": "dormant\n",
    "sys/class/net/tun0/operstate": "unknown\n",
    "sys/class/net/tun0/carrier": "1\n",
    "sys/class/net/sit0/operstate": "unknown\n",
    "sys/class/net/sit0/carrier": "0\n",
}


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    tree(HWMON | OTHERS)
    return tree


@pytest.mark.parametrize(
    ("place", "value", "known"),
    [
        ('hwmon = "coretemp/temp1"', "51.0", ("quantity", "°C", "0.5", "")),
        ('hwmon = "coretemp/Core 0"', "0.0", ("quantity", "°C", "0.5", "")),  # not -0.0
        ('hwmon = "coretemp/temp2_max"', "100.0", ("quantity", "°C", "0.5", "")),
        ('hwmon = "coretemp/temp1_crit_alarm"', "false", ("boolean", "", None, "temp1 crit alarm")),
        ('hwmon = "hwmon3/fan2"', "1184", ("quantity", "rpm", "100", "")),
        ('hwmon = "nct6779/fan2_fault"', "true", ("boolean", "", None, "fan2 fault")),
        ('hwmon = "nct6779/Vcore"', "0.89", ("quantity", "V", "0.05", "")),
        ('hwmon = "nct6779/curr1"', "1.25", ("quantity", "A", "0.05", "")),
        ('hwmon = "nct6779/power1"', "9.4", ("quantity", "W", "1", "")),
        ('hwmon = "nct6779/humidity1"', "48.2", ("quantity", "%", "1", "")),
        ('hwmon = "nct6779/intrusion0_alarm"', "true", ("boolean", "", None, "intrusion0 alarm")),
        ('hwmon = "nvme/temp1"\ndecimals = 2', "36.85", ("quantity", "°C", "0.5", "")),
        ('thermal = "cpu-thermal"', "48.3", ("quantity", "°C", "0.5", "")),
        ('thermal = "thermal_zone0"', "48.3", ("quantity", "°C", "0.5", "")),
        ('w1 = "28-0316a2797bff"', "21.4", ("quantity", "°C", "0.2", "")),
        ('w1 = "28-*"\ndecimals = 3', "21.437", ("quantity", "°C", "0.2", "")),
        ('iio = "bme280/temp"', "21.4", ("quantity", "°C", "0.2", "")),
        ('iio = "bme280/pressure"', "1013.3", ("quantity", "hPa", "0.5", "")),
        ('iio = "iio:device0/humidityrelative"', "48.3", ("quantity", "%", "1", "")),
        ('iio = "ads1015/voltage0"', "3.282", ("quantity", "V", "0.01", "")),  # 1094 · 3 mV, of all its channels
        ('iio = "ads1015/voltage1"', "3.000", ("quantity", "V", "0.01", "")),  # (10 - 4) · 500 mV, its own
        ('iio = "ads1015/voltage0-voltage1"', "-0.024", ("quantity", "V", "0.01", "")),
        ('iio = "mlx90614/temp_object"', "29.8", ("quantity", "°C", "0.2", "")),
        ('iio = "mlx90614/proximity"', "7", ("quantity", "", None, "")),
        ('iio = "mlx90614/illuminance"', "1235", ("quantity", "lx", "10", "")),
        ('power = "BAT0/capacity"', "81", ("quantity", "%", "1", "")),
        ('power = "BAT0/status"', "Not charging", ("string", "", None, "")),
        ('power = "BAT0/voltage_now"', "12.35", ("quantity", "V", "0.05", "")),
        ('power = "BAT0/temp"', "30.1", ("quantity", "°C", "0.5", "")),
        ('power = "BAT0/low"', "false", ("boolean", "", None, "the battery is nearly empty")),
        ('power = "AC/online"', "true", ("boolean", "", None, "")),
        ('power = "AC/offline"', "false", ("boolean", "", None, "no power from outside")),
        ('power = "USB/online"', "true", ("boolean", "", None, "")),
        ('net = "eth0"', "true", ("boolean", "", None, "")),
        ('net = "eth0/down"', "false", ("boolean", "", None, "eth0 has no link")),
        ('net = "wlan0"', "false", ("boolean", "", None, "")),
        ('net = "wlan0/down"', "true", ("boolean", "", None, "wlan0 has no link")),
        ('net = "tun0"', "true", ("boolean", "", None, "")),
        ('net = "sit0"', "false", ("boolean", "", None, "")),
    ],
)
def test_a_sensor_tells_what_it_is_good_for(tree, run, place, value, known):
    driver = tree.thing(field("it", place))
    assert run(first(driver)) == {"it": value}
    (said,) = driver.fields
    deadband = None if said.deadband is None else str(said.deadband)
    assert (said.type, said.unit, deadband, said.alarm) == known


def test_a_declaration_has_the_last_word_about_all_but_the_type(tree, run):
    words = (
        'label = "Core"\nunit = "K"\nshown = false\ncategory = "peak"\ndeadband = 2\nalarm = "hot"\ntype = "integer"'
    )
    driver = run(opened(tree.thing(field("cpu", f'hwmon = "coretemp/temp1"\n{words}'))))
    assert driver.fields == (Field("cpu", "quantity", "K", "Core", "peak", False, Decimal(2), "hot"),)


@pytest.mark.parametrize(
    ("files", "low"),
    [
        ({"capacity_level": "Low\n"}, "true"),
        ({"capacity_level": "Critical\n", "capacity": "50\n"}, "true"),
        ({"capacity_level": "Normal\n", "capacity": "3\n"}, "false"),
        ({"capacity_level": "Unknown\n", "capacity": "9\n"}, "true"),
        ({"capacity_level": None, "capacity": "10\n"}, "false"),
    ],
)
def test_a_battery_judges_for_itself_when_it_is_low_if_it_can(tree, run, files, low):
    tree({f"sys/class/power_supply/BAT0/{name}": text for name, text in files.items()})
    assert run(first(tree.thing(field("it", 'power = "BAT0/low"')))) == {"it": low}


def test_an_old_kernel_tells_1_wire_with_the_fate_of_its_crc(tree, run):
    slave = "sys/bus/w1/devices/28-0316a2797bff"
    tree({f"{slave}/w1_slave": "50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=-1250\n"})
    tree({f"{slave}/temperature": None})
    assert run(first(tree.thing(field("it", 'w1 = "28-*"')))) == {"it": "-1.2"}
    tree({f"{slave}/w1_slave": "50 05 4b 46 7f ff 0c 10 1c : crc=1c NO\n50 05 4b 46 7f ff 0c 10 1c t=85000\n"})
    with pytest.raises(DriverError, match=r"it was garbled on the wire \(CRC\)"):
        run(first(tree.thing(field("it", 'w1 = "28-*"'))))


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ('hwmon = "coretmp/temp1"', "there is no chip coretmp; there are nvme, coretemp, nct6779"),
        ('hwmon = "coretemp/temp9"', "coretemp has no temp9; it has temp1 (Package id 0), temp2 (Core 0)"),
        ('hwmon = "coretemp/Core 9"', "coretemp has no Core 9; it has temp1 (Package id 0), temp2 (Core 0)"),
        ('thermal = "gpu"', "there is no thermal zone gpu; there are cpu-thermal"),
        ('w1 = "28-ff"', "there is no 1-Wire sensor 28-ff; there are 28-0316a2797bff"),
        ('iio = "bmp/temp"', "there is no IIO device bmp; there are bme280, ads1015, mlx90614"),
        ('iio = "bme280/light"', "bme280 has no light; it has humidityrelative, pressure, temp"),
        ('power = "BAT1/capacity"', "there is no power supply BAT1; there are AC, BAT0, USB"),
        ('power = "AC/capacity"', "AC does not tell capacity"),
        ('net = "eth1"', "there is no network link eth1; there are eth0, sit0, tun0, wlan0"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(tree, run, place, complaint):
    with pytest.raises(DriverError) as caught:
        run(opened(tree.thing(field("it", place))))
    assert str(caught.value) == complaint


def test_where_there_is_nothing_of_a_kind_it_says_so(tmp_path, run):
    with pytest.raises(DriverError, match="there is no 1-Wire sensor 28-.*; there is none"):
        run(opened(Tree(tmp_path).thing(field("it", 'w1 = "28-*"'))))
    with pytest.raises(DriverError, match="there is no chip lm75; there is none"):
        run(opened(Tree(tmp_path).thing(field("it", 'hwmon = "lm75/temp1"'))))


def test_two_sensors_where_one_is_meant_are_said(tree, run):
    tree({"sys/bus/w1/devices/28-000000000001/temperature": "4000\n"})
    with pytest.raises(DriverError, match=r"several 1-Wire sensors 28-\*: say 28-000000000001, 28-0316a2797bff"):
        run(opened(tree.thing(field("it", 'w1 = "28-*"'))))


def test_of_two_chips_of_one_name_each_is_called_by_its_device(tree, run):
    for number, device, value in ((0, "1-0048", "20500\n"), (4, "1-0049", "4125\n")):
        folder = f"sys/devices/platform/i2c-1/{device}/hwmon/hwmon{number}"
        tree({f"{folder}/name": "lm75\n", f"{folder}/temp1_input": value})
        if number == 0:
            tree(dict.fromkeys(name for name in HWMON if "hwmon0/" in name))
        os.symlink(tree.root / folder, tree.root / f"sys/class/hwmon/hwmon{number}")
    with pytest.raises(DriverError, match="there are several chips lm75: say 1-0048, 1-0049"):
        run(opened(tree.thing(field("it", 'hwmon = "lm75/temp1"'))))
    both = field("porch", 'hwmon = "1-0048/temp1"') + field("cellar", 'hwmon = "1-0049/temp1"')
    readings = run(first(tree.thing(both)))
    assert (readings["porch"], readings["cellar"]) == ("20.5", "4.1")


@pytest.mark.parametrize("said", ["", "none", "nan", "1e9", "0x15", "1" * 30, "21,4"])
def test_what_is_no_number_is_no_reading(tree, run, said):
    tree({"sys/bus/w1/devices/28-0316a2797bff/temperature": f"{said}\n"})
    with pytest.raises(DriverError, match="it says '.*', which is no number"):
        run(opened(tree.thing(field("it", 'w1 = "28-*"'))))


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("decimals = 1", "[thing.cellar.fields.it] needs one of hwmon, thermal, w1, iio, power, net"),
        ('w1 = "28-1"\nnet = "eth0"', "needs one of hwmon, thermal, w1, iio, power, net, not w1 and net"),
        ('hwmon = "coretemp"', "hwmon: must be like 'coretemp/temp1', not 'coretemp'"),
        ('hwmon = "../x/temp1"', "hwmon: must be like"),
        ('iio = "a/../b"', "iio: must be like"),
        ('iio = "a/0"', "iio: must be like 'bme280/temp', not 'a/0'"),
        ('w1 = "temperature"', "w1: must be like '28-0316a2797bff', not 'temperature'"),
        ('power = "BAT0/fullness"', "power: 'fullness' is none of capacity, status"),
        ('net = "eth0/up"', "net: must be like 'eth0' or 'eth0/down', not 'eth0/up'"),
        ('net = ""', "net: must be like"),
        ('net = "eth0"\ndecimals = 10', "decimals must be from 0 to 9, not 10"),
        ('hwmn = "coretemp/temp1"', "has no option 'hwmn'; did you mean 'hwmon'?"),
    ],
)
def test_a_place_that_cannot_be_is_a_mistake_in_the_configuration(tree, place, complaint):
    with pytest.raises(ConfigError) as caught:
        tree.thing(field("it", place))
    assert complaint in str(caught.value)
