"""The 17 situations in which 82749b0 lost work, ran a stranger's code or was wrong in silence.

Nothing but the command line and the public names is used, so that the file runs against 82749b0
too, where each of these tests fails. The kinds behind them are tested beside what they attack.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import prunekit
from tests.packages import install

MAIN: Callable[[list[str]], int] = next(
    iter(importlib.metadata.entry_points(group="console_scripts", name="prunekit"))
).load()
FLAGS = ["--scorer", "magnitude", "--sampler", "topk", "--density", "0.5", "--device", "cpu"]
NET = """
import os, signal
from torch import nn
BEFORE_BUILD
class Net(nn.Sequential):
    steps = 0
    def forward(self, x):
        if self.training:
            Net.steps += 1
        if Net.steps == 20 and os.environ.get("STOP_AT_20"):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(x)
def build(input_shape, classes):
    IN_BUILD
    return Net(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))
"""
Said = pytest.CaptureFixture[str]


def net(folder: Path, before_build: str = "", in_build: str = "pass") -> Path:
    code = NET.replace("BEFORE_BUILD", before_build).replace("IN_BUILD", in_build)
    (folder / "net.py").write_text(code)
    return folder / "net.py"


def run(out: Path, *flags: str, arch: Path | None = None, epochs: int = 1) -> int:
    """A run of digits; its exit code."""
    chosen = [] if arch is None else ["--arch", f"{arch}:build"]
    chosen = chosen or ["--arch", "mlp", "--arch.hidden", "12"]
    return MAIN(["run", *FLAGS, *chosen, "--epochs", str(epochs), *flags, "--out", str(out)])


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Path:
    """A run that SIGTERM has stopped after 20 steps of its training, with checkpoints."""
    monkeypatch.setenv("STOP_AT_20", "1")
    assert run(tmp_path / "run", arch=net(tmp_path), epochs=3) == 143
    monkeypatch.delenv("STOP_AT_20")
    capsys.readouterr()
    return tmp_path / "run"


def line(capsys: Said) -> str:
    """The last line on stderr; no traceback stands before it."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


def test_01_a_checkpoint_that_cannot_be_opened_is_not_one_that_is_absent(stopped, capsys) -> None:
    metrics = (stopped / "metrics.jsonl").read_bytes()
    files = sorted((stopped / "checkpoints").glob("*/*"))
    kept = {file: file.read_bytes() for file in files}
    for file in files:  # opening a link to itself is ELOOP, for root too
        file.unlink()
        file.symlink_to(file)
    assert MAIN(["resume", str(stopped)]) == 4
    assert (stopped / "metrics.jsonl").read_bytes() == metrics
    for file, content in kept.items():
        file.unlink()
        file.write_bytes(content)
    assert MAIN(["resume", str(stopped)]) == 0
    assert "step 20" in capsys.readouterr().err


def test_02_the_folder_of_a_stranger_executes_nothing(tmp_path, capsys) -> None:
    marker = tmp_path / "executed"
    file = net(tmp_path)
    assert run(tmp_path / "run", arch=file) == 0
    file.write_text(f"open({str(marker)!r}, 'w')\n{file.read_text()}")
    capsys.readouterr()
    assert MAIN(["eval", str(tmp_path / "run")]) == 2
    assert "--trust" in line(capsys)
    assert not marker.exists()


