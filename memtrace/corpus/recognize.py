"""Say what a file is that memtrace does not read as a corpus, and how to make token rows of it."""

import stat
import zipfile
from pathlib import Path

from memtrace.corpus.source_files import TEXT_ENDINGS
from memtrace.errors import CorpusError

READ = (
    "memtrace reads token rows: Megatron .bin files with their .idx, a two-dimensional integer "
    ".npy array, Parquet with a column of token ids, a prefix pack, or what a corpus file (YAML) "
    "describes"
)
_HEAD = 4096  # bytes
_SAVE = "in Python: numpy.save('rows.npy', {})"
_RAW = (
    "write a corpus file my-run.yaml with {corpus: my-run, layout: olmo, tokens: ['{path}'], "
    "dtype: uint16, row_tokens: N} and pass it (N tokens a row, one more than the model's context "
    "where the last label is counted; uint32 where the vocabulary has more than 65,536)"
)
_NANOTRON = (
    "; where nanotron trained on it: {corpus: my-run, layout: nanotron, tokens: [FOLDER], "
    "dtype: uint16, row_tokens: N, seed: SEED} gives its order"
)
_HEADED = _RAW.replace("dtype: uint16, ", "").partition("; uint32")[0] + ")"
_PACKED = "of the trainer, from its seeds, ranks and workers; " + _SAVE.format("rows")
_INDEX = "put the .idx that belongs to it beside it, or, " + _RAW
_TEXT = (
    "tokenize it: memtrace corpus tokenize {path} --tokenizer MODEL --output PREFIX, then pass "
    "PREFIX (in the order of training, where it was trained on)"
)
_OTHER_TEXT = (
    'write it as JSON lines, each with the document under "text", and then tokenize that: memtrace '
    "corpus tokenize FILE.jsonl --tokenizer MODEL --output PREFIX"
)
# What each file begins with, what it is, and how to make rows of it.
_MAGICS = (
    (b"PAR1", "a Parquet table under another name", "give its name the ending .parquet"),
    (
        b"LITPKDS",
        "a packed file of lit-gpt, as TinyLlama's",
        "write the rows in the order " + _PACKED,
    ),
    ((20240520).to_bytes(4, "little"), "a token file of llm.c", _HEADED),
    ((20240801).to_bytes(4, "little"), "a token file of llm.c", _HEADED),
    (b"\x93NUMPY", "a NumPy array under another name", "give its name the ending .npy"),
    (b"\x89HDF", "an HDF5 file", _SAVE.format("h5py.File('{path}')[NAME][:]")),
    (
        b"ARROW1",
        "an Arrow file",
        _SAVE.format("numpy.stack(polars.read_ipc('{path}')[COLUMN].to_numpy())"),
    ),
    (
        b"\xff\xff\xff\xff",
        "an Arrow stream, as the data sets of Hugging Face are stored",
        _SAVE.format("datasets.Dataset.from_file('{path}').with_format('numpy')[COLUMN]"),
    ),
    (b"MMIDIDX", "a Megatron index without its .bin", "put its .bin beside it, and pass that"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip -k {path}"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it first: unzstd {path}"),
    (b"\x80", "a Python pickle", _SAVE.format("rows") + " with what wrote it"),
)
_TEXTS = (".json", ".csv", ".tsv", ".md", ".yaml", ".yml")
_FOLDERS = (
    ("*.idx", "Megatron files", "pass the path of one without .bin"),
    ("*.bin", "token files", "pass the path of one without .bin"),
    ("*.ds", "token files of datatrove", "pass one of them to see how to convert it"),
    ("*.npy", "arrays", "pass one of them"),
    ("index.json", "shards of MDS or litdata", "write the rows in the order " + _PACKED),
    (
        "*.arrow",
        "a data set of Hugging Face",
        "of text: memtrace corpus tokenize {path} --tokenizer MODEL --output PREFIX; of token ids "
        + _SAVE.format("datasets.load_from_disk('{path}').with_format('numpy')[COLUMN]"),
    ),
    ("*.jsonl", "text", _TEXT),
    ("*.txt", "text", _TEXT),
)


def recognize(path: Path) -> CorpusError | None:
    """Return what a path is that no reader takes, as the error to raise; None where nothing is.

    Raises:
        OSError: Its kind cannot be read.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # of a name with a zero byte
        if not path.is_symlink():
            return None
        return CorpusError(f"{path} is a link to {path.readlink()}, which is not there: mend it")
    if stat.S_ISDIR(mode):
        what, how = _folder(path)
    elif stat.S_ISREG(mode):
        what, how = _file(path)
    else:
        what, how = "no regular file", "write the rows to one"
    return CorpusError(f"{path} is {what}; {READ}; {how.replace('{path}', str(path))}")


def _folder(path: Path) -> tuple[str, str]:
    for pattern, what, how in _FOLDERS:
        if any(path.glob(pattern)):
            return f"a folder of {what}", how
    return "a folder without a pack.json", "pass the file or the prefix of the files"


def _file(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "empty", "write it again"
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    for magic, what, how in _MAGICS:
        if head.startswith(magic):
            return what, how
    if path.suffix == ".npy":
        return "an array without NumPy's header, as OLMo writes tokens", _RAW
    if path.suffix == ".ds":
        return "a token file of datatrove, without a header", _RAW + _NANOTRON
    if path.suffix == ".bin":
        return "a file of tokens without an .idx, which would tell the length of a row", _INDEX
    if path.suffix in TEXT_ENDINGS:
        return "text", _TEXT
    if path.suffix in _TEXTS or _is_text(head):
        return "text", _OTHER_TEXT
    return "of a format that memtrace does not know", "if it is a stream of tokens: " + _RAW


def _is_text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)


def _archive(path: Path) -> tuple[str, str]:
    """Tell NumPy's and PyTorch's archives apart, which are both ZIP files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "a damaged ZIP archive", "write it again"
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if arrays:
        return "a NumPy archive", _SAVE.format(f"numpy.load('{{path}}')['{arrays[0]}']")
    if any(name.endswith("data.pkl") for name in names):
        return "a file of PyTorch", _SAVE.format("torch.load('{path}').numpy()")
    return "a ZIP archive", "unpack it first"
