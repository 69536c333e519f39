"""What computes a frozen network's features: torch, or an inference engine that gives the same in less time.

An engine's model is exported once into the cache and held against torch there, on the first images that it is to see.
What was found is remembered with it: an engine that disagrees is never taken silently, and `auto` says so and takes
another. Int8 gives other features, so that it is taken by name only, and cache keys know it.
"""

from __future__ import annotations

import io
import json
import logging
import platform
import sys
import warnings
from contextlib import redirect_stdout
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vadkit.core.code import code_version
from vadkit.core.compute import device_of, engine_version, to_device
from vadkit.core.config import Config
from vadkit.core.disk import refusal
from vadkit.core.errors import ConfigError, VadkitError
from vadkit.core.store import Store
from vadkit.models.backbones import fused
from vadkit.models.detector import onnx_session
from vadkit.models.network import INT8, Network

# What features may be off by. Of the same features, the largest difference beside the largest value: the half precision
# that they are kept in rounds as far. Of int8, the norm of the difference beside the norm.
BOUND, INT8_BOUND = 5e-4, 0.15
PROBED = 8  # images or clips that both compute
CALIBRATED = 64  # images or clips that int8's ranges are taken from, at least half as many
# The fastest first, measured in benchmarks/engines.py; of clips onnxruntime is slower than torch.
ENGINES = {"images": ("openvino", "onnxruntime"), "clips": ("openvino",)}

_SETTLED: dict[tuple, Frozen] = {}  # of this process


class Frozen:
    """A frozen network ready to compute features: preprocessed images or clips, float32 on the CPU -> (n, D), float32.

    by: the name of what computes. Features stay on the device where they were computed.
    """

    def __init__(self, by: str, compute):
        self.by, self._compute = by, compute

    def __call__(self, batch: Tensor) -> Tensor:
        return self._compute(batch)


def frozen(network: Network, config: Config, batch: Tensor, export: bool = False) -> Frozen:
    """The network under config.inference. batch: of what it is to see; an engine is held against torch on some of it.

    export: whether so much is to be seen that an export, of ten seconds, pays; `auto` otherwise takes only what was
    exported before. Raises ConfigError for an engine that is not installed, VadkitError for one that was asked for by
    name and cannot take the network or gives other features than torch; `auto` warns of that and takes another.
    """
    device, wanted = device_of(config), network.engine or config.inference
    settled = (network, wanted, device, config.cache_dir, batch.shape[1:], torch.get_num_threads())
    if settled not in _SETTLED:
        found = _engine(network, wanted, device, Store(config.cache_dir), batch, export)
        if found is None:  # for now: another process may export it
            return _of_torch(network, device)
        _SETTLED[settled] = found
    return _SETTLED[settled]


def _engine(network: Network, wanted: str, device: str, store: Store, batch: Tensor, export: bool) -> Frozen | None:
    """What computes from now on; None where that is not exported yet, and is not to be."""
    if device != "cpu" and wanted not in ("auto", "torch"):
        raise ConfigError(f"inference: {wanted} computes on the CPU, device is {device}; set inference: auto")
    names = ENGINES["clips" if network.width else "images"] if wanted == "auto" else (wanted,)
    for name in names if device == "cpu" and wanted != "torch" else ():
        try:
            key = _key(network, name, batch)
        except ConfigError:
            if wanted == "auto":
                continue
            raise
        if not store.has("engines", key):
            if wanted == "auto" and not export:
                return None
            if name == INT8 and len(batch) < CALIBRATED // 2:
                facts = f"{INT8} takes the ranges of {network.name} from at least {CALIBRATED // 2} images or clips"
                remedy = "run a profile's notebooks with it first, or set inference: auto"
                raise VadkitError(f"{facts}, of a profile; {len(batch)} are here; {remedy}")
        folder = store.fetch("engines", key, partial(_export, network, name, batch))
        facts = json.loads((folder / "facts.json").read_text())
        if facts["agrees"]:
            return _loaded(name, folder, torch.get_num_threads())
        if wanted != "auto":
            raise VadkitError(f"{facts['found']}; set inference: auto or torch")
        warnings.warn(f"{facts['found']}; it is left out", stacklevel=3)
    return _of_torch(network, device)


