"""The network as it was built: shapes and parameters read off a forward pass, and figure 1 drawn from them.

    found, pictures = on_sample(load_model(path), samples, row)
    figure = draw(found, pictures)

Nothing here knows a network by name: hooks see what passes through whatever modules there are, so the same functions serve one
stream or two, with a bag or without, and the 3D networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from torch import Tensor, nn

from vadkit.models.two_stream import BAG_DIM
from vadkit.report import published
from vadkit.report import rows as report
from vadkit.report.rows import ResultRow
from vadkit.report.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, STYLE

if TYPE_CHECKING:
    from vadkit.core.config import Config
    from vadkit.systems.scorer import Scorer
    from vadkit.views.frames import Samples

PAPER = "petrocchi2021"
COLOURS = (BLUE, GREEN, PURPLE)


@dataclass(frozen=True)
class Stage:
    """The modules whose maps have one size. shape: (channels, [time,] height, width) that leaves them."""

    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Stream:
    """One backbone. shape: of its input, without the batch; features: width of what it gives to the head."""

    name: str
    network: str
    shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    features: int
    parameters: int


@dataclass(frozen=True)
class Layer:
    """A fully connected layer with what follows it, "Linear, ReLU, Dropout(0.5)"."""

    name: str
    inputs: int
    outputs: int
    parameters: int


@dataclass(frozen=True)
class Architecture:
    """bag: how many numbers join the streams' features; 0 for a system without a bag."""

    streams: tuple[Stream, ...]
    bag: int
    layers: tuple[Layer, ...]
    parameters: int
    output: str

    @property
    def stream_parameters(self) -> int:
        return sum(stream.parameters for stream in self.streams)

    @property
    def inputs(self) -> int:
        """Width of the vector that the first fully connected layer sees."""
        return self.layers[0].inputs


def trace(
    model: nn.Module, images: Sequence[Tensor], bags: Tensor | None = None, names: Sequence[str] = ()
) -> Architecture:
    """Shapes and parameter counts of a TwoStream, from one forward pass under hooks.

    images: a preprocessed batch for each stream; bags: (n, 80), where the head takes them; names: of the streams. The model
    is left as it was. Raises ValueError as its forward pass does, and where it has no fully connected layer.
    """
    seen: list[dict] = [{} for _ in model.backbones]
    ends: list[tuple[Tensor, Tensor]] = []
    linear: dict[str, tuple[int, int]] = {}
    handles = []
    for number, backbone in enumerate(model.backbones):
        for module in backbone.modules():
            handles.append(module.register_forward_hook(_stage_hook(seen[number])))
        handles.append(backbone.register_forward_hook(lambda _, given, out: ends.append((given[0], out))))
    for name, module in model.head.named_modules():
        if isinstance(module, nn.Linear):
            handles.append(
                module.register_forward_hook(
                    lambda _, given, out, name=name: linear.update({name: (given[0].shape[-1], out.shape[-1])})
                )
            )
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            model(list(images), bags)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    if not linear:
        raise ValueError("expected a head with fully connected layers, saw none in the forward pass")
    streams = tuple(
        Stream(
            names[number] if names else f"stream {number + 1}",
            getattr(backbone, "name", type(backbone).__name__),
            tuple(given.shape[1:]),
            tuple(Stage(stage["shape"], stage["parameters"]) for stage in found.values() if stage["parameters"]),
            out.shape[1],
            _count(backbone),
        )
        for number, (backbone, found, (given, out)) in enumerate(zip(model.backbones, seen, ends, strict=True))
    )
    layers = _layers(model.head, linear)
    return Architecture(
        streams,
        layers[0].inputs - sum(s.features for s in streams),
        layers,
        _count(model),
        "sigmoid" if layers[-1].outputs == 1 else "softmax",
    )


