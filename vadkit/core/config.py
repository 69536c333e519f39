"""Parameters: one flat, frozen, strict model. `vadkit.core.parameters` reads and explains them.

`Config` is the single list of parameters. Parameter files and the notebooks' `parameters` cell hold
its keys and nothing else; a key missing from a parameter file takes its default here, the demo's.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vadkit.core.errors import UNPRINTABLE, shown

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0)]
BelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Side = Annotated[int, Field(ge=32, le=512)]
FlowMethod = Literal["farneback", "dis"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy and torch both take

SAMPLING_PRESETS = {
    # name: (frames per second inside hard anomalies, frames per second elsewhere)
    "released": (3.0, 1.0),  # the released code: strides 10 and 30 at 30 fps
    "section_4_2": (3.0, 10.0),  # the text of section 4.2
    "section_5_3": (10.0, 2.5),  # strides 3 and 12: "1/3" and "less than 1/10", section 5.3
}
PLACES = {"output_root", "cache_root", "workers", "scheduler", "published_scores"}
CORPORA = {"synthetic", "ucf_crime", "folder", "recorded"}  # `vadkit.corpora.register_corpus` adds others


class Config(BaseModel):
    """Every parameter of a run. Frozen; unknown names and silent type conversions are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    # --- the run ---
    profile: str = Field("demo", description="name of the run: results go to <output_root>/<profile>")
    output_root: str = Field("outputs", description="folder of results; relative to the project's root")
    cache_root: str = Field("cache", description="folder of cached samples, features and models")
    seeds: list[Seed] = Field([0, 1, 2], description="one training run per seed")
    workers: PositiveInt = Field(2, description="processes for rendering and sampling")
    scheduler: Annotated[str, Field(pattern=r"^(local|(tcp|tls)://[^\s/:]+:\d{1,5})$")] = Field(
        "local", description="who does these tasks: processes of this machine, or a Dask scheduler, tcp://HOST:PORT"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks run")
    inference: Literal["auto", "torch", "onnxruntime", "openvino", "openvino-int8"] = Field(
        "auto", description="what computes frozen features; auto: the fastest that gives torch's, never int8"
    )
    plugins: list[str] = Field([], description="your own modules (corpora, systems, metrics); imported before all else")
    strict: bool = Field(False, description="stop at the first unusable video instead of leaving it out")

    # --- the corpus ---
    corpus: str = Field("synthetic", description="where videos and labels come from")
    data_root: str = Field("", description="folder of the videos; empty for the synthetic corpus")
    picture_fps: Annotated[float, Field(ge=0.1, le=240.0)] = Field(
        25.0, description="frames a second of a video that is a folder of pictures"
    )
    split: Literal["official", "grouped_cv"] = Field("official", description="split lists, or folds by source")
    folds: PositiveInt = Field(5, description="folds of grouped_cv")
    validation: Literal["train_cut", "test_parity"] = Field(
        "train_cut", description="validation cut from training, or every other line of the test list as the paper does"
    )
    validation_fraction: Fraction = Field(0.2, description="share of the training sources held out by train_cut")
    annotation_slack_frames: Count = Field(16, description="an annotation may pass the end by so many; it is cut")
    world_seed: Seed = Field(7, description="seed of the synthetic corpus")
    world_train_videos: PositiveInt = Field(96, description="synthetic training videos, half of them anomalous")
    world_test_videos: PositiveInt = Field(72, description="synthetic test videos, half of them anomalous")
    world_seconds: PositiveFloat = Field(20.0, description="mean length of a synthetic video")

    # --- samples ---
    sampling: Literal["released", "section_4_2", "section_5_3", "custom"] = Field(
        "released", description="training frame rates: one of the paper's three readings, or the two below"
    )
    anomaly_fps: PositiveFloat = Field(3.0, description="training frames a second in hard anomalies (sampling: custom)")
    normal_fps: PositiveFloat = Field(1.0, description="training frames a second elsewhere (sampling: custom)")
    class_rates_by: Literal["change", "seconds"] = Field(
        "change", description="2S-bag-ha-class-rates favours classes whose frames change more, or with fewer seconds"
    )
    analysis_fps: PositiveFloat = Field(3.0, description="frames per second at which videos are scored")
    image_size: Side = Field(160, description="side of the network's input, pixels")
    flow_method: FlowMethod = Field("farneback", description="optical flow: the paper's, or the fast one")
    flow_pair: Literal["grid", "adjacent", "sampled", "gap"] = Field(
        "grid", description="flow since the previous analysed, video or (released) training frame, or a fixed time"
    )
    flow_gap_seconds: PositiveFloat = Field(0.1, description="that time (flow_pair: gap)")
    flow_scale: Literal["minmax", "fixed"] = Field(
        "minmax", description="flow image's brightness: min-max per frame (as released), or fixed, which keeps speed"
    )
    flow_full_scale: PositiveFloat = Field(0.05, description="displacement at full brightness, share of the height")
    frame_window: bool = Field(False, description="the frame stream sees the half-size window with the most motion")
    frame_stream: bool = Field(True, description="two-stream systems see the frame; false leaves motion (speed_stream)")
    speed_stream: bool = Field(False, description="two-stream systems see three successive speeds in that window")
    detector_weights: str = Field("world", description="'world' (drawn), 'none', an .onnx or a .pt; no code in it runs")
    detector_confidence: Fraction = Field(0.5, description="detections below it are not counted")
    detector_size: Annotated[int, Field(ge=32, le=2048)] = Field(320, description="side of its input, pixels")

    # --- the model ---
    backbone: Literal["efficientnet_lite0", "resnet50", "resnet18"] = Field(
        "efficientnet_lite0", description="network of both streams; the paper's is resnet50"
    )
    backbone_weights: str = Field("imagenet", description="'imagenet', a state dict's path, or 'random' (tests only)")
    head_width: PositiveInt = Field(512, description="neurons of the two hidden layers; the paper's: 4096")
    dropout: Fraction = Field(0.5, description="after each hidden layer")
    output: Literal["sigmoid", "softmax"] = Field("sigmoid", description="one neuron, or the released two-way softmax")
    bag_scale: Literal["raw", "log"] = Field("raw", description="bag as raw counts (the paper's) or log(1 + count)")
    feature_scale: Literal["raw", "standard"] = Field(
        "raw", description="pooled features as they are (the paper's), or their logarithm standardised in training"
    )

    # --- training ---
    batch_size: PositiveInt = Field(16, description="K, samples of a batch")
    hard_mining_alpha: PositiveInt = Field(3, description="candidates drawn per kept sample")
    anomaly_weight: PositiveFloat = Field(2.0, description="class weight of anomaly; normal has 1")
    suspicious_seconds: PositiveFloat = Field(3.0, description="2S-bag-suspicious: reach of suspicion around anomalies")
    head_epochs: Count = Field(40, description="at most, phase one: the head on frozen features")
    head_lr: PositiveFloat = Field(3e-4, description="Adam, phase one; the paper's: 1e-5")
    finetune_epochs: Count = Field(0, description="at most, phase two: all but batch normalisation; 0 leaves it out")
    finetune_lr: PositiveFloat = Field(1e-5, description="Adam, phase two; the paper's: 1e-6")
    finetune_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of phase two's networks; auto is bfloat16 where the hardware has it"
    )
    weight_decay: Weight = Field(0.0, description="of Adam; the paper names none")
    early_stopping: bool = Field(True, description="stop by validation loss; false: all epochs, with validation videos")
    patience: PositiveInt = Field(5, description="epochs without a lower validation loss before stopping")

    # --- multiple-instance learning (the second paper) ---
    mil_features: Literal["streams", "resnext3d", "i3d"] = Field(
        "streams", description="instances: of the two streams, or of clips by 3D ResNeXt-101 (the paper's) or I3D"
    )
    mil_resnext3d_weights: str = Field("world", description="'world', a path to Kinetics weights, or 'random' (tests)")
    mil_resnext3d_size: Side = Field(64, description="side of its input, pixels; the paper's: 112")
    mil_published: str = Field("", description="a folder of published clip features (.npy, 32-line .txt), not ours")
    mil_segments: Count = Field(32, description="equal segments of a video, its instances; 0: every frame of mil_fps")
    mil_fps: PositiveFloat = Field(1.5, description="frames a second that segments average; in folds: analysis_fps")
    mil_pairs: PositiveInt = Field(8, description="pairs of anomalous and normal videos in a batch; Sultani et al.: 30")
    mil_epochs: PositiveInt = Field(30, description="passes over training videos; the best on validation ones is kept")
    mil_optimiser: Literal["adagrad", "adam"] = Field("adagrad", description="Adagrad as Sultani et al., or Adam")
    mil_lr: PositiveFloat = Field(1e-2, description="its learning rate; Sultani et al.: 0.01")
    mil_weight_decay: Weight = Field(1e-3, description="its weight decay")
    mil_dropout: BelowOne = Field(0.6, description="after each hidden layer of the Learner")

    # --- LSTM, attention and joint model (the second paper's first experiment) ---
    joint_segment_seconds: PositiveFloat = Field(1.0, description="segment length: a video has as many as it is long")
    joint_max_segments: PositiveInt = Field(256, description="at most; a longer video's segments are longer")
    joint_top_k: PositiveInt = Field(3, description="the LSTM: segments whose mean score is the video's in training")
    joint_class_weight: Weight = Field(0.1, description="weight of the class loss (Majhi et al. 2021); 0 leaves it out")
    joint_width: PositiveInt = Field(64, description="neurons of every layer; the paper names none")
    joint_dropout: BelowOne = Field(0.5, description="before each layer but the first")
    joint_batch: PositiveInt = Field(8, description="videos of a batch, padded to the longest")
    joint_epochs: PositiveInt = Field(25, description="passes over training videos; the best on validation is kept")
    joint_lr: PositiveFloat = Field(5e-4, description="Adam's learning rate")
    joint_weight_decay: Weight = Field(1e-3, description="its weight decay")

    # --- clips and 3D networks (C3D, I3D, 3D ResNeXt) ---
    clip_frames: PositiveInt = Field(16, description="frames of a clip")
    clip_fps: PositiveFloat = Field(7.5, description="frames per second within a clip: a quarter of UCF-Crime's 30")
    clip_shift_anomalous: PositiveInt = Field(4, description="clip frames between training clips of anomalous videos")
    clip_shift_normal: PositiveInt = Field(8, description="clip frames between training clips of normal videos")
    clip_flow_method: FlowMethod = Field("dis", description="optical flow of clips, between successive clip frames")
    clip_width: Share = Field(0.25, description="share of 3D networks' channels; the papers': 1, 'world' has 0.25")
    c3d_size: Side = Field(64, description="side of C3D's input, pixels; the paper's: 112")
    c3d_weights: str = Field("world", description="'world' (shipped), a path to Sports-1M weights, or 'random' (tests)")
    c3d_bag: bool = Field(False, description="the released bag branch: a clip's bags through two convolutions in time")
    i3d_size: Side = Field(64, description="side of I3D's input, pixels; usual: 224")
    i3d_rgb_weights: str = Field("world", description="'world', a path to Kinetics RGB weights, or 'random' (tests)")
    i3d_flow_weights: str = Field("world", description="the same for the flow stream")
    i3d_score_every: PositiveInt = Field(4, description="analysed frames that share a clip when I3D systems score")
    tube_scale: Annotated[float, Field(ge=1.0)] = Field(1.5, description="tube's side over its box's longer side")
    tube_windows: PositiveInt = Field(1, description="windows of motion that a clip offers where tubes are searched")

    # --- the score ---
    sas_tau: BelowOne = Field(0.5, description="sensibility threshold of the sigmoidal anomaly score")
    sas_reactivity: PositiveFloat = Field(2.0, description="v, step factor per analysed frame")
    sas_bound: PositiveFloat = Field(7.0, description="the accumulator stays in [-bound, bound] and starts at -bound")
    sas_variant: Literal["normalised", "as_printed", "as_released"] = Field(
        "normalised", description="reading of the decrease and of the clamp"
    )

    # --- evaluation ---
    bootstrap_resamples: PositiveInt = Field(1000, description="resamples of videos for each interval")
    interval_over: Literal["videos", "sources"] = Field(
        "videos", description="what resamples draw: videos, or sources, whose videos may be cuts of one recording"
    )
    interval_level: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="coverage of intervals")
    evaluate_scores: str = Field("", description="notebook 12: scores (a CSV, a folder of .npy) in the place of ours")
    evaluate_annotations: str = Field("", description="and UCF-Crime's temporal annotation of the same videos")
    published_scores: str = Field("data/published", description="notebook 13: folder of your clones of others' scores")

    @model_validator(mode="after")
    def _combinations(self) -> Config:
        known = nearest(self.corpus, CORPORA) or f"; known are {', '.join(sorted(CORPORA))}"
        folds, parity = self.split == "grouped_cv", self.validation == "test_parity"
        of_folder, synthetic = self.corpus == "folder", self.corpus == "synthetic"
        rooted = self.corpus in ("ucf_crime", "folder", "recorded") and not self.listed_alone
        no_root = rooted and not self.data_root
        no_stream = not self.frame_stream and not self.speed_stream
        idle = parity and not self.early_stopping
        one_of_two = bool(self.evaluate_scores) != bool(self.evaluate_annotations)
        no_epochs = not self.head_epochs and not self.finetune_epochs
        plain_name = re.fullmatch(r"\w[\w.,=+-]{0,59}", self.profile)
        texts = {name: value for name, value in self if isinstance(value, str) and name != "profile"}
        odd = [name for name, text in texts.items() if UNPRINTABLE.search(text) or re.search(r"[\t\n]|.{4000}", text)]
        wrong = {
            "seeds is empty; give at least one, for example seeds: [0]": not self.seeds,
            f"seeds {repeated(self.seeds)} repeats a seed; give each once": len({*self.seeds}) < len(self.seeds),
            f"unknown corpus {repeated(self.corpus)}{known}": self.corpus not in CORPORA,
            f"corpus '{self.corpus}' needs data_root, the folder that holds the videos": no_root,
            "split 'grouped_cv' is for the folder corpus; the synthetic one has official lists": synthetic and folds,
            "the folder corpus has no official lists; use split: grouped_cv": of_folder and not folds,
            f"folds is {self.folds}; cross-validation needs at least 2": folds and self.folds < 2,
            "validation 'test_parity' cuts an official test list; use validation: train_cut": parity and folds,
            "evaluate_scores and evaluate_annotations belong together; give both, or neither": one_of_two,
            "frame_stream: false leaves two-stream systems one stream; set speed_stream: true": no_stream,
            "validation 'test_parity' is for early stopping, which is off; use validation: train_cut": idle,
            "feature_scale 'standard' fixes the features' scale before phase two would change them; set "
            "finetune_epochs: 0": self.feature_scale == "standard" and self.finetune_epochs,
            "head_epochs and finetune_epochs are both 0; nothing would be trained": no_epochs,
            f"profile {repeated(self.profile)} must be a plain folder name, such as demo: up to 60 letters, digits and "
            "._-+=, beginning with a letter or digit": not plain_name,
            f"{' and '.join(odd)}: a text must be one line below 4000 characters, without control characters": odd,
        }
        if any(wrong.values()):
            raise ValueError("; ".join(what for what, is_wrong in wrong.items() if is_wrong))
        return self

    @property
    def listed_alone(self) -> bool:
        """Whether the corpus's lists suffice: features stand for videos, and the package has names, lengths, spans."""
        return self.corpus == "ucf_crime" and bool(self.mil_published)

    @property
    def training_fps(self) -> tuple[float, float]:
        """(inside hard anomalies, elsewhere), frames per second."""
        if self.sampling == "custom":
            return self.anomaly_fps, self.normal_fps
        return SAMPLING_PRESETS[self.sampling]

    @property
    def output_dir(self) -> Path:
        return resolve(self.output_root) / self.profile

    @property
    def cache_dir(self) -> Path:
        return resolve(self.cache_root)

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any parameter but those of PLACES, on which no result depends."""
        values = self.model_dump(exclude=PLACES)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that holds `params/` and `notebooks/`, else the working directory."""
    start = (start or Path.cwd()).resolve()  # a notebook's: `notebooks/` in JupyterLab, the caller's in papermill
    for folder in (start, *start.parents):
        if (folder / "params").is_dir() and (folder / "notebooks").is_dir():
            return folder
    return start


def resolve(path: str) -> Path:
    """A parameter's path: `~` expanded, relative ones from the project's root."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else project_root() / expanded


def repeated(value: object) -> str:
    """A wrong value as an error repeats it."""
    return shown(repr(value), 80)


def nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
