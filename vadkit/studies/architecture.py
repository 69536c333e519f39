"""The network as it was built: shapes and parameters read off a forward pass, and figure 1 drawn from them.

    figure = draw(*on_sample(load_model(path), samples, row))

Nothing here knows a network by name: torchinfo reports whatever modules there are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
import torch
import torchinfo
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from torch import Tensor, nn
from torchinfo.layer_info import LayerInfo
from torchinfo.torchinfo import clear_cached_forward_pass

from vadkit.core.config import Config
from vadkit.models.network import as_tensors
from vadkit.models.two_stream import BAG_DIM
from vadkit.report import published
from vadkit.report.rows import ResultRow, number_row
from vadkit.report.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, STYLE
from vadkit.systems.scorer import Scorer
from vadkit.views.frames import Samples

PAPER = "petrocchi2021"
COLOURS = (BLUE, GREEN, PURPLE)


@dataclass(frozen=True)
class Stream:
    """One backbone. shape: of its input, without the batch; features: width of what it gives to the head; stages: by
    size of their maps, the shape that leaves them, (channels, [time,] height, width), and their parameters."""

    name: str
    network: str
    shape: tuple[int, ...]
    stages: tuple[tuple[tuple[int, ...], int], ...]
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
    """A system's network. bag: how many numbers join the streams' features; 0 for a system without a bag."""

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
    """Shapes and parameter counts of a TwoStream, from one forward pass under torchinfo's hooks.

    images: a preprocessed batch for each stream; bags: (n, 80), where the head takes them; names: of the streams. The
    model is left as it was. Raises ValueError as its forward pass does.
    """
    given = [list(images)] if bags is None else [list(images), bags]
    try:
        seen = torchinfo.summary(model, input_data=given, verbose=0).summary_list
    except RuntimeError as error:  # which hides what the forward pass said
        raise error.__cause__ or error from None
    finally:
        clear_cached_forward_pass()  # else it keeps the model in memory
    of = {one.layer_id: one for one in seen}
    streams = []
    for number, backbone in enumerate(model.backbones):
        name = names[number] if names else f"stream {number + 1}"
        network, one = getattr(backbone, "name", type(backbone).__name__), of[id(backbone)]
        shape, features = tuple(one.input_size[1:]), one.output_size[1]
        streams.append(Stream(name, network, shape, _stages(one.children), features, one.num_params))
    layers = _layers([one for one in of[id(model.head)].children if one.is_leaf_layer])
    bag = layers[0].inputs - sum(stream.features for stream in streams)
    output = "sigmoid" if layers[-1].outputs == 1 else "softmax"
    return Architecture(tuple(streams), bag, layers, of[id(model)].num_params, output)


def _stages(seen: Sequence[LayerInfo]) -> tuple[tuple[tuple[int, ...], int], ...]:
    """A backbone's modules by the size of their maps: the last shape seen, and their parameters.

    seen: in the order in which they were entered; a module is left after all that it holds.
    """
    left = sorted(range(len(seen)), key=lambda place: (place + len(seen[place].children), -seen[place].depth))
    found: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}
    for one in (seen[place] for place in left):
        if len(one.output_size) >= 4:
            _, before = found.get(size := tuple(one.output_size[2:]), ((), 0))
            found[size] = tuple(one.output_size[1:]), before + (0 if one.is_recursive else one.leftover_params())
    return tuple((shape, parameters) for shape, parameters in found.values() if parameters)


def _layers(seen: Sequence[LayerInfo]) -> tuple[Layer, ...]:
    """The linear layers of a head, each named with the modules up to the next one."""
    found: list[Layer] = []
    for one in seen:
        if isinstance(one.module, nn.Linear):
            found.append(Layer("Linear", one.input_size[-1], one.output_size[-1], one.num_params))
        elif found:
            text = f"{one.class_name}({one.module.p:g})" if isinstance(one.module, nn.Dropout) else one.class_name
            last = found[-1]
            found[-1] = replace(last, name=f"{last.name}, {text}", parameters=last.parameters + one.num_params)
    return tuple(found)


def on_sample(scorer: Scorer, samples: Samples, row: int) -> tuple[Architecture, dict[str, np.ndarray]]:
    """A trained system's `trace` on one sample, and what each stream sees, of a clip its last frame, for `draw`."""
    images = {stream: samples.images(stream, [row]) for stream in scorer.networks}
    device = next(scorer.model.parameters()).device
    bags = torch.as_tensor(samples.bags[[row]], device=device) if scorer.system.bag else None
    found = trace(scorer.model, as_tensors(scorer.networks, images, device), bags, tuple(scorer.networks))
    return found, {stream: batch[0] if batch.ndim == 4 else batch[0, -1] for stream, batch in images.items()}


