"""A server for SavedModels: TensorFlow Serving's REST and gRPC, the Open Inference Protocol, and a page for people."""
