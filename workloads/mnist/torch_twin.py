"""The network `dropout` and its training in PyTorch: the same command launches a script in any framework.

    python -m launch --nodes 2 workloads/mnist/torch_twin.py --data FOLDER

From the launcher it uses only what every rank finds in its environment, RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT,
and from the toolkit only the reader of image files. It trains with Adadelta at a rate of 1, times 0.7 after each epoch,
and 64 examples per rank and step, on the GPU of number LOCAL_RANK where PyTorch finds one. See docs/mnist.md.
"""
# pyright: reportMissingImports=false
# PyTorch is the user's own.

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from launch.errors import Refusal
from workloads.data.images import reading

if TYPE_CHECKING:
    import torch

    from workloads.data.images.sets import Images

MEAN, DEVIATION = 0.1307, 0.3081  # of the pixels of MNIST's training images, in 0 to 1
AT_ONCE = 500  # images per batch when measuring


def main(argv: list[str]) -> None:
    """Train on this rank's part of the images, and measure with the others.

    Raises
    ------
    Refusal
        If PyTorch is not installed, or the images do not exist.
    """
    args = _parser().parse_args(argv)
    try:
        import torch
        import torch.distributed as dist
    except ImportError:
        raise Refusal(
            f"{sys.executable} has no PyTorch: pip install torch, "
            "or start the launcher by the python of an environment that has it"
        ) from None

    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    images = reading.read(args.data)
    if len(images.train.labels) < args.batch * size:
        raise Refusal(
            f"{len(images.train.labels)} training images are fewer than {size} x --batch {args.batch}: give fewer"
        )
    torch.set_num_threads(args.threads or torch.get_num_threads())
    if size > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(args.seed)
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    model = network(images.train.pixels.shape[1:], images.classes).to(device)
    trained = torch.nn.parallel.DistributedDataParallel(model) if size > 1 else model
    torch.manual_seed(args.seed + 1 + rank)  # the seed of dropout differs per rank
    optimizer = torch.optim.Adadelta(model.parameters(), lr=args.lr)
    fall = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=args.gamma)
    pixels, labels = (tensor.to(device) for tensor in _tensors(images.train))
    test = [part[rank::size].to(device) for part in _tensors(images.validation)]
    steps = len(labels) // (args.batch * size)  # the same on all ranks: each of them waits for the others
    for epoch in range(args.epochs):
        began, loss = time.perf_counter(), torch.zeros((), device=device)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(args.seed * 1_000_003 + epoch))
        trained.train()
        for index in order[rank::size][: steps * args.batch].reshape(steps, args.batch):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=args.bfloat16):
                logits = trained(pixels[index])
            own = torch.nn.functional.cross_entropy(logits.float(), labels[index])
            own.backward()
            optimizer.step()
            loss += own.detach()
        fall.step()
        loss = loss.cpu()  # when it is here, the steps are done
        rate = steps * args.batch * size / (time.perf_counter() - began)
        right = _right(model, *test, bfloat16=args.bfloat16)
        sums = torch.stack([right, loss.double() / (steps * size)])
        if size > 1:
            dist.all_reduce(sums)
        if rank == 0:
            accuracy = float(sums[0]) / len(images.validation.labels)
            print(
                f"epoch {epoch + 1}/{args.epochs}  loss {float(sums[1]):.4g}  accuracy {accuracy:.2%}  "
                f"{rate:.4g} examples/s on {size} ranks",
                flush=True,
            )
    if size > 1:
        dist.destroy_process_group()


def network(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """Build the layers of `workloads.mnist.networks.dropout`: 1,199,882 parameters for MNIST.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of an image.
    classes : int
        Length of the logits.
    """
    from torch import nn

    height, width, channels = shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(128, classes)),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder of an image set, or a file of one")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=64, help="examples per rank per step")
    parser.add_argument("--lr", type=float, default=1.0, help="of Adadelta, whatever the number of ranks")
    parser.add_argument("--gamma", type=float, default=0.7, help="by which the rate is multiplied after each epoch")
    parser.add_argument("--threads", type=int, default=0, help="of a rank; 0: as many as PyTorch takes")
    parser.add_argument("--bfloat16", action="store_true", help="arithmetic of the network; weights are always float32")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LAUNCH_SEED", "0")))
    return parser


def _tensors(images: Images) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixels, float32 (N, C, H, W), normalised, and the labels, int64 (N,)."""
    import torch

    pixels = torch.from_numpy(images.pixels.transpose(0, 3, 1, 2).astype("float32"))
    return (pixels / 255 - MEAN) / DEVIATION, torch.from_numpy(images.labels)


def _right(model: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor, bfloat16: bool) -> torch.Tensor:
    """Return how many images the network classifies correctly, float64 ()."""
    import torch

    model.eval()
    with torch.inference_mode(), torch.autocast(pixels.device.type, torch.bfloat16, enabled=bfloat16):
        answers = [model(part).argmax(dim=1) for part in pixels.split(AT_ONCE)]
    return (torch.cat(answers) == labels).sum().double().cpu()


if __name__ == "__main__":
    main(sys.argv[1:])
