"""`CertificateWriter`: what it proves at the end of a training, where it writes it, and what it cannot prove."""

import json

import pytest
import torch
from cases import SMALL
from lightning.pytorch import LightningModule, Trainer

import sobolev
from sobolev.cli.command_line import main
from sobolev.cli.lightning_cli import CONFIGS
from sobolev.report.certificate import CertificateWriter

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own


def _fit(module: LightningModule, data, folder, **options) -> CertificateWriter:
    writer = CertificateWriter(**options)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=[writer], default_root_dir=folder,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return writer


def _data():
    return sobolev.FunctionData("x**2", (-1, 1), samples=50, validation_samples=10, test_samples=10)


def test_a_certificate_of_the_final_weights(tmp_path, capsys):
    module = sobolev.Regressor(sobolev.MLP(1, 1, [8], activation="tanh"))
    writer = _fit(module, _data(), tmp_path, order=1)
    assert writer.certificate is not None and len(writer.certificate.upper) == 2
    x = torch.linspace(-1, 1, 500)[:, None]
    with torch.no_grad():
        assert float((module(x) - x**2).abs().max()) <= writer.certificate.upper[0] * (1 + 1e-5)
    (written,) = tmp_path.rglob("certificate.json")
    assert json.loads(written.read_text())["bounds"][0]["upper"] == writer.certificate.upper[0]
    assert written.with_suffix(".png").exists()
    assert "for all x in [-1, 1]" in capsys.readouterr().out


def test_what_cannot_be_proved_is_said(tmp_path):
    with pytest.warns(UserWarning, match="nothing is proved: no proof goes through relu"):
        writer = _fit(sobolev.Regressor(sobolev.MLP(1, 1, [8], activation="relu")), _data(), tmp_path)
    assert writer.certificate is None


def test_the_configuration_goes_on_top_of_the_default_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sobolev"])
    main(["fit", "--config", str(CONFIGS / "certify.yaml"), *SMALL])
    assert list(tmp_path.rglob("certificate.json")) and list(tmp_path.rglob("report.json"))
