"""What is read and written as a model: weights, checkpoints, ONNX graphs, a Plan as Python."""
