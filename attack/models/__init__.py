"""What is attacked: classifiers, behind surrogates of platforms."""
