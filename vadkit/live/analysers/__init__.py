"""What watches a video: one object for each kind of trained system, all asked in the same way.

    analyser = make_analyser(find_model("outputs/demo"), config, fps)
    for number, image in frames:
        reading = analyser.see(number, image)  # None between analysed frames

networks: the first paper's systems, on frames or on clips; segments: the second paper's models.
"""

from collections.abc import Callable

from vadkit.core.config import Config
from vadkit.live.analysers import networks, segments
from vadkit.live.analysers.base import STAGES, Analyser, Reading, look_together
from vadkit.systems.mil import BagSystem
from vadkit.systems.record import TrainedModel

__all__ = ["STAGES", "Analyser", "Reading", "analysers_of", "look_together", "make_analyser"]


def analysers_of(trained: TrainedModel, config: Config, endless: bool = False) -> Callable[[float], Analyser]:
    """What makes analysers of a recorded model, for a video's frames a second each; all share its networks.

    endless: of a stream or camera. A file's analyser wants `look_ahead` called first. Raises as loading the model does.
    """
    if isinstance(trained.system, BagSystem):
        return lambda fps: segments.analyser_of(trained, config, fps, endless)
    return networks.analysers_of(trained, config)


def make_analyser(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> Analyser:
    """One of `analysers_of`. fps: the video's."""
    return analysers_of(trained, config, endless)(fps)
