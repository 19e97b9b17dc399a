"""The plan says what the device can do and does what it says, in each precision."""

import pytest
import torch

from detector.models import devices, gpus, networks


@pytest.fixture
def gpu(monkeypatch):
    """A CUDA device that is not there, of a kind with bf16 (compute capability 8.0 and above), or before."""
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    def make(bf16: bool):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Some GPU")
        monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
        monkeypatch.setattr(gpus, "take", lambda count, alone: [0])

    yield make
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = allowed


def tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_a_gpu_before_bf16_is_not_said_to_use_tf32(gpu):
    """TF32 came with bf16: what has neither computes in fp32."""
    gpu(bf16=False)
    plan = devices.plan("cuda", "auto", torch.get_num_threads(), 224)
    assert plan.precision == "fp32"
    assert plan.why == "fp32: Some GPU has no bf16, and no TF32"


@pytest.mark.parametrize("bf16", [True, False])
def test_fp32_by_name_rounds_nothing_to_tf32(gpu, bf16):
    gpu(bf16)
    devices.plan("cuda", "auto", torch.get_num_threads(), 224)
    assert tf32() == (True, True)
    assert devices.plan("cuda", "fp32", torch.get_num_threads(), 224).precision == "fp32"
    assert tf32() == (False, False)


def test_on_a_cpu_torch_refuses_what_would_not_repeat():
    torch.set_deterministic_debug_mode("default")
    devices.plan("cpu", "fp32", torch.get_num_threads(), 32)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize(
    ("flags", "size", "weights", "precision", "last"),
    [
        ({"amx_bf16"}, 32, None, "fp32", False),
        ({"amx_bf16"}, 32, 11_000_000, "fp32", False),
        ({"amx_bf16"}, 32, 300_000, "bf16", True),
        ({"avx2"}, 32, 300_000, "fp32", True),
        ({"amx_bf16"}, 224, 25_000_000, "bf16", True),
        ({"avx2"}, 224, 25_000_000, "fp32", True),
    ],
)
def test_on_a_cpu_size_and_few_weights_decide(monkeypatch, flags, size, weights, precision, last):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    plan = devices.plan("cpu", "auto", torch.get_num_threads(), size, weights=weights)
    assert (plan.precision, plan.channels_last) == (precision, last)
    asked = devices.plan("cpu", "fp32", torch.get_num_threads(), size, weights=weights)
    assert (asked.precision, asked.channels_last) == ("fp32", last)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "fp32") for name in ("tf_efficientnet_lite0", "mobilenetv2_100", "ghostnet_100")),
        *((name, "bf16") for name in ("resnet18", "resnet50", "legacy_xception", "vit_tiny_patch16_224")),
    ],
)
def test_on_a_cpu_few_multiplications_a_value_gain_nothing_by_bf16(monkeypatch, name, precision):
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"amx_bf16"})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    plan = networks.training_plan(name, "cpu", "auto", torch.get_num_threads(), 224)
    assert plan.precision == precision


@pytest.mark.parametrize(("kernels", "precision"), [("AVX2", "fp32"), ("DEFAULT", "fp32"), ("AVX512", "bf16")])
def test_bf16_is_not_emulated_where_torch_is_told_to_use_less_than_the_cpu_has(monkeypatch, kernels, precision):
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"amx_bf16"})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kernels)
    assert devices.plan("cpu", "auto", torch.get_num_threads(), 224).precision == precision
