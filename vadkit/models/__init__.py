"""Networks: backbones of the streams, 3D networks of clips, and what is built on them."""


def scaled(channels: int, width: float) -> int:
    """A share of a published layer's channels, at least one."""
    return max(1, round(channels * width))
