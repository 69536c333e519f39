"""Networks: backbones of the streams, 3D networks of clips, and what is built on them."""
