"""The wheel as a stranger gets it: our four import names, their data, nothing else, and deaf to namesakes around it."""

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOTS = {"toolkit", "adapters", "shadow", "migrations"}
# What a package may hold besides Python; add a suffix here when a new kind of data is shipped on purpose.
DATA = {".sql", ".typed", ".mako", ".ini", ".toml", ".md", ".tmpl"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(target),
            str(REPOSITORY),
        ]
    )
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(home, with_pip=True)
    run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel)])
    return home


@pytest.fixture
def folder_with_namesakes(tmp_path: Path) -> Path:
    """A user's project that has packages named like ours, as Alembic and Django projects do."""
    for name in ("adapters", "migrations", "toolkit", "shadow"):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text(
            f"raise RuntimeError('the {name} of the current folder was imported')\n"
        )
    return tmp_path


def run(command: list[str], cwd: Path | None = None) -> str:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "STRANGLER_"))
    }
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_command_runs_beside_packages_named_like_ours(
    clean_environment: Path, folder_with_namesakes: Path
) -> None:
    printed = run([str(clean_environment / "bin" / "strangler"), "--version"], cwd=folder_with_namesakes)
    assert project_version() in printed


def test_every_module_imports_with_the_base_dependencies_alone(
    clean_environment: Path, tmp_path: Path
) -> None:
    code = (
        "import importlib, pkgutil\n"
        f"for root in {sorted(ROOTS)!r}:\n"
        "    package = importlib.import_module(root)\n"
        "    for module in pkgutil.iter_modules(package.__path__, root + '.'):\n"
        "        if root != 'adapters':\n"
        "            importlib.import_module(module.name)\n"
    )
    run([str(clean_environment / "bin" / "python"), "-c", code], cwd=tmp_path)


def test_the_wheel_holds_our_four_packages_and_nothing_else(contents: list[str]) -> None:
    tops = {name.split("/")[0] for name in contents}
    assert {top for top in tops if not top.endswith(".dist-info")} == ROOTS
    assert not [name for name in contents if "test" in Path(name).stem.split("_")[:1] or "/tests/" in name]


def test_every_file_of_the_packages_is_in_the_wheel(contents: list[str]) -> None:
    files = [path for root in ROOTS for path in (REPOSITORY / root).rglob("*") if path.is_file()]
    ours = {path.relative_to(REPOSITORY).as_posix() for path in files if "__pycache__" not in path.parts}
    assert ours - set(contents) == set()


def test_the_wheel_holds_only_kinds_of_files_we_mean_to_ship(contents: list[str]) -> None:
    packaged = [name for name in contents if name.split("/")[0] in ROOTS]
    assert {Path(name).suffix for name in packaged} <= DATA | {".py"}


@pytest.mark.parametrize("root", sorted(ROOTS))
def test_every_package_is_marked_as_typed(contents: list[str], root: str) -> None:
    assert f"{root}/py.typed" in contents


def test_the_licence_travels_with_the_wheel(contents: list[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents)


def project_version() -> str:
    version: str = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    return version
