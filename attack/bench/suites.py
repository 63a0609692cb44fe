"""Which attacks the bench compares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from params import attacks, split_attack

PLAIN = tuple(name for name in attacks() if split_attack(name) == ("plain", name))
RESISTANT = ("average_bim", "diff90_mim", "diff75_mim", "diff50_mim")
PACKAGES = ("torchattacks_mifgsm", "foolbox_mifgsm")
OURS = ("comreadv_fgsm", "comreadv_bim", "comreadv_mim", "best")
SHORT = ("mim", "torchattacks_mifgsm", "diff50_mim", "comreadv_mim", "best")
ANY_CODEC = (*PLAIN, *RESISTANT, *PACKAGES)  # attacks that know nothing of the codec: their images are made once
PAPER = "paper_"  # before an attack's name: the gradient passes through the paper's net
KORNIA = re.compile(r"kornia(\d+)_mim")


def check_name(name: str) -> None:
    """Raise UserError for an attack that is not there."""
    from attack.attacks import load
    from attack.bench.peers import PEERS

    if not KORNIA.fullmatch(name) and name not in PEERS:
        load(name.removeprefix(PAPER))


def every_attack(codec: str, *, paper: bool, linf: bool) -> Iterator[str]:
    """List the attacks for a codec; JPEG-resistant ones of the codec's own quality where it is a JPEG."""
    yield from PLAIN
    yield from RESISTANT
    quality = re.fullmatch(r"jpeg:(\d+)(:.*)?", codec)
    if quality:
        yield f"diff{quality[1]}_bim"
        if f"diff{quality[1]}_mim" not in RESISTANT:
            yield f"diff{quality[1]}_mim"
    if linf:
        yield from PACKAGES
        yield f"kornia{quality[1] if quality else 75}_mim"
    if paper:
        yield f"{PAPER}mim"
    yield from OURS
