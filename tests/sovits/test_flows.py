import pytest
import torch
from torch import nn

from sovits.flows import CouplingFlow, SpeakerFlow


def perturb(module: nn.Module, size: float = 0.3) -> None:
    """Move a flow away from the identity."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))


@pytest.mark.parametrize("blocks", [0, 1, 4, 5])
def test_starts_as_the_identity(blocks: int) -> None:
    x = torch.randn(3, 8)
    y, log_det = SpeakerFlow(8, blocks)(x)
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_det, torch.zeros(3))


@pytest.mark.parametrize("blocks", [1, 4, 5])
def test_log_det_is_that_of_the_jacobian(blocks: int) -> None:
    flow = SpeakerFlow(6, blocks, hidden_channels=8)
    perturb(flow)
    x = torch.randn(4, 6)
    _, log_det = flow(x)
    for item in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], x[item])
        torch.testing.assert_close(log_det[item], torch.linalg.slogdet(jacobian).logabsdet)
    assert log_det.abs().max() > 1e-1


def test_inverse_undoes_forward_at_full_size_under_autocast() -> None:
    flow = SpeakerFlow(256, 6)
    perturb(flow, 0.05)
    x = torch.randn(5, 256)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = flow(x)
        back = flow.inverse(y)
    assert (y - x).abs().max() > 0.1
    torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)


def test_two_blocks_change_every_coordinate() -> None:
    flow = SpeakerFlow(10, 2, hidden_channels=8)
    perturb(flow)
    x = torch.randn(1, 10)
    assert ((flow(x)[0] - x).abs() > 1e-4).all()


def test_log_scale_is_bounded() -> None:
    flow = CouplingFlow([2, 0, 3, 1], hidden_channels=8, max_log_scale=0.5)
    perturb(flow, 100.0)
    _, log_det = flow(torch.randn(20, 4))
    assert log_det.abs().max() <= 2 * 0.5 + 1e-5
