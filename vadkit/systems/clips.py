"""The first paper's comparisons on clips of whole frames: C3D (section 4.5) and the two-stream I3D (section 4.6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from vadkit.models.pretrained import clip_networks
from vadkit.systems.base import System
from vadkit.systems.two_stream import TWO_LAYERS, TwoStreamSystem

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.systems.inputs import ClipInputs


class ClipSystem(TwoStreamSystem):
    """A 3D network in the place of the streams; it sees the clip that ends at an analysed frame."""

    on_clips = True
    network: ClassVar[str] = ""  # a kind of `vadkit.models.pretrained`

    def needs(self, config: Config) -> dict[str, str]:
        return clip_networks(self.network)

    def stream_names(self, config: Config) -> tuple[str, ...]:
        return tuple(self.needs(config))

    def inputs(self, config: Config) -> ClipInputs:
        from vadkit.systems.inputs import ClipInputs

        return ClipInputs(config, self.networks(config), self.every(config), self.bag)

    def every(self, config: Config) -> int:
        """Analysed frames that share a clip."""
        return 1


@dataclass(frozen=True)
class C3DSystem(ClipSystem):
    streams: int = 1
    bag: bool = False  # config.c3d_bag adds the released optional branch

    network: ClassVar = "c3d"
    published: ClassVar = TWO_LAYERS | {"clip_width": 1.0, "c3d_size": 112, "c3d_bag": False}
    fetched: ClassVar = ("c3d_weights",)

    def configured(self, config: Config) -> System:
        return replace(super().configured(config), bag=config.c3d_bag)


@dataclass(frozen=True)
class I3DSystem(ClipSystem):
    """The published comparison has neither hard mining nor a bag of objects; epochs and training frames are those of
    2S-bag-ha-no-es, so that the rows of table 2 differ by network and by what it looks at (our reading)."""

    bag: bool = False
    hard_mining: bool = False
    hard_only: bool = True
    fixed_epochs: tuple[int, int] | None = (5, 2)

    network: ClassVar = "i3d"
    published: ClassVar = TWO_LAYERS | {"clip_width": 1.0, "i3d_size": 224}
    fetched: ClassVar = ("i3d_rgb_weights", "i3d_flow_weights")

    def every(self, config: Config) -> int:
        return config.i3d_score_every


SYSTEMS = (
    C3DSystem("C3D-ha", "C3D on clips of the frame, trained on hard anomalies only", ("05", "09"), hard_only=True),
    I3DSystem("full-I3D", "two-stream I3D on clips of whole frames", ("06",)),
)
