"""Gates as JUnit XML, for the test pages of CI systems."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from ..common.files import write_bytes_atomic
from .gates import GateRow, Verdict
from .wording import bound_text, episodes_text, finding_text, outcome_word

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(verdict: Verdict, *, suite: str = "floorcast.gates") -> bytes:
    """Return one test case for each gate.

    A failed gate is a ``failure`` and an inconclusive one an ``error``, so that a system that reads only this file
    never takes "not enough episodes" for a pass; a gate that does not apply is ``skipped``. Times are left out: equal
    results give equal bytes.
    """
    outcomes = [row.verdict for row in verdict.rows]
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("fail")),
        "errors": str(outcomes.count("inconclusive")),
        "skipped": str(outcomes.count("not_applicable")),
    }
    root = ElementTree.Element("testsuites", counts)
    element = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite), **counts})
    properties = ElementTree.SubElement(element, "properties")
    for name, value in (("verdict", verdict.verdict), ("episodes", verdict.episodes), ("gates", verdict.gate_file)):
        ElementTree.SubElement(properties, "property", {"name": name, "value": _clean(str(value))})
    for row in verdict.rows:
        _case(element, row, suite)
    if not any(outcome in ("pass", "fail", "inconclusive") for outcome in outcomes):
        _add_error(element, root, suite, "something was measured", "no gate applies, so nothing was decided")
    if verdict.not_run:
        _add_error(element, root, suite, "every episode ran", f"{episodes_text(verdict.not_run)} could not be run")
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def write_junit(path: str | Path, verdict: Verdict, *, suite: str = "floorcast.gates") -> None:
    """Write ``junit_xml`` to a file, whole or not at all."""
    write_bytes_atomic(path, junit_xml(verdict, suite=suite))


def _case(suite_element: ElementTree.Element, row: GateRow, suite: str) -> None:
    name = f"{row.name} {bound_text(row)}"
    case = ElementTree.SubElement(suite_element, "testcase", {"classname": _clean(suite), "name": _clean(name)})
    text = _clean(finding_text(row))
    tags = {"fail": "failure", "inconclusive": "error", "not_applicable": "skipped"}
    if row.verdict in tags:
        attributes = {"message": text}
        if row.verdict != "not_applicable":
            attributes["type"] = row.verdict
        ElementTree.SubElement(case, tags[row.verdict], attributes)
    output = ElementTree.SubElement(case, "system-out")
    output.text = f"{outcome_word(row.verdict)}: {text}"


def _add_error(element: ElementTree.Element, root: ElementTree.Element, suite: str, name: str, message: str) -> None:
    case = ElementTree.SubElement(element, "testcase", {"classname": _clean(suite), "name": name})
    ElementTree.SubElement(case, "error", {"message": message, "type": "inconclusive"})
    for item in (element, root):
        item.set("tests", str(int(item.get("tests", "0")) + 1))
        item.set("errors", str(int(item.get("errors", "0")) + 1))


def _clean(text: str) -> str:
    """Drop what XML 1.0 cannot hold (control characters, lone surrogates)."""
    return _NOT_XML.sub("", text)
