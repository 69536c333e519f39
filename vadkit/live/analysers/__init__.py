"""What watches a video: one object for each kind of trained system, all asked in the same way.

    analyser = make_analyser(find_model("outputs/demo"), config, fps)
    for number, image in frames:
        reading = analyser.see(number, image)  # None between analysed frames

networks: the first paper's systems, on frames or on clips; segments: the second paper's models.
"""

from vadkit.core.config import Config
from vadkit.live.analysers import networks, segments
from vadkit.live.analysers.base import STAGES, Analyser, Reading
from vadkit.systems.mil import BagSystem
from vadkit.systems.record import TrainedModel

__all__ = ["STAGES", "Analyser", "Reading", "make_analyser"]


def make_analyser(trained: TrainedModel, config: Config, fps: float, endless: bool = False) -> Analyser:
    """The analyser of a recorded model, with its networks loaded. fps: the video's.

    endless: a stream or camera. A file's analyser wants `look_ahead` called first. Raises as loading the model does.
    """
    kind = segments if isinstance(trained.system, BagSystem) else networks
    return kind.analyser_of(trained, config, fps, endless)
