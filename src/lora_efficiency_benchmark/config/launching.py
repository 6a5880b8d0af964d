"""How the process of a cell is started (row 1): ``launcher:`` of a configuration, checked.

    launcher: {isolation: auto|fork|spawn}          one process a cell
    launcher: {processes: 2}                        two, data parallel (DDP)
    launcher: {processes: 2, accelerate_config: fsdp2.yaml}
    launcher: {address: auto}                       the cluster of --executor ray

``accelerate_config`` is a file as ``accelerate config`` writes it. Its content becomes part of the
configuration, so that a folder of results explains itself without the file. What the benchmark
decides itself (precision, devices, accumulation) may stand there only as it decides it, and a key
that accelerate would pass over in silence is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..language import Statement
from ..plain_text import is_plain, shown
from .yaml_io import load_yaml_file

ISOLATIONS = ("auto", "fork", "spawn")
MAX_PROCESSES = 64  # of one machine
DDP, FSDP2, DEEPSPEED = "ddp", "fsdp2", "deepspeed"
STRATEGIES = {"MULTI_GPU": DDP, "FSDP": FSDP2, "DEEPSPEED": DEEPSPEED}
_KEYS = ("isolation", "processes", "accelerate_config", "address")
_RULE = "{isolation: auto|fork|spawn, processes: 2, accelerate_config: FILE, address: auto}"

# What a file may say, because ``accelerate config`` writes it, but only as it is here anyway.
_OFF: tuple[Any, ...] = (None, False, "no", "none", "NO", {}, [])
_FIXED: dict[str, tuple[Any, ...]] = {
    "compute_environment": ("LOCAL_MACHINE",),
    "num_machines": (1,),
    "machine_rank": (0,),
    "main_process_ip": (None, "127.0.0.1", "localhost"),
    "main_process_port": (None, 0),
    "main_training_function": ("main",),
    "rdzv_backend": ("static",),
    "same_network": (True, False),
    "gpu_ids": (None, "all"),
    **dict.fromkeys(
        (
            "mixed_precision", "downcast_bf16", "use_cpu", "debug", "enable_cpu_affinity",
            "tpu_env", "tpu_use_cluster", "tpu_use_sudo", "dynamo_config", "fp8_config",
            "megatron_lm_config", "mpirun_config", "parallelism_config",
        ),
        _OFF,
    ),
}  # fmt: skip
_FSDP = {
    "fsdp_version", "fsdp_reshard_after_forward", "fsdp_offload_params", "fsdp_auto_wrap_policy",
    "fsdp_transformer_layer_cls_to_wrap", "fsdp_min_num_params", "fsdp_state_dict_type",
    "fsdp_cpu_ram_efficient_loading", "fsdp_activation_checkpointing",
    "fsdp_activation_checkpointing_offload",
}  # fmt: skip
_DEEPSPEED = {
    "zero_stage", "offload_optimizer_device", "offload_param_device", "zero3_init_flag",
    "zero3_save_16bit_model", "deepspeed_multinode_launcher",
}  # fmt: skip
_BLOCKS = {"fsdp_config": (FSDP2, _FSDP), "deepspeed_config": (DEEPSPEED, _DEEPSPEED)}
# Would change what a step is, or wrap the model a second time.
_TRAINER_ARGS = (
    "fsdp", "fsdp_config", "deepspeed", "parallelism_config", "accelerator_config", "local_rank",
    "ddp_backend",
)  # fmt: skip


def check_launcher(raw: Any) -> dict[str, Any]:
    """``launcher`` with the content of its accelerate file in place of the path.

    Raises ConfigError.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"launcher: must be a mapping such as {_RULE}; got {shown(raw)}",
            f"launcher: {_RULE} のようなマッピングを指定してください (現在の値: {shown(raw)})",
        )
    unknown = [key for key in raw if key not in _KEYS]
    if unknown or raw.get("isolation", "auto") not in ISOLATIONS:
        raise ConfigError(
            f"launcher: must be {_RULE}; got {shown(dict(raw))}",
            f"launcher: {_RULE} の形にしてください (現在の値: {shown(dict(raw))})",
        )
    launcher = {str(key): value for key, value in raw.items()}
    address = launcher.get("address", "auto")
    if not _is_text(address) or not address:
        raise ConfigError(
            f"launcher.address: must be auto or HOST:PORT; got {shown(address)}",
            f"launcher.address: auto か HOST:PORT を指定してください (現在の値: {shown(address)})",
        )
    given = launcher.get("accelerate_config")
    if given is not None:
        content = _content(given)
        launcher.setdefault("processes", content["num_processes"])
        launcher["accelerate_config"] = content
    processes = launcher.get("processes", 1)
    whole = isinstance(processes, int) and not isinstance(processes, bool)
    if not whole or not 1 <= processes <= MAX_PROCESSES:
        raise ConfigError(
            f"launcher.processes: must be a whole number from 1 to {MAX_PROCESSES}; "
            f"got {shown(processes)}",
            f"launcher.processes: 1以上{MAX_PROCESSES}以下の整数を"
            f"指定してください (現在の値: {shown(processes)})",
        )
    if given is not None and launcher["accelerate_config"]["num_processes"] != processes:
        raise ConfigError(
            f"launcher.processes: is {processes}, and accelerate_config says num_processes "
            f"{launcher['accelerate_config']['num_processes']}; make them agree",
            f"launcher.processes: {processes} ですが、accelerate_config の num_processes は"
            f" {launcher['accelerate_config']['num_processes']} です。同じ値にしてください",
        )
    if given is not None and processes == 1:
        raise ConfigError(
            "launcher.accelerate_config: is for 2 processes or more; remove it",
            "launcher.accelerate_config: 2プロセス以上のときの設定です。削除してください",
        )
    return launcher


