"""ComModels on disk: safetensors files from which alone a model is rebuilt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import nn

from collect.files import write_atomically
from params import UserError
from train.models.com_model import ComModel
from train.models.hybrid import Hybrid

KEY = "comreadv"  # safetensors metadata are strings: ours are one JSON object under this key
LAYERS = 2  # how hybrids process; 1 followed WebP and JPEG 2000 and learned AVIF, where 2 has the real encoders
NETWORKS: dict[str, Callable[..., nn.Module]] = {"paper": ComModel, "hybrid": Hybrid}


def build(name: str, **config: Any) -> nn.Module:
    """Build an untrained network by its name in params.yaml and its settings; raise KeyError for an unknown name."""
    return NETWORKS[name](**config)


def save(path: Path, model: nn.Module, /, **metadata: Any) -> None:
    """Write a model whole or not at all.

    Args:
        metadata: JSON values; `model`, the network's name, and `config`, what `build` was given with it, are
            needed to rebuild it.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    about = {KEY: json.dumps({"layers": LAYERS, **metadata}, sort_keys=True)}
    write_atomically(path, to_safetensors(tensors, metadata=about))


def load(path: Path, device: torch.device | str | None = None) -> nn.Module:
    """Rebuild a model in evaluation mode, its parameters fixed; raise UserError for a file that isn't one."""
    metadata = read_metadata(path)
    try:
        with torch.random.fork_rng(devices=[]):  # initialising draws numbers, which are overwritten
            model = build(str(metadata.get("model")), **metadata.get("config", {}))
        tensors = load_file(path)
        if isinstance(model, Hybrid) and metadata.get("layers", 1) < LAYERS:
            still_right = model.still_right(tensors)
            if still_right is None:
                said = "was trained by an earlier version beside a layer that the real encoder has replaced"
                raise UserError(f"{path} {said}. {_remedy(path)}")
            tensors = still_right
        model.load_state_dict(tensors, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_a_checkpoint(path, error) from None
    model = model.to(device or "cpu").to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what `save` was told of a model; raise UserError for a file that isn't one."""
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {})[KEY])
    except FileNotFoundError:
        raise UserError(f"There is no ComModel {path}. {_remedy(path)}") from None
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise _not_a_checkpoint(path, error) from None
    if not isinstance(found, dict):
        raise _not_a_checkpoint(path, "its metadata is no JSON object")
    return found


def _not_a_checkpoint(path: Path, why: object) -> UserError:
    return UserError(f"{path} is no ComModel of ours, or is damaged ({why}). {_remedy(path)}")


def _remedy(path: Path) -> str:
    return f"Run `comreadv train --platform {path.stem}`."
