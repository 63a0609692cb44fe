"""The Independent JPEG Group's libjpeg 9, which enlarges chroma by the cosine transform."""

from functools import partial

from collect.codecs import libjpeg
from collect.codecs.decoders import Decoder

DECODER = Decoder(partial(libjpeg.decode, version="9e"), libjpeg.PACKAGE)
