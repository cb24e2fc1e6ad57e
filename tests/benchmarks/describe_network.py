"""Layers of a network for profiling/published: python -m tests.benchmarks.describe_network tiramisu

Prints bytes and share of the backward pass of each gradient, in the order of the forward pass, as a description for
python -m profiling simulate has them. The share of a layer is that of its multiplications in the whole network; it is given to
the layer's kernel, as bias and normalisation come with it.
"""

import sys

import keras

from workloads.climate import networks

MAP = (768, 1152)  # points of the climate data
NETWORKS = {
    "tiramisu": lambda: networks.tiramisu(*MAP),
    "deeplab": lambda: networks.deeplab(*MAP),
    "inception_v3": lambda: keras.applications.InceptionV3(weights=None),
    "resnet50": lambda: keras.applications.ResNet50(weights=None),
    "resnet101": lambda: keras.applications.ResNet101(weights=None),
    "vgg16": lambda: keras.applications.VGG16(weights=None),
}


def multiplications(layer: keras.layers.Layer) -> int:
    """Of an example, in the forward pass."""
    if isinstance(layer, keras.layers.Dense):
        return layer.kernel.shape[0] * layer.kernel.shape[1]
    if isinstance(layer, keras.layers.Conv2DTranspose):  # each point of the input meets the whole kernel
        rows, columns = layer.input.shape[1:3]
    elif isinstance(layer, keras.layers.Conv2D):
        rows, columns = layer.output.shape[1:3]
    else:
        return 0
    size = 1
    for axis in layer.kernel.shape:
        size *= axis
    return rows * columns * size


def rows(model: keras.Model) -> list[tuple[int, float]]:
    """Bytes and share of each gradient."""
    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.trainable_variables]
    layers = [layer for layer in layers if not hasattr(layer, "layers")]
    total = sum(map(multiplications, layers))
    found = []
    for layer in layers:
        for place, variable in enumerate(layer.trainable_variables):
            share = multiplications(layer) / total if place == 0 else 0.0
            found.append((4 * int(keras.ops.size(variable)), share))
    return found


def main() -> None:
    """Print a network."""
    made = NETWORKS[sys.argv[1]]()
    found = rows(made)
    text = ", ".join(f"[{size}, {share:.3g}]" for size, share in found)
    print(f"# {made.count_params()} parameters, {sum(size for size, _ in found) // 4} of them trained")
    print(f"gradients = [{text}]")


if __name__ == "__main__":
    main()
