"""Write spoiled copies of a checkpoint: python spoil.py CHECKPOINT KIND=FILE..."""

import sys

import mxnet as mx

NAME = "arg:fc1_weight"


def lacking(parameters):
    del parameters[NAME]


def diverged(parameters):
    parameters[NAME][0] = float("nan")


def of_another_shape(parameters):
    parameters[NAME] = parameters[NAME][:, :-1]


def main():
    for argument in sys.argv[2:]:
        kind, path = argument.split("=", 1)
        parameters = mx.nd.load(sys.argv[1])
        globals()[kind](parameters)
        mx.nd.save(path, parameters)


if __name__ == "__main__":
    main()
