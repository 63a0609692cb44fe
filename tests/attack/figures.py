"""Reports as a whole run writes them, for tests that read them."""

from typing import Any


def figures(after: float, **more: Any) -> dict[str, Any]:
    """Give an attack's figures."""
    before = {"images": 20, "not_returned": 0, "targeted": True, "steps": 10, "success_before": 1.0}
    bounds = {"before_low": 0.9, "before_high": 1.0, "low": after - 0.1, "high": after + 0.1}
    return before | bounds | {"success_after": after, "psnr": 30.0, "ssim": 0.9} | more


def transfer(platform: str, success: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    """Give reports/transfer/<platform>.json."""
    made = {"platform": platform, "generation": generation, "classifier": "efficientnet_lite0", "confidence": 0.95}
    return made | {"success": success}


def evaluation(platform: str, success: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    """Give reports/<platform>.json."""
    return transfer(platform, success, generation) | {"site": "sandbox", "images": 20}


def training(platform: str, generation: int, **more: Any) -> dict[str, Any]:
    """Give models/<platform>.json."""
    errors = {"mae": 1.0, "identity_mae": 4.0, "validation_mae": 1.0, "identity_validation_mae": 4.0}
    took = {"parameters": 9, "epochs": 1.0, "steps": 9, "seconds": 3.0}
    images = {"train": 7, "validation": 1, "test": 3}
    described = {"platform": platform, "generation": generation, "model": "hybrid"}
    return described | errors | took | {"images": images} | more
