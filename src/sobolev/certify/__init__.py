"""Proven bounds over a domain. Knows `autodiff` and `functions`, not Lightning."""

import sys
from types import ModuleType

from sobolev.certify.certificate import Certificate
from sobolev.certify.check import check
from sobolev.certify.run import certify
from sobolev.certify.statement import Bound

__all__ = ["Bound", "Certificate", "certify", "check"]


class _CallableModule(ModuleType):
    """`sobolev.certify` is a function and, once imported, the package of the same name: let that be callable."""

    __call__ = staticmethod(certify)


sys.modules[__name__].__class__ = _CallableModule
del sys, ModuleType
