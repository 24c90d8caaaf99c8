"""The mathematics with a hot path, as PyTorch ops: checks, a C++ and a CUDA kernel, a gradient."""

from . import recognizer, reference
from .gru import gru_sequence
from .head import powqmix_head, td_lambda_target
from .hyper_scales import hyper_scales
from .kernels import debug_checks
from .loss import weighted_loss
from .monotonic_mix import monotonic_mix
from .powqmix_loss import powqmix_loss
from .reference import PowqmixHead, PowqmixLoss
from .select_q import select_q

__all__ = [
    "PowqmixHead", "PowqmixLoss", "debug_checks", "gru_sequence", "hyper_scales", "monotonic_mix", "powqmix_head",
    "powqmix_loss", "recognizer", "reference", "select_q", "td_lambda_target", "weighted_loss",
]  # fmt: skip
