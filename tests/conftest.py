"""Small models and token files, written on the spot: no test needs a network."""

import os
import struct
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

# Before anything imports huggingface_hub, which reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"
# Before torch starts its threads: small matrices are slower on many, also in subprocesses.
os.environ["OMP_NUM_THREADS"] = "1"

import click
import numpy as np
import numpy.typing as npt
import pytest
import torch
from browsers import browser, show  # noqa: F401
from click.testing import CliRunner, Result
from host_shim.fixtures import host, stand_in  # noqa: F401
from hypothesis import settings
from range_server import RangeServer
from simulated_cuda.fixtures import compiled, device, devices  # noqa: F401
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

Tokens = npt.NDArray[np.integer]

# On a busy machine any example can take long.
settings.register_profile("memtrace", deadline=None)
settings.load_profile("memtrace")


@pytest.fixture(scope="session")
def memtrace_main() -> click.Group:
    """The installed `memtrace` command, found as a shell finds it."""
    (script,) = entry_points(group="console_scripts", name="memtrace")
    return script.load()


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's own cache, or prints as wide as some terminal is."""
    os.environ["MEMTRACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["COLUMNS"] = "100"


@pytest.fixture
def memtrace_cli(memtrace_main: click.Group) -> Callable[..., Result]:
    """Run the installed `memtrace` command in-process."""
    return lambda *args: CliRunner().invoke(memtrace_main, [str(arg) for arg in args])


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of oracles and published data beside the repository."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("published data of others is not part of this repository")
    return folder


@pytest.fixture(scope="session")
def demo_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all test processes: what one has scanned into its `runs` serves the others."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "demo-scans"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def neox_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-NeoX with Pythia's conventions, as save_pretrained writes it."""
    torch.manual_seed(1)
    config = GPTNeoXConfig(
        vocab_size=96,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-neox"
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of an odd shape, as save_pretrained writes it."""
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=101,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
        max_position_embeddings=80,
        initializer_range=0.3,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def remembered() -> Callable[..., Tokens]:
    """Return a maker of sequences of which a model remembers some.

    Random weights remember nothing, so the continuations are the model's own greedy ones, changed
    at a known position, or nowhere.
    """

    def make(model: torch.nn.Module, n: int, seed: int = 0) -> tuple[Tokens, Tokens]:
        """Return `(n, 64)` sequences, and where each was changed, `(n,)`; 32: nowhere."""
        rng = np.random.default_rng(seed)
        vocabulary = model.config.vocab_size
        tokens = torch.from_numpy(rng.integers(1, vocabulary, (n, 32)))
        with torch.inference_mode():
            for _ in range(32):
                logits = model(tokens, use_cache=False, logits_to_keep=1).logits[:, -1]
                tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], 1)
        sequences = tokens.numpy().copy()
        changed = rng.integers(0, 65, n).clip(max=32)
        for row, position in zip(sequences, changed, strict=True):
            if position < 32:
                row[32 + position] = (row[32 + position] + 1) % vocabulary
        return sequences, changed

    return make


def write_index(path: Path, lengths: list[int], itemsize: int, code: int = 8) -> None:
    """Write a Megatron index byte by byte, independently of the reader."""
    starts = np.cumsum([0, *lengths])[:-1] * itemsize
    with path.open("wb") as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<Q", 1) + struct.pack("<B", code))
        file.write(struct.pack("<Q", len(lengths)) + struct.pack("<Q", len(lengths) + 1))
        file.write(np.asarray(lengths, "<i4").tobytes() + np.asarray(starts, "<i8").tobytes())
        file.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())


@pytest.fixture(scope="session")
def write_megatron() -> Callable[..., Path]:
    """Return a writer of `.bin`/`.idx` files, in one piece or cut every `shard_bytes`."""

    def write(prefix: Path, rows: Tokens, shard_bytes: int | None = None) -> Path:
        raw = np.asarray(rows, "<u2").tobytes()
        write_index(Path(f"{prefix}.idx"), [rows.shape[1]] * len(rows), 2)
        if shard_bytes is None:
            Path(f"{prefix}.bin").write_bytes(raw)
            return prefix
        pieces = [raw[i : i + shard_bytes] for i in range(0, len(raw), shard_bytes)]
        for i, piece in enumerate(pieces):
            Path(f"{prefix}-{i:05d}-of-{len(pieces) - 1:05d}.bin").write_bytes(piece)
        return prefix

    return write


@pytest.fixture(scope="session")
def web_server() -> Iterator[RangeServer]:
    """A web server of byte ranges on 127.0.0.1."""
    running = RangeServer()
    yield running
    running.close()


@pytest.fixture
def hub(web_server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> RangeServer:
    """The Hub is on 127.0.0.1, and the network is on."""
    template = web_server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", web_server.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    for waits in ("READING", "OPENING"):
        monkeypatch.setattr(f"memtrace.corpus.remote.{waits}", (0.01, 0.01, 0.01))
    web_server.forget()
    return web_server
