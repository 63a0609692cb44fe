"""JPEG 2000 as OpenJPEG writes it to a rate; train/jpeg2000/openjpeg.py puts the steps together."""