@lru_cache(maxsize=4)
def _of_torch(network: Network, device: str) -> Frozen:
    module = _module(network).to(device)

    def compute(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(to_device(batch, device))

    return Frozen("torch", compute)


def _module(network: Network) -> nn.Module:
    return network.build() if network.width else fused(network.build())


def _key(network: Network, name: str, batch: Tensor) -> dict:
    return {
        "network": [network.name, network.digest, network.width, network.size],
        "input": list(batch.shape[1:]),
        "engine": [name, engine_version(name)],
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "torch": torch.__version__,
        "code": code_version(__name__),
    }


def _export(network: Network, name: str, batch: Tensor, folder: Path) -> None:
    facts: dict[str, Any] = {"engine": name, "network": network.name, "agrees": False}
    module, probe = _module(network), batch[:: max(len(batch) // PROBED, 1)][:PROBED].contiguous()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: sizes are constants here
            _save[name](module, batch if name == INT8 else probe, folder)
        ours = _loaded(name, folder, torch.get_num_threads())(probe)
    except (OSError, MemoryError):  # of this machine, now: nothing to remember of the engine
        raise
    except Exception as error:  # exporters raise many types
        if refusal(error, folder):  # a full disk, of which OpenVINO says no more than "iostream error"
            raise
        facts["found"] = f"{name} cannot take {network.name} ({type(error).__name__}: {str(error).splitlines()[0]})"
    else:
        with torch.inference_mode():
            reference = module(probe)
        off, size, bound = ours - reference, reference, INT8_BOUND if name == INT8 else BOUND
        how = torch.linalg.vector_norm if name == INT8 else lambda one: one.abs().max()
        relative = float(how(off) / how(size).clamp(min=1e-12))
        facts |= {"agrees": relative <= bound, "relative": relative}
        facts["found"] = f"{name} gives features of {network.name} that are {relative:.2g} of their size off torch's"
        facts["found"] += f", more than {bound:g}" if relative > bound else ""
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))


def _openvino():
    """The module, without the reports of use that importing it would send."""
    sys.modules.setdefault("openvino_telemetry", None)  # both it and NNCF then go without
    import openvino

    return openvino


def _converted(module: nn.Module, probe: Tensor):
    with torch.no_grad():
        model = _openvino().convert_model(module, example_input=probe)
    model.reshape({model.inputs[0]: [-1, *probe.shape[1:]]})
    return model


def _save_openvino(module: nn.Module, probe: Tensor, folder: Path) -> None:
    _openvino().save_model(_converted(module, probe), folder / "model.xml", compress_to_fp16=False)


def _save_int8(module: nn.Module, batch: Tensor, folder: Path) -> None:
    model = _converted(module, batch[:1].contiguous())
    import nncf

    nncf.set_log_level(logging.ERROR)
    ranges = nncf.Dataset([_array(one) for one in batch.split(1)])
    with redirect_stdout(io.StringIO()):  # its bars
        model = nncf.quantize(model, ranges, subset_size=len(batch))
    _openvino().save_model(model, folder / "model.xml", compress_to_fp16=False)


def _save_onnx(module: nn.Module, probe: Tensor, folder: Path) -> None:
    names = {"input_names": ["batch"], "output_names": ["features"]}
    free = {name: {0: "n"} for name in ("batch", "features")}
    torch.onnx.export(module, (probe,), str(folder / "model.onnx"), dynamo=False, dynamic_axes=free, **names)


_save = {"openvino": _save_openvino, INT8: _save_int8, "onnxruntime": _save_onnx}


def _loaded(name: str, folder: Path, threads: int) -> Frozen:
    if name in ("openvino", INT8):
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = _openvino().Core().compile_model(folder / "model.xml", "CPU", options)
        return Frozen(name, lambda batch: torch.from_numpy(compiled(_array(batch))[0].copy()))
    session = onnx_session(folder / "model.onnx", threads)
    return Frozen(name, lambda batch: torch.from_numpy(session.run(None, {"batch": _array(batch)})[0]))


def _array(batch: Tensor) -> np.ndarray:
    return np.ascontiguousarray(batch.numpy())
