"""What can be wrong with a machine, why it matters and what mends it (row 4). Pure: facts in.

Each check looks at one thing and yields what it finds. ``hinders`` is true where a run would not
start, would not end or could not be trusted; everything else is a note.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ..units import GIB, MIB, to_gib
from .facts import NOT_INSTALLED, Finding, Machine, Place, Said

OLDEST_PYTHON = (3, 11)
# Least driver for a major version of CUDA on Linux (NVIDIA, "CUDA Compatibility", table of driver
# version ranges under minor version compatibility).
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
# Most memory that a process of the quick preset took: memory-full of
# benchmarks/results/quick-2026-11-24, process_peak_bytes.
QUICK_BYTES = 3_712_548_864
MODEL_BYTES = 2 * 538_090_408  # the default model's safetensors file, and as much to convert it
OUTPUT_BYTES = 100 * MIB  # records, log and report of a run, with room to spare
_EXPORT_CACHE = "export LORA_BENCH_CACHE=/another/folder"
_ON_CPU = Said(
    "everything would be measured on the CPU", "このままではすべて CPU での測定になります"
)


def findings(machine: Machine) -> list[Finding]:
    """All that is wrong, what hinders a run first."""
    checks = (
        _python, _packages, _torch, _driver, _rocm, _hidden, _default_model, _disk, _memory,
        _threads, _bitsandbytes, _fonts,
    )  # fmt: skip
    found = [finding for check in checks for finding in check(machine)]
    return sorted(found, key=lambda finding: not finding.hinders)


def _command(text: str) -> Said:
    return Said(text, text)


def _pip(*arguments: str) -> Said:
    return _command(" ".join((sys.executable, "-m", "pip", "install", *arguments)))


def _python(m: Machine) -> Iterator[Finding]:
    if m.python < OLDEST_PYTHON:
        have, need = (".".join(map(str, v)) for v in (m.python, OLDEST_PYTHON))
        yield Finding(
            Said(f"Python {have} is too old", f"Python {have} では古すぎます"),
            Said(f"{need} or newer is needed", f"{need} 以降が必要です"),
            _command("rm -rf .venv && make setup PYTHON=python3.11"),
            hinders=True,
        )


def _packages(m: Machine) -> Iterator[Finding]:
    for name, version in m.packages.items():
        if version == NOT_INSTALLED:
            yield Finding(
                Said(f"{name} is not installed", f"{name} が入っていません"),
                Said("a run imports it", "測定に必要なパッケージです"),
                _pip(f"'{name}{m.unsupported.get(name, '')}'"),
                hinders=True,
            )
        elif name in m.unsupported:
            wanted = m.unsupported[name]
            yield Finding(
                Said(
                    f"{name} {version} is not a supported version ({wanted})",
                    f"{name} {version} は対応範囲 ({wanted}) の外です",
                ),
                Said(
                    "it was never tried here; counts and estimates may be off",
                    "動作を確かめていない版です。推定や測定がずれるおそれがあります",
                ),
                _pip(f"'{name}{wanted}'"),
            )


def _torch(m: Machine) -> Iterator[Finding]:
    if m.torch.problem:
        yield Finding(
            Said(
                f"torch cannot be imported ({m.torch.problem})",
                f"torch を読み込めません ({m.torch.problem})",
            ),
            Said("nothing can be trained without it", "学習ができません"),
            _pip("--force-reinstall", "--no-deps", "torch"),
            hinders=True,
        )
        return
    without = m.torch.cuda is None and m.torch.hip is None
    if without and m.graphics.nvidia:
        yield Finding(
            Said(
                "an NVIDIA GPU is there, but this PyTorch is a build for CPUs",
                "NVIDIA の GPU がありますが、この PyTorch は CPU 用です",
            ),
            _ON_CPU,
            _pip("--force-reinstall", "'torch>=2.13,<2.14'"),
        )
    if m.torch.hip is None and m.graphics.amd and m.graphics.amd_driver:
        yield Finding(
            Said(
                "an AMD GPU is there, but this PyTorch is not its ROCm build",
                "AMD の GPU がありますが、この PyTorch は ROCm 用ではありません",
            ),
            _ON_CPU,
            Said(
                "choose ROCm on https://pytorch.org/get-started/locally/ and run the command it "
                "shows",
                "https://pytorch.org/get-started/locally/ で ROCm を選び、表示されたコマンドを"
                "実行してください",
            ),
        )


def _driver(m: Machine) -> Iterator[Finding]:
    """A CUDA build that reaches no device although one is there."""
    cuda, driver = m.torch.cuda, m.graphics.nvidia_driver
    if cuda is None or m.torch.usable or not m.graphics.nvidia or m.graphics.hidden:
        return
    least = LEAST_DRIVER.get(int(cuda.partition(".")[0]), 0)
    mend = "sudo ubuntu-drivers install  # Ubuntu; elsewhere: https://www.nvidia.com/drivers"
    if driver is None:
        state = Said("its driver is not loaded", "ドライバーが読み込まれていません")
    elif int(driver.partition(".")[0]) < least:
        state = Said(
            f"its driver {driver} is too old for CUDA {cuda}, which needs {least} or newer",
            f"ドライバー {driver} は CUDA {cuda} には古すぎます ({least} 以降が必要)",
        )
    else:
        mend = "nvidia-smi"
        state = Said(
            f"PyTorch (CUDA {cuda}) does not reach it, driver {driver}",
            f"PyTorch (CUDA {cuda}) から使えません (ドライバー {driver})",
        )
    what = Said(
        f"an NVIDIA GPU is there, but {state.en}", f"NVIDIA の GPU がありますが、{state.ja}"
    )
    yield Finding(what, _ON_CPU, _command(mend))


def _rocm(m: Machine) -> Iterator[Finding]:
    """A ROCm build that reaches no device."""
    if m.torch.hip is None or m.torch.usable or m.graphics.hidden:
        return
    if not m.graphics.amd_driver:
        yield Finding(
            Said(
                "this PyTorch is a ROCm build, but the AMD compute driver is not loaded (/dev/kfd)",
                "PyTorch は ROCm 用ですが、AMD の計算用ドライバーが読み込まれていません (/dev/kfd)",
            ),
            _ON_CPU,
            _command("sudo modprobe amdgpu"),
        )
    elif not m.graphics.amd_allowed:
        yield Finding(
            Said("this user may not open /dev/kfd", "このユーザーは /dev/kfd を開けません"),
            _ON_CPU,
            _command("sudo usermod -aG render,video $USER  # then log in again"),
        )
    else:
        yield Finding(
            Said(
                f"PyTorch (ROCm {m.torch.hip}) reaches no device",
                f"PyTorch (ROCm {m.torch.hip}) から使えるデバイスがありません",
            ),
            _ON_CPU,
            _command("rocminfo"),
        )


def _hidden(m: Machine) -> Iterator[Finding]:
    if m.graphics.hidden and (m.graphics.nvidia or m.graphics.amd):
        name = m.graphics.hidden.partition("=")[0]
        yield Finding(
            Said(
                f"a GPU is there, and {m.graphics.hidden} hides it",
                f"GPU がありますが、{m.graphics.hidden} により使われません",
            ),
            Said("everything is measured on the CPU", "すべて CPU での測定になります"),
            _command(f"unset {name}"),
        )


def _default_model(m: Machine) -> Iterator[Finding]:
    if m.model["ok"]:
        return
    state = (
        Said("the default model in the cache is damaged", "キャッシュの既定モデルが壊れています")
        if m.model["sha256"]
        else Said("the default model is not in the cache", "既定モデルがキャッシュにありません")
    )
    yield Finding(
        state,
        Said("the presets train it", "プリセットはこのモデルを学習します"),
        _command("lora-bench doctor --fix"),
        hinders=True,
    )


def _disk(m: Machine) -> Iterator[Finding]:
    needs = {
        "cache": (m.cache, 0 if m.model["ok"] else MODEL_BYTES, _EXPORT_CACHE),
        "output": (m.output, OUTPUT_BYTES, "lora-bench run --output-dir /another/folder"),
    }
    for place, least, other in needs.values():
        if least and not place.writable:
            yield Finding(
                Said(f"{place.path} cannot be written", f"{place.path} に書き込めません"),
                Said("models or results go there", "モデルや結果の置き場所です"),
                _command(other),
                hinders=True,
            )
        elif place.free_bytes is not None and place.free_bytes < least:
            yield Finding(
                _little(place, least),
                Said("models or results go there", "モデルや結果の置き場所です"),
                Said(f"free some space, or: {other}", f"空きを作るか、次のようにします: {other}"),
                hinders=True,
            )
    free = m.temporary.free_bytes
    if free is not None and free < MODEL_BYTES // 2:
        yield Finding(
            _little(m.temporary, MODEL_BYTES // 2),
            Said(
                "a trained model is saved there to measure its size on disk; without room the size "
                "is left out",
                "学習後のモデルをここに一時保存してサイズを測ります。空きがなければサイズは記録されません",
            ),
            _command("export TMPDIR=/another/folder"),
        )


def _little(place: Place, least: int) -> Said:
    free, need = to_gib(place.free_bytes or 0), to_gib(least)
    return Said(
        f"{place.path} has {free:.2f} GiB free, {need:.2f} GiB are needed",
        f"{place.path} の空きは {free:.2f} GiB です ({need:.2f} GiB 必要)",
    )


def _memory(m: Machine) -> Iterator[Finding]:
    if m.torch.usable or m.available_bytes is None or m.available_bytes >= QUICK_BYTES:
        return
    have, need = to_gib(m.available_bytes), to_gib(QUICK_BYTES)
    yield Finding(
        Said(
            f"{have:.1f} GiB of memory are free; the quick preset took {need:.1f} GiB",
            f"空きメモリは {have:.1f} GiB です。プリセット quick は {need:.1f} GiB 使いました",
        ),
        Said(
            "full fine-tuning would run out of memory, and be recorded as such",
            "フルファインチューニングはメモリ不足で終わり、そのように記録されます",
        ),
        _command("lora-bench run --set batch_size=1 --set max_length=96"),
        hinders=m.available_bytes < GIB,
    )


def _threads(m: Machine) -> Iterator[Finding]:
    threads, limit = m.torch.threads, m.environment.get("OMP_NUM_THREADS")
    if m.torch.problem or m.torch.usable or (threads == m.cores and limit is None):
        return
    if threads < m.cores and limit is not None:
        yield Finding(
            Said(
                f"PyTorch uses {threads} of {m.cores} cores (OMP_NUM_THREADS={limit})",
                f"PyTorch は {m.cores} コアのうち {threads} コアだけを使います "
                f"(OMP_NUM_THREADS={limit})",
            ),
            Said(
                "a run takes longer; ratios stay fair", "測定に時間がかかります。比は公平なままです"
            ),
            _command("unset OMP_NUM_THREADS"),
        )
    elif threads > m.cores:
        yield Finding(
            Said(
                f"PyTorch starts {threads} threads on {m.cores} usable cores",
                f"使えるコア {m.cores} 個に対し、PyTorch は {threads} スレッドを使います",
            ),
            Said(
                "threads wait for each other, and times scatter",
                "待ち合わせで測定時間がばらつきます",
            ),
            _command(f"export OMP_NUM_THREADS={m.cores}"),
        )


def _bitsandbytes(m: Machine) -> Iterator[Finding]:
    if m.torch.usable and not m.bitsandbytes:
        yield Finding(
            Said("bitsandbytes is not installed", "bitsandbytes が入っていません"),
            Said(
                "only 8-bit optimizers need it (trainer_args: {optim: adamw_8bit})",
                "8ビットのオプティマイザ (trainer_args: {optim: adamw_8bit}) だけが必要とします",
            ),
            _pip("bitsandbytes"),
        )


def _fonts(m: Machine) -> Iterator[Finding]:
    if m.japanese is False:
        yield Finding(
            Said("there is no Japanese font", "日本語のフォントがありません"),
            Said(
                "figures with Japanese text cannot be written as PNG, and show boxes here",
                "日本語の図を PNG に書き出せず、この環境では文字が四角で表示されます",
            ),
            _command("sudo apt-get install fonts-noto-cjk"),
        )
