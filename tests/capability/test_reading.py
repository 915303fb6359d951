"""Which option a response chooses, and which responses choose none."""

import pytest

from derta.capability.reading import read_letter

CHOICES = ["sales tax", "no sales tax at all", "wool", "42"]


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("C", "C"),
        (" c)", None),  # a small letter alone is no answer
        ("(C)", "C"),
        ("(C) wool", "C"),
        ("**C. wool**", "C"),
        ("C\n\nBecause wool is dyed.", "C"),
        ("-(C) wool", "C"),
        ("The answer is C.", "C"),
        ("The correct answer is (b).", "B"),
        ("The correct answer is: **(B)** no sales tax", "B"),
        ("Answer: D", "D"),
        ("The correct option is the letter B", "B"),
        (r"So $\boxed{C}$", "C"),
        (r"\boxed{\text{B}}", "B"),
        ("Option B is correct.", "B"),
        ("B is the best answer.", "B"),
        ("The answer is A. No, wait. The answer is C.", "C"),
        ("(A) is tempting. The answer is (C).", "C"),
        ("I think of wool here, so (C).", "C"),
        ("A monopoly sets its own price.", None),
        ("A kettle. The answer is a kettle.", None),
        ("The answer is a matter of taste.", None),
        ("The answer is I think unclear.", None),
        ("Both (A) and (B) hold.", None),
        ("The answer is E.", None),  # not offered
        ("(E)", None),
        ("Wool.", "C"),
        ("It must be wool, surely.", "C"),
        ("There is no sales tax at all there.", "B"),  # and not A, whose words stand inside
        ("42", "D"),
        ("There are 42 of them.", None),  # short options stand in any sentence
        ("wool or sales tax", None),
        ("Sorry, I can't help with that.", None),
        ("", None),
    ],
)
def test_letters(response, letter):
    assert read_letter(response, CHOICES) == letter
