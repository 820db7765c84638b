"""Answers of VQA as the official evaluator rewrites them before it compares them, its quirks kept."""

import re

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = ("a", "an", "the")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_WORDS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
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


def normalise(text: str) -> str:
    """The evaluator's full normalisation: punctuation, then case, number words, articles and contractions."""
    words = [_NUMBER_WORDS.get(word, word) for word in without_punctuation(one_line(text)).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def one_line(text: str) -> str:
    """Text without line ends, tabs and blanks at the ends: the evaluator's first step."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def without_punctuation(text: str) -> str:
    """Marks beside a blank vanish, others become a blank; one comma between digits makes all vanish."""
    has_digit_comma_digit = _DIGIT_COMMA_DIGIT.search(text) is not None
    cleaned = text
    for mark in _PUNCTUATION:
        vanishes = has_digit_comma_digit or f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if vanishes else " ")
    return _STRAY_PERIOD.sub("", cleaned, count=_PERIODS_REMOVED)
