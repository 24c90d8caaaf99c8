"""The mathematics with a hot path, as PyTorch ops."""

from . import reference
from .reference import PowqmixHead, hyper_scales, monotonic_mix, powqmix_head, select_q, td_lambda_target

__all__ = [
    "PowqmixHead", "hyper_scales", "monotonic_mix", "powqmix_head", "reference", "select_q", "td_lambda_target",
]  # fmt: skip
