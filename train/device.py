"""Where tensors live and in which precision networks train."""

from __future__ import annotations

from itertools import chain as joined

import torch
from torch import nn


def best() -> torch.device:
    """Choose CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """Run convolutions in bfloat16 where the device gains by it, else change nothing.

    CPUs gain with AMX alone: AVX-512's bfloat16 was measured to be no faster, and others emulate it. An older PyTorch
    does not say whether a CPU has it.
    """
    if device.type == "cpu":
        gains = bool(getattr(torch.cpu, "get_capabilities", dict[str, bool])().get("amx_bf16"))
    else:
        gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=gains)


def device_of(model: nn.Module) -> torch.device:
    """Return the device that a model is on; the CPU for one that holds nothing."""
    return next((tensor.device for tensor in joined(model.parameters(), model.buffers())), torch.device("cpu"))