def rows(config: Config, found: Mapping[str, Architecture]) -> list[ResultRow]:
    """Parameter counts of systems by name, and the first one's classifier beside what section 3.2 says of it."""
    numbers = []
    for name, one in found.items():
        of = {"": one.parameters, "_of_streams": one.stream_parameters}
        of["_of_classifier"] = one.parameters - one.stream_parameters
        numbers += [(n, "parameters", PAPER, "figure 1", name, f"parameters{part}") for part, n in of.items()]
        numbers.append((one.inputs, "features", PAPER, "figure 1", name, "joined_features"))
        if published.lookup(PAPER, "section 3.2", name, "streams"):
            numbers.append((len(one.streams), "streams", PAPER, "section 3.2", name, "streams"))
    layers = next(iter(found.values())).layers
    classifier = {"layers": len(layers) - 1, "neurons": layers[0].outputs}
    where = (PAPER, "section 3.2", "classifier")
    numbers += [(value, unit, *where, f"hidden_{unit}") for unit, value in classifier.items()]
    numbers.append((layers[-1].outputs, "neurons", *where, "output_neurons"))
    return [number_row(config, *one) for one in numbers]


# --- the drawing -------------------------------------------------------------------------------------------------

WIDTH, STREAM_HEIGHT, BAG_HEIGHT, BELOW, TITLE = 8.6, 1.55, 0.6, 0.5, 0.28  # inches
PICTURE, JOINED = 0.8, 5.9  # side of a stream's picture, and where streams and bag come together


def draw(found: Architecture, pictures: Mapping[str, np.ndarray] | None = None, title: str = "") -> Figure:
    """Figure 1: streams from left to right, the bag below them, the fully connected layers at the right.

    A block's height follows the side of its maps and its depth their channels, both by logarithm; under it: side,
    channels and parameters. pictures: what each stream sees, by its name, (H, W, 3) uint8 RGB.
    """
    count, head = len(found.streams), found.parameters - found.stream_parameters
    with mpl.rc_context(STYLE):
        height = STREAM_HEIGHT * count + (BAG_HEIGHT if found.bag else 0) + BELOW + TITLE
        figure = plt.figure(figsize=(WIDTH, height), layout="none")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        _text(axes, 0.1, height - 0.14, title, 9.5, ha="left")
        top = height - TITLE
        places = [top - STREAM_HEIGHT * (k + 0.5) + 0.1 for k in range(count)]
        for stream, y, colour in zip(found.streams, places, COLOURS, strict=False):
            _draw_stream(axes, stream, y, colour, (pictures or {}).get(stream.name))
        if found.bag:
            places.append(top - STREAM_HEIGHT * count - BAG_HEIGHT / 2 + 0.12)
            what = "bag of objects: {} counts" if found.bag == BAG_DIM else "the clip's bags of objects: {} features"
            _text(axes, JOINED - 0.5, places[-1], what.format(found.bag), 8, ha="right")
            _box(axes, JOINED - 0.35, places[-1], 0.1, 0.16, ORANGE)
        _draw_head(axes, found, places)
        total = f"{_number(found.stream_parameters)} parameters in {count} stream{'s' if count > 1 else ''}, "
        total += f"{_number(head)} in the classifier: {_number(found.parameters)} in all"
        _text(axes, WIDTH / 2, 0.27, total, 8.5)
        _text(axes, WIDTH / 2, 0.11, "under each block: side of its maps, channels, parameters", 7, color="#666666")
    return figure


