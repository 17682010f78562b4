"""Evaluate checkpoints on verification sets by upstream's own protocol.

Run by the training interpreter in the workspace's src folder:

    python evaluate.py < REQUEST

REQUEST is a JSON object: "symbol" is the path of the network, or null if a checkpoint is an
exported network; "checkpoints" lists pairs of a number and a path, "sets" lists pairs of a name and
a path, "image" is height and width, "devices" is a number of GPUs (0 for the CPU), and "batch_size"
is over all of them. Standard output has an event a line, a JSON object: "failed" is a checkpoint
that can't be evaluated, and why; "loading" is a set; "batch" counts one; "result" holds the figures
of "checkpoint" on "set"; "missing" is a package that can't be imported; "error" is what makes all
of it impossible. Whatever upstream prints goes to standard error.
"""

import json
import os
import sys
from pathlib import Path

FOLDS = 10  # as the training script has it


class UnusableError(Exception):
    """A checkpoint, or the network of all of them, that can't be evaluated."""


class Network:
    """The network up to the embedding, as upstream's test() drives a module.

    That function asks of a model just what is here, `forward` and `get_outputs`, so whatever
    else computes embeddings of images can be measured by the same protocol.
    """

    def __init__(self, symbol, contexts, shape, on_batch):
        """Bind the embedding of a symbol.

        Args:
            symbol: Path of the symbol file.
            contexts: Devices to share a batch.
            shape: Of a batch: images, channels, height, width.
            on_batch: Called for each batch that is through.
        """
        import mxnet as mx

        try:
            layers = mx.sym.load(symbol).get_internals()
            if "fc1_output" not in layers.list_outputs():
                raise UnusableError("it has no output fc1, which is the embedding")
            self._module = mx.mod.Module(layers["fc1_output"], context=contexts, label_names=None)
            self._module.bind(data_shapes=[("data", shape)], for_training=False)
        except (ValueError, mx.base.MXNetError) as error:
            raise UnusableError(last_line(error)) from error
        self._on_batch = on_batch

    def read(self, path):
        """Return the parameters of a checkpoint that are below the embedding, by kind and name."""
        import mxnet as mx

        try:
            saved = mx.nd.load(path)
        except mx.base.MXNetError as error:
            raise UnusableError("it is torn, or no checkpoint: " + last_line(error)) from error
        if not isinstance(saved, dict):
            raise UnusableError("it is torn, or no checkpoint: it names no parameters")
        parameters = {}
        for kind, shapes in (("arg", self._shapes()[0]), ("aux", self._shapes()[1])):
            parameters[kind] = {}
            for name, shape in shapes.items():
                array = saved.get(kind + ":" + name)
                if array is None:
                    raise UnusableError("it lacks " + name + ", which the network has")
                if array.shape != shape:
                    raise UnusableError(
                        "its {} is of shape {}, the network's of {}".format(
                            name, array.shape, shape
                        )
                    )
                # Module does the same with numbers of another kind, but exporters do not.
                parameters[kind][name] = array.astype("float32")
        return parameters

    def _shapes(self):
        symbol = self._module.symbol
        inputs = {desc.name: desc.shape for desc in self._module.data_shapes}
        arguments, _, states = symbol.infer_shape(**inputs)
        if arguments is None:
            raise UnusableError("the network leaves the shape of a parameter open")
        named = dict(zip(symbol.list_arguments(), arguments))
        return (
            {name: shape for name, shape in named.items() if name not in inputs},
            dict(zip(symbol.list_auxiliary_states(), states)),
        )

    def use(self, parameters):
        """Compute with these parameters from now on."""
        self._module.set_params(parameters["arg"], parameters["aux"])

    def forward(self, batch, is_train):
        """Start to embed a batch; its label is for the layers that are not here."""
        import mxnet as mx

        self._module.forward(mx.io.DataBatch(batch.data), is_train=is_train)

    def get_outputs(self):
        """Return the embeddings of the batch, alone in a list."""
        outputs = self._module.get_outputs()
        check_finite(outputs[0].asnumpy())
        self._on_batch()
        return outputs


class ExportedNetwork:
    """A network that another runtime computes, on the CPU; what is read is the network itself."""

    def __init__(self, load, on_batch):
        """Take a function that loads the file of a network."""
        self._load, self._on_batch = load, on_batch

    def read(self, path):
        """Return the network in a file."""
        return self._load(path)

    def use(self, network):
        """Compute with this one from now on."""
        self._network = network

    def forward(self, batch, is_train):
        """Embed a batch."""
        self._embeddings = self._network.embed(batch.data[0].asnumpy())

    def get_outputs(self):
        """Return the embeddings of the batch, alone in a list."""
        import mxnet as mx

        check_finite(self._embeddings)
        self._on_batch()
        return [mx.nd.array(self._embeddings)]


