"""Networks that others have trained, to build on."""

from recipes.pretrained.encoders import annotate_once, encoder_of, read_by

__all__ = ["annotate_once", "encoder_of", "read_by"]
