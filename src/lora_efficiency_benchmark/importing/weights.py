"""Parameters counted from the heads of safetensors files (row 4, no torch).

A safetensors file begins with eight bytes, the length of a JSON head that gives name, type and
shape of every tensor. Only that is read: no weights, and never a pickle.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fields import LARGEST, Fields
from .files import MAX_JSON_BYTES, clean, open_regular, parse_json, read_json
from .refusal import NotImportable

ADAPTER, MODEL, INDEX = (
    "adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json",
)  # fmt: skip
_FLOATS = {"F64": (8, "float64"), "F32": (4, "float32"), "F16": (2, "float16")}
_FLOATS["BF16"] = (2, "bfloat16")
_WHOLE_NUMBERS = {"I64", "I32", "I16", "BOOL"}  # positions and masks, never parameters
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*\.safetensors")  # a plain name: no other folder
_MAX_SHARDS = 1000
_LORA = re.compile(r"\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)(\.|$)")
_ENDS = ((".embed_tokens.weight", ".wte.weight"), (".lm_head.weight",))  # that PEFT saves twice


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Weights:
    """What the heads of one model's or adapter's files say."""

    shapes: Mapping[str, tuple[int, ...]]  # of its parameters, as stored
    dtypes: Mapping[str, int]  # dtype -> elements
    file_bytes: int
    source: str  # the file that was read

    @property
    def parameters(self) -> int:
        """Elements of all tensors, one that is known to be stored twice once."""
        return sum(self.dtypes.values())

    @property
    def dtype(self) -> str:
        """The dtype, or all of them."""
        return "/".join(sorted(self.dtypes))


def adapter_weights(path: Path, whole: Sequence[str] = (), tied: bool = False) -> Weights:
    """A LoRA adapter, and the modules trained ``whole`` beside it.

    ``tied``: embeddings among them are one tensor at both ends. PEFT writes it under both names,
    of which its configuration may list one; it counts once. Raises NotImportable where the file
    holds more: an embedding that PEFT saved along was not trained.
    """
    tensors, size = _head(path)
    trained = tuple(f".{name}" for name in whole)
    beside = [name for name in tensors if not _LORA.search(name)]
    known = {name for name in beside if f".{name.rpartition('.')[0]}".endswith(trained)}
    pair = _pair(tensors) if tied else ()
    if known.intersection(pair):
        known.update(pair)
        counted = {name: tensor for name, tensor in tensors.items() if name != pair[-1]}
    else:
        counted = tensors
    other = next((name for name in beside if name not in known), None)
    if other is not None:
        raise NotImportable(
            f"holds {clean(other, 80)}, which is no LoRA weight; it is not counted",
            f"LoRAの重みではない {clean(other, 80)} を含むため数えません",
        )
    return Weights(_shapes(tensors), _elements(counted), size, path.name)


def model_weights(folder: Path) -> Weights | None:
    """A whole model, in one file or in shards; None where there is none. Raises NotImportable."""
    if (folder / MODEL).exists():
        tensors, size = _head(folder / MODEL)
        return Weights(_shapes(tensors), _elements(tensors), size, MODEL)
    if not (folder / INDEX).exists():
        return None
    everything: dict[str, _Tensor] = {}
    file_bytes = 0
    for name in _shards(folder / INDEX):
        tensors, size = _head(folder / name)
        if tensors.keys() & everything.keys():
            raise NotImportable(
                "two shards hold the same tensor", "同じテンソルが2つのファイルにあります"
            )
        everything |= tensors
        file_bytes += size
    return Weights(_shapes(everything), _elements(everything), file_bytes, INDEX)


def fits(adapter: Weights, model: Weights) -> bool:
    """Whether every matrix that the adapter changes exists in the model with that shape."""
    known: dict[str, tuple[int, ...]] = {}
    for name, shape in model.shapes.items():
        known[_core(name.removesuffix(".weight"))] = shape
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in adapter.shapes.items():
        module, _, rest = name.partition(".lora_")
        if rest[:1] in ("A", "B") and len(shape) == 2:
            sides.setdefault(_core(module.removeprefix("base_model.model.")), {})[rest[0]] = shape
    return all(
        module in known and sorted(known[module]) == sorted((pair["B"][0], pair["A"][1]))
        for module, pair in sides.items()
        if set(pair) == {"A", "B"}
    )


def _pair(tensors: Mapping[str, _Tensor]) -> tuple[str, ...]:
    """Input embedding and output head, where the file holds one of each and they are alike."""
    ends = [[name for name in tensors if f".{name}".endswith(any_of)] for any_of in _ENDS]
    if any(len(names) != 1 for names in ends):
        return ()
    (first,), (last,) = ends
    return (first, last) if tensors[first] == tensors[last] else ()


def _shapes(tensors: Mapping[str, _Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _elements(tensors: Mapping[str, _Tensor]) -> dict[str, int]:
    """Elements by dtype."""
    found: dict[str, int] = {}
    for tensor in tensors.values():
        found[tensor.dtype] = found.get(tensor.dtype, 0) + math.prod(tensor.shape)
    return found


def _core(name: str) -> str:
    return name.removeprefix("model.")


def _shards(index: Path) -> Iterable[str]:
    values = read_json(index)
    table = Fields(values if isinstance(values, dict) else {}).mapping("weight_map")
    names = set(table.values.values()) if table and _all_texts(table.values) else set()
    good = all(_SHARD.fullmatch(name) for name in names)
    if not names or len(names) > _MAX_SHARDS or not good:
        raise NotImportable(
            f"{INDEX} does not list safetensors files beside it",
            f"{INDEX} に同じフォルダーの safetensors が並んでいません",
        )
    return sorted(names)


def _all_texts(values: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) for value in values.values())


def _head(path: Path) -> tuple[dict[str, _Tensor], int]:
    """The parameters in one file, and its size."""
    with open_regular(path) as (file, size):
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_JSON_BYTES):
            raise _not_safetensors()
        head = parse_json(file.read(length))
    if not isinstance(head, dict):
        raise _not_safetensors()
    tensors: dict[str, _Tensor] = {}
    for name, entry in head.items():
        if name == "__metadata__":
            continue
        dtype, shape, stored = _entry(entry)
        if dtype in _WHOLE_NUMBERS or _is_buffer(name, shape):
            continue
        if dtype not in _FLOATS:
            raise NotImportable(
                f"holds {clean(dtype, 20)} tensors; packed weights are not counted",
                f"{clean(dtype, 20)} のテンソルを含みます。圧縮された重みは数えません",
            )
        width, named = _FLOATS[dtype]
        if math.prod(shape) * width != stored[1] - stored[0] or stored[1] > size - 8 - length:
            raise _not_safetensors()
        tensors[name] = _Tensor(shape, named)
    return tensors, size


def _entry(entry: Any) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    if not isinstance(entry, dict):
        raise _not_safetensors()
    dtype, shape, stored = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise _not_safetensors()
    return dtype, _counts(shape), _counts(stored, 2)


def _counts(value: Any, length: int | None = None) -> tuple[int, ...]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise _not_safetensors()
    if not all(type(n) is int and 0 <= n <= LARGEST for n in value):
        raise _not_safetensors()
    return tuple(value)


def _is_buffer(name: str, shape: tuple[int, ...]) -> bool:
    """Stored beside the parameters by some models: rotary frequencies, causal masks."""
    if name.endswith(("inv_freq", "masked_bias")):
        return True
    return len(shape) == 4 and name.endswith(("attn.bias", "attention.bias"))


def _not_safetensors() -> NotImportable:
    return NotImportable("is not a safetensors file", "safetensors ファイルとして読めません")