def check_shares(processes: int, batch_size: int, trainer_args: Mapping[str, Any]) -> None:
    """Whether a step can be shared by ``processes`` and stay the same step. Raises ConfigError."""
    if processes == 1:
        return
    if batch_size % processes:
        fits = batch_size - batch_size % processes or processes
        raise ConfigError(
            f"batch_size: {batch_size} texts a step cannot be shared evenly by launcher.processes "
            f"{processes}; take a multiple of it, such as {fits}",
            f"batch_size: 1ステップ {batch_size} テキストを launcher.processes {processes} で"
            f"等分できません。{fits} のような倍数にしてください",
        )
    clash = [name for name in _TRAINER_ARGS if trainer_args.get(name)]
    if trainer_args.get("average_tokens_across_devices") is False:
        clash.append("average_tokens_across_devices")
    if clash:
        raise ConfigError(
            f"trainer_args.{clash[0]}: with several processes launcher decides this; "
            "remove it here",
            f"trainer_args.{clash[0]}: 複数プロセスでは launcher がこれを決めます。"
            "ここからは削除してください",
        )


def strategy_of(processes: int, accelerate: Mapping[str, Any] | None) -> str:
    """How processes share a model: ``ddp``, ``fsdp2`` or ``deepspeed``; empty for one process."""
    if processes == 1:
        return ""
    return DDP if accelerate is None else STRATEGIES[accelerate["distributed_type"]]


