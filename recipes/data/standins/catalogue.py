"""The stand-ins, in one list."""

#: Name -> what it is. Any recipe of its kind takes it as `dataset=`.
STANDINS = {
    "digits": "the 1,797 handwritten digits of scikit-learn, 28x28",
    "shapes": "generated images of ten shapes, 32x32",
    "scenes": "generated images of two shapes, with captions",
    "groups": "generated images of one to six shapes, with boxes, 96x96",
    "friedman": "a generated table of ten numbers, and one to predict",
    "reviews": "generated film reviews, good or bad",
    "documentation": "the documentation of Python's own modules",
    "dates": "generated sentences of dates and numbers, English and German",
}