def _draw_stream(axes: Axes, stream: Stream, y: float, colour: str, picture: np.ndarray | None) -> None:
    """A stream at height y: its picture, a block for each stage, and the vector that it gives to the head."""
    below, left, end = y - PICTURE / 2 - 0.05, 0.1, JOINED - 0.35
    before = left + PICTURE
    if picture is None:
        _box(axes, left + PICTURE / 2, y, PICTURE, PICTURE, "#f2f2f2", edgecolor="#999999", alpha=None)
    else:
        limits = axes.axis()  # which a picture takes for its own
        axes.imshow(picture, extent=(left, before, y - PICTURE / 2, y + PICTURE / 2), aspect="auto", zorder=2)
        axes.axis(limits)
    sides = "×".join(map(str, stream.shape[1:]))
    _text(axes, left + PICTURE / 2, below, f"{stream.name}\n{sides} × {stream.shape[0]}", 7.5, va="top")
    start = before + 0.22
    step = (end - 0.2 - start) / len(stream.stages)
    tallest = max(math.log2(shape[-1] + 1) for shape, _ in stream.stages)
    for number, (shape, parameters) in enumerate(stream.stages):
        high = 0.78 * math.log2(shape[-1] + 1) / tallest
        deep = min(0.05 + 0.028 * math.log2(shape[0]), 0.62 * step)
        x = start + number * step
        _arrow(axes, before, y, x, y)
        for k in (2, 1, 0):  # maps behind maps
            style = {"alpha": 0.25 + 0.2 * (k == 0), "linewidth": 0.7, "zorder": 3 - 0.1 * k}
            _box(axes, x + 0.03 * k + deep / 2, y + 0.03 * k, deep, high, colour, **style)
        before = x + deep + 0.06
        about = f"{'×'.join(map(str, shape[1:]))}\n× {shape[0]}\n{_number(parameters)}"
        _text(axes, x + deep / 2 + 0.03, below, about, 7, va="top")
    _arrow(axes, before, y, end - 0.06, y)
    _box(axes, end, y, 0.1, 0.62, colour)
    _text(axes, end, below, f"features\n{stream.features}", 7, va="top")
    about = f"{stream.network}: {_number(stream.parameters)} parameters"
    _text(axes, start, y + 0.56, about, 8, ha="left", color=colour)


def _draw_head(axes: Axes, found: Architecture, places: Sequence[float]) -> None:
    """The joined vector and the layers after it. places: heights at which the streams, then the bag, arrive."""
    parts = list(zip([stream.features for stream in found.streams], COLOURS, strict=False))
    parts += [(found.bag, ORANGE)] if found.bag else []
    y, high = sum(places) / len(places), 0.7 + 0.35 * (len(parts) - 1)
    shares = [max(count / found.inputs, 0.08) for count, _ in parts]  # else 80 counts beside thousands would not show
    bottom = y + high / 2
    for (_, colour), share, place in zip(parts, shares, places, strict=True):
        its = high * share / sum(shares)
        bottom -= its
        _box(axes, JOINED + 0.06, bottom + its / 2, 0.12, its, colour)
        _arrow(axes, JOINED - 0.29, place, JOINED - 0.01, bottom + its / 2)
    _text(axes, JOINED + 0.06, y + high / 2 + 0.04, f"{found.inputs}", 7.5, va="bottom")
    before = JOINED + 0.12
    step = (WIDTH - 0.3 - before) / len(found.layers)
    widest = max(layer.outputs for layer in found.layers)
    for number, layer in enumerate(found.layers):
        centre = JOINED + 0.12 + (number + 0.62) * step
        last = number == len(found.layers) - 1
        tall = 0.18 if last else 0.62 * math.log2(layer.outputs + 1) / math.log2(widest + 1)
        _arrow(axes, before, y, centre - 0.09, y)
        if last:
            axes.add_patch(Circle((centre, y), 0.09, facecolor="#ffffff", edgecolor=BLACK, linewidth=1.2))
        else:
            _box(axes, centre, y, 0.14, tall, SKY, edgecolor=BLACK, alpha=0.7)
        name = found.output if last else layer.name.replace(", ", "\n")
        _text(axes, centre, y + tall / 2 + 0.05, name, 7, va="bottom")
        _text(axes, centre, y - tall / 2 - 0.06, f"{layer.outputs}\n{_number(layer.parameters)}", 7, va="top")
        before = centre + 0.09


def _text(axes: Axes, x: float, y: float, text: str, size: float, ha="center", va="center", **more) -> None:
    axes.text(x, y, text, ha=ha, va=va, fontsize=size, linespacing=1.15, **more)


def _box(axes: Axes, x: float, y: float, width: float, height: float, colour: str, **style) -> None:
    """A rectangle around the place (x, y)."""
    style = {"facecolor": colour, "edgecolor": colour, "alpha": 0.5, "linewidth": 0.8, **style}
    axes.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, **style))


def _arrow(axes: Axes, x1: float, y1: float, x2: float, y2: float) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 6, "color": "#555555", "linewidth": 0.8, "zorder": 1}
    axes.add_patch(FancyArrowPatch((x1, y1), (x2, y2), shrinkA=0, shrinkB=0, **style))


def _number(count: int) -> str:
    """A count in three figures: 512, 15.1 k, 3.37 M."""
    if count < 1000:
        return str(count)
    value, unit = (count / 1e6, "M") if count >= 1e6 else (count / 1e3, "k")
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
