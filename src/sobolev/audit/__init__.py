"""Can the derivatives of a model be trusted? Knows `autodiff`, not Lightning."""

import sys
from types import ModuleType

from sobolev.audit.finding import Audit, Finding
from sobolev.audit.run import audit

__all__ = ["Audit", "Finding", "audit"]


class _CallableModule(ModuleType):
    """`sobolev.audit` is a function and, once imported, the package of the same name: let that be callable."""

    __call__ = staticmethod(audit)


sys.modules[__name__].__class__ = _CallableModule
del sys, ModuleType
