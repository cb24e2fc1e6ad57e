"""Small trainings by rankloop.keras for tests; what the ranks hold and report is written to the folder OUT.   fitted.py OUT CASE...

Whatever the number of ranks, a step takes 64 examples, so that one rank and several end alike.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

INSIDE = Path(__file__).resolve().parents[2] / "launch" / "inside"
N = 64 * 2 + 10  # two whole steps and a part of one


def main(out: str, *cases: str) -> None:
    """Make each training, on this rank."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    if "rankloop" not in sys.modules:
        sys.path.insert(0, str(INSIDE))
    import keras
    import numpy as np
    import rankloop
    import rankloop.keras as rk
    import tensorflow as tf
    from keras import layers, optimizers
    from rankloop.keras import _data

    batch, random = 64 // rankloop.size, np.random.default_rng(0)

    def examples(number: int) -> tuple:
        x = random.normal(size=(number, 6)).astype("float32")
        return x, (x.sum(1, keepdims=True) > 0).astype("float32")

    x, y = examples(N)
    weight, held_out = random.uniform(0.5, 2, size=N).astype("float32"), examples(25)

    def network(*more: Any) -> Any:
        keras.utils.set_random_seed(5)
        return keras.Sequential(
            [keras.Input((6,)), layers.Dense(8, "tanh"), *more, layers.Dense(1, "sigmoid", dtype="float32")]
        )

    class Files(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 128 // batch

        def __getitem__(self, index: int):
            return x[index * batch :][:batch], y[index * batch :][:batch]

    class EndsOnLastRank(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = rankloop.rank == rankloop.size - 1 and batch == 1

    class Interrupts(keras.callbacks.Callback):
        """After some steps of the attempt a signal comes to the last rank."""

        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            Interrupts.steps += 1
            told = json.loads(os.environ.get("INTERRUPT", "{}"))
            name = told.get(os.environ.get("LAUNCH_ATTEMPT"), {}).get(str(self.steps))
            if name and rankloop.rank == rankloop.size - 1:
                os.kill(os.getpid(), signal.Signals[name])

    def dataset() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=3).batch(batch)

    def fit(case: str) -> tuple[Any, Any]:
        model, data, more = network(), (x, y, batch), {"validation_data": held_out, "verbose": 2}
        optimizer = optimizers.Adam(0.01, clipnorm=0.5)
        if case == "arrays":
            optimizer, more = optimizers.SGD(0.1, momentum=0.9), more | {"sample_weight": weight}
        elif case == "dataset":
            held = tf.data.Dataset.from_tensor_slices(held_out).batch(4)
            data, more = (dataset(),), {"validation_data": held, "class_weight": {0: 0.5, 1: 2.0}}
        elif case == "files":
            data, more = (Files(),), {"shuffle": False}
        elif case == "accumulated":
            optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=2)
            more = {"validation_split": 0.2, "callbacks": [keras.callbacks.EarlyStopping(patience=1)]}
        elif case == "float16":
            keras.config.set_dtype_policy("mixed_float16")
            model = network()
            keras.config.set_dtype_policy("float32")
            optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=1024.0)
        elif case == "normalised":  # each rank normalises by its own batch, and drops other units
            model = network(layers.BatchNormalization(), layers.Dropout(0.2))
        elif case == "ended":
            more = {"callbacks": EndsOnLastRank()}
        elif case == "generator":
            data = (((x[i % 2 * 64 :][:batch], y[i % 2 * 64 :][:batch]) for i in range(8 * rankloop.size)),)
            more = {"steps_per_epoch": 2 * rankloop.size}
        elif case.startswith("interrupted"):
            model = network(layers.BatchNormalization(), layers.Dropout(0.2))
            data = {"interrupted": data, "interrupted dataset": (dataset(),)}[case]
            more |= {"callbacks": [Interrupts()], "save_every": 1e-6 if "INTERRUPT" in os.environ else 300}
        metrics = {"metrics": ["accuracy", keras.metrics.AUC(name="auc")], "weighted_metrics": ["mae"]}
        model.compile(optimizer, "binary_crossentropy", **metrics)
        return model, rk.fit(model, *data, epochs=3, **more)

    for case in cases:
        model, history = fit(case)
        told = {"history": history.history, "epochs": history.epoch}
        told["evaluated"] = rk.evaluate(model, *held_out, verbose=0, return_dict=True)
        told["alone"] = model.evaluate(*held_out, verbose=0, return_dict=True)
        np.savez(Path(out, f"{case}-{rankloop.rank}.npz"), *model.get_weights())
        Path(out, f"{case}-{rankloop.rank}.json").write_text(json.dumps(told))
        if rankloop.rank == 0:
            model.save(Path(out, f"{case}.keras"))

    numbers = tf.data.Dataset.range(N)
    words = (
        numbers.take(7 * batch)
        .padded_batch(batch, padded_shapes=[])
        .map(lambda n: tf.tile(n[:, None], [1, 1 + n[0] % 3]))
    )
    seen = {}
    for name, x_only in {
        "arrays": np.arange(N),
        "dataset": numbers.shuffle(99, seed=1).batch(batch),
        "words": words,
    }.items():
        source = _data.training((x_only,), batch, True, 7, None, False)
        seen[name] = []
        for epoch in range(2):
            source.start(epoch, 0)
            batches = (np.asarray(keras.tree.flatten(each)[0]) for each in source.data)
            seen[name].append([each.reshape(len(each), -1)[:, 0].tolist() for each in batches])
    Path(out, f"seen-{rankloop.rank}.json").write_text(json.dumps(seen))
    if rankloop.size > 1:
        import horovod.tensorflow as hvd

        hvd.shutdown()  # as Python does at its end, but not in a process that multiprocessing has forked


if __name__ == "__main__":
    main(*sys.argv[1:])
