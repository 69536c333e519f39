"""Networks: backbones of the streams, and what is built on them."""