def test_03_a_reader_of_stderr_who_leaves_ends_no_training(tmp_path, monkeypatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    broken = os.fdopen(writer, "w", buffering=1, closefd=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", broken)
        code = run(tmp_path / "run", epochs=2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is left in the buffer goes there
    assert code == 0
    assert (tmp_path / "run" / "summary.json").exists()


def test_04_sys_exit_in_code_of_others_is_a_fault_and_no_success(tmp_path, capsys) -> None:
    assert run(tmp_path / "run", arch=net(tmp_path, in_build="raise SystemExit(0)")) == 2
    assert "net.py" in line(capsys)


def test_05_a_lack_of_memory_on_the_cpu_is_exit_3_with_the_size(tmp_path, capsys) -> None:
    asks = "import torch; torch.empty(2**60)"
    assert run(tmp_path / "run", arch=net(tmp_path, in_build=asks)) == 3
    assert "EiB asked for" in line(capsys)


def test_06_a_closed_stdout_is_no_traceback_after_a_finished_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(tmp_path / "run") == 0


def test_07_a_bomb_among_the_images_is_refused_by_name_and_unread(tmp_path, capsys) -> None:
    side = 13_000
    pixels = zlib.compress(bytes((side + 1) * side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", pixels), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    for part in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "set" / part).mkdir(parents=True)
        (tmp_path / "set" / part / "bomb.png").write_bytes(png)
    given = ["--dataset", "folder", "--dataset.path", str(tmp_path / "set"), "--data.size", "8"]
    assert run(tmp_path / "run", *given) == 2
    assert "bomb.png" in line(capsys)


def test_08_two_ranks_with_other_batches_agree_or_are_refused(tmp_path) -> None:
    code = """
import sys, torch, torch.distributed as dist
from torch import nn
import prunekit
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))
model = nn.parallel.DistributedDataParallel(model)
torch.manual_seed(rank)
batch = torch.randn(16, 9), torch.randint(3, (16,))
try:
    masks = prunekit.prune(model, "snip", density=0.5, batches=[batch])
    kept = torch.cat([mask.flatten() for mask in masks.values()])
    seen = [torch.empty_like(kept) for _ in range(2)]
    dist.all_gather(seen, kept)
    print(bool((seen[0] == seen[1]).all()))
except prunekit.PrunekitError as error:
    print(True)
"""
    words = [sys.executable, "-c", code]
    ranks = [
        subprocess.Popen([*words, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    assert [rank.communicate(timeout=200)[0] for rank in ranks] == [b"True\n", b"True\n"]


def test_09_the_callers_torch_settings_change_no_bit(tmp_path) -> None:
    assert run(tmp_path / "plain") == 0
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert run(tmp_path / "bf16") == 0
    finally:
        torch.set_default_dtype(torch.float32)
    for name in ("masks.safetensors", "model.safetensors"):
        assert (tmp_path / "bf16" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.parametrize("text", ['{"density": "many", "kept": [[]]}', "[" * 9999])
def test_10_a_valid_text_of_the_wrong_shape_is_one_line(tmp_path, capsys, text) -> None:
    assert run(tmp_path / "run") == 0
    (tmp_path / "run" / "summary.json").write_text(text)
    capsys.readouterr()
    assert MAIN(["show", str(tmp_path / "run")]) == 4
    assert "summary.json" in line(capsys)


def test_11_a_checkpoint_with_a_right_digest_and_an_unknown_phase_is_refused(
    stopped, capsys
) -> None:
    for path in stopped.glob("checkpoints/*/manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["sha256"]
        manifest["position"] |= {"phase": "lunch"}
        text = json.dumps(manifest, sort_keys=True)
        path.write_text(
            json.dumps(manifest | {"sha256": hashlib.sha256(text.encode()).hexdigest()})
        )
    assert MAIN(["resume", str(stopped)]) == 4
    assert "lunch" in line(capsys)
    assert not (stopped / "summary.json").exists()


def test_12_a_resume_deletes_nothing_behind_a_link(stopped, tmp_path) -> None:
    (stopped / "checkpoints").rename(tmp_path / "elsewhere")
    (stopped / "checkpoints").symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    assert MAIN(["resume", str(stopped)]) == 4
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before


def test_13_no_escape_sequence_of_a_file_reaches_the_terminal(tmp_path, capsys) -> None:
    assert run(tmp_path / "run") == 0
    layers = tmp_path / "run" / "layers.json"
    rows = json.loads(layers.read_text())
    rows[0]["name"] = "\x1b]0;pwned\x07"
    layers.write_text(json.dumps(rows))
    capsys.readouterr()
    assert MAIN(["show", str(tmp_path / "run")]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_14_a_hook_that_answers_nonsense_harms_only_its_own_plugin(
    tmp_path, monkeypatch, capsys
) -> None:
    code = """
import prunekit
@prunekit.hookimpl
def prunekit_scorers():
    return {3: int}
"""
    install(tmp_path, "nonsense", "nonsense", code)
    monkeypatch.syspath_prepend(tmp_path)
    assert MAIN(["plugins", "--components"]) == 0
    assert "synflow" in capsys.readouterr().out


def test_15_a_host_gets_its_handler_back_and_the_signal_that_came(tmp_path, monkeypatch) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda signum, _: came.append(signum))
    monkeypatch.setenv("STOP_AT_20", "1")
    file = net(tmp_path)
    file.write_text(file.read_text().replace("SIGTERM", "SIGUSR1"))
    try:
        spec = prunekit.Spec(
            arch=f"{file}:build", scorer="magnitude", sampler="topk", observers=(), device="cpu",
            prune=prunekit.Prune(density=0.5), train=prunekit.Train(epochs=3),
        )  # fmt: skip
        with pytest.raises(prunekit.PrunekitError) as stop:
            prunekit.run(spec, tmp_path / "run")
        assert stop.value.exit_code == 143
        assert came == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_16_a_rank_of_torchrun_is_told_that_a_run_is_one_process(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(tmp_path / "run") == 2
    assert "rank 1 of 2" in line(capsys)


def test_17_compare_writes_no_file_that_nobody_asked_for(tmp_path, monkeypatch) -> None:
    assert run(tmp_path / "first") == 0
    assert run(tmp_path / "second", "--seed", "1") == 0
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert MAIN(["compare", "first", "second"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_masks_of_a_plain_model_are_as_many_as_asked() -> None:
    """What holds on both: so the tests above fail there for what they say."""
    masks = prunekit.prune(nn.Sequential(nn.Linear(10, 10)), "magnitude", density=0.3)
    assert sum(int(mask.sum()) for mask in masks.values()) == 30
