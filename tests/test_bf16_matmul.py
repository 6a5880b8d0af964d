"""The emulated bfloat16 product, each check in a process of its own: it replaces kernels."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lora_efficiency_benchmark.models import bf16_matmul

PREAMBLE = """
import torch
from lora_efficiency_benchmark.models import bf16_matmul
bf16_matmul.install()
bf16_matmul.install()  # twice is once
torch.manual_seed(0)

def ulp(x):
    # distance between neighbouring bf16 numbers (8 bits of precision) around each value
    return torch.exp2(torch.floor(torch.log2(x.abs().clamp_min(2.0**-126))) - 7)

def bf(*shape):
    return torch.randn(*shape).to(torch.bfloat16)

def close(found, exact):
    assert found.dtype == torch.bfloat16, found.dtype
    assert found.shape == exact.shape, (found.shape, exact.shape)
    # Sums that nearly cancel lose digits in fp32 too; the bound is for the size of the terms.
    error = (found.double() - exact).abs()
    assert bool((error <= ulp(exact) + 1e-5).all()), error.max()
"""
CASES = """
# mm, then operands transposed and strided
a, b = bf(37, 64), bf(64, 29)
close(a @ b, a.double() @ b.double())
a, b = bf(64, 37).T, bf(29, 64).T
close(a @ b, a.double() @ b.double())
a, b = bf(74, 128)[::2, ::2], bf(64, 58)[:, 1::2]
close(a @ b, a.double() @ b.double())

# bmm, then one operand expanded over the batch
a, b = bf(5, 7, 64), bf(5, 64, 9)
close(a @ b, a.double() @ b.double())
a = bf(1, 7, 64).expand(5, 7, 64)
close(torch.bmm(a, b), a.double() @ b.double())

# addmm; a bias times zero is not read
c, a, b = bf(29), bf(37, 64), bf(64, 29)
found = torch.addmm(c, a, b, beta=2, alpha=0.5)
close(found, 2 * c.double() + 0.5 * (a.double() @ b.double()))
c, a, b = torch.full((3,), float("nan")).bfloat16(), bf(2, 4), bf(4, 3)
close(torch.addmm(c, a, b, beta=0), a.double() @ b.double())

# a linear layer, and its gradients
x, w, b = bf(2, 5, 64), bf(9, 64), bf(9)
exact = x.double() @ w.double().T + b.double()
close(torch.nn.functional.linear(x, w, b), exact)
x, w, g = bf(6, 16).requires_grad_(), bf(5, 16).requires_grad_(), bf(6, 5)
(x @ w.T).backward(g)
close(x.grad, g.double() @ w.detach().double())
close(w.grad, g.double().T @ x.detach().double())

# nothing to multiply
assert (bf(0, 4) @ bf(4, 3)).shape == (0, 3)
assert torch.equal(bf(2, 0) @ bf(0, 3), torch.zeros(2, 3).bfloat16())

# a result outlives the scratch memory it was made in
a, b = bf(8, 8), bf(8, 8)
first = a @ b
kept = first.clone()
_ = bf(8, 8) @ bf(8, 8)
assert torch.equal(first, kept)

# other types are PyTorch's own
a, b = torch.randn(5, 6), torch.randn(6, 7)
exact = a.double() @ b.double()
torch.testing.assert_close(a @ b, exact.float())
torch.testing.assert_close(torch.addmm(torch.ones(7), a, b, beta=3), (exact + 3).float())
torch.testing.assert_close(torch.bmm(a[None], b[None])[0], exact.float())
ones = torch.ones(2, 2, dtype=torch.long)
assert torch.equal(ones @ ones, 2 * ones)

# a mix of types, and shapes that do not fit, are refused
for one, other in ((bf(2, 2), torch.ones(2, 2)), (bf(2, 3), bf(2, 3))):
    try:
        one @ other
    except (RuntimeError, ValueError):
        continue
    raise AssertionError("computed what has no meaning")

# under autocast
x, w = torch.randn(4, 16), torch.randn(16, 3)
with torch.autocast("cpu", dtype=torch.bfloat16):
    y = x @ w
close(y, x.bfloat16().double() @ w.bfloat16().double())
"""


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_case_in_one_process() -> None:
    """Together, because starting torch is what takes the time."""
    run(CASES)


def test_the_check_itself_can_fail() -> None:
    with pytest.raises(AssertionError):
        run("a, b = bf(4, 64), bf(64, 4); close(a @ b, (a.double() @ b.double()) * 1.01)")


@pytest.mark.parametrize(
    ("device", "has_bf16", "expected"),
    [("cuda", False, "native"), ("cpu", True, "native"), ("cpu", False, "emulated")],
)
def test_only_a_cpu_without_the_instructions_is_emulated(
    monkeypatch: pytest.MonkeyPatch, device: str, has_bf16: bool, expected: str
) -> None:
    installed = []
    monkeypatch.setattr(bf16_matmul, "cpu_has_bf16", lambda: has_bf16)
    monkeypatch.setattr(bf16_matmul, "install", lambda: installed.append(True))
    assert bf16_matmul.prepare(device) == expected
    assert bool(installed) == (expected == "emulated")
