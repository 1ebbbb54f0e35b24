"""Distillation: a student learns a teacher's whole distribution over classes."""

from jaxtyping import Float
from torch import Tensor

from losses.divergence import categorical_kl


def distillation_loss(
    student_logits: Float[Tensor, "*positions classes"],
    teacher_logits: Float[Tensor, "*positions classes"],
    temperature: float = 2.0,
    mask: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Return T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over valid positions.

    Hinton et al., arXiv 1503.02531, section 2; T^2 keeps the size of the gradient as T changes.
    Difference: the KL instead of the cross-entropy, the same up to the teacher's entropy, so that
    0 means agreement. Use it to train a small GPT from a large one, beside the hard targets.

    Args:
        student_logits: Logits of the model in training.
        teacher_logits: Logits of the teacher; no gradient flows to them.
        temperature: T, above 0; larger shows more of the teacher's small probabilities.
        mask: Bool over positions, sizes equal or 1.

    Raises:
        ValueError: The temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: give a number above 0")
    teacher, student = teacher_logits.detach() / temperature, student_logits / temperature
    return temperature**2 * categorical_kl(teacher, student, mask)
