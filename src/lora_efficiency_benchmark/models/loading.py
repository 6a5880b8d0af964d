"""Base models, adapters and their sizes (row 4)."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..config.adapters import ALL_LINEAR, AdapterSettings
from ..config.architectures import close_names, find_architecture
from ..errors import ModelError, first_line
from ..plain_text import one_line
from .adapter_modules import check_adapter, embedding_ends, has_conv1d, lost_tie
from .cache import default_model_facts, ensure_default_model, ensure_gguf
from .hub import is_unreachable, prepare_hub

WEIGHT_DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "amp-bf16": torch.float32,
    "amp-fp16": torch.float32,
}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_UNLOADABLE = (
    OSError, ValueError, ImportError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError,
)  # fmt: skip
_FINGERPRINT_ELEMENTS = 4096  # of a tensor, at most
_ADAPTER_MARKS = ("lora_", "modules_to_save", "prompt_", "ia3_", "adapter_")


@dataclass(frozen=True)
class Counts:
    """Sizes of a model object; tied tensors are counted once."""

    trainable: int  # elements
    total: int  # elements, adapter included
    adapter: int  # elements that belong to an adapter
    trainable_bytes: int
    model_size_bytes: int  # parameters and buffers
    dtypes: dict[str, int]  # dtype name -> elements


def resolve_model(name: str) -> str:
    """A folder or Hub id that ``from_pretrained`` takes.

    ``name`` is the default model's preset name, a local folder, a ``.gguf`` file or a Hub id.
    Raises ModelError when a path does not exist or a file cannot be used.
    """
    if name == default_model_facts()["name"]:
        return str(ensure_default_model())
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    preset = find_architecture(name)
    if preset is not None and not path.exists():
        raise ModelError(
            f"model {name!r}: is an architecture preset, configuration only; to train it, "
            f"give its Hub id {preset.hub_id} or a local folder",
            f"モデル {name!r}: モデル構造の名前で、重みがありません。"
            f"学習するには Hub の ID {preset.hub_id} か手元のフォルダーを指定してください",
        )
    if path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(
                f"{name}: a model file must end in .gguf; give a folder or a Hub id",
                f"{name}: モデルのファイルは .gguf だけ使えます。"
                "フォルダーか Hub の ID を指定してください",
            )
        return str(ensure_gguf(path))
    if path.suffix == ".gguf" or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"{name}: no such file or folder; check the path",
            f"{name}: ファイルもフォルダーもありません。パスを確認してください",
        )
    prepare_hub()
    return name


def refuse_pickle(name: str) -> None:
    """Raises ModelError where a local folder holds weights as pickles only.

    A pickle is a program that runs when it is read.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir() or next(folder.glob("*.safetensors"), None) is not None:
        return
    found = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if found:
        raise ModelError(
            f"model {name!r}: {found[0]} is a pickle, which can run code when it is read, and "
            "there is no safetensors file; convert it, or set allow_pickle: true for a file that "
            "you trust",
            f"モデル {name!r}: {found[0]} は読むだけでコードが動くおそれのある pickle で、"
            "safetensors ファイルがありません。変換するか、"
            "信頼できるファイルなら allow_pickle: true を指定してください",
        )


