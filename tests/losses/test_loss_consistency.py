import pytest
import torch

from losses.consistency import content_consistency, speaker_consistency


def test_content_distance_by_hand():
    target = torch.tensor([[[1.0, -1.0], [2.0, 0.0]]])
    generated = target + 0.5
    assert content_consistency(generated, target).item() == pytest.approx(0.5 / 1.0)


def test_content_distance_does_not_depend_on_the_scale_of_the_tokenizer():
    torch.manual_seed(0)
    generated, target = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    torch.testing.assert_close(
        content_consistency(50 * generated, 50 * target), content_consistency(generated, target)
    )


def test_content_padding_changes_nothing():
    torch.manual_seed(0)
    generated, target = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    mask = (torch.arange(5) < 3)[None].expand(2, 5)
    garbage = generated.clone()
    garbage[:, 3:] = torch.nan
    torch.testing.assert_close(
        content_consistency(garbage, target, mask),
        content_consistency(generated[:, :3], target[:, :3]),
    )


def test_speaker_distance_by_hand():
    generated = torch.tensor([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    reference = torch.tensor([[2.0, 0.0], [0.0, -1.0], [1.0, -1.0]])
    assert speaker_consistency(generated, reference).item() == pytest.approx((0 + 2 + 1) / 3)


@pytest.mark.parametrize("loss", [content_consistency, speaker_consistency])
def test_only_the_generated_side_is_trained(loss):
    torch.manual_seed(0)
    shape = (2, 4, 3) if loss is content_consistency else (2, 4)
    generated = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    loss(generated, reference).backward()
    assert reference.grad is None
    assert (generated.grad != 0).all()
    assert torch.autograd.gradcheck(lambda g: loss(g, reference.detach()), (generated,))


def test_speaker_term_trains_the_generator_through_a_frozen_encoder():
    torch.manual_seed(0)
    generator, encoder = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3).requires_grad_(False)
    speaker_consistency(encoder(generator(torch.randn(2, 4))), torch.randn(2, 3)).backward()
    assert generator.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e4])
def test_extreme_features_stay_finite_in_bf16(scale):
    torch.manual_seed(0)
    features = (scale * torch.randn(2, 4, 3)).bfloat16().requires_grad_()
    loss = content_consistency(features, features) + speaker_consistency(
        features[:, 0], -features[:, 0]
    )
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()
