"""R8: processes that train one model agree on its masks after each level, or none goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from trusted.forks import ended, started
from trusted.repeats import digest, examples, net
from trusted.rows import Row

import prunekit

LEVELS = (0.5, 0.2, 0.1)


def ranks_agree(count: int, place: Path) -> Row:
    """R8: gloo; broadcast_buffers on and off; other global seeds, shares and batches a rank."""
    cases = list(product((2, 4), (True, False)))[:count]
    wrong = []
    for number, (ranks, broadcast) in enumerate(cases):
        folder = place / str(number)
        folder.mkdir()
        said = together(ranks, levels, folder, broadcast)
        masks = {json.dumps(one.get("masks")) for one in said}
        if len(masks) != 1 or any(one.get("refused") != [2, 2] for one in said):
            wrong.append(f"{ranks} ranks, broadcast_buffers {broadcast}: {said}")
    sizes = sorted({ranks for ranks, _ in cases})
    figure = f"{len(cases) - len(wrong)} of {len(cases)} agree at each of {len(LEVELS)} levels and "
    figure += f"after learning, and refuse what differs (processes: {sizes})"
    return figure + "".join(f"; {w[:300]}" for w in wrong), "all, with 2 and 4 processes", not wrong


def together(
    ranks: int, call: Callable[..., Any], folder: Path, *arguments: Any, seconds: float = 240.0
) -> list[dict[str, Any]]:
    """What each rank says of `call(rank, ranks, *arguments)`; it ends in any case."""
    logs = [folder / f"{rank}.log" for rank in range(ranks)]
    pids = [
        started(one_rank, rank, ranks, call, folder, *arguments, log=log)
        for rank, log in enumerate(logs)
    ]
    codes = [ended(pid, seconds) for pid in pids]
    said = [log.with_suffix(".json") for log in logs]
    return [
        json.loads(path.read_text()) if path.exists() else {code: log.read_text()[-150:]}
        for path, code, log in zip(said, codes, logs)
    ]


def one_rank(
    rank: int, ranks: int, call: Callable[..., Any], folder: Path, *arguments: Any
) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks
    )
    torch.manual_seed(rank)
    (folder / f"{rank}.json").write_text(json.dumps(call(rank, ranks, *arguments)))
    distributed.barrier()
    distributed.destroy_process_group()


def levels(rank: int, ranks: int, broadcast: bool) -> dict[str, Any]:
    """The masks of each level and of a learning, and how many calls that differ were refused."""
    model = DistributedDataParallel(net(), broadcast_buffers=broadcast)
    scorer = prunekit.component("scorer", "snip", batch_norm="train")  # statistics differ by rank
    masks, found = None, []
    for density in LEVELS:
        masks = prunekit.prune(model, scorer, density=density, batches=examples(1), masks=masks)
        found.append(masks.digest())
        prunekit.train(model, masks, shares(rank, ranks), epochs=1, lr=0.01)
    other = [(x + rank, y) for x, y in examples(1)]
    refused = [
        refuses(lambda: prunekit.prune(model, scorer, density=0.05, batches=other)),
        refuses(lambda: prunekit.prune(model, "random", density=0.05, seed=rank)),
    ]
    learned, _ = prunekit.learn(
        DistributedDataParallel(net(), broadcast_buffers=broadcast),
        "edge-popup", shares(rank, ranks), epochs=1, density=0.5, lr=0.1, seed=1,
    )  # fmt: skip
    weights = digest(dict(model.module.named_parameters()))
    return {"masks": [*found, learned.digest(), weights], "refused": refused}


def shares(rank: int, ranks: int) -> DataLoader[Any]:
    rng = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(64, 1, 8, 8, generator=rng), torch.arange(64) % 10)
    return DataLoader(data, 16 // ranks, sampler=DistributedSampler(data, ranks, rank, seed=5))


def refuses(call: Callable[[], Any]) -> int:
    """The exit code of the error that the call ends in; 0 where it does not."""
    try:
        call()
    except prunekit.PrunekitError as error:
        return error.exit_code
    return 0
