"""The Makefile hands the config's name on as it was typed; stand-ins for what it calls."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = f"""#!{sys.executable}
import sys
from pathlib import Path
with open("called.txt", "a", encoding="utf-8") as file:
    print(Path(sys.argv[0]).name, *map(ascii, sys.argv[1:]), sys.flags.utf8_mode, file=file)
"""


@pytest.fixture
def checkout(tmp_path: Path, repository: Path) -> Path:
    """A folder with a blank in its name, set up already."""
    folder = tmp_path / "a checkout"
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(repository / name, folder)
    for name in ("amad-bench", "snakemake"):
        (programs / name).write_text(PROGRAM, encoding="utf-8")
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    (folder / ".venv" / f".installed-{sys.version_info.major}.{sys.version_info.minor}").touch()
    return folder


@pytest.mark.parametrize(
    "name", ["a b.yaml", "two  blanks.yaml", "it's.yaml", 'a"b.yaml', "a$b$(c).yaml", "ä.yaml"]
)
def test_any_name_of_a_config(name: str, checkout: Path, make_environment: dict[str, str]) -> None:
    command = ["make", "run", f"CONFIG={name}", "CORES=1"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, env=make_environment)
    assert done.returncode == 0, done.stderr
    assert (checkout / "called.txt").read_text(encoding="utf-8").splitlines() == [
        f"amad-bench 'plan' '--config' {name!a} 1",
        f"snakemake '--cores' '1' '--configfile' {name!a} 1",
    ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("~/c.yaml", "/home/a b/c.yaml"), ("~/x~/c.yaml", "/home/a b/x~/c.yaml"), ("/x~/c.yaml", "/x~/c.yaml")],
)
def test_a_config_in_the_home_folder(
    typed: str, meant: str, checkout: Path, make_environment: dict[str, str]
) -> None:
    environment = {**make_environment, "HOME": "/home/a b"}
    subprocess.run(
        ["make", "run", f"CONFIG={typed}"], cwd=checkout, capture_output=True, env=environment, check=True
    )
    assert f" '--config' '{meant}' " in (checkout / "called.txt").read_text(encoding="utf-8")
