"""Files that are not read, and how each becomes one that is."""

from __future__ import annotations

from pathlib import Path

_TABLES = {  # by ending: what it is, and the function of pandas that reads it
    ".csv": ("CSV", "read_csv({!r})"),
    ".tsv": ("a table with tabs", "read_csv({!r}, sep='\\t')"),
    ".txt": ("text", "read_csv({!r}, sep=None, engine='python')"),
    ".xlsx": ("a spreadsheet", "read_excel({!r})"),
    ".xls": ("a spreadsheet", "read_excel({!r})"),
    ".ods": ("a spreadsheet", "read_excel({!r})"),
    ".json": ("JSON", "read_json({!r})"),
    ".jsonl": ("JSON", "read_json({!r}, lines=True)"),
    ".ndjson": ("JSON", "read_json({!r}, lines=True)"),
    ".feather": ("Feather", "read_feather({!r})"),
    ".arrow": ("Feather", "read_feather({!r})"),
    ".dta": ("Stata", "read_stata({!r})"),
    ".orc": ("ORC", "read_orc({!r})"),
}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # pandas reads through these
_PICKLED = (".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth", ".ckpt")
_ARRAYS = {".npy": "numpy.load({!r}, allow_pickle=False)", ".mat": "scipy.io.loadmat({!r})"}


def foreign(path: Path) -> str | None:
    """Of a file of another program, by its ending: what it is, and a line that makes of it what is read here; else None."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] and suffixes[-1] in _COMPRESSED and len(suffixes) > 1:
        suffixes.pop()
    ending = suffixes[-1] if suffixes else ""
    if ending in _TABLES:
        kind, read = _TABLES[ending]
        out = f"{path.name.split('.')[0]}.parquet"
        line = f"pandas.{read.format(str(path))}.to_parquet({out!r})"
        return f"{kind} is not read yet: make Parquet of it by one line of pandas, {line}, and give parquet:{out}"
    if ending in _PICKLED:
        return (
            "a pickle is never opened: whoever wrote it decides what the opening does. Where you trust it, open it yourself, save its "
            "arrays by numpy.savez('log.npz', observation=..., action=..., reward=..., terminated=...), and give npz:log.npz"
        )
    if ending in _ARRAYS:
        return (
            f"the columns of a log have names: read it by {_ARRAYS[ending].format(str(path))}, save them by "
            "numpy.savez('log.npz', observation=..., action=..., reward=..., terminated=...), and give npz:log.npz"
        )
    return None