def on_sample(scorer: Scorer, samples: Samples, row: int) -> tuple[Architecture, dict[str, np.ndarray]]:
    """`trace` a trained system on one sample of a video; with what each stream sees, of a clip its last frame, for `draw`."""
    from vadkit.models.pretrained import as_tensors

    images = {stream: samples.images(stream, [row]) for stream in scorer.streams}
    device = next(scorer.model.parameters()).device
    bags = torch.as_tensor(samples.bags[[row]], device=device) if scorer.system.bag else None
    found = trace(scorer.model, as_tensors(scorer.networks, images, device), bags, scorer.streams)
    return found, {stream: batch[0] if batch.ndim == 4 else batch[0, -1] for stream, batch in images.items()}


def rows(config: Config, found: Mapping[str, Architecture]) -> list[ResultRow]:
    """Parameter counts of systems, by name, and what section 3.2 says of the classifier beside what the first of them has."""
    saved = []
    for name, one in found.items():
        counts = {
            "parameters": one.parameters,
            "parameters_of_streams": one.stream_parameters,
            "parameters_of_classifier": one.parameters - one.stream_parameters,
        }
        saved += [
            report.number_row(config, count, "parameters", PAPER, "figure 1", name, metric)
            for metric, count in counts.items()
        ]
        saved.append(report.number_row(config, one.inputs, "features", PAPER, "figure 1", name, "joined_features"))
        if published.lookup(PAPER, "section 3.2", name, "streams"):
            saved.append(report.number_row(config, len(one.streams), "streams", PAPER, "section 3.2", name, "streams"))
    first = next(iter(found.values()))
    stated = {
        "hidden_layers": (len(first.layers) - 1, "layers"),
        "hidden_neurons": (first.layers[0].outputs, "neurons"),
        "output_neurons": (first.layers[-1].outputs, "neurons"),
    }
    return saved + [
        report.number_row(config, value, unit, PAPER, "section 3.2", "classifier", metric)
        for metric, (value, unit) in stated.items()
    ]


def _stage_hook(found: dict):
    """Collect outputs by the size of their maps: the last shape seen, and the parameters of the modules that made them."""

    def hook(module: nn.Module, _, out: Tensor) -> None:
        if not isinstance(out, Tensor) or out.ndim < 4:
            return
        stage = found.setdefault(tuple(out.shape[2:]), {"shape": (), "parameters": 0, "modules": set()})
        stage["shape"] = tuple(out.shape[1:])
        if id(module) not in stage["modules"]:
            stage["modules"].add(id(module))
            stage["parameters"] += sum(p.numel() for p in module.parameters(recurse=False))

    return hook


def _layers(head: nn.Module, linear: Mapping[str, tuple[int, int]]) -> tuple[Layer, ...]:
    """The linear layers, each named with the modules up to the next one."""
    modules = [(name, module) for name, module in head.named_modules() if not list(module.children())]
    found: list[Layer] = []
    for name, module in modules:
        if name in linear:
            found.append(Layer("Linear", *linear[name], _count(module)))
        elif found:
            text = f"{type(module).__name__}({module.p:g})" if isinstance(module, nn.Dropout) else type(module).__name__
            last = found[-1]
            found[-1] = Layer(f"{last.name}, {text}", last.inputs, last.outputs, last.parameters + _count(module))
    return tuple(found)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# --- the drawing -------------------------------------------------------------------------------------------------

WIDTH, STREAM_HEIGHT, BAG_HEIGHT, BELOW, TITLE = 8.6, 1.55, 0.6, 0.5, 0.28  # inches
PICTURE = 0.8


