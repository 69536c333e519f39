"""The systems of the first paper: one row each; most are the same network with parts switched on or off."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from vadkit.core.config import Config
from vadkit.core.errors import ConfigError


@dataclass(frozen=True)
class System:
    """What distinguishes one row of the paper's table 1 or 2; all else is a parameter of the run.

    fixed_epochs: epochs of (phase one, phase two) where early stopping is off. suspicious: soft anomalies are a third class with
    fuzzy targets (`vadkit.systems.suspicion`). class_rates: each class of anomaly has its own sampling rate in training (`vadkit.systems.rates`).
    view: what clips show, the "full" frame, or windows of it: "tubes" along annotated boxes, or those "found" by systems so trained
    in videos of which only the label is used (`vadkit.systems.tubes`).
    """

    name: str
    description: str
    network: str = "two_stream"
    streams: int = 2
    bag: bool = True
    hard_mining: bool = True
    hard_only: bool = False
    fixed_epochs: tuple[int, int] | None = None
    suspicious: bool = False
    class_rates: bool = False
    view: str = "full"

    @property
    def early_stopping(self) -> bool:
        return self.fixed_epochs is None

    def stream_names(self, config: Config) -> tuple[str, ...]:
        """What its streams see: the frame; with two, the frame and its flow, as in the paper.

        config.speed_stream shows two-stream systems motion a second time; config.frame_stream off takes the frame from them.
        """
        if self.network != "two_stream":
            return ("rgb",) if self.network == "c3d" else ("rgb", "flow")
        if self.streams == 1:
            return ("frame",)
        from vadkit.views.flow import stream_names

        return tuple(name for name in stream_names(config) if config.frame_stream or name != "frame")


# Section 4.6. The published comparison has neither hard mining nor a bag of objects; epochs and training frames are those of 2S-bag-ha-no-es, so that
# the rows of table 2 differ by network and by what it looks at (our reading).
_I3D = {"network": "i3d", "bag": False, "hard_mining": False, "hard_only": True, "fixed_epochs": (5, 2)}

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System("2S-bag", "frame and flow streams with the bag of objects"),
        System("2S-no-bag", "frame and flow streams alone", bag=False),
        System("2S-bag-no-hm", "2S-bag trained on every sample, without hard mining", hard_mining=False),
        System("2S-bag-ha", "2S-bag trained without the soft frames of anomalous videos", hard_only=True),
        System("1S-bag", "frame stream with the bag of objects", streams=1),
        System("1S-no-bag", "frame stream alone", streams=1, bag=False),
        System("1S-bag-ha", "1S-bag trained without the soft frames of anomalous videos", streams=1, hard_only=True),
        System(
            "C3D-ha",
            "C3D on clips of the frame, trained on hard anomalies only",
            network="c3d",
            streams=1,
            bag=False,
            hard_only=True,
        ),
        System(
            "2S-bag-ha-no-es",
            "2S-bag-ha for 5 and 2 epochs, no early stopping, no validation set",
            hard_only=True,
            fixed_epochs=(5, 2),
        ),
        System("full-I3D", "two-stream I3D on clips of whole frames", **_I3D),
        System(
            "oracle-I3D",
            "two-stream I3D on tubes: cut along annotated boxes for training, where most moves elsewhere",
            **_I3D,
            view="tubes",
        ),
        System(
            "ws-I3D",
            "two-stream I3D trained on tubes that systems like oracle-I3D found in videos of which only the label is used",
            **_I3D,
            view="found",
        ),
        System(
            "2S-bag-suspicious",
            "2S-bag with soft anomalies as a third, suspicious class (beyond the paper)",
            suspicious=True,
        ),
        System(
            "2S-bag-ha-class-rates",
            "2S-bag-ha with a sampling rate for each class of anomaly (beyond the paper)",
            hard_only=True,
            class_rates=True,
        ),
    )
}


def system_for(config: Config, name: str) -> System:
    """The system of that name as a run trains it: for exactly the run's epochs where config.early_stopping is off, C3D with its bag
    branch where config.c3d_bag asks for it."""
    system = find_system(name)
    if system.network == "c3d":
        system = replace(system, bag=config.c3d_bag)
    if config.early_stopping or system.fixed_epochs is not None:
        return system
    return replace(system, fixed_epochs=(config.head_epochs, config.finetune_epochs))


def find_system(name: str) -> System:
    """The paper's system of that name (sections 4.2 to 4.6). Raises ConfigError with the nearest name."""
    if name in SYSTEMS:
        return SYSTEMS[name]
    lower = {known.lower(): known for known in SYSTEMS}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean '{lower[near[0]]}'?" if near else f"the systems are {', '.join(SYSTEMS)}"
    raise ConfigError(f"unknown system '{name}'; {hint}")
