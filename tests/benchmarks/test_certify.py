"""The benchmark of proofs, on a network that is hardly trained."""

from dataclasses import replace

import pytest
from benchmarks import certify


@pytest.mark.parametrize("job", [certify.JOBS[1], certify.JOBS[5]], ids=["readout", "equation"])
@pytest.mark.filterwarnings("ignore:no condition holds")
def test_rows_and_table(job, monkeypatch, capsys):
    monkeypatch.setattr(certify, "POINTS", 2000)
    small = replace(job, hidden=(8, 8), steps=20, tolerance=0.1)
    row = certify._one(small)
    for upper, lower, sampled in zip(row["upper"], row["lower"], row["sampled"], strict=True):
        assert sampled <= upper * (1 + 1e-9) and lower <= upper
    assert job.name in capsys.readouterr().out
    text = certify.document(
        {"rows": [row], "machine": dict.fromkeys(("processor", "cores", "system", "python", "torch", "date"), "")}
    )
    assert job.name in text


def test_promises_that_were_not_kept_are_said():
    job = certify.JOBS[0]
    row = {"name": job.name, "upper": [2.0], "lower": [1.0], "sampled": [1.0], "cells": 1, "seconds": 0.1}
    assert certify.shortfalls({"rows": [row]}) == [f"{job.name}: 2.000 in 0.1 s, promised 1.02 in 1 s"]
    assert not certify.shortfalls({"rows": [{**row, "lower": [1.99]}]})
