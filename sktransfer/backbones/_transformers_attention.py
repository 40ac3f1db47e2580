"""The attention of `transformers`' text encoders, without what is slow in it.

It is registered with the library under a name of its own: models that are not ours keep
the one they have.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import bidirectional_mask_function

from sktransfer.backbones._attention import in_float32

_NAME = "sktransfer"
_REPLACED = "sdpa"
_attend = AttentionInterface()[_REPLACED]
_make_mask = AttentionMaskInterface()[_REPLACED]


def use_quick_attention(encoder: PreTrainedModel) -> None:
    """Have an encoder attend as defined here, if it takes torch's own attention.

    What it computes is the same but for rounding, which is never coarser. Encoders
    that bring an attention of their own, and ones that a user has loaded with another
    one than torch's, are left as they are; so are decoders, some of which have masks
    that go with that name only.
    """
    if encoder.config._attn_implementation == _REPLACED and _is_no_decoder(encoder):
        encoder.set_attn_implementation(_NAME)


def _is_no_decoder(encoder: PreTrainedModel) -> bool:
    """Say so by the masks that its architecture makes.

    One that makes those of both says in its configuration what it is.
    """
    architecture = vars(sys.modules[type(encoder).__module__])
    told = getattr(encoder.config, "is_decoder", None)
    causal = "create_causal_mask" in architecture and told is not False
    return "create_bidirectional_mask" in architecture and not causal


def has_quick_attention(encoder: PreTrainedModel) -> bool:
    """Say whether an encoder attends as defined here."""
    return bool(encoder.config._attn_implementation == _NAME)


def _attend_quickly(
    module: Any, query: torch.Tensor, *inputs: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """Attend; on a processor training steps in bfloat16 do it in float32.

    The query itself is in float32 where it has been rotated by positions that are.
    """
    narrow = query.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu")
    if not (narrow and query.device.type == "cpu" and torch.is_grad_enabled()):
        return _attend(module, query, *inputs, **options)
    attended, weights = in_float32(_attend, module, query, *inputs, **options)
    return attended.to(query.dtype), weights


def _make_mask_quickly(
    *,
    q_length: int,
    kv_length: int,
    mask_function: Any,
    attention_mask: torch.Tensor | None = None,
    allow_is_bidirectional_skip: bool = False,
    **options: Any,
) -> torch.Tensor | None:
    """Return which tokens each token attends to, or None where it is all of them.

    Where that is what is no padding, it takes none of the library's index arithmetic.
    """
    # What is traced has to hold for other masks as well.
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if (
        mask_function is bidirectional_mask_function
        and attention_mask is not None
        and attention_mask.shape[-1] == kv_length
        and not traced
    ):
        if allow_is_bidirectional_skip and attention_mask.all():
            return None
        return attention_mask[:, None, None].expand(-1, -1, q_length, -1)
    return _make_mask(
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        attention_mask=attention_mask,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip,
        **options,
    )


AttentionInterface.register(_NAME, _attend_quickly)
AttentionMaskInterface.register(_NAME, _make_mask_quickly)
