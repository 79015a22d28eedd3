"""Every Python process of a test that imports torch finds two simulated devices.

This folder has to be in PYTHONPATH, and SIMULATED_CUDA names the folder of compiled parts.
"""

import atexit
import os
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path


class _WithSimulation:
    """Finds torch as everybody does; once it is loaded, the simulation begins."""

    def find_spec(self, name, path=None, target=None):
        if name != "torch" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = find_spec("torch")
        sys.meta_path.insert(0, self)  # whoever asked may not load it
        spec.loader.exec_module = partial(self._load, spec.loader.exec_module)
        return spec

    def _load(self, load, module):
        sys.meta_path.remove(self)
        load(module)
        from simulated_cuda.simulation import simulated

        simulation = simulated(Path(os.environ["SIMULATED_CUDA"]), devices=2)
        simulation.__enter__()
        atexit.register(simulation.__exit__, None, None, None)


sys.meta_path.insert(0, _WithSimulation())
