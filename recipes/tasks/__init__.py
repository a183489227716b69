"""What recipes of one kind share: classifying, generating, translating."""

from recipes.tasks.auxiliary import WithAuxiliary
from recipes.tasks.captioner import Captioner, CaptionNats
from recipes.tasks.classify import export_classifier, image_signatures
from recipes.tasks.decoding import check_number
from recipes.tasks.generation import check_how, export_generator, stream_text, text_samples
from recipes.tasks.halves import apply, draw_reconstructions, draw_walks, export_halves, pixels
from recipes.tasks.losses import Bits, Perplexity, SentenceNats, SmoothedCrossentropy
from recipes.tasks.norms import Norms, norm_pictures
from recipes.tasks.pictures import classifier_pictures, draw_attention, draw_images
from recipes.tasks.texts import export_text_classifier, padded_ids, text_classifier_pictures, tokenizer_of
from recipes.tasks.translation import (
    evaluate_translator,
    explain_translation,
    export_translator,
    search,
    translate_all,
    translation_report,
)
from recipes.tasks.vectors import NegativeSampling, draw_words, index_of, nearest, unit, write_vectors

__all__ = [
    "Bits",
    "CaptionNats",
    "Captioner",
    "NegativeSampling",
    "Norms",
    "Perplexity",
    "SentenceNats",
    "SmoothedCrossentropy",
    "WithAuxiliary",
    "apply",
    "check_how",
    "check_number",
    "classifier_pictures",
    "draw_attention",
    "draw_images",
    "draw_reconstructions",
    "draw_walks",
    "draw_words",
    "evaluate_translator",
    "explain_translation",
    "export_classifier",
    "export_generator",
    "export_halves",
    "export_text_classifier",
    "export_translator",
    "image_signatures",
    "index_of",
    "nearest",
    "norm_pictures",
    "padded_ids",
    "pixels",
    "search",
    "stream_text",
    "text_classifier_pictures",
    "text_samples",
    "tokenizer_of",
    "translate_all",
    "translation_report",
    "unit",
    "write_vectors",
]
