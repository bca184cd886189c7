import pytest
import torch

from sobolev.audit.describe import brief


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_says_why_in_its_last_line():
    script = torch.jit.script(torch.nn.Linear(2, 1))
    with pytest.raises(RuntimeError) as raised:
        script(torch.ones(1, 3))
    assert "shapes cannot be multiplied" in brief(raised.value)


def test_first_line_and_kind():
    assert brief(KeyError()) == "KeyError: no message"
    assert brief(ValueError("one.\ntwo")) == "ValueError: one"
