"""The benchmark of files: its table, and what it says of promises."""

import torch
from benchmarks import export


def test_table_and_promises():
    job = export.JOBS[3]
    row = {
        "name": job.name,
        "sobolev": {"ratio": 2.0, "error": 1e-6},
        "make_fx": {"ratio": 4.0, "error": 0.1},
        "onnx-ad": {"why": "no rule"},
    }
    machine = dict.fromkeys(("processor", "cores", "system", "python", "torch", "date"), "")
    text = export.document({"rows": [row], "machine": machine})
    assert f"| {job.name} | 2.0 | 4.0 (1e-01) | fails | fails |" in text
    assert "onnx-ad: no rule" in text
    assert not export.shortfalls({"rows": [row]})
    slow = {**row, "sobolev": {"ratio": 3.5, "error": 0.0}}
    assert export.shortfalls({"rows": [slow]}) == [f"{job.name}: 3.50, promised 3"]


def test_columns_are_put_together():
    job = export.JOBS[5]
    y, parts = torch.zeros(2, 1).numpy(), [torch.full((2, 1), float(k)).numpy() for k in range(9)]
    _, hessian = export._joined(lambda: [y, *parts], job)()
    assert hessian[0].tolist() == [[3, 4, 5], [4, 6, 7], [5, 7, 8]]