def draw(found: Architecture, pictures: Mapping[str, np.ndarray] | None = None, title: str = "") -> Figure:
    """Figure 1: streams from left to right, the bag below them, the fully connected layers at the right.

    A block's height follows the side of its maps and its depth their channels, both by logarithm; under it: side, channels and
    parameters. pictures: what each stream sees, by its name, (H, W, 3) uint8 RGB.
    """
    pictures = pictures or {}
    with mpl.rc_context(STYLE):
        height = STREAM_HEIGHT * len(found.streams) + (BAG_HEIGHT if found.bag else 0) + BELOW + TITLE
        figure = plt.figure(figsize=(WIDTH, height), layout="none")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        top = height - TITLE
        joined = 5.9  # where streams and bag come together
        rows = [top - STREAM_HEIGHT * (k + 0.5) + 0.1 for k in range(len(found.streams))]
        for number, (stream, y) in enumerate(zip(found.streams, rows, strict=True)):
            _draw_stream(axes, stream, y, joined - 0.35, COLOURS[number % len(COLOURS)], pictures.get(stream.name))
        if found.bag:
            rows.append(top - STREAM_HEIGHT * len(found.streams) - BAG_HEIGHT / 2 + 0.12)
            what = (
                f"bag of objects: {found.bag} counts"
                if found.bag == BAG_DIM
                else f"the clip's bags of objects: {found.bag} features"
            )
            axes.text(joined - 0.5, rows[-1], what, ha="right", va="center", fontsize=8)
            _vector(axes, joined - 0.35, rows[-1], 0.16, ORANGE)
        _draw_head(axes, found, joined, rows)
        text = f"{_number(found.stream_parameters)} parameters in {len(found.streams)} stream{'s' if len(found.streams) > 1 else ''}, {_number(found.parameters - found.stream_parameters)} in the classifier: {_number(found.parameters)} in all"
        axes.text(WIDTH / 2, 0.27, text, ha="center", va="center", fontsize=8.5)
        axes.text(
            WIDTH / 2,
            0.11,
            "under each block: side of its maps, channels, parameters",
            ha="center",
            va="center",
            fontsize=7,
            color="#666666",
        )
        if title:
            axes.text(0.1, height - 0.14, title, ha="left", va="center", fontsize=9.5)
    return figure


def _draw_stream(axes, stream: Stream, y: float, end: float, colour: str, picture: np.ndarray | None) -> None:
    left = 0.1
    if picture is None:
        axes.add_patch(
            Rectangle(
                (left, y - PICTURE / 2), PICTURE, PICTURE, facecolor="#f2f2f2", edgecolor="#999999", linewidth=0.8
            )
        )
    else:
        axes.imshow(picture, extent=(left, left + PICTURE, y - PICTURE / 2, y + PICTURE / 2), aspect="auto", zorder=2)
        axes.set(xlim=(0, WIDTH), ylim=axes.get_ylim())
    axes.text(
        left + PICTURE / 2,
        y - PICTURE / 2 - 0.05,
        f"{stream.name}\n{_shape(stream.shape)}",
        ha="center",
        va="top",
        fontsize=7.5,
        linespacing=1.15,
    )
    start = left + PICTURE + 0.22
    step = (end - 0.2 - start) / len(stream.stages)
    tallest = max(math.log2(stage.shape[-1] + 1) for stage in stream.stages)
    before = left + PICTURE
    for number, stage in enumerate(stream.stages):
        high = 0.78 * math.log2(stage.shape[-1] + 1) / tallest
        deep = min(0.05 + 0.028 * math.log2(stage.shape[0]), 0.62 * step)
        x = start + number * step
        _arrow(axes, before, y, x, y)
        for k in (2, 1, 0):  # maps behind maps
            axes.add_patch(
                Rectangle(
                    (x + 0.03 * k, y - high / 2 + 0.03 * k),
                    deep,
                    high,
                    facecolor=colour,
                    alpha=0.25 + 0.2 * (k == 0),
                    edgecolor=colour,
                    linewidth=0.7,
                    zorder=3 - 0.1 * k,
                )
            )
        before = x + deep + 0.06
        axes.text(
            x + deep / 2 + 0.03,
            y - PICTURE / 2 - 0.05,
            f"{_sides(stage.shape)}\n× {stage.shape[0]}\n{_number(stage.parameters)}",
            ha="center",
            va="top",
            fontsize=7,
            linespacing=1.15,
        )
    _arrow(axes, before, y, end - 0.06, y)
    _vector(axes, end, y, 0.62, colour)
    axes.text(
        end, y - PICTURE / 2 - 0.05, f"features\n{stream.features}", ha="center", va="top", fontsize=7, linespacing=1.15
    )
    axes.text(
        start,
        y + 0.56,
        f"{stream.network}: {_number(stream.parameters)} parameters",
        ha="left",
        va="center",
        fontsize=8,
        color=colour,
    )


