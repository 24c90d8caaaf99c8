"""The mathematics with a hot path, as PyTorch ops."""

from . import reference
from .gru import gru_sequence
from .layers import mlp
from .reference import PowqmixHead, hyper_scales, monotonic_mix, powqmix_head, select_q, td_lambda_target

__all__ = [
    "PowqmixHead", "gru_sequence", "hyper_scales", "mlp", "monotonic_mix", "powqmix_head", "reference", "select_q",
    "td_lambda_target",
]  # fmt: skip
