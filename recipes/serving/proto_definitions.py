"""Message classes from the text of a .proto file, for protocols whose generated code is in no package we depend on.

Generated code is tied to a range of protobuf's versions, and registers its names for the whole process: two packages
with the same protocol in one process clash. These classes live in a pool of their own, so they clash with nothing.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

Field = descriptor_pb2.FieldDescriptorProto

SCALARS = {name.removeprefix("TYPE_").lower(): number for name, number in Field.Type.items()}
STATEMENT = re.compile(
    r"(?P<space>\s+|//[^\n]*)|(?P<block>message|oneof)\s+(?P<block_name>\w+)\s*{|(?P<end>})"
    r"|(?P<repeated>repeated\s+)?(map<(?P<key>\w+),\s*(?P<value>[\w.]+)>|(?P<type>[\w.]+))\s+(?P<name>\w+)\s*=\s*(?P<number>\d+);"
)


def message_classes(package: str, text: str) -> dict[str, type[Message]]:
    """Returns name -> class of the messages in the text of a .proto file; those inside others are named `Outer.Inner`.

    The text has what these protocols need: messages of fields, repeated fields, maps, oneofs and messages. A type that
    is no scalar is a message's whole name after the package; an enum's is int32, which is the same on the wire.

    >>> messages = message_classes("geometry", "message Point { repeated float coordinates = 1; string name = 2; }")
    >>> messages["Point"](name="origin", coordinates=[0, 0]).name
    'origin'

    Raises:
        ValueError: The text is something else.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    outer: list[descriptor_pb2.DescriptorProto] = []  # the messages around the statement
    in_oneof, position = False, 0
    while position < len(text):
        statement = STATEMENT.match(text, position)
        if statement is None:
            raise ValueError(f"expected a message or a field in the text of a .proto file: {text[position:][:40]!r}")
        position = statement.end()
        if statement["block"] == "message":
            outer.append((outer[-1].nested_type if outer else file.message_type).add(name=statement["block_name"]))
        elif statement["block"] == "oneof":
            outer[-1].oneof_decl.add(name=statement["block_name"])
            in_oneof = True
        elif statement["end"] and in_oneof:
            in_oneof = False
        elif statement["end"]:
            outer.pop()
        elif statement["name"]:
            _add_field(outer[-1], statement, package, in_oneof)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return dict(_classes(pool.FindFileByName(file.name).message_types_by_name.values()))


def _add_field(message: descriptor_pb2.DescriptorProto, statement: re.Match[str], package: str, in_oneof: bool) -> None:
    name = statement["name"]
    repeated = statement["repeated"] or statement["key"]
    field = message.field.add(name=name, number=int(statement["number"]))
    field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
    if statement["key"]:  # a map is a repeated message of key and value, whose name follows from the field's
        entry = message.nested_type.add(name="".join(word.title() for word in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for number, part in enumerate(("key", "value"), 1):
            of_entry = entry.field.add(name=part, number=number, label=Field.LABEL_OPTIONAL)
            _set_type(of_entry, statement[part], package)
        field.type, field.type_name = Field.TYPE_MESSAGE, entry.name
    else:
        _set_type(field, statement["type"], package)
    if in_oneof:
        field.oneof_index = len(message.oneof_decl) - 1


def _set_type(field: descriptor_pb2.FieldDescriptorProto, name: str, package: str) -> None:
    if name in SCALARS:
        field.type = SCALARS[name]
    else:
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{package}.{name}"


def _classes(descriptors: Iterable[Any], outer: str = "") -> Iterator[tuple[str, type[Message]]]:
    for descriptor in descriptors:
        yield outer + descriptor.name, message_factory.GetMessageClass(descriptor)
        yield from _classes(descriptor.nested_types, f"{outer}{descriptor.name}.")
