"""Taking a trained network elsewhere: slim files of MXNet, ONNX; proven equal, or refused."""
