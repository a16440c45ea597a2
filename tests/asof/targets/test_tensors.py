"""The tensors of each target."""

from asof.targets import Binary, BinaryOutput, Multiclass, MulticlassOutput, Regression, RegressionOutput
from asof.targets.tensors import tensors


def test_two_classes_give_a_probability_and_a_label() -> None:
    shown = tensors(Binary(("stays", "leaves")))
    output = BinaryOutput(0.4)
    assert [(each.name, each.datatype, each.shape) for each in shown] == [
        ("probability", "FP64", ()),
        ("label", "BYTES", ()),
    ]
    assert [each.values(output.score(0.4)) for each in shown] == [[0.4], ["leaves"]]
    assert [each.values(output.score(0.3)) for each in shown] == [[0.3], ["stays"]]


def test_several_classes_give_the_class_and_all_probabilities_in_order() -> None:
    classes = ("b", "a", "c")
    shown = tensors(Multiclass(classes))
    score = MulticlassOutput(classes).score([0.2, 0.7, 0.1])
    assert [(each.name, each.shape, each.values(score)) for each in shown] == [
        ("class", (), ["a"]),
        ("probabilities", (3,), [0.2, 0.7, 0.1]),
    ]


def test_a_number_gives_its_value_and_interval() -> None:
    shown = tensors(Regression("hours", minimum=0.0))
    score = RegressionOutput("hours", margin=2.0, coverage=0.9, minimum=0.0).score(1.5)
    assert [(each.name, each.shape, each.values(score)) for each in shown] == [
        ("value", (), [1.5]),
        ("interval", (2,), [0.0, 3.5]),
    ]
