"""What one edge box gets: the locked libraries and the wheel, without those of hub, simulator and training."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from bench.processes import Process, fetch, free_port, wait_until
from edged.settings import HttpSettings
from tests.integration.documents import blocks

INSTALL_SECONDS = 300
NO_INDEX = ("Could not find a version", "No matching distribution", "NewConnectionError", "Name or service not known")
FOREIGN = ("amqtt", "asyncpg", "casadi", "do_mpc", "matplotlib", "pandas", "sklearn", "skl2onnx", "pytest")
MOST_MEGABYTES = 350
HUB_SECRET = "5ecret-of-the-hub"
MOST_LACKING = 5
AARCH64 = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
"""Debian 12 and its like on 64-bit ARM."""
PIP_FOR_AARCH64 = [
    *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--only-binary=:all:"),
    *("--require-hashes", "--disable-pip-version-check", "--python-version"),
    f"{sys.version_info.major}.{sys.version_info.minor}",
    *(word for tag in AARCH64 for word in ("--platform", tag)),
]

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment, installed as Dockerfile and how-to say."""
    project = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("edge")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "--no-cache-dir"]
    locked = run(*pip, "--require-hashes", "-r", str(project / "requirements" / "edge.lock"))
    if locked.returncode and any(sign in locked.stderr for sign in NO_INDEX) and not os.environ.get("CI"):
        pytest.skip("no package index is at hand")
    assert locked.returncode == 0, locked.stderr
    own = run(*pip, "--no-deps", "--no-build-isolation", str(project))
    assert own.returncode == 0, own.stderr
    return folder / "venv" / "bin"


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command outside the checkout's import path."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run([*words], env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_example_is_sound_without_other_libraries(edge: Path, project: Path) -> None:
    assert run(str(edge / "edged"), "--help").returncode == 0
    checked = run(str(edge / "edged"), "check", "--tolerate-missing", str(project / "configs" / "line-a.yaml"))
    assert checked.returncode == 0, checked.stderr
    assert "ok: 3 sources" in checked.stdout


def test_libraries_of_hub_simulator_and_training_are_not_there(edge: Path) -> None:
    looked = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    assert run(str(edge / "python"), "-c", looked, *FOREIGN).stdout.strip() == "[]"


def test_a_nonlinear_controller_is_told_what_it_lacks(edge: Path, tmp_path: Path) -> None:
    (block,) = [block for block in blocks("yaml") if "kind: nonlinear_mpc" in block.text]
    line = tmp_path / "line.yaml"
    line.write_text(f"site: some_site\nline: some_line\ndata_directory: state\n{block.text}", encoding="utf-8")
    checked = run(str(edge / "edged"), "check", "--tolerate-missing", str(line))
    assert checked.returncode == 0, checked.stderr
    place = "control.loops.0.controller.kind"
    assert f"{place}: do_mpc is not installed: pip install 'edged[control-nonlinear]'" in checked.stderr


def test_the_daemon_runs_and_stops(edge: Path, project: Path, tmp_path: Path) -> None:
    secret, port = tmp_path / "secret", free_port()
    secret.write_text(HUB_SECRET, encoding="utf-8")
    secret.chmod(0o600)
    ceiling = tmp_path / "ceiling.yaml"
    ceiling.write_bytes((project / "configs" / "ceiling-line-a.yaml").read_bytes())
    ceiling.chmod(0o444)
    environment = {
        "PYTHONPATH": "",
        "EDGED_CEILING": str(ceiling),
        "EDGED_DATA_DIRECTORY": str(tmp_path / "state"),
        "EDGED_HTTP_PORT": str(port),
        "EDGED_HUB_SECRET": str(secret),
    } | {f"EDGED_{name}_PORT": str(free_port()) for name in ("OPCUA", "MODBUS", "MQTT")}
    command = [str(edge / "edged"), "run", str(project / "configs" / "line-a.yaml")]
    daemon = Process("edged", command, tmp_path, environment=environment)
    try:
        wait_until("healthz", lambda: fetch(f"http://127.0.0.1:{port}/healthz") is not None, daemon)
        alive = supported(edge, project, tmp_path, environment)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(20.0) == 0, daemon.tail()
    finally:
        daemon.stop()
    dead = supported(edge, project, tmp_path, environment)
    assert alive - dead == {"status.json", "metrics.txt"}
    assert dead == {"README.txt", "manifest.json", "config.yaml", "check.txt", "versions.json", "system.json"} | {
        f"{name}.json" for name in ("data", "outbox", "events")
    } | {"logs/1.txt"}


def supported(edge: Path, project: Path, folder: Path, environment: dict[str, str]) -> set[str]:
    """The files of a support bundle; the secret is in none of them."""
    bundle = folder / "bundle.tar.gz"
    command = [str(edge / "edged"), "support", "--out", str(bundle), "--config", str(project / "configs/line-a.yaml")]
    command += ["--log", str(folder / "edged.log")]
    answer = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    with tarfile.open(bundle) as archive:
        texts = {member.name.removeprefix("edged-support/"): archive.extractfile(member) for member in archive}
        assert all(text is not None and HUB_SECRET.encode() not in text.read() for text in texts.values())
    return set(texts)


def without_wheel(lock: Path, folder: Path, *options: str) -> list[str]:
    """The locked libraries that have no wheel for AARCH64, all of them; skips where no package index is at hand."""
    entries = re.findall(r"^([^\s=]+)(==.*(?:\n +--hash.*)*)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert entries
    lacking: list[str] = []
    while True:
        wanted = folder / "wanted.txt"
        left = [name + rest for name, rest in entries if name not in lacking]
        wanted.write_text("\n".join(left), encoding="utf-8")
        answer = run(*PIP_FOR_AARCH64, "--target", str(folder / "target"), "-r", str(wanted), *options)
        named = re.search(r"No matching distribution found for ([^\s=]+)==", answer.stderr)
        if answer.returncode == 0:
            return lacking
        assert named, answer.stderr
        if len(lacking) == MOST_LACKING and not os.environ.get("CI"):
            pytest.skip("no package index is at hand")
        assert len(lacking) < MOST_LACKING, lacking
        lacking.append(named[1])


@pytest.mark.parametrize("lock", ["edge.lock", "edge-nonlinear.lock"])
def test_everything_comes_as_a_wheel_for_aarch64(project: Path, tmp_path: Path, lock: str) -> None:
    assert without_wheel(project / "requirements" / lock, tmp_path) == []


def test_what_has_no_wheel_for_aarch64_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for name in ("one", "two")))
    for name in ("one-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "two-1.0.tar.gz"):
        (tmp_path / name).touch()
    assert without_wheel(lock, tmp_path, "--no-index", "--find-links", str(tmp_path)) == ["one", "two"]


def test_it_stays_small(edge: Path) -> None:
    files = [path for path in edge.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    megabytes = sum(path.stat().st_blocks * 512 for path in files) / 1e6
    assert megabytes < MOST_MEGABYTES


def test_the_image_is_built_the_same_way(project: Path) -> None:
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(bases) == 2
    assert set(bases) == {"python:3.11-slim-bookworm"}
    assert "--require-hashes -r requirements/edge.lock" in text
    assert "--no-deps --no-build-isolation ." in text
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    assert f"EDGED_HTTP_PORT={HttpSettings().port}\n" in text
    (program,) = re.findall(r'^ENTRYPOINT \["(\S+)"\]', text, re.MULTILINE)
    assert program in tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    ignored = (project / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "run", "**/node_modules"} <= set(ignored)
