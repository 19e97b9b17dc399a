"""Markers and the fixture that several files share."""

import functools
import sys
from pathlib import Path

import pytest

import detector
from tests.support import samples

HERE = Path(__file__).parent
# Files whose tests use every core, measure time or choose moments: they run after the others, one at a time.
ALONE = {
    *("workflow/test_demo", "workflow/test_slurm", "workflow/test_benchmarks", "workflow/test_page"),
    *("training/test_distributed", "models/test_latency", "core/test_signals"),
    *("serve/test_requests", "serve/test_load"),
}
# Files whose tests hold what torch computes: `make test` runs them once more as on a processor with AVX2 alone.
NUMERIC = {
    *("models/test_batches", "models/test_perturbed", "workflow/test_bundle", "stats/test_decisions"),
    *("export/test_onnx_model", "export/test_quantization", "models/test_sparse", "pruning/test_masks"),
    *("pruning/test_channels", "predict/test_model", "training/test_fit"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.relative_to(HERE).with_suffix("").as_posix()
        if name in ALONE:
            item.add_marker("alone")
        if name in NUMERIC and "clean_environment" not in item.name:
            item.add_marker("numeric")


@pytest.fixture(autouse=True)
def _forgotten_modules():
    """Tests put modules of their own beside the library's; those of the same name in another test are others."""
    yield
    library = Path(detector.__file__).parent
    loaded = {name: module for name, module in sys.modules.items() if name.startswith("detector.")}
    own = {name for name, module in loaded.items() if not Path(module.__file__ or library).is_relative_to(library)}
    for name in own:
        del sys.modules[name]
    caches = (value for module in loaded.values() for value in vars(module).values()) if own else ()
    for value in caches:
        if isinstance(value, functools._lru_cache_wrapper):  # may hold one of them
            value.cache_clear()


@pytest.fixture
def tiny_tree(tmp_path: Path) -> Path:
    """A folder with faces140k/, celebdf/ and synthbuster/, each a tiny data set in its official layout."""
    samples.write_faces140k(tmp_path / "faces140k")
    samples.write_celebdf(tmp_path / "celebdf")
    samples.write_synthbuster(tmp_path / "synthbuster")
    return tmp_path
