"""The bytes of the tokens of a byte-level vocabulary, in which one character stands for each byte, as in GPT-2."""

from collections.abc import Container, Mapping

NO_BYTE = 256
PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))  # these stand for themselves
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
BYTES = {chr(byte): byte for byte in PRINTABLE} | {chr(256 + place): byte for place, byte in enumerate(OTHERS)}


def first_bytes(vocabulary: Mapping[str, int], plain: Container[int], special: Container[int]) -> list[int]:
    """The first byte of each token, [vocabulary]; 256 for special tokens, and for numbers without a token.

    Args:
      vocabulary: the number of each token.
      plain: numbers of tokens whose characters are those of the text.
      special: numbers of tokens that stand for no text.
    """
    found = [NO_BYTE] * (max(vocabulary.values(), default=-1) + 1)
    for token, number in vocabulary.items():
        if token and number not in special:
            found[number] = token.encode()[0] if number in plain else BYTES.get(token[0], NO_BYTE)
    return found
