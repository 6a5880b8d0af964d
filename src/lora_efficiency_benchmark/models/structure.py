"""Models without weights (row 4): every layer on the meta device, and what a method trains in it.

Building costs a second or two whatever the model's size. A structure comes from an architecture
preset, a folder, a ``.gguf`` file or the Hub; applying a method is the same call to PEFT as in a
run, so that what is counted here is what is trained there.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..config.architectures import Architecture, find_architecture
from ..config.methods import Method
from ..errors import ConfigError, ModelError, TargetModulesError, first_line
from .adapter_modules import check_saved, check_targets, has_conv1d
from .loading import WEIGHT_DTYPES, create_lora_model, load_failure, resolve_model

_LOADING = (OSError, ValueError, ImportError, KeyError)


def build_structure(name: str, trust_remote_code: bool = False, precision: str = "fp32") -> Any:
    """The model on the meta device, in the precision's storage dtype: every layer, no weights.

    ``name`` is an architecture preset, or anything that ``resolve_model`` takes; a local folder
    goes before a preset of the same name. Raises ModelError when it cannot be found.
    """
    from transformers import AutoConfig

    preset = preset_for(name)
    try:
        if preset is not None:
            config: Any = AutoConfig.for_model(preset.model_type, **preset.config)
        else:
            source = resolve_model(name)
            with _quiet_hub():
                config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
        return structure_of(config, trust_remote_code, precision)
    except _LOADING as error:
        raise load_failure(name, error) from None


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the Hub's line for each attempt: the error at the end says what went wrong."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def structure_of(
    config: Any, trust_remote_code: bool = False, precision: str = "fp32", attention: str = "sdpa"
) -> Any:
    """The model of a configuration on the meta device; ``config`` stays as it is.

    Eager attention where the architecture has no ``sdpa``. Raises ModelError where the
    configuration cannot be built.
    """
    from transformers import AutoModelForCausalLM

    failure: Exception | None = None
    for implementation in dict.fromkeys((attention, "eager")):
        try:
            with torch.device("meta"):
                return AutoModelForCausalLM.from_config(
                    copy.deepcopy(config),
                    trust_remote_code=trust_remote_code,
                    dtype=WEIGHT_DTYPES[precision],
                    attn_implementation=implementation,
                )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a configuration reaches any line of the model's own code
            failure = failure or error
    kind = getattr(config, "model_type", "model")
    assert failure is not None
    said = first_line(failure)[:160]
    raise ModelError(
        f"{kind}: cannot be built from its configuration ({said}); check it",
        f"{kind}: 構成から作れません ({said})。構成を確認してください",
    )


def load_model_structure(name: str, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """``(model, tokenizer)``, the model on the meta device.

    Raises ModelError when the model cannot be found, or is a preset, which has no tokenizer.
    """
    from transformers import AutoTokenizer

    source = resolve_model(name)  # refuses a preset, by name
    model = build_structure(name, trust_remote_code)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    except _LOADING as error:
        raise load_failure(name, error) from None
    return model, tokenizer


def preset_for(name: str) -> Architecture | None:
    """The architecture preset that a model name means: None where a folder has that name."""
    return None if Path(name).expanduser().exists() else find_architecture(name)


def apply_method(model: Any, method: Method) -> Any:
    """The model with exactly the method's parameters trainable; the base model is changed too.

    Works on the meta device. Raises TargetModulesError when a named target matches nothing, and
    ConfigError when PEFT refuses the configuration.
    """
    if method.kind == "full":
        return model.requires_grad_(True)
    # New adapter weights go beside the base model's: on the meta device nothing is filled in.
    with model.device, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is dep", FutureWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type .*Norm", UserWarning)  # LN tuning
        if method.adapter is not None:
            return _apply_lora(model, method)
        return _apply_peft(model, dict(method.peft_config or {}))


def _apply_lora(model: Any, method: Method) -> Any:
    assert method.adapter is not None
    try:
        return create_lora_model(model, method.adapter)
    except (ValueError, TypeError, NotImplementedError) as error:
        message = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{method.label}: PEFT refuses it on {type(model).__name__} ({message})",
            f"{method.label}: PEFT が {type(model).__name__} では受け付けません ({message})",
        ) from None


def _apply_peft(model: Any, raw: dict[str, Any]) -> Any:
    from peft import get_peft_model

    kind = raw["peft_type"]
    targets = raw.get("target_modules")
    if isinstance(targets, list):
        check_targets(model, targets, any_module=True)
    config = _peft_config(model, raw)
    saved = getattr(config, "modules_to_save", None)
    if isinstance(saved, list):
        check_saved(model, saved)
    try:
        return get_peft_model(model, config)
    except torch.OutOfMemoryError:
        raise
    except re.error as error:
        raise ConfigError(
            f"{kind}: {str(error.pattern)[:80]!r} is no regular expression ({error}); "
            "mend the adapter_config.json",
            f"{kind}: {str(error.pattern)[:80]!r} は正規表現ではありません ({error})。"
            "adapter_config.json を直してください",
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError, ImportError, RuntimeError) as error:
        message = " ".join(str(error).split())[:200]
        if "meta tensor" in message.lower():
            raise ConfigError(
                f"{kind}: PEFT needs the weights to set it up, so it cannot be sized without them; "
                "give another method",
                f"{kind}: PEFT の準備に重みが必要なので、重みなしでは大きさを求められません。"
                "別の手法を指定してください",
            ) from None
        refused = TargetModulesError if "arget" in message else ConfigError
        raise refused(
            f"{kind}: PEFT refuses it on {type(model).__name__} ({message})",
            f"{kind}: PEFT が {type(model).__name__} では受け付けません ({message})",
        ) from None


def _peft_config(model: Any, raw: dict[str, Any]) -> Any:
    """The configuration object of PEFT, made for training a causal language model."""
    from peft import PeftConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind, task = raw["peft_type"], raw.get("task_type") or "CAUSAL_LM"
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        known = ", ".join(sorted(str(key.value) for key in PEFT_TYPE_TO_CONFIG_MAPPING))
        raise ConfigError(
            f"adapter_config.json: unknown peft_type {kind!r}; known: {known}",
            f"adapter_config.json: 不明な peft_type {kind!r} です。使えるもの: {known}",
        )
    if task != "CAUSAL_LM":
        raise ConfigError(
            f"adapter_config.json: task_type {task}: only CAUSAL_LM can be compared",
            f"adapter_config.json: task_type {task}: 比べられるのは CAUSAL_LM だけです",
        )
    values = {**raw, "task_type": task, "inference_mode": False}
    if model.device.type == "meta" and isinstance(values.get("init_lora_weights"), str):
        values["init_lora_weights"] = True  # decompositions need the weights; the shapes are these
    if "fan_in_fan_out" in PEFT_TYPE_TO_CONFIG_MAPPING[kind].__dataclass_fields__:
        values["fan_in_fan_out"] = has_conv1d(model, raw.get("target_modules"))
    try:
        return PeftConfig.from_peft_type(**values)  # warns of keys of a newer PEFT
    except (ValueError, TypeError) as error:
        message = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"adapter_config.json: PEFT refuses it ({message})",
            f"adapter_config.json: PEFT が受け付けません ({message})",
        ) from None
