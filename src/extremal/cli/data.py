"""`extremal data`: list, check, build, generate and convert datasets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, subcommand

from extremal.cli.console import Json, print_json, table


@dataclasses.dataclass
class DataList:
    """The forms of dataset ids, and the names that Extremal generates itself."""

    json: Json = False

    def run(self) -> int:
        from extremal.data.ids import KINDS, names

        rows = [[k.form, k.reads, k.extra or ""] for k in KINDS.values()]
        rows += [[name, how, "robotics" if name.startswith("adroit") else "envs"] for name, how in names().items()]
        if self.json:
            print_json([dict(zip(("id", "reads", "extra"), row, strict=True)) for row in rows])
        else:
            table(["id", "what it reads", "extra"], rows)
        return 0


@dataclasses.dataclass
class DataCheck:
    """Report on a dataset; exits with 1 on what makes training wrong."""

    id: Positional[str]
    json: Json = False

    def run(self) -> int:
        from extremal.data.check import check_dataset
        from extremal.data.ids import load_dataset
        from extremal.report.check import check_text

        report = check_dataset(load_dataset(self.id))
        print(json.dumps(report.to_json(), indent=1) if self.json else check_text(report.to_json()))
        return 0 if report.ok else 1


@dataclasses.dataclass
class DataGenerate:
    """Generate a maze dataset of your own size and seed, and write it to a file."""

    name: Positional[str]
    out: str
    """Where to: npz:PATH or parquet:PATH."""
    rows: int = 1_000_000
    seed: int = 0

    def run(self) -> int:
        from extremal.cli.progress import counting
        from extremal.data import pointmaze
        from extremal.data.ids import save_dataset

        with counting("generating") as progress:
            data = pointmaze.generate(self.name, rows=self.rows, seed=self.seed, progress=progress)
        print(f"{save_dataset(data, self.out)}: {data.rows} rows, {data.episodes} episodes, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class DataBuild:
    """Build a dataset from recordings by replaying them in a simulator."""

    name: Positional[Literal["adroit-door-human"]]
    source: Path
    """The recordings: an .npz of demonstrations."""
    out: str | None = None
    """Also write it to npz:PATH or parquet:PATH; it is kept under its name in any case."""

    def run(self) -> int:
        from extremal.data.adroit import BUILDS
        from extremal.data.cache import save_built
        from extremal.data.ids import save_dataset

        data = BUILDS[self.name](self.source)
        save_built(self.name, data)
        if self.out is not None:
            save_dataset(data, self.out)
        print(
            f"{self.name}: {data.rows} rows, {data.episodes} episodes, mean return {data.returns.mean():.1f}, hash {data.hash()[:16]}"
        )
        return 0


@dataclasses.dataclass
class DataConvert:
    """Write any dataset as Extremal's .npz or as Parquet."""

    id: Positional[str]
    out: Positional[str]
    overwrite: bool = False

    def run(self) -> int:
        from extremal.data.ids import load_dataset, save_dataset

        data = load_dataset(self.id)
        print(f"{save_dataset(data, self.out, overwrite=self.overwrite)}: {data.rows} rows, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class Data:
    """List, check, build, generate and convert datasets."""

    command: (
        Annotated[DataList, subcommand("list")]
        | Annotated[DataCheck, subcommand("check")]
        | Annotated[DataBuild, subcommand("build")]
        | Annotated[DataGenerate, subcommand("generate")]
        | Annotated[DataConvert, subcommand("convert")]
    )

    def run(self) -> int:
        return self.command.run()
