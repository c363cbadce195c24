"""A real node, run as peer.py of the interoperability tests, without the package tblib.

With tblib an error in PICKLE carries a traceback with paths of this machine. It is the installation's choice: 3.0.1 has none by
itself.
"""

import runpy
import sys
from pathlib import Path

PEER = Path(__file__).resolve().parents[2] / "daffi" / "tests" / "python" / "peer.py"

sys.modules["tblib"] = None
sys.path.insert(0, str(PEER.parent))
runpy.run_path(str(PEER), run_name="__main__")
