"""Training: data sets, backbones, the model, fitting and honest evaluation."""

import os

# before TensorFlow is first imported: people shall read sentences, not its notes on the processor
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
