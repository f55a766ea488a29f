"""Tables are whole at any moment, and a resumed one drops what came after its checkpoint."""

import pytest

from extremal.io.log import Table


@pytest.fixture
def table(tmp_path):
    table = Table(tmp_path / "metrics.csv")
    for update in (10, 20, 30):
        for replica in (0, 1):
            table.add({"update": update, "replica": replica, "v/loss": update / 3 + replica})
    return table


def test_columns_are_the_union_in_order_of_appearance(table):
    table.add({"update": 40, "replica": 0, "heldout/v/loss": 0.5})
    table.save()
    lines = table.path.read_text().splitlines()
    assert lines[0] == "update,replica,v/loss,heldout/v/loss"
    assert lines[1] == f"10,0,{10 / 3!r},"
    assert lines[-1] == "40,0,,0.5"
    assert len(lines) == 8


def test_what_was_logged_after_the_checkpoint_is_dropped(table):
    table.save()
    again = Table(table.path)
    again.resume(20)
    assert [int(row["update"]) for row in again.rows] == [10, 10, 20, 20]
    for replica in (0, 1):
        again.add({"update": 30, "replica": replica, "v/loss": 30 / 3 + replica})
    before = table.path.read_bytes()
    again.save()
    assert table.path.read_bytes() == before


def test_resuming_without_a_file_starts_an_empty_table(tmp_path):
    table = Table(tmp_path / "none.csv")
    table.resume(10)
    assert table.rows == []


def test_an_empty_table_is_saved_and_resumed(tmp_path):
    table = Table(tmp_path / "empty.csv")
    table.save()
    table.resume(10)
    assert table.rows == []


def test_a_failed_save_leaves_the_old_file_and_nothing_else(table):
    table.save()
    before = table.path.read_bytes()

    class Broken:
        def __str__(self):
            raise RuntimeError("cannot be written")

    table.add({"update": Broken()})
    with pytest.raises(RuntimeError, match="cannot be written"):
        table.save()
    assert table.path.read_bytes() == before
    assert [file.name for file in table.path.parent.iterdir()] == ["metrics.csv"]
