import pytest
import torch

from sobolev import Function, ResidualData


def heat(**options):
    conditions = ["u(x, 0) = sin(pi*x)", "u(0, t) = 0", "u(1, t) = 0"]
    problem = {"equation": "du_dt = d2u_dx2", "conditions": conditions, "domain": {"x": (0, 1), "t": (0, 2)}}
    return ResidualData(**{**problem, "validation_samples": 30, "test_samples": 20, **options})


def test_points_lie_in_the_domain_and_nothing_is_known_of_the_training_ones():
    data = heat(samples=50, reference="sin(pi*x)*exp(-pi**2*t)")
    data.setup()
    assert data.training.inputs.shape == (50, 2) and data.training.targets.isnan().all()
    assert len(data.validation.inputs) == 30 and len(data.test.inputs) == 20
    points = torch.cat([data.training.inputs, data.validation.inputs, data.test.inputs])
    assert (points >= 0).all() and (points[:, 0] <= 1).all() and (points[:, 1] <= 2).all()
    assert len(torch.unique(points, dim=0)) == 100 and points[:, 1].max() > 1.9
    x, t = data.test.inputs.T
    exact = (torch.pi * x).sin() * (-(torch.pi**2) * t).exp()
    torch.testing.assert_close(data.test.targets[:, 0], exact, rtol=1e-12, atol=1e-15)


def test_one_batch_holds_all_points_unless_another_size_is_given():
    data = heat(samples=50)
    data.setup()
    assert [len(x) for x, _ in data.train_dataloader()] == [50]
    assert data.input_names == ("x", "t") and data.output_names == ("u",) and data.reference is None
    assert data.validation.targets.isnan().all()
    data = heat(samples=50, batch_size=20)
    data.setup()
    assert [len(x) for x, _ in data.train_dataloader()] == [20, 20, 10]


def test_the_order_of_the_domain_is_the_order_of_the_inputs():
    data = heat(domain={"t": (0, 2), "x": (0, 1)}, conditions=["u(0, x) = 1", "u(t, 0) = 1"], reference="t + x**2")
    assert data.input_names == ("t", "x") and data.reference.inputs == ("t", "x")


def test_several_unknowns():
    data = ResidualData(
        ["du_dt = v", "dv_dt = -u"], ["u(0) = 1", "v(0) = 0"], {"t": (0, 1)}, ["u", "v"], "cos(t), -sin(t)"
    )
    assert data.output_names == ("u", "v")
    data.setup()
    assert data.validation.targets.shape == (2000, 2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"domain": {"x": (1, 0), "t": (0, 1)}}, r"domain of x is \[1, 0\]"),
        ({"samples": 0}, "samples is 0"),
        ({"condition_samples": 0}, "condition_samples is 0"),
        ({"reference": "x, t"}, r"has 2 output\(s\), but there are 1 unknowns \(u\)"),
        ({"reference": "x*z"}, "unknown name 'z'"),
        ({"conditions": []}, "there is no condition"),
        ({"sampling": "sobel", "samples": 5}, "sampling is 'sobel'"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        heat(**options).setup()


def test_a_list_of_formulas_as_reference():
    data = ResidualData(
        ["du_dx + v", "dv_dx - u"], ["u(0)=1", "v(0)=0"], {"x": (0, 1)}, ["u", "v"], reference=["cos(x)", "sin(x)"]
    )
    assert data.reference.name == "cos(x), sin(x)"
    with pytest.raises(TypeError, match="reference is a int; it is a formula, or a list"):
        heat(reference=3)


def test_a_function_as_reference():
    assert heat(reference=Function("x*t", ["x", "t"])).reference.name == "x*t"


def test_points_outside_of_their_box_or_with_adaptive_ones_are_refused(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("x,t\n0.5,1\n0.5,1.5\n0.2,3\n")
    with pytest.raises(ValueError, match=r"points.csv: t = 3 in point 3 lies outside its domain \[0, 2\]"):
        heat(points=str(path))
    with pytest.raises(ValueError, match="leave it or `points` out"):
        heat(points=str(path), adapt_every_n_epochs=2)
    path.write_text("x,t\n0.5,1\n")
    with pytest.raises(ValueError, match=r"1 point\(s\); give three or more"):
        heat(points=str(path))
    with pytest.raises(ValueError, match="adapt_every_n_epochs is 0"):
        heat(adapt_every_n_epochs=0)


def test_a_condition_of_all_inputs_holds_at_the_boundary_with_its_columns(tmp_path):
    path = tmp_path / "edge.csv"
    path.write_text("t,x,wanted\n0,0.25,2\n1,0.5,3\n1.5,0.5,4\n")
    data = heat(conditions=["u(x, t) = wanted", "u(x, 0) = 0"], boundary=str(path))
    edge, start = data.problem.violations(lambda x: x[:, :1] + 10 * x[:, 1:], torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(edge, torch.tensor([0.25 - 2, 10.5 - 3, 15.5 - 4], dtype=torch.float64))
    assert len(start) == 100
