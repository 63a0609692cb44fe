"""The fate of adversarial images after a fresh round trip."""

from attack.evaluation.figures import BEST, Evaluation, Figures, Success, Transfer, strongest

__all__ = ["BEST", "Evaluation", "Figures", "Success", "Transfer", "strongest"]
