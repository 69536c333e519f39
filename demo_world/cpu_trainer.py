"""ultralytics' detection trainer made fit for a CPU: bfloat16 arithmetic and channels-last pictures.

ultralytics refuses mixed precision on a CPU and keeps channels-last to graphics cards; on a CPU with bfloat16
units the two together are worth a factor of two to three. What it lets one replace is replaced here: how the network
is made, what its loss is, and what a batch looks like. Everything else is ultralytics' own.
"""

from __future__ import annotations

import math

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel


class Bfloat16Model(DetectionModel):
    """A YOLO whose layers compute in bfloat16 while it trains; weights, loss and validation stay float32."""

    def loss(self, batch, preds=None):
        if preds is None:
            with torch.autocast("cpu", torch.bfloat16):
                preds = self(batch["img"])
            preds = {
                name: [one.float() for one in value] if isinstance(value, list) else value.float()
                for name, value in preds.items()
            }
        return super().loss(batch, preds)


class CpuTrainer(DetectionTrainer):
    """`YOLO(...).train(trainer=CpuTrainer, ...)`."""

    def get_model(self, cfg=None, weights=None, verbose=True):
        model = Bfloat16Model(cfg, ch=self.data["channels"], nc=self.data["nc"], verbose=False)
        return self.set_model_names_for_load(model).to(memory_format=torch.channels_last)

    def preprocess_batch(self, batch):
        batch = super().preprocess_batch(batch)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch


def begin(trainer: DetectionTrainer, threads: int) -> None:
    """When training starts: as many threads as asked for, and averages fit for some thousand steps instead of
    ultralytics' hundred thousand."""
    torch.set_num_threads(threads)
    trainer.ema.decay = lambda updates: 0.998 * (1 - math.exp(-updates / 300))
    for group in trainer.optimizer.param_groups:
        group["betas"] = (0.9, 0.99)


def anneal(trainer: DetectionTrainer, peak: float) -> None:
    """Before each batch: the learning rate rises over 100 steps and falls as a cosine to a fiftieth (ultralytics
    changes it once an epoch, of which there are few)."""
    done = trainer.ema.updates
    share = done / (trainer.epochs * len(trainer.train_loader))
    for group in trainer.optimizer.param_groups:
        group["lr"] = peak * min(1.0, (done + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
