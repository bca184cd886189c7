"""What a callback found in a process that was started comes home to the one that started it."""

import copy
import pickle
from types import SimpleNamespace

from sobolev.callbacks.processes import awaits_results, gathered, send_home


class _MultiProcessingLauncher:
    pass


class Waiting:
    errors = ()


def trainer_of(launcher):
    return SimpleNamespace(strategy=SimpleNamespace(launcher=launcher), state=SimpleNamespace(fn="fit"))


def test_results_arrive_where_the_state_of_the_trainer_is_unpickled():
    waiting, trainer = Waiting(), trainer_of(_MultiProcessingLauncher())
    send_home(trainer, awaits_results(waiting), {"errors": [1, 2]})
    travelling = pickle.dumps(copy.deepcopy(trainer.state))
    assert waiting.errors == ()
    pickle.loads(travelling)
    assert waiting.errors == [1, 2]


def test_whoever_is_gone_gets_nothing():
    waiting, trainer = Waiting(), trainer_of(_MultiProcessingLauncher())
    send_home(trainer, awaits_results(waiting), {"errors": [1, 2]})
    travelling = pickle.dumps(trainer.state)
    del waiting
    assert pickle.loads(travelling).fn == "fit"


def test_one_process_sends_nothing():
    trainer = trainer_of(None)
    send_home(trainer, awaits_results(waiting := Waiting()), {"errors": [1, 2]})
    assert vars(trainer.state) == {"fn": "fit"} and waiting.errors == () and gathered(3) == [3]
