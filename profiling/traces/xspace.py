"""The format of a profiler's trace, xplane.pb, as far as it is read: so that reading one imports no framework.

The fields are those of tsl/profiler/protobuf/xplane.proto, and the same for TensorFlow, JAX and PyTorch/XLA. Whatever
else a file has is passed over, as protobuf does with all that it does not know.
"""

from functools import cache
from typing import Any

# Messages of the format: fields by number, with their type: a scalar, a message, or a list or map of them.
_MESSAGES = {
    "XSpace": {1: ("planes", "list XPlane")},
    "XPlane": {
        2: ("name", "string"),
        3: ("lines", "list XLine"),
        4: ("event_metadata", "map XEventMetadata"),
        5: ("stat_metadata", "map XStatMetadata"),
        6: ("stats", "list XStat"),
    },
    "XLine": {2: ("name", "string"), 3: ("timestamp_ns", "int64"), 4: ("events", "list XEvent")},
    "XEvent": {
        1: ("metadata_id", "int64"),
        2: ("offset_ps", "int64"),
        3: ("duration_ps", "int64"),
        4: ("stats", "list XStat"),
    },
    "XStat": {
        1: ("metadata_id", "int64"),
        2: ("double_value", "double"),
        3: ("uint64_value", "uint64"),
        4: ("int64_value", "int64"),
        5: ("str_value", "string"),
        6: ("bytes_value", "bytes"),
        7: ("ref_value", "uint64"),
    },
    "XEventMetadata": {2: ("name", "string")},
    "XStatMetadata": {2: ("name", "string")},
}
_PACKAGE = "rankloop.xspace"


@cache
def message() -> Any:
    """Return the protobuf class of a whole trace.

    Raises
    ------
    ImportError
        If protobuf is not installed.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file: Any = descriptor_pb2.FileDescriptorProto(name="rankloop_xspace.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        made = file.message_type.add(name=name)
        for number, (field, kind) in fields.items():
            form, _, of = kind.rpartition(" ")
            if form == "map":
                entry = made.nested_type.add(name="".join(map(str.capitalize, field.split("_"))) + "Entry")
                entry.options.map_entry = True
                _add(entry, 1, "key", "int64")
                _add(entry, 2, "value", of)
                form, of = "list", f"{name}.{entry.name}"
            _add(made, number, field, of, repeated=form == "list")
        if name == "XStat":
            made.oneof_decl.add(name="value")
            for field in made.field[1:]:
                field.oneof_index = 0
    pool: Any = descriptor_pool.DescriptorPool()  # TensorFlow's own pool has messages of these names
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.XSpace"))


def _add(message: Any, number: int, name: str, kind: str, repeated: bool = False) -> None:
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