def accelerate_settings(processes: int, accelerate: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content of the file that ``accelerate launch --config_file`` reads.

    Always whole: else accelerate would fill what is missing from the user's own default file.
    """
    asked = accelerate or {"distributed_type": "MULTI_GPU"}
    return {
        **asked,
        "compute_environment": "LOCAL_MACHINE",
        "num_processes": processes,
        "num_machines": 1,
        "machine_rank": 0,
        "mixed_precision": "no",  # the Trainer is told the precision
        "downcast_bf16": "no",
        "use_cpu": False,
        "debug": False,
    }


# ---- the accelerate file ------------------------------------------------------------------------


def _content(given: Any) -> dict[str, Any]:
    """The settings of a file, or those that an earlier reading put in its place."""
    if isinstance(given, Mapping):
        return _checked(given, "launcher.accelerate_config")
    if not isinstance(given, str) or not given or not is_plain(given):
        raise ConfigError(
            f"launcher.accelerate_config: must be the path of a YAML file; got {shown(given)}",
            "launcher.accelerate_config: YAML ファイルのパスを指定してください (現在の値: "
            f"{shown(given)})",
        )
    path = Path(given).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"launcher.accelerate_config: no such file {given}; check the path",
            f"launcher.accelerate_config: ファイル {given} がありません。パスを確認してください",
        )
    content = load_yaml_file(path)
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{given}: must be a mapping, as 'accelerate config' writes it",
            f"{given}: 'accelerate config' が書くようなマッピングにしてください",
        )
    return _checked(content, given)


def _checked(content: Mapping[Any, Any], where: str) -> dict[str, Any]:
    strategy = STRATEGIES.get(str(content.get("distributed_type")))
    if strategy is None:
        raise ConfigError(
            f"{where}: distributed_type must be one of {', '.join(STRATEGIES)}; "
            f"got {shown(content.get('distributed_type'))}",
            f"{where}: distributed_type には {', '.join(STRATEGIES)} のいずれかを"
            f"指定してください (現在の値: {shown(content.get('distributed_type'))})",
        )
    count = content.get("num_processes")
    if not isinstance(count, int) or isinstance(count, bool):
        raise ConfigError(
            f"{where}: num_processes must be a whole number; got {shown(count)}",
            f"{where}: num_processes には整数を指定してください (現在の値: {shown(count)})",
        )
    for key, value in content.items():
        if key in _BLOCKS:
            _check_block(key, value, strategy, where)
        elif key in _FIXED:
            if not _among(value, _FIXED[key]):
                raise ConfigError(
                    f"{where}: {key} {shown(value)} {_why(key).en}; remove it",
                    f"{where}: {key} {shown(value)} は{_why(key).ja}。削除してください",
                )
        elif key not in ("distributed_type", "num_processes"):
            raise ConfigError(
                f"{where}: {shown(key)} is not used here; remove it",
                f"{where}: {shown(key)} はここでは使いません。削除してください",
            )
    _check_choices(content, strategy, where)
    return {str(key): dict(value) if key in _BLOCKS else value for key, value in content.items()}


def _check_block(name: str, block: Any, strategy: str, where: str) -> None:
    wanted, known = _BLOCKS[name]
    if not isinstance(block, Mapping):
        raise ConfigError(
            f"{where}: {name} must be a mapping; got {shown(block)}",
            f"{where}: {name} はマッピングにしてください (現在の値: {shown(block)})",
        )
    if block and wanted != strategy:
        raise ConfigError(
            f"{where}: {name} does not go with its distributed_type; remove it",
            f"{where}: {name} は distributed_type と合いません。削除してください",
        )
    for key, value in block.items():
        if key not in known:
            raise ConfigError(
                f"{where}: {name}.{shown(key)[1:-1]} is not used here; known keys: "
                f"{', '.join(sorted(known))}",
                f"{where}: {name}.{shown(key)[1:-1]} はここでは使いません。"
                f"使えるキー: {', '.join(sorted(known))}",
            )
        if not (value is None or isinstance(value, bool | int | float) or _is_text(value)):
            raise ConfigError(
                f"{where}: {name}.{key} must be a plain value; got {shown(value)}",
                f"{where}: {name}.{key} には単純な値を指定してください (現在の値: {shown(value)})",
            )


def _check_choices(content: Mapping[Any, Any], strategy: str, where: str) -> None:
    """What of FSDP and DeepSpeed is not supported."""
    fsdp, deepspeed = content.get("fsdp_config") or {}, content.get("deepspeed_config") or {}
    if strategy == FSDP2 and fsdp.get("fsdp_version") != 2:
        raise ConfigError(
            f"{where}: fsdp_config.fsdp_version must be 2",
            f"{where}: fsdp_config.fsdp_version は 2 にしてください",
        )
    if strategy == FSDP2 and fsdp.get("fsdp_cpu_ram_efficient_loading") is not False:
        raise ConfigError(
            f"{where}: fsdp_config.fsdp_cpu_ram_efficient_loading must be false: every process "
            "counts the whole model before it is divided",
            f"{where}: fsdp_config.fsdp_cpu_ram_efficient_loading は false にしてください。"
            "分割の前に、各プロセスがモデル全体を数えるためです",
        )
    if strategy == DEEPSPEED and deepspeed.get("zero3_init_flag") not in (None, False):
        raise ConfigError(
            f"{where}: deepspeed_config.zero3_init_flag must be false: every process counts the "
            "whole model before it is divided",
            f"{where}: deepspeed_config.zero3_init_flag は false にしてください。分割の前に、"
            "各プロセスがモデル全体を数えるためです",
        )
    for name in ("offload_optimizer_device", "offload_param_device"):
        if deepspeed.get(name) not in (None, "none", "cpu"):
            raise ConfigError(
                f"{where}: deepspeed_config.{name} must be none or cpu",
                f"{where}: deepspeed_config.{name} には none か cpu を指定してください",
            )


def _why(key: str) -> Statement:
    if key == "mixed_precision":
        return Statement("would override the field precision", "項目 precision を上書きします")
    if key == "gpu_ids":
        return Statement("is chosen by CUDA_VISIBLE_DEVICES", " CUDA_VISIBLE_DEVICES で選びます")
    return Statement("is not supported here", "ここでは使えません")


def _among(value: Any, allowed: Sequence[Any]) -> bool:
    """Equal to one of ``allowed``, and of its type: 1 is not True."""
    return any(type(value) is type(one) and value == one for one in allowed)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_plain(value)
