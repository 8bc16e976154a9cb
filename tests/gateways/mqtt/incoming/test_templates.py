"""Value templates: what they find, and that a stranger's template takes neither time nor memory."""

import subprocess
import sys
import time

import pytest

from node.gateways.mqtt.incoming.templates import Message, Template, TemplateError, finder, number

STATE = Message('{"t": 21.40, "a": {"b": [1, 2]}, "update": {"state": "idle"}, "n": null, "on": true, "i": 7}')


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("", STATE.text),
        ("{{ value }}", STATE.text),
        ("{{ value_json.t }}", "21.40"),
        ("{{ value_json['t'] }}", "21.40"),
        ('{{value_json["a"]["b"][1]}}', "2"),
        ("{{ value_json.on }}", "True"),
        ("{{ value_json.n }}", "None"),
        ("{{ value_json.missing }}", ""),
        ("{{ value_json.a.missing.deeper }}", ""),
        ("{{ value_json.update.state }}", "idle"),
        ("{{ value_json.update['state'] | upper }}", "IDLE"),
        ("{{ value_json.t | is_defined }}", "21.40"),
        ("{{ value_json.t | float * 2 }}", "42.8"),
        ("{{ value_json.t | round(1) }}", "21.4"),
        ("{{ value_json.i | int + 1 }}", "8"),
        ("{{ (value_json.i / 2) | round(1, 'floor') }}", "3.5"),
        ("{{ value_json.missing | default('', True) }}", ""),
        ("{{ value_json.missing | default(5) }}", "5"),
        ("{{ 'ON' if value_json.on else 'OFF' }}", "ON"),
        ("{{ iif(value_json.on, 'yes', 'no') }}", "yes"),
        ("{% if value_json.i > 9 %}much{% elif value_json.i == 7 %}seven{% else %}few{% endif %}", "seven"),
        ("{{ value_json.on | string | lower }}", "true"),
        ("{{ '%.1f' | format(value_json.t) }}", "21.4"),
        ("{{ {'idle': 'rest'}[value_json.update.state] }}", "rest"),
        ("{{ value_json['a'].get('b') | last }}", "2"),
        ("{{ value_json.t ~ ' C' }}", "21.40 C"),
        ("{{ value_json.a | to_json }}", '{"b": [1, 2]}'),
        ("{{ ('{\"x\": 1.50}' | from_json).x }}", "1.50"),
        ("{{ 'on' | bool }}", "True"),
        ("{{ 'a-b' | replace('-', '+') }}", "a+b"),
        ("{% set x = value_json.i %}{{ x * x }}", "49"),
        ("{{ [value_json.i, 5] | min }}", "5"),
        ("{{ {'v': value_json.i} | to_json }}", '{"v": 7}'),
        ("{{ '%s/%s' % (value_json.i, 'x') }}", "7/x"),
        ("{{ (value_json.i | multiply(2.55) | round, value_json.t | add(1))[0] }}", "18"),
        ("{{ 'yes' if is_number(value_json.t) and not is_number(value) else 'no' }}", "yes"),
        ("{% set names = {None: None, 'idle': 'rest'} %}{{ names[value_json.update.state] }}", "rest"),
    ],
)
def test_what_publishers_write_is_understood(template, found):
    assert finder(template)(STATE) == found


