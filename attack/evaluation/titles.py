"""The attacks' names, as the papers write them."""

from __future__ import annotations

from attack.evaluation.figures import BEST
from params import THROUGH_COM_MODEL, split_attack

PEERS = {"torchattacks": "torchattacks' MI-FGSM", "foolbox": "foolbox's MI-FGSM", "kornia": "MIM through kornia's JPEG"}


def title(attack: str) -> str:
    """Write an attack's name as the papers do: MIM, ComReAdv_mim, Diff_mim(75); a peer's package by its name."""
    peer = PEERS.get(attack.partition("_")[0].rstrip("0123456789"))
    if peer is not None:
        quality = attack.partition("_")[0].removeprefix("kornia")
        return f"{peer} ({quality})" if quality.isdigit() else peer
    surrogate, module = split_attack(attack) or ("plain", attack)
    if attack.startswith("paper_"):
        return f"ComReAdv_{attack.removeprefix('paper_')}, the paper's net"
    if attack.startswith(THROUGH_COM_MODEL):
        return f"ComReAdv_{module}"
    if surrogate.startswith("diff"):
        return f"Diff_{module}({surrogate.removeprefix('diff')})"
    if surrogate == "average":
        return f"JPEG average_{module}"
    return module if module == BEST else module.upper().replace("_OFFICIAL", " (official)")
