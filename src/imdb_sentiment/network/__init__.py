"""The Keras side: the network, its layers, its training, averages and export."""
