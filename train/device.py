"""Where tensors live and in which precision networks train."""

from __future__ import annotations

import torch


def pick() -> torch.device:
    """Choose CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """Run convolutions in bfloat16 where the device gains by it, else change nothing.

    CPUs gain with AMX or AVX-512 BF16; elsewhere PyTorch emulates bfloat16 and is slower than in float32.
    """
    if device.type == "cpu":
        cpu = torch.cpu.get_capabilities()
        gains = bool(cpu.get("amx_bf16") or cpu.get("avx512_bf16"))
    else:
        gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=gains)
