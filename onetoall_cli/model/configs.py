"""The sizes of the released networks: arguments of `OneToAllTransformer3DModel`.

Source: the tensor shapes of the released checkpoints (`MochunniaN1/One-to-All-1.3b_1`, `-1.3b_2`, `-14b`) and Wan2.1's
transformer configuration.
"""

from typing import Any

CONFIG_1_3B: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
    "num_reference_layers": 14,
    "num_pose_layers": 2,
    "eps": 1e-6,
}

CONFIG_14B: dict[str, Any] = {
    **CONFIG_1_3B,
    "num_attention_heads": 40,
    "ffn_dim": 13824,
    "num_layers": 40,
    "num_reference_layers": 7,
    "num_pose_layers": 1,
}
