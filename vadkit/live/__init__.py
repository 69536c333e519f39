"""One video, a stream or a camera, scored by a trained system."""
