"""From a clean clone with nothing but Python: what is done, in which order, and what is said otherwise."""

import pytest

from node import install


@pytest.fixture
def done(monkeypatch, tmp_path):
    """A clone in which nothing is installed yet; what would have been run is only written down."""
    commands = []
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "x.py").write_text("one")
    (tmp_path / "pyproject.toml").write_text("")

    def run(command, trouble, quiet=False):
        commands.append([word for word in command if word not in ("env", "DEBIAN_FRONTEND=noninteractive")])
        (tmp_path / ".venv").mkdir(exist_ok=True)

    monkeypatch.setattr(install, "CLONE", tmp_path)
    monkeypatch.setattr(install, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "can_make_environments", lambda: True)
    monkeypatch.setattr("os.execv", lambda path, words: commands.append(["become", *words]))
    return commands


def test_the_first_time_all_is_made_the_second_time_nothing(done, tmp_path):
    install.main(["up", "--domain", "pi.local"])
    hobnode = str(tmp_path / ".venv" / "bin" / "hobnode")
    assert [command[1:3] for command in done[:2]] == [["-m", "venv"], ["-m", "pip"]]
    assert done[2:] == [["become", hobnode, "up", "--domain", "pi.local"]]
    done.clear()
    install.main(["up"])
    assert done == [["become", hobnode, "up"]]


@pytest.fixture
def extras(done, tmp_path, monkeypatch):
    """A clone with extras, and where the configuration is."""
    (tmp_path / "pyproject.toml").write_text(
        "[project.optional-dependencies]\nmodbus = []\nmqtt = []\nnmea = []\ntest = []\n"
    )
    (tmp_path / "boards" / "meter").mkdir(parents=True)
    (tmp_path / "boards" / "meter" / "board.toml").write_text('driver = "modbus"')
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    (tmp_path / "share" / "hobnode").mkdir(parents=True)
    return tmp_path / "share" / "hobnode" / "hobnode.toml"


CONFIGURED = """
[thing.heat]
board = "meter"
[thing.porch]
driver = "line"
[gateway.mqtt]
"""


def test_what_the_configuration_names_is_installed_too_and_once(done, extras, tmp_path):
    install.main(["up"])
    assert done[1][-1] == str(tmp_path)
    done.clear()
    extras.write_text(CONFIGURED)
    install.main(["up", "--debug"])
    assert done[1][-1] == f"{tmp_path}[modbus,mqtt]"
    done.clear()
    install.main(["up"])
    extras.write_text("")
    install.main(["up"])
    assert [command[0] for command in done] == ["become", "become"]


@pytest.mark.parametrize("words", [["up", "--data", "."], ["run", "--config=hobnode.toml", "--quiet"]])
def test_the_configuration_may_be_elsewhere(done, extras, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hobnode.toml").write_text('[thing.gps]\ndriver = "nmea"')
    install.main(words)
    assert done[1][-1] == f"{tmp_path}[nmea]"


@pytest.mark.parametrize("text", ["domain", "thing = 3", "[thing]\nporch = 3", "thing.a.driver = 3", "gateway = []"])
def test_with_a_mistake_in_the_configuration_hobnode_is_installed_to_say_so(done, extras, tmp_path, text):
    extras.write_text(text)
    install.main(["up"])
    assert done[1][-1] == str(tmp_path)
    assert done[2][0] == "become"


def test_a_changed_source_is_installed_again(done, tmp_path):
    install.main([])
    done.clear()
    (tmp_path / "node" / "x.py").write_text("two!")
    install.main([])
    assert len(done) == 3


def test_an_environment_that_works_stays_and_keeps_what_another_configuration_has_wanted(done, extras, monkeypatch):
    extras.write_text('[thing.a]\ndriver = "nmea"')
    install.main([])
    monkeypatch.setattr(install, "works", lambda: True)
    extras.write_text("[gateway.mqtt]")
    done.clear()
    install.main([])
    assert len(done) == 2 and done[0][-1].endswith("[mqtt,nmea]")


def test_one_that_works_is_not_lost_where_there_is_no_way_to_the_internet(done, tmp_path, monkeypatch):
    install.main([])
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n")
    python.chmod(0o700)
    assert install.works()
    (tmp_path / "node" / "x.py").write_text("two!")

    def fail(command, trouble, quiet=False):
        assert "venv" not in command
        raise install.Trouble(trouble)

    monkeypatch.setattr(install, "run", fail)
    assert install.main([]) == 2
    assert install.works() and not install.is_installed([])
    python.write_text("#!/bin/sh\nexit 1\n")
    assert not install.works(), "its Python has no pip any more"


def test_a_failed_installation_is_begun_anew(done, monkeypatch):
    whole = install.run

    def fail(command, trouble, quiet=False):
        whole(command, trouble, quiet)
        if "pip" in command:
            raise install.Trouble(trouble)

    monkeypatch.setattr(install, "run", fail)
    assert install.main([]) == 2
    monkeypatch.setattr(install, "run", whole)
    done.clear()
    install.main([])
    assert len(done) == 3


@pytest.mark.parametrize(
    ("user", "tools", "commands"),
    [
        (0, ("apt-get",), [["apt-get", "--quiet", "update"], ["apt-get", "--quiet", "install"]]),
        (1000, ("apt-get", "sudo"), [["sudo", "apt-get", "--quiet"], ["sudo", "apt-get", "--quiet"]]),
    ],
)
def test_what_debian_left_out_is_fetched(done, monkeypatch, user, tools, commands):
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda name: name in tools or None)
    install.add_debian_package("python3-venv")
    assert [command[:3] for command in done] == commands


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (("apt-get",), "type: apt install python3-venv (as root)"),
        ((), "install them with your system's packages"),
    ],
)
def test_who_may_not_fetch_it_is_told_what_to_type(done, monkeypatch, capsys, tools, said):
    monkeypatch.setattr(install, "can_make_environments", lambda: False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: name in tools or None)
    assert install.main(["up"]) == 2
    assert said in capsys.readouterr().err
    assert done == []


@pytest.mark.parametrize(("version", "good"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_a_python_that_does_not_do_is_named(version, good):
    if good:
        install.check_python(version)
    else:
        with pytest.raises(install.Trouble, match=rf"Python 3\.{version[1]} does not do: 3\.11, 3\.12 or 3\.13"):
            install.check_python(version)


def test_a_command_that_fails_is_told_with_its_words(capfd):
    with pytest.raises(install.Trouble, match="nothing came"):
        install.run(["sh", "-c", "echo because; exit 3"], "nothing came", quiet=True)
    assert "because" in capfd.readouterr().err
    with pytest.raises(install.Trouble, match=r"nothing came \(.*No such file"):
        install.run(["/nowhere/hobnode"], "nothing came")
