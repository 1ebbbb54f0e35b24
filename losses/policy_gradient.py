"""REINFORCE: tokens that were rewarded become more probable."""

from jaxtyping import Float
from torch import Tensor

from losses.reduction import at_least_float32
from losses.token_log_probs import TokenLogProbs


def reinforce_loss(
    log_probs: TokenLogProbs, advantages: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Return - mean_i A_i (1 / T_i) sum_t log p(token_it), whose gradient is the policy gradient.

    Williams 1992, doi 10.1007/BF00992696: A = reward - baseline, T the number of tokens. Use it for
    GPT with rewards that have no gradient, such as -phoneme error + speaker similarity; error alone
    flattens the prosody. Keep it near its start with `losses.divergence.categorical_kl`.
    Difference: the mean over tokens instead of the sum, so that long sentences do not dominate.

    Args:
        log_probs: Of the sampled tokens under the model in training, with gradient.
        advantages: A, for instance from `leave_one_out`; detached here.
    """
    return -(at_least_float32(advantages).detach() * log_probs.per_token()).mean()


def leave_one_out(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    """Return each reward minus the mean of the other samples of the same prompt.

    A_ij = r_ij - mean_(k != j) r_ik; Ahmadian et al. (RLOO), arXiv 2402.14740, section 3. The
    baseline does not depend on the sample it is subtracted from, so the gradient is unbiased, and
    no value network is needed.

    Raises:
        ValueError: Fewer than two samples per prompt.
    """
    samples = rewards.shape[1]
    if samples < 2:
        raise ValueError("leave-one-out needs at least 2 samples per prompt: raise their number")
    rewards = at_least_float32(rewards)
    return (rewards - rewards.mean(dim=1, keepdim=True)) * samples / (samples - 1)


class MovingBaseline:
    """Exponential moving average of rewards, the baseline when each prompt has one sample.

    b <- m b + (1 - m) mean(r), begun at the first mean; Williams 1992, section 2, with the
    reinforcement-comparison baseline of Sutton 1984. `value` is plain state: save and restore it.
    """

    def __init__(self, momentum: float = 0.9, value: float | None = None) -> None:
        """Begin with `value`, or with the first batch's mean if it is None.

        Raises:
            ValueError: Momentum outside [0, 1).
        """
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}: give a number in [0, 1)")
        self.momentum = momentum
        self.value = value

    def advantages(self, rewards: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Return rewards minus the average of earlier batches, then take this batch into it."""
        rewards = at_least_float32(rewards).detach()
        mean = rewards.mean().item()
        before = mean if self.value is None else self.value
        self.value = self.momentum * before + (1 - self.momentum) * mean
        return rewards - before
