from xml.etree import ElementTree

import pytest

from floorcast.validation.gates import GateFile, evaluate_gates, load_gates
from floorcast.validation.junit import junit_xml, write_junit
from floorcast.validation.wording import (
    interval_text,
    number_text,
    percent_text,
    value_text,
    verdict_sentence,
)

from .sample import episodes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (16.0, "16"),
        (-2.5, "−2.50"),
        (0.1 + 0.2, "0.300"),
        (1234.56, "1235"),
        (0.00123, "0.00123"),
        (1.5e-6, "1.50 × 10⁻⁶"),
        (2.34e9, "2.34 × 10⁹"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value, text):
    assert number_text(value) == text


def test_percent_never_rounds_a_doubt_away():
    assert percent_text(1.0) == "100 %"
    assert percent_text(0.99999) == "> 99.9 %"
    assert percent_text(0.00001) == "< 0.1 %"
    assert percent_text(0.0) == "0 %"
    assert percent_text(0.9375) == "93.8 %"


def test_intervals_show_two_digits_of_their_width():
    assert interval_text(1.0093, 1.0181) == "1.0093 to 1.0181"
    assert value_text(1.01312, "m", interval=(1.0093, 1.0181)) == "1.0131 m"
    assert interval_text(38.8, 50.7, "s") == "39 to 51 s"
    assert interval_text(None, 3.0, "s") == "at most 3 s"
    assert interval_text(0.829, None, proportion=True) == "at least 82.9 %"
    assert interval_text(2.0, 2.0) == "all equal"
    assert interval_text(None, None) == "–"


class TestSentence:
    def test_pass(self):
        verdict = evaluate_gates(load_gates("demo"), episodes(16))
        assert verdict_sentence(verdict, subject="The policy navigator") == (
            "The policy navigator keeps all three limits over 16 simulated episodes, each with 95 % confidence."
        )

    def test_fail(self):
        assert verdict_sentence(evaluate_gates(load_gates("demo"), episodes(16, failures=9))) == (
            "The policy misses two of three limits over 16 simulated episodes: "
            "success rate is 43.8 % and must be at least 80 %."
        )

    def test_inconclusive(self):
        sentence = verdict_sentence(evaluate_gates(load_gates("demo"), episodes(16, failures=1)))
        assert "leave two of three limits open; about 11 more episodes should decide it." in sentence

    def test_nothing_tested(self):
        assert "there are no episodes" in verdict_sentence(evaluate_gates(load_gates("demo"), []))
        only = GateFile(gates=[{"metric": "time_s", "max": 9.0, "optional": True}])
        assert "none of the limits was measured in 2 simulated episodes" in verdict_sentence(
            evaluate_gates(only, [{"success": 1.0}] * 2)
        )


class TestJUnit:
    def parse(self, verdict):
        return ElementTree.fromstring(junit_xml(verdict))

    def test_every_outcome_has_its_element(self):
        file = GateFile(
            gates=[
                {"metric": "success", "min": 0.8},
                {"metric": "collision", "max": 0.2},
                {"metric": "timeout", "max": 0.2},
                {"metric": "time_s", "max": 9.0, "optional": True},
            ]
        )
        values = [{"success": 1.0, "collision": 1.0, "timeout": float(i < 1)} for i in range(16)]
        root = self.parse(evaluate_gates(file, values))
        cases = root.findall("testsuite/testcase")
        kinds = [next((child.tag for child in case if child.tag != "system-out"), None) for case in cases]
        assert kinds == [None, "failure", "error", "skipped"]
        assert dict(root.attrib) == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
        assert "11 more episodes" in cases[2].find("error").get("message")

    @pytest.mark.parametrize("values", [[], [{"success": 1.0}] * 9])
    def test_nothing_measured_is_an_error(self, values):
        file = GateFile(gates=[{"metric": "time_s", "max": 9.0, "optional": True}])
        root = self.parse(evaluate_gates(file, values))
        assert root.get("errors") == "1"
        assert int(root.get("tests")) == len(root.findall("testsuite/testcase"))

    def test_an_episode_that_did_not_run_is_an_error_and_named_in_the_sentence(self):
        verdict = evaluate_gates(load_gates("demo"), episodes(16), not_run=2)
        assert self.parse(verdict).get("errors") == "1"
        assert "keeps every limit over 16 simulated episodes, but 2 episodes could not be run." in verdict_sentence(
            verdict
        )

    def test_names_with_markup_and_control_characters_survive(self, tmp_path):
        file = GateFile(name='<a & "b">\x07', gates=[{"metric": "success", "min": 0.8}])
        verdict = evaluate_gates(file, [{"success": 1.0}] * 16)
        assert self.parse(verdict).find(".//property[@name='gates']").get("value") == '<a & "b">'
        write_junit(tmp_path / "gates.xml", verdict)
        assert (tmp_path / "gates.xml").read_bytes() == junit_xml(verdict)