def check_finite(embeddings):
    """Raise an error if there are numbers that are not finite."""
    import numpy as np

    if not np.isfinite(embeddings).all():
        raise UnusableError("its embeddings are not finite numbers: the training diverged")


def measure(verification, data_set, model, batch_size):
    """Return the figures of a model on a set.

    Upstream's test() computes them as it does during training. What it drops is kept on the way,
    or computed by the functions that it consists of.

    Args:
        verification: Upstream's module.
        data_set: As its load_bin() returns it.
        model: With `forward` and `get_outputs`.
        batch_size: Of images; test() fills up the last batch with images before it.
    """
    import numpy as np

    evaluate, kept = verification.evaluate, []

    def keep(embeddings, same, **options):
        kept[:] = [embeddings, evaluate(embeddings, same, **options)]
        return kept[1]

    verification.evaluate = keep
    try:
        _, _, accuracy, std, xnorm, (plain, _) = verification.test(
            data_set, model, batch_size, FOLDS
        )
    finally:
        verification.evaluate = evaluate
    embeddings, (tpr, fpr, _, tar, tar_std, far) = kept

    same = np.asarray(data_set[1])
    # Those of upstream's evaluate().
    thresholds = np.arange(0, 4, 0.01)
    plain = verification.sklearn.preprocessing.normalize(plain)
    _, _, plain_accuracies = verification.calculate_roc(
        thresholds, plain[0::2], plain[1::2], same, nrof_folds=FOLDS
    )
    return {
        "pairs": len(same),
        "accuracy": float(accuracy),
        "std": float(std),
        "accuracy_without_flip": float(np.mean(plain_accuracies)),
        "std_without_flip": float(np.std(plain_accuracies)),
        "threshold": float(np.mean(best_thresholds(verification, thresholds, embeddings, same))),
        "tar": float(tar),
        "tar_std": float(tar_std),
        "far": float(far),
        "xnorm": float(xnorm),
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
    }


def best_thresholds(verification, thresholds, embeddings, same):
    """Return the threshold that calculate_roc() chooses, and drops, for each fold."""
    import numpy as np

    distances = np.sum(np.square(np.subtract(embeddings[0::2], embeddings[1::2])), 1)
    folds = verification.LFold(n_splits=FOLDS, shuffle=False)
    best = []
    for train, _ in folds.split(np.arange(len(same))):
        accuracies = [
            verification.calculate_accuracy(threshold, distances[train], same[train])[2]
            for threshold in thresholds
        ]
        best.append(thresholds[np.argmax(accuracies)])
    return best


def last_line(error):
    """Return the last line of an error's text: MXNet's begin with a traceback of its own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def evaluate_all(request, tell, runtimes):
    """Evaluate every checkpoint on every set; each set and each checkpoint is read once."""
    import mxnet as mx

    def load_exported(path):
        try:
            return runtimes.load(Path(path))
        except runtimes.ModelError as error:
            raise UnusableError(str(error)) from error

    # Upstream's modules find one another by the search path.
    sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "eval")]
    import verification

    contexts = [mx.gpu(index) for index in range(request["devices"])] or [mx.cpu()]
    shape = (request["batch_size"], 3, *request["image"])
    if request["symbol"] is None:
        network = ExportedNetwork(load_exported, lambda: tell(batch=1))
    else:
        try:
            network = Network(request["symbol"], contexts, shape, lambda: tell(batch=1))
        except UnusableError as error:
            tell(error="{} can't be evaluated: {}".format(request["symbol"], error))
            return
    usable = {}

    def fail(number, error):
        usable.pop(number, None)
        tell(failed=[number, last_line(error)])

    for number, path in request["checkpoints"]:
        try:
            usable[number] = network.read(path)
        except UnusableError as error:
            fail(number, error)
        except ImportError as error:
            tell(missing=str(error))
            return
    for name, path in request["sets"]:
        if not usable:
            break
        tell(loading=name)
        try:
            data_set = verification.load_bin(path, request["image"])
        except SystemExit as error:  # what upstream ends with, for instance an undecodable image
            tell(error=str(error))
            return
        batch_size = min(request["batch_size"], data_set[0][0].shape[0])
        for number, parameters in list(usable.items()):
            network.use(parameters)
            try:
                figures = measure(verification, data_set, network, batch_size)
            except (UnusableError, mx.base.MXNetError) as error:
                fail(number, error)
            else:
                tell(checkpoint=number, set=name, result=figures)
        # Gigabytes, which must not be there twice while the next set is loaded.
        del data_set


def main():
    """Answer the request on standard input."""
    import runtimes

    # A module of this folder must not stand for one of upstream's.
    del sys.path[0]
    # Layers that MXNet merges for inference, as it never does for training, can't compute
    # MobileFaceNet on the CPU: "We can't generate TBlob for MKLDNN data".
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    request = json.load(sys.stdin)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**event):
        events.write(json.dumps(event) + "\n")
        events.flush()

    evaluate_all(request, tell, runtimes)


if __name__ == "__main__":
    main()
