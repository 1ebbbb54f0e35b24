"""Finding the words in a phrase whose phones have no borders."""

from collections.abc import Sequence

from data.text.symbols import is_nucleus

_GAP = 1.0
_OTHER_KIND = 1.5  # a vowel for a consonant: dearer than one gap, cheaper than two
_SAME_KIND = 0.7


def label_phones(phrase: Sequence[str], words: Sequence[Sequence[str]]) -> list[int]:
    """Return for each phone of a phrase the word that it belongs to.

    Cheapest alignment (Levenshtein, with a vowel closer to a vowel than to a consonant) of the
    phrase with the words as said alone. Phones that no word has go to the word before them.

    Args:
        phrase: symbols of the phrase.
        words: symbols of each word said alone, in the order of the phrase; at least one word.

    Returns:
        Word indices, never falling. A word may get no phone.
    """
    isolated = [symbol for word in words for symbol in word]
    owner = [index for index, word in enumerate(words) for _ in word]
    change = _change_costs(phrase, isolated)
    rows, columns = len(phrase), len(isolated)
    cost = [[column * _GAP for column in range(columns + 1)]]
    for row in range(1, rows + 1):
        above, line = cost[-1], [row * _GAP]
        for column in range(1, columns + 1):
            changed = above[column - 1] + change[row - 1][column - 1]
            line.append(min(changed, above[column] + _GAP, line[-1] + _GAP))
        cost.append(line)
    labels = [-1] * rows
    row, column = rows, columns
    while row and column:
        if cost[row][column] == cost[row - 1][column - 1] + change[row - 1][column - 1]:
            row, column = row - 1, column - 1
            labels[row] = owner[column]
        elif cost[row][column] == cost[row - 1][column] + _GAP:
            row -= 1
        else:
            column -= 1
    current = next((label for label in labels if label >= 0), 0)
    for index, label in enumerate(labels):
        current = max(current, label)
        labels[index] = current
    return labels


def _change_costs(phrase: Sequence[str], isolated: Sequence[str]) -> list[list[float]]:
    kinds = [is_nucleus(symbol) for symbol in isolated]
    table = []
    for a in phrase:
        kind = is_nucleus(a)
        table.append(
            [
                0.0 if a == b else _SAME_KIND if kind == other else _OTHER_KIND
                for b, other in zip(isolated, kinds, strict=True)
            ]
        )
    return table
