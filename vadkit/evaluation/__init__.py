"""From confidences to metrics with intervals, the same for every system and for others' scores."""
