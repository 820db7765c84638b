"""VQA accuracy by both rules of the official evaluator, quirks kept, and exact match for one-answer data."""

import re
from typing import Literal

from amad_bench.runtime.errors import UserError

Rule = Literal["2017", "2021"]

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = ("a", "an", "the")
_NUMBER_WORDS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_STRAY_PERIOD = re.compile(r"\.(?!\d)")
# The evaluator passes the flag re.UNICODE (32) where `re.sub` expects a count.
_PERIODS_REMOVED = 32

# The evaluator's table, by what a word is replaced with. Left out: its keys with capitals (Im, Ive, Id've,
# I'dve), which never match a lower-cased word, and those that map a word to itself (let's, she's). That
# somebody'd becomes somebodyd is its own slip.
_SPELLINGS_OF = """
ain't: aint | aren't: arent | can't: cant | could've: couldve | couldn't: couldnt
couldn't've: couldn'tve couldnt've | didn't: didnt | doesn't: doesnt | don't: dont | hadn't: hadnt
hadn't've: hadnt've hadn'tve | hasn't: hasnt | haven't: havent | he'd: hed | he'd've: hed've he'dve
he's: hes | how'd: howd | how'll: howll | how's: hows | isn't: isnt | it'd: itd | it'd've: itd've it'dve
it'll: itll | ma'am: maam | mightn't: mightnt | mightn't've: mightnt've mightn'tve | might've: mightve
mustn't: mustnt | must've: mustve | needn't: neednt | not've: notve | o'clock: oclock | oughtn't: oughtnt
'ow's'at: ow's'at 'ows'at 'ow'sat | shan't: shant | she'd've: shed've she'dve | should've: shouldve
shouldn't: shouldnt | shouldn't've: shouldnt've shouldn'tve | somebodyd: somebody'd
somebody'd've: somebodyd've somebody'dve | somebody'll: somebodyll | somebody's: somebodys
someone'd: someoned | someone'd've: someoned've someone'dve | someone'll: someonell | someone's: someones
something'd: somethingd | something'd've: somethingd've something'dve | something'll: somethingll
that's: thats | there'd: thered | there'd've: thered've there'dve | there're: therere | there's: theres
they'd: theyd | they'd've: theyd've they'dve | they'll: theyll | they're: theyre | they've: theyve
'twas: twas | wasn't: wasnt | we'd've: wed've we'dve | we've: weve | weren't: werent | what'll: whatll
what're: whatre | what's: whats | what've: whatve | when's: whens | where'd: whered | where's: wheres
where've: whereve | who'd: whod | who'd've: whod've who'dve | who'll: wholl | who's: whos | who've: whove
why'll: whyll | why're: whyre | why's: whys | won't: wont | would've: wouldve | wouldn't: wouldnt
wouldn't've: wouldnt've wouldn'tve | y'all: yall | y'all'll: yall'll y'allll
y'all'd've: yall'd've y'alld've y'all'dve | you'd: youd | you'd've: youd've you'dve | you'll: youll
you're: youre | you've: youve
"""
_CONTRACTIONS = {
    spelling: contraction.strip()
    for entry in _SPELLINGS_OF.replace("\n", "|").split("|")
    if entry.strip()
    for contraction, spellings in [entry.split(":")]
    for spelling in spellings.split()
}


def vqa_accuracy(prediction: str, answers: list[str], rule: Rule = "2017") -> float:
    """Share in [0, 1] by the official evaluator: min(1, matches / 3), mean over leaving out each annotator.

    `rule` "2017" (VL-T5's evaluator, most published numbers): the prediction is normalised fully, the answers
    get the punctuation step only, and only where they are not unanimous. "2021": both are normalised fully
    where the answers are not unanimous; else both are compared as they are, blanks at the ends aside.
    UserError without answers. Source: VQA evaluation tools (Antol et al. 2015, Goyal et al. 2017).
    """
    if not answers:
        raise UserError(
            f"VQA accuracy of {prediction!r}: no human answer; give the question's answers (officially ten)"
        )
    if rule == "2017":
        prediction = normalise(prediction)
        if len(set(answers)) > 1:
            answers = [_without_punctuation(answer) for answer in answers]
    elif rule == "2021":
        prediction, answers = _one_line(prediction), [_one_line(answer) for answer in answers]
        if len(set(answers)) > 1:
            prediction, answers = normalise(prediction), [normalise(answer) for answer in answers]
    else:
        raise ValueError(f"rule {rule!r}: expected '2017' or '2021'")
    matches = [answer == prediction for answer in answers]
    total = sum(matches)
    # In thirds, so that the sums are exact: the scores of ten answers are 0, .3, .6, .9 and 1.
    return sum(min(3, total - match) for match in matches) / (3 * len(answers))


def exact_match(prediction: str, answer: str) -> float:
    """1.0 where both texts are equal after the official normalisation, else 0.0; for one-answer data sets."""
    predicted, expected = normalise(prediction), normalise(answer)
    if predicted or expected:
        return float(predicted == expected)
    # Normalising left nothing ("a", "?"): an empty prediction must not count as right.
    return float(prediction.strip().lower() == answer.strip().lower())


def normalise(text: str) -> str:
    """The evaluator's full normalisation: punctuation, then case, number words, articles and contractions."""
    words = [_NUMBER_WORDS.get(word, word) for word in _without_punctuation(_one_line(text)).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _without_punctuation(text: str) -> str:
    """Marks beside a blank vanish, others become a blank; one comma between digits makes all vanish."""
    has_digit_comma_digit = _DIGIT_COMMA_DIGIT.search(text) is not None
    cleaned = text
    for mark in _PUNCTUATION:
        vanishes = has_digit_comma_digit or f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if vanishes else " ")
    return _STRAY_PERIOD.sub("", cleaned, count=_PERIODS_REMOVED)
