"""The training script on a CPU that plays the GPUs it is given: a program for the src folder."""

import sys

import mxnet as mx

mx.gpu = mx.cpu
sys.path.insert(0, ".")
import train_softmax

train_softmax.main()
