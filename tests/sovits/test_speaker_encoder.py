from dataclasses import replace

import pytest
import torch

from sovits.speaker_encoder import SpeakerClassifier, SpeakerEncoder, SpeakerEncoderConfig

CONFIG = SpeakerEncoderConfig(
    mel_channels=10,
    speaker_channels=8,
    channels=16,
    layers=2,
    attention_channels=8,
    flow_channels=8,
)


def encoder(perturb_flow: bool = False) -> SpeakerEncoder:
    torch.manual_seed(0)
    network = SpeakerEncoder(CONFIG).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if perturb_flow or not name.startswith("flow."):
                parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def mels(frames: int, batch: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return -4 + 2 * torch.randn(batch, 10, frames, generator=generator)


def test_monte_carlo_kl_is_the_closed_form_while_the_flow_is_the_identity() -> None:
    network, draws = encoder(), 20000
    mel = mels(20)
    with torch.no_grad():
        posterior = network(mel, torch.tensor([20]))
        noise = torch.randn(draws, 8)
        z = posterior.mean + posterior.log_std.exp() * noise
        analytic = 0.5 * (
            posterior.mean.square() + (2 * posterior.log_std).exp() - 1 - 2 * posterior.log_std
        ).sum(-1)
        # The forward of one item at a time would take minutes: the same draw is checked once.
        one = network(mel, torch.tensor([20]), noise[:1])
        estimates = (0.5 * z.square() - posterior.log_std - 0.5).sum(-1)
    torch.testing.assert_close(one.z0, z[:1])
    torch.testing.assert_close(one.kl, estimates[:1])
    standard_error = estimates.std() / draws**0.5
    assert (estimates.mean() - analytic).abs() < 4 * standard_error
    assert standard_error < 0.01 * analytic


def test_kl_through_the_flow_is_the_definition() -> None:
    network = encoder(perturb_flow=True)
    mel = mels(20, batch=400)[:1].expand(400, -1, -1)
    noise = torch.randn(400, 8)
    with torch.no_grad():
        posterior = network(mel, torch.full((400,), 20), noise)
        std = posterior.log_std.exp()
        q0 = torch.distributions.Normal(posterior.mean, std).log_prob(posterior.z0).sum(-1)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(posterior.z_spk).sum(-1)
    definition = q0 - posterior.log_det - prior
    # They differ per draw by the entropy's own spread, E = 0.
    difference = definition - posterior.kl
    torch.testing.assert_close(difference, 0.5 * (1 - noise.square()).sum(-1), atol=1e-3, rtol=1e-3)
    assert posterior.log_det.abs().max() > 0.1


def test_no_noise_gives_the_mean() -> None:
    network = encoder(perturb_flow=True)
    posterior = network(mels(20), torch.tensor([20]))
    torch.testing.assert_close(posterior.z0, posterior.mean)
    torch.testing.assert_close(network.flow.inverse(posterior.z_spk), posterior.mean)


@pytest.mark.parametrize("length", [1, 6, 17, 20])
def test_padding_has_no_influence(length: int) -> None:
    network, mel = encoder(perturb_flow=True), mels(31, batch=2)
    mel[0, :, length:] = -11.5
    alone = network(mel[:1, :, :length], torch.tensor([length]))
    together = network(mel, torch.tensor([length, 31]))
    torch.testing.assert_close(together.mean[:1], alone.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.log_std[:1], alone.log_std, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.z_spk[:1], alone.z_spk, atol=1e-4, rtol=0)


def test_a_longer_reference_of_the_same_sound_is_the_same_speaker() -> None:
    network, voice, other = encoder(), mels(200), mels(200, seed=2).mul(0.5)
    once = network(voice, torch.tensor([200])).mean
    four_times = network(voice.repeat(1, 1, 4), torch.tensor([800])).mean
    different = network(other, torch.tensor([200])).mean
    assert (once - four_times).norm() < 0.1 * (once - different).norm()


def test_the_shortest_reference_has_finite_gradients() -> None:
    network = encoder(perturb_flow=True)
    posterior = network(mels(1), torch.tensor([1]), torch.randn(1, 8))
    (posterior.kl.sum() + posterior.z_spk.sum()).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


def test_the_log_standard_deviation_stays_in_its_range() -> None:
    network = encoder()
    with torch.no_grad():
        network.log_std.weight.mul_(1e3)
    log_std = network(mels(20, batch=4), torch.full((4,), 20)).log_std
    assert log_std.min() >= CONFIG.log_std_min
    assert log_std.max() <= CONFIG.log_std_max
    assert log_std.max() - log_std.min() > 5


def test_a_new_encoder_has_the_stated_spread() -> None:
    posterior = SpeakerEncoder(CONFIG)(mels(20), torch.tensor([20]))
    torch.testing.assert_close(posterior.log_std, torch.full((1, 8), CONFIG.log_std_start))


def test_statistics_are_float32_and_close_under_autocast() -> None:
    network, mel, lengths = encoder(), mels(40, batch=2), torch.tensor([40, 33])
    exact = network(mel, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = network(mel, lengths)
    assert posterior.kl.dtype == posterior.mean.dtype == torch.float32
    torch.testing.assert_close(posterior.mean, exact.mean, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    "change",
    [{"speaker_channels": 7}, {"kernel": 4}, {"log_std_min": 2.0}, {"layers": 0}, {"mel_std": 0.0}],
)
def test_impossible_configs_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="speaker encoder: "):
        replace(CONFIG, **change)


def test_the_classifier_learns_separable_speakers() -> None:
    torch.manual_seed(0)
    classifier = SpeakerClassifier(8, 3)
    labels = torch.arange(3).repeat(10)
    z = torch.eye(8)[labels] + 0.1 * torch.randn(30, 8)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(z), labels).backward()
        optimizer.step()
    assert (classifier(z).argmax(-1) == labels).all()


def test_one_speaker_cannot_be_classified() -> None:
    with pytest.raises(ValueError, match="weight 0"):
        SpeakerClassifier(8, 1)