def load_base_model(
    name: str,
    precision: str = "fp32",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> tuple[Any, Any]:
    """``(model, tokenizer)`` on the CPU, weights in the precision's storage dtype.

    Safetensors; with ``allow_pickle`` also ``pytorch_model.bin``, by torch's reader that runs no
    code (``weights_only``). Raises ModelError when the model cannot be found or loaded, or when its
    files lack a weight, which transformers would fill with random numbers and a notice in its log.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = resolve_model(name)
    if not allow_pickle:
        refuse_pickle(source)
    model: Any
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=WEIGHT_DTYPES[precision],
            trust_remote_code=trust_remote_code,
            use_safetensors=None if allow_pickle else True,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    except torch.OutOfMemoryError:
        raise
    except _UNLOADABLE as error:
        raise load_failure(name, error) from None
    except RuntimeError as error:  # torch's word for a damaged pickle, and for a full memory
        if not allow_pickle or "memory" in str(error):
            raise
        raise load_failure(name, error) from None
    _refuse_random_weights(name, loading)
    model.config.use_cache = False  # training keeps no key-value cache, in any arm
    return model, tokenizer


def _refuse_random_weights(name: str, loading: dict[str, Any]) -> None:
    mismatched = {key if isinstance(key, str) else key[0] for key in loading["mismatched_keys"]}
    absent = sorted({*loading["missing_keys"], *mismatched})
    if absent:
        raise ModelError(
            f"model {name!r}: {len(absent)} weights are missing or of another shape than its "
            f"config.json says, such as {absent[0]}; the folder is incomplete or mixed up",
            f"モデル {name!r}: {len(absent)} 個の重みがないか、"
            f"config.json と形が違います (例: {absent[0]})。フォルダーが不完全か、混ざっています",
        )


def display_name(name: str) -> str:
    """The name to show: a converted model carries its own, which says that it was dequantised."""
    noted = Path(resolve_model(name)) / "source.json"
    try:
        noted_name = json.loads(noted.read_text(encoding="utf-8"))["display_name"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return name
    return one_line(noted_name, 200) or name


def load_failure(name: str, error: Exception) -> ModelError:
    """What to raise for a model that cannot be loaded: what went wrong and what to do."""
    first = first_ja = first_line(error)[:160]
    if Path(name).expanduser().exists():
        return ModelError(
            f"model {name!r}: cannot be loaded ({first}); check the files of the folder",
            f"モデル {name!r}: 読み込めません ({first_ja})。フォルダーのファイルを確認してください",
        )
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}
    if not offline and is_unreachable():
        first = "the Hub does not answer, and its cache does not hold the model"
        first_ja = "Hub が応答せず、キャッシュにもモデルがありません"
    hint, hint_ja = (
        ("HF_HUB_OFFLINE is set", "HF_HUB_OFFLINE が設定されています。解除")
        if offline
        else ("check the name, the network and your access", "名前、ネットワーク、アクセス権を確認")
    )
    near = close_names(name)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    meant_ja = f"{' か '.join(near)} のことですか。" if near else ""
    return ModelError(
        f"model {name!r}: cannot be loaded ({first}); {meant}{hint}, or give a local folder; "
        "'lora-bench models' lists the names known without the network",
        f"モデル {name!r}: 読み込めません ({first_ja})。{meant_ja}{hint_ja}するか、"
        "手元のフォルダーを指定してください。ネットワークなしで使える名前は"
        " 'lora-bench models' で確認できます",
    )


def create_lora_model(model: Any, adapter: AdapterSettings) -> Any:
    """Wrap a base model with a LoRA adapter (PEFT), targets checked first.

    Tied embeddings stay tied where they are trained whole. Raises TargetModulesError when a name
    matches no module, ConfigError where a tie cannot be kept.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    saved, tied = check_adapter(model, adapter)
    everything = adapter.target_modules == (ALL_LINEAR,)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=adapter.r,
        lora_alpha=adapter.alpha,
        target_modules=ALL_LINEAR if everything else list(adapter.target_modules),
        lora_dropout=adapter.dropout,
        bias="none",
        use_dora=adapter.use_dora,
        use_rslora=adapter.use_rslora,
        fan_in_fan_out=has_conv1d(model, adapter.target_modules),
        inference_mode=False,
        modules_to_save=saved or None,
        ensure_weight_tying=tied,
    )
    wrapped = get_peft_model(model, config)
    if tied and embedding_ends(wrapped)[0].weight is not embedding_ends(wrapped)[1].weight:
        raise lost_tie(model)
    return wrapped


def count_parameters(model: Any) -> tuple[int, int]:
    """``(trainable, total)`` elements, tied tensors once, as the specification orders them."""
    counts = count(model)
    return counts.trainable, counts.total


def measure_model_size(model: Any) -> float:
    """MiB of parameters and buffers, byte-exact, tied tensors once."""
    from ..units import to_mib

    return to_mib(count(model).model_size_bytes)


def count(model: Any) -> Counts:
    """All sizes of a model object."""
    parameters = list(model.named_parameters())  # PyTorch yields a tied tensor once
    trainable = [p for _, p in parameters if p.requires_grad]
    dtypes: dict[str, int] = {}
    for _, p in parameters:
        key = str(p.dtype).removeprefix("torch.")
        dtypes[key] = dtypes.get(key, 0) + p.numel()
    tensors = [*(p for _, p in parameters), *model.buffers()]
    return Counts(
        trainable=sum(p.numel() for p in trainable),
        total=sum(p.numel() for _, p in parameters),
        adapter=sum(p.numel() for name, p in parameters if is_adapter(name)),
        trainable_bytes=sum(p.numel() * p.element_size() for p in trainable),
        model_size_bytes=sum(t.numel() * t.element_size() for t in tensors),
        dtypes=dtypes,
    )


def weights_fingerprint(model: Any) -> str | None:
    """32 hexadecimal digits that say whether two models have the same weights, whatever their path.

    SHA-256 over the shape and evenly spaced elements (4,096 at most) of every parameter, rounded to
    bf16: a model is the same one loaded in fp32 or in bf16. None in fp16, where rounding twice
    would make another one of it.
    """
    digest = hashlib.sha256()
    for parameter in model.parameters():
        if parameter.dtype == torch.float16:
            return None
        flat = parameter.detach().flatten()
        some = flat[:: max(1, -(-flat.numel() // _FINGERPRINT_ELEMENTS))]
        digest.update(str(tuple(parameter.shape)).encode())
        digest.update(some.to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]


def is_adapter(parameter_name: str) -> bool:
    """True for parameters that PEFT added."""
    return any(mark in parameter_name for mark in _ADAPTER_MARKS)
