"""What schemathesis cannot know of the document: a number of metadata beyond the bounds of its schema is taken when a double
keeps all its digits, and refused when it does not. JSON Schema has no word for that, so no such number is made up."""

import schemathesis

LEAST, GREATEST = -(2**63), 2**64 - 1
LARGEST_REAL = 1e15


def is_told(value):
    """Whether the document says of every number in it if it is taken."""
    if isinstance(value, dict):
        return all(is_told(part) for part in value.values())
    if isinstance(value, list):
        return all(is_told(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return LEAST <= value <= GREATEST if float(value).is_integer() else abs(value) <= LARGEST_REAL


@schemathesis.hook
def filter_body(context, body):
    return not isinstance(body, dict) or is_told(body.get("metadata"))
