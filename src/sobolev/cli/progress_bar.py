"""The progress bar: one line for the training, and none that comes and goes with each validation."""

from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from typing_extensions import override


class ProgressBar(TQDMProgressBar):
    """Lightning's bar without the one of validation inside `fit`, which flickers past in a hundredth of a second."""

    @override
    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True) if self.trainer.state.fn == "fit" else super().init_validation_tqdm()