def _draw_head(axes, found: Architecture, x: float, rows: Sequence[float]) -> None:
    """The joined vector and the layers after it. rows: heights at which the streams, then the bag, arrive."""
    parts = [(stream.features, COLOURS[number % len(COLOURS)]) for number, stream in enumerate(found.streams)] + (
        [(found.bag, ORANGE)] if found.bag else []
    )
    y = sum(rows) / len(rows)
    high = 0.7 + 0.35 * (len(parts) - 1)
    shares = [
        max(count / found.inputs, 0.08) for count, _ in parts
    ]  # 80 counts beside thousands of features would not show
    bottom = y + high / 2
    for (_, colour), share, row in zip(parts, shares, rows, strict=True):
        its = high * share / sum(shares)
        bottom -= its
        axes.add_patch(Rectangle((x, bottom), 0.12, its, facecolor=colour, alpha=0.5, edgecolor=colour, linewidth=0.8))
        _arrow(axes, x - 0.29, row, x - 0.01, bottom + its / 2)
    axes.text(x + 0.06, y + high / 2 + 0.04, f"{found.inputs}", ha="center", va="bottom", fontsize=7.5)
    step = (WIDTH - 0.3 - x - 0.12) / len(found.layers)
    widest = max(layer.outputs for layer in found.layers)
    before = x + 0.12
    for number, layer in enumerate(found.layers):
        centre = x + 0.12 + (number + 0.62) * step
        last = number == len(found.layers) - 1
        tall = 0.18 if last else 0.62 * math.log2(layer.outputs + 1) / math.log2(widest + 1)
        _arrow(axes, before, y, centre - 0.09, y)
        if last:
            axes.add_patch(Circle((centre, y), 0.09, facecolor="#ffffff", edgecolor=BLACK, linewidth=1.2))
        else:
            axes.add_patch(
                Rectangle(
                    (centre - 0.07, y - tall / 2), 0.14, tall, facecolor=SKY, alpha=0.7, edgecolor=BLACK, linewidth=0.8
                )
            )
        axes.text(
            centre,
            y + tall / 2 + 0.05,
            "\n".join(layer.name.split(", ")) if not last else found.output,
            ha="center",
            va="bottom",
            fontsize=7,
            linespacing=1.15,
        )
        axes.text(
            centre,
            y - tall / 2 - 0.06,
            f"{layer.outputs}\n{_number(layer.parameters)}",
            ha="center",
            va="top",
            fontsize=7,
            linespacing=1.15,
        )
        before = centre + 0.09


def _vector(axes, x: float, y: float, high: float, colour: str) -> None:
    axes.add_patch(
        Rectangle((x - 0.05, y - high / 2), 0.1, high, facecolor=colour, alpha=0.5, edgecolor=colour, linewidth=0.8)
    )


def _arrow(axes, x1: float, y1: float, x2: float, y2: float) -> None:
    axes.add_patch(
        FancyArrowPatch(
            (x1, y1),
            (x2, y2),
            arrowstyle="-|>",
            mutation_scale=6,
            color="#555555",
            linewidth=0.8,
            shrinkA=0,
            shrinkB=0,
            zorder=1,
        )
    )


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape[1:]))


def _shape(shape: tuple[int, ...]) -> str:
    return f"{_sides(shape)} × {shape[0]}"


def _number(count: int) -> str:
    """A count in three figures: 512, 15.1 k, 3.37 M."""
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if count >= limit:
            value = count / limit
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{unit}"
    return str(count)
