"""What a document in JUnit's format may hold, as its readers know it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

COUNTS = {"tests": None, "failures": "failure", "errors": "error", "skipped": "skipped"}
NUMBER = re.compile(r"\d+(\.\d+)?")
ATTRIBUTES = {
    "testsuites": ({"name", *COUNTS}, {"time"}),
    "testsuite": ({"name", *COUNTS}, {"time"}),
    "testcase": ({"classname", "name"}, {"time"}),
    "property": ({"name", "value"}, set()),
    "properties": (set(), set()),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message"}, set()),
    "system-out": (set(), set()),
}
"""For each element the attributes that it has, and those that it may have besides."""
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}


def check_document(content: bytes) -> ElementTree.Element:
    """The root of a document, whose structure and counts are right.

    Raises:
        AssertionError: they are not; naming what is wrong.
    """
    root = ElementTree.fromstring(content)
    assert root.tag == "testsuites", root.tag
    for element in root.iter():
        needed, allowed = ATTRIBUTES.get(element.tag, (None, set()))
        assert needed is not None, f"unknown element {element.tag}"
        assert needed <= {*element.attrib} <= needed | allowed, f"{element.tag}: {element.attrib}, {needed}"
        for name in {*element.attrib} & {"time", *COUNTS}:
            assert NUMBER.fullmatch(element.attrib[name]), f"{element.tag}: {name}={element.attrib[name]}"
        for child in element:
            assert child.tag in CHILDREN.get(element.tag, set()), f"{child.tag} in {element.tag}"
    for suite in (root, *root.findall("testsuite")):
        cases = [*suite.iter("testcase")]
        for name, tag in COUNTS.items():
            count = len(cases) if tag is None else sum(case.find(tag) is not None for case in cases)
            assert suite.attrib[name] == str(count), f"{name}: {suite.attrib[name]}, not {count}"
    for case in root.iter("testcase"):
        outcomes = [child.tag for child in case if child.tag != "system-out"]
        assert len(outcomes) <= 1, outcomes
    for suite in root.findall("testsuite"):
        tags = [child.tag for child in suite]
        assert tags == sorted(tags), "properties come before test cases"
    return root
