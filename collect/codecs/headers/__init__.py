"""What the headers of image files tell, byte by byte."""
