"""The unit files load without a warning, and restrict what a node may do."""

import shutil
import subprocess
from pathlib import Path

import pytest
from inline_zreg import inline_zreg
from page_blocks import blocks_of

PAGE = Path(__file__).parents[2] / "docs" / "three-machines.md"
UNITS = Path(__file__).parents[2] / "systemd"
ROLES = ("meta", "session", "data")
# Ten times the exposure level that systemd prints; 20 is "OK", a plain service has 96.
EXPOSURE_MAX = 20

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed here (Debian package systemd)",
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the units as they are installed, and an instance of each template."""
    for unit in UNITS.glob("zreg*"):
        shutil.copy(unit, tmp_path)
    for role in ROLES:
        (tmp_path / f"zreg-{role}@1.service").symlink_to(tmp_path / f"zreg-{role}@.service")
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; output and errors come together."""
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def test_there_is_one_unit_per_role_and_one_target() -> None:
    assert sorted(unit.name for unit in UNITS.glob("zreg*")) == sorted(
        ["zreg.target", *(f"zreg-{role}@.service" for role in ROLES)]
    )


def test_systemd_analyze_finds_nothing_to_complain_about(installed: Path) -> None:
    """An unknown key is only a warning with exit code 0, so the output must be empty too."""
    units = [installed / f"zreg-{role}@1.service" for role in ROLES]

    result = analyze("verify", "--man=no", installed / "zreg.target", *units)

    assert (result.stdout, result.returncode) == ("", 0)


def test_systemd_analyze_finds_an_unknown_key(installed: Path) -> None:
    """The test before this one relies on it."""
    unit = installed / "zreg-data@.service"
    unit.write_text(unit.read_text().replace("RestartSec=", "RestartSecs="))

    result = analyze("verify", "--man=no", installed / "zreg-data@1.service")

    assert "RestartSecs" in result.stdout


@pytest.mark.parametrize("role", ROLES)
def test_a_node_is_hardened(installed: Path, role: str) -> None:
    unit = installed / f"zreg-{role}@1.service"

    result = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_starts_its_node_with_a_configuration_of_its_own(role: str) -> None:
    lines = (UNITS / f"zreg-{role}@.service").read_text().splitlines()

    assert f"ExecStart=/usr/bin/env zreg {role} -c /etc/zreg/{role}-%i.toml" in lines
    assert "Type=notify" in lines
    assert "WatchdogSec=10s" in lines
    assert "WantedBy=zreg.target" in lines


def test_the_files_of_the_page_of_three_machines_can_be_used(tmp_path: Path) -> None:
    """Nothing here starts them: a machine of this test is a namespace, and has no systemd."""
    files = blocks_of(PAGE, "toml")
    names = {Path(name).name for file in files for name in file.title.split(", ")}
    assert names == {f"{role}-1.toml" for role in ROLES}
    for number, file in enumerate(files):
        path = tmp_path / f"{number}.toml"
        path.write_text(file.text)
        assert inline_zreg("config", "check", str(path)).code == 0


def test_the_drop_in_of_the_page_of_three_machines_fits_each_unit(installed: Path) -> None:
    (drop_in,) = blocks_of(PAGE, "ini")
    for role in ROLES:
        folder = installed / f"zreg-{role}@.service.d"
        folder.mkdir()
        (folder / "lan.conf").write_text(drop_in.text)
    units = [installed / f"zreg-{role}@1.service" for role in ROLES]

    result = analyze("verify", "--man=no", *units)
    assert (result.stdout, result.returncode) == ("", 0)

    # So it was read.
    wrong = installed / "zreg-meta@.service.d" / "lan.conf"
    wrong.write_text(drop_in.text.replace("SocketBindAllow=", "SocketBindAllowed="))
    assert "SocketBindAllowed" in analyze("verify", "--man=no", units[0]).stdout
