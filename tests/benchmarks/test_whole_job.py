"""Medians of whole processes, and the cleaning up after them."""

from benchmarks import whole_job
from benchmarks.machine import describe


def test_the_ratio_is_that_of_the_medians():
    data = whole_job.summary({"post": [8.0, 100.0, 10.0], "ours": [12.0, 11.0, 1.0]})
    assert (data["post"], data["ours"], data["ratio"]) == (10.0, 11.0, 1.1)
    assert "1.10 times (at most 1.3 is promised)" in whole_job.document({"machine": describe(), **data})
    assert not whole_job.shortfalls(data)


def test_a_slower_job_than_promised_is_said():
    data = whole_job.summary({"post": [10.0], "ours": [15.0]})
    assert whole_job.shortfalls(data) == ["1.50 times the post's time, not 1.3"]


def test_only_what_the_run_made_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_job, "LOGS", tmp_path / "logs")
    kept = tmp_path / "logs" / "square" / "version_0" / "report.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    with whole_job._without_traces():
        new = tmp_path / "logs" / "square" / "version_1" / "checkpoints"
        new.mkdir(parents=True)
        (new / "last.ckpt").write_text("")
    assert kept.exists()
    assert [path.name for path in (tmp_path / "logs" / "square").iterdir()] == ["version_0"]


def test_no_folder_is_left_where_there_was_none(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_job, "LOGS", tmp_path / "logs")
    with whole_job._without_traces():
        (tmp_path / "logs" / "run").mkdir(parents=True)
    assert not (tmp_path / "logs").exists()
