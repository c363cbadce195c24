"""What is exposed: functions and the methods of classes."""

from ._alias import alias
from ._callback import callback
from ._local import local

__all__ = ["alias", "callback", "local"]
