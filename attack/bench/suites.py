"""Which attacks the bench compares."""

from __future__ import annotations

import re
from collections.abc import Iterator

PLAIN = ("fgsm", "bim", "pgd", "mim", "mim_official", "ni", "vmi")


RESISTANT = ("average_bim", "diff90_mim", "diff75_mim", "diff50_mim")


PACKAGES = ("torchattacks_mifgsm", "foolbox_mifgsm")


OURS = ("comreadv_fgsm", "comreadv_bim", "comreadv_mim", "best")


ANY_CODEC = (*PLAIN, *RESISTANT, *PACKAGES)  # attacks that know nothing of the codec: their images are made once


def check_name(name: str) -> None:
    """Raise UserError for an attack that is not there."""
    from attack.attacks.base import load
    from attack.bench.peers import KORNIA, PEERS

    if not KORNIA.fullmatch(name) and name not in PEERS:
        load(name.removeprefix("paper_"))


def every_attack(chain: str, *, paper: bool, linf: bool) -> Iterator[str]:
    """List the attacks for a codec; JPEG-resistant ones of the codec's own quality where it is a JPEG."""
    yield from PLAIN
    yield from RESISTANT
    quality = re.fullmatch(r"jpeg:(\d+)(:.*)?", chain)
    if quality:
        yield f"diff{quality[1]}_bim"
        if f"diff{quality[1]}_mim" not in RESISTANT:
            yield f"diff{quality[1]}_mim"
    if linf:
        yield from PACKAGES
        yield f"kornia{quality[1] if quality else 75}_mim"
    if paper:
        yield "paper_mim"
    yield from OURS