DOUBLED = "{% set x = 'aaaaaaaaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 90 + "{{ x }}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**9) %}{% for j in range(10**9) %}x{% endfor %}{% endfor %}",
        "{% for a in value %}{{ a }}{% endfor %}",
        "{{ range(10**9) | list }}",
        "{{ [1] | map('upper') | list }}",
        "{{ 9 ** (9 ** 9) }}",
        "{% set x = 7 %}" + "{% set x = x * x %}" * 90 + "{{ x }}",
        "{{ 'a' * 10**9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ value.__class__.__mro__ }}",
        "{{ value | attr('__class__') }}",
        "{{ value_json.keys.__self__ }}{{ 1/0 }}",
        DOUBLED,
        DOUBLED.replace(" ~ ", " + "),
        "{% set x = [1] %}" + "{% set x = [x, x] %}" * 80 + "{{ x }}",
        "{% set x = [1] %}" + "{% set x = x + x %}" * 80 + "{{ x }}",
        "{% set x = {'a': value_json} %}{{ x }}",
        "{% set a, b = 1, 2 %}{{ a }}",
        "{% set x = 9 %}" + "{% set x = x | multiply(x) %}" * 60 + "{{ x }}",
        "{{ value | replace('', value) | replace('a', value) }}".replace("value", "'" + "a" * 600 + "'"),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include 'x' %}",
        "{{ lipsum() }}",
        "{{ states('sensor.x') }}",
        "{{ (" + "(" * 900 + "1" + ")" * 900 + ") }}",
        "{% if 1 %}" * 200,
        "{{",
        "x" * 3000,
    ],
)
def test_a_template_that_would_take_long_fails_at_once(template):
    begun = time.process_time()
    with pytest.raises(TemplateError) as failed:
        finder(template)(STATE)
    assert time.process_time() - begun < 0.3 and len(str(failed.value)) < 300


@pytest.mark.parametrize(
    "step",
    [
        "x = '%s%s%s%s%s%s%s%s' | format(x, x, x, x, x, x, x, x)",
        "x = '%s%s%s%s' % (x, x, x, x)",
        "x = x | tojson",
        "x = [x, x] | string",
        "x = {'a': x, 'b': x} | string",
        "x = [x, x, x, x] | join('')",
        "x = x | replace('a', x)",
        "x = x ~ x",
        "x = x + x",
    ],
)
def test_what_grows_has_an_end(step):
    with pytest.raises(TemplateError, match="fails: too long"):
        finder("{% set x = value %}" + f"{{% set {step} %}}" * 30)(Message('"a\\"' * 50))


@pytest.mark.parametrize(
    "step", ["x = x | title", "x = x | from_json | tojson", "x = x.split(',') | join(',')", "y = x | min"]
)
def test_many_steps_that_take_long_together_have_an_end(step, monkeypatch):
    ahead, clock = [0.0], time.thread_time

    def hurries():
        ahead[0] += 0.02  # each step takes so long
        return clock() + ahead[0]

    finder("{{ value | upper }}")(STATE)
    monkeypatch.setattr("node.gateways.mqtt.incoming.sandbox.time.thread_time", hurries)
    with pytest.raises(TemplateError, match="this takes too long"):
        finder("{% set x = value %}" + f"{{% set {step} %}}" * 20)(Message('[1,2,"a"]'))


def test_a_payload_that_is_no_json_is_said_so():
    for template in ("{{ value_json.t }}", "{{ value_json.t | int }}"):
        with pytest.raises(TemplateError, match="no JSON"):
            finder(template)(Message("plain"))


def test_what_is_found_has_an_end():
    assert len(finder("{{ value_json.t }}")(Message('{"t": "' + "x" * 9000 + '"}'))) <= 4096
    assert len(finder("{{ value_json.t | upper }}")(Message('{"t": "' + "x" * 9000 + '"}'))) <= 4096
    with pytest.raises(TemplateError, match="characters"):
        finder("{{ value | upper }}")(Message("x" * 40_000))


def test_a_command_is_a_number_to_reckon_with():
    assert Template("{{ value * 10 }}").render(value=number("5")) == "50"
    assert Template('{"t": {{ value }} }').render(value=number("21.50")) == '{"t": 21.50 }'


def test_without_jinja_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "node.gateways.mqtt.incoming.sandbox", None)
    monkeypatch.delattr("node.gateways.mqtt.incoming.sandbox", raising=False)
    with pytest.raises(TemplateError, match="needs the Python package 'jinja2'"):
        finder("{{ value | float + 17 }}")(STATE)


def test_jinja_is_imported_when_a_template_needs_it():
    """1.3 MB that homes with Zigbee2MQTT's plain sensors do not pay."""
    program = (
        "import sys; from node.gateways.mqtt.incoming.templates import *; import node.gateways.mqtt.incoming.discovery;"
        "assert finder('{{ value_json.t }}')(Message('{\"t\": 1}')) == '1'; print('jinja2' in sys.modules);"
        "finder('{{ value | int }}')(Message('1')); print('jinja2' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert said.stdout.split() == ["False", "True"]
