"""The frameworks, made ready; imported by each folder whose tests use one, and by none of the core's."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On every CPU alike; see `keras_side.require`.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Threads wait for each other longer than models of this size compute.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# Importing torch after tensorflow has been seen to crash.
import torch

torch.set_num_threads(1)
