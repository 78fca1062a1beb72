"""From simulated plant to model bundle by the documented commands: reproducible and honest (GLS21, GLS22)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOURS = "12"
SEED = "7"

pytestmark = pytest.mark.timeout(240)


def command(name: str, *arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    path = Path(sys.executable).parent / name
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    answer = command("edged-sim", "dataset", "--out", str(folder), "--hours", HOURS, "--seed", SEED)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_committed_model_is_what_the_documented_commands_make(
    dataset: Path, tmp_path: Path, project: Path, hash_seed: str
) -> None:
    committed = project / "configs" / "models" / "defect_risk"
    manifest = json.loads((committed / "manifest.json").read_text(encoding="utf-8"))
    wanted = ["--data", str(dataset), "--out", str(tmp_path), "--trained", manifest["trained"]]
    answer = command("edged-hub", "train", *wanted, hash_seed=hash_seed)
    assert answer.returncode == 0, answer.stderr
    made = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert made["data_sha256"] == manifest["data_sha256"]
    assert made == manifest
    assert (tmp_path / "model.onnx").read_bytes() == (committed / "model.onnx").read_bytes()


def test_a_changed_file_is_refused_by_name(dataset: Path, tmp_path: Path) -> None:
    features = (dataset / "features.csv").read_bytes()
    (tmp_path / "features.csv").write_bytes(features.replace(b",1530.", b",1531.", 1))
    (tmp_path / "manifest.json").write_bytes((dataset / "manifest.json").read_bytes())
    answer = command("edged-hub", "train", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert answer.returncode == 1
    assert "features.csv: its hash is" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_refused_by_name(tmp_path: Path) -> None:
    answer = command("edged-hub", "train", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert answer.returncode == 1
    assert "manifest.json: No such file" in answer.stderr
    assert "Traceback" not in answer.stderr
