"""What the artists of a figure hold, against the numbers that went in."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from sobolev import plots
from sobolev.plots import labels
from sobolev.plots.maps import choose
from sobolev.plots.samples import root_mean_square, samples


@pytest.fixture
def parabola():
    """Points, the truth, and a network off by .01 sin(x), .02, -.5."""
    x = torch.rand(300, 1, dtype=torch.float64) * 10 - 5
    exact = [x**2, 2 * x, 2 + 0 * x]
    return x, [exact[0] + 0.01 * x.sin(), exact[1] + 0.02, exact[2] - 0.5], exact


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def texts(figure):
    return [text.get_text() for text in figure.texts]


def plane_functions(points):
    """sin(a) b and its first and second derivatives, (n, 1, ...)."""
    a, b = points.unbind(1)
    J = torch.stack([a.cos() * b, a.sin()], 1)
    H = torch.stack([-a.sin() * b, a.cos(), a.cos(), 0 * a], 1).reshape(-1, 2, 2)
    return [(a.sin() * b)[:, None], J[:, None], H[:, None]]


def test_curves_are_the_numbers_in_order_of_x(parabola):
    x, predicted, exact = parabola
    figure = plots.derivatives_figure(x, predicted, exact)
    assert len(figure.axes) == 6
    rank = np.argsort(x[:, 0].numpy())
    for order in range(3):
        top, bottom = figure.axes[2 * order : 2 * order + 2]
        for axes, label, values in (
            (top, "network", predicted[order]),
            (top, "exact", exact[order]),
            (bottom, "error", (predicted[order] - exact[order]).abs()),
        ):
            drawn = lines(axes)[label].get_xydata()
            np.testing.assert_array_equal(drawn[:, 0], x.numpy()[rank, 0])
            np.testing.assert_array_equal(drawn[:, 1], values.numpy()[rank, 0])
        assert bottom.get_yscale() == "log"
        assert lines(top)["exact"].get_linewidth() > 3 * lines(top)["network"].get_linewidth()


def test_titles_hold_the_errors(parabola):
    x, predicted, exact = parabola
    titles = [axes.get_title(loc="left") for axes in plots.derivatives_figure(x, predicted, exact).axes[::2]]
    assert titles[2].endswith("rel. L2 0.25 · RMSE 0.5")
    assert "RMSE 0.02" in titles[1]
    assert titles[1].startswith("d$y$ / d$x$")


@pytest.mark.parametrize("order", [0, 1, 4, 7])
def test_every_order_has_its_panel(order):
    x = torch.linspace(-1, 1, 50)
    predicted = [x[:, None]] * (order + 1)
    assert len(plots.derivatives_figure(x, predicted).axes) == order + 1
    assert len(plots.derivatives_figure(x, predicted, predicted).axes) == 2 * (order + 1)


def test_errors_of_zero_and_points_without_a_number(parabola):
    x, predicted, exact = parabola
    predicted[1] = exact[1].clone()
    predicted[2] = torch.where(x > 4, torch.nan, predicted[2])
    figure = plots.derivatives_figure(x, predicted, exact)
    plots.image(figure)
    assert [text.get_text() for text in figure.axes[3].texts] == ["exactly 0"]
    bad = int((x > 4).sum())
    assert [text.get_text() for text in figure.axes[4].texts] == [f"NaN or infinite at {bad} of 300 points"]
    np.testing.assert_array_equal(lines(figure.axes[4])["not finite"].get_xdata(), np.sort(x[x > 4].numpy()))
    assert "RMSE 0.5" in figure.axes[4].get_title(loc="left")  # of the finite ones


def test_an_order_without_truth_has_no_error(parabola):
    x, predicted, exact = parabola
    figure = plots.derivatives_figure(x, predicted, [exact[0], None, exact[2]])
    assert "exact" not in lines(figure.axes[2])
    assert len(figure.axes) == 5 and "error" in lines(figure.axes[4])  # two panels for order 0, one, two for order 2
    assert "root mean square" in figure.axes[2].get_title(loc="left")


def test_many_points_are_thinned_but_the_worst_stays():
    x = torch.linspace(0, 1, 100_001)[:, None]
    predicted = x.clone()
    predicted[31_337] += 5
    figure = plots.derivatives_figure(x, [predicted], [x])
    error = lines(figure.axes[1])["error"].get_ydata()
    assert len(error) <= 2001
    assert error.max() == pytest.approx(5, rel=1e-6)


def test_a_piecewise_linear_network_is_said(parabola):
    x, predicted, exact = parabola
    predicted[2] = 0 * x
    assert "f'' = 0 everywhere" in texts(plots.derivatives_figure(x, predicted, exact))
    why = "it is piecewise linear; use SiLU"
    relu = SimpleNamespace(kind="piecewise-linear", severity="error", where="network.1 (ReLU)", message=why)
    raw = SimpleNamespace(kind="raw-inputs", severity="warning", where="network", message="raw inputs.")
    shown = texts(plots.derivatives_figure(x, predicted, exact, findings=[raw, relu]))
    assert "f'' = 0 everywhere: network.1 (ReLU): it is piecewise linear (+ 1 more)" in shown
    assert "f = 0 everywhere" in texts(plots.derivatives_figure(x, [0 * x] * 3, exact))
    assert len(texts(plots.derivatives_figure(x, exact, exact))) == 1  # the title alone


def test_outputs_beyond_the_third_are_named(parabola):
    x, predicted, _ = parabola
    five = [value.expand(-1, 5) for value in predicted]
    figure = plots.derivatives_figure(x, five, output_names=list("abcde"))
    assert len(figure.axes) == 9
    assert "not shown: d, e" in texts(figure)


@pytest.mark.parametrize("grid", [True, False])
def test_maps_hold_value_gradient_and_hessian(grid):
    points = torch.rand(400, 2, dtype=torch.float64)
    if grid:
        axes = torch.linspace(-2, 2, 20).double(), torch.linspace(0, 5, 15).double()
        points = torch.cartesian_prod(*axes)[torch.randperm(300)]
    exact = plane_functions(points)
    figure = plots.derivatives_figure(points, [e + 0.25 for e in exact], exact, input_names=["a", "b"])
    plots.image(figure)
    maps = [axes for axes in figure.axes if axes.get_title(loc="left")]
    titles = [axes.get_title(loc="left") for axes in maps[::3]]
    expected = ["$y$", "∂$y$ / ∂$a$", "∂$y$ / ∂$b$", "∂${}^{2}$$y$ / ∂$a$${}^{2}$"]
    assert [title.removesuffix("  network") for title in titles[:4]] == expected
    columns = [exact[0][:, 0], *exact[1][:, 0].T, *exact[2][:, 0].flatten(1).T[[0, 1, 3]]]
    for row, column in enumerate(columns):
        network, truth, error = (axes.collections[0] for axes in maps[3 * row : 3 * row + 3])
        assert isinstance(network, QuadMesh) == grid
        np.testing.assert_allclose(np.sort(truth.get_array().ravel()), np.sort(column.numpy()))
        np.testing.assert_allclose(np.sort(network.get_array().ravel()), np.sort(column.numpy() + 0.25))
        np.testing.assert_allclose(error.get_array(), 0.25)
        assert network.norm is truth.norm


def test_names_are_cut_only_where_all_of_them_are_too_long():
    by = ["Temperature", "Pressure"]
    assert labels.derivative("Yield", by, partial=True).endswith("\u2009Temperature ∂\u2009Pressure")
    assert "…" in labels.derivative("a_long_name_of_an_output", by, partial=True)


@pytest.mark.parametrize(("spike", "top", "extend"), [(1.0, 1.1, "neither"), (50.0, 2.0, "max")])
def test_colours_reach_the_extremes_or_the_bar_has_an_arrow(spike, top, extend):
    points = torch.cartesian_prod(torch.linspace(-1, 1, 40), torch.linspace(0, 1, 40)).double()
    y = torch.tanh(points[:, :1] / 0.02) * points[:, 1:] ** 8  # nearly flat but for two corners
    y[points.abs().sum(1).argmax()] = spike
    figure = plots.derivatives_figure(points, [y])
    plots.image(figure)
    (painted,) = (c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh) and c.colorbar)
    assert painted.colorbar.extend == extend and y.clamp(max=1).max() * 0.9 <= painted.norm.vmax <= top


def test_a_grid_is_put_where_it_belongs():
    x, z = torch.linspace(0, 1, 4), torch.linspace(5, 9, 3)
    points = torch.cartesian_prod(x, z)[torch.randperm(12)]
    figure = plots.derivatives_figure(points, [points[:, :1] + 100 * points[:, 1:]])
    mesh = figure.axes[0].collections[0]
    at = mesh.get_coordinates()
    np.testing.assert_allclose(mesh.get_array(), at[..., 0] + 100 * at[..., 1], rtol=1e-6)


def test_points_on_a_line_have_no_triangles():
    points = torch.linspace(0, 1, 30)[:, None].expand(-1, 2)
    figure = plots.derivatives_figure(points, plane_functions(points))
    assert isinstance(figure.axes[0].collections[0], PathCollection)


def test_maps_of_several_outputs_show_the_worst_entries():
    points = torch.rand(50, 2, dtype=torch.float64)
    exact = [torch.cat([e, e], 1) for e in plane_functions(points)]
    predicted = [e.clone() for e in exact]
    predicted[1][:, 1, 1] += 3
    predicted[2][:, 0, 0, 1] += 3
    chosen, left_out = choose(samples(points, predicted, exact))
    assert [(c.output, c.inputs) for c in chosen] == [
        (0, ()), (0, (0,)), (0, (0, 1)), (1, ()), (1, (1,)), (1, (0, 0)),
    ]  # fmt: skip
    assert "2 of 2 outputs" in left_out


def test_parity_panels_hold_every_entry_and_name_the_worst():
    points = torch.rand(20, 3, dtype=torch.float64)
    exact = [points.prod(1)[:, None], points.flip(1)[:, None], torch.rand(20, 1, 3, 3, dtype=torch.float64)]
    exact[2] = exact[2] + exact[2].mT
    predicted = [e.clone() for e in exact]
    predicted[1][:, 0, 2] *= 2
    figure = plots.derivatives_figure(points, predicted, exact, input_names=list("abc"))
    value, gradient, hessian = figure.axes
    assert "6 entries" in hessian.get_title(loc="left")
    dots = lines(gradient)
    np.testing.assert_array_equal(dots["_worst"].get_ydata(), 2 * dots["_worst"].get_xdata())
    np.testing.assert_array_equal(dots["network"].get_ydata(), dots["network"].get_xdata())
    assert [text.get_text() for text in gradient.texts] == ["worst: ∂$y$ / ∂$c$"]
    assert len(lines(value)["network"].get_xdata()) == 20
    assert sum(len(lines(hessian)[k].get_xdata()) for k in ("network", "_worst")) == 120


def test_many_inputs_without_truth():
    points = torch.rand(20, 4)
    figure = plots.derivatives_figure(points, [points[:, :1], points[:, None]])
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 80


@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize(("rows", "value"), [(0, 0.0), (1, -1e-300), (3, 1e300), (2, np.nan), (2, np.inf)])
def test_few_points_and_extreme_values_are_drawn(inputs, rows, value):
    points = np.full((rows, inputs), 3e5)
    predicted = [np.full((rows, 1, *[inputs] * order), value) for order in range(3)]
    exact = [np.ones_like(p) for p in predicted]
    plots.image(plots.derivatives_figure(points, predicted, exact))


@settings(max_examples=30)
@given(st.text(max_size=40), st.text(max_size=40))
def test_names_are_never_read_as_markup(first, second):
    parser = MathTextParser("path")
    for text in (labels.name(first), labels.derivative(second, [first, first, second], partial=True)):
        assert text.count("$") % 2 == text.count(r"\$") % 2
        parser.parse(text)


@pytest.mark.parametrize("name", ["spot price [$]", "a_b^c", "{", "\\frac{", "$x^$", "%", "100 % \\"])
def test_names_with_special_characters_are_drawn(name, parabola):
    x, predicted, exact = parabola
    plots.image(plots.derivatives_figure(x, predicted, exact, input_names=[name], output_names=[name], title=name))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.0123"), (1234.5, "1.2e3"), (4.2e-5, "4.2e-5"), (1e-10, "1.0e-10"), (12, "12")],
)
def test_numbers_are_short(value, text):
    assert labels.number(value) == text


def test_root_mean_square_does_not_overflow():
    assert root_mean_square(np.array([3e200, 4e200])) == pytest.approx(np.sqrt(12.5) * 1e200)
    assert np.isnan(root_mean_square(np.array([np.nan])))


def test_shapes_are_checked():
    x = torch.zeros(5, 2)
    with pytest.raises(ValueError, match=r"predicted\[1\] has shape \(5, 1\); .* \(5, 1, 2\)"):
        plots.derivatives_figure(x, [torch.zeros(5, 1), torch.zeros(5, 1)])
    with pytest.raises(ValueError, match=r"exact\[0\] has shape \(4, 1\)"):
        plots.derivatives_figure(x, [torch.zeros(5, 1)], [torch.zeros(4, 1)])
    with pytest.raises(ValueError, match="predicted is empty"):
        plots.derivatives_figure(x, [])


def test_saved_whole_or_not_at_all(tmp_path, parabola, monkeypatch):
    figure = plots.derivatives_figure(*parabola)
    path = plots.save(figure, tmp_path / "run" / "derivatives.png")
    assert matplotlib.image.imread(path).shape == (*plots.image(figure).shape[:2], 4)
    before = path.read_bytes()

    def fail(to):
        to.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(figure, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_half_precision_and_graphs_are_taken(parabola):
    x, predicted, exact = parabola
    leaf = x.float().requires_grad_()
    plots.derivatives_figure(leaf, [(leaf**2), predicted[1].bfloat16(), predicted[2]], exact)


def test_threads_draw_at_the_same_time(parabola):
    failures = []

    def draw():
        try:
            plots.image(plots.derivatives_figure(*parabola))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures


def test_no_pyplot_no_settings_and_no_matplotlib_before_the_first_figure():
    code = """
import sys, torch
from sobolev import plots
assert "matplotlib" not in sys.modules
import matplotlib
before = {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
x = torch.rand(50, 1)
plots.image(plots.derivatives_figure(x, [x**2], [x**2]))
assert "matplotlib.pyplot" not in sys.modules
assert {key: matplotlib.rcParams[key] for key in before} == before
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_named_derivatives_bear_their_names(parabola):
    figure = plots.derivatives_figure(*parabola, output_names=["price"], derivative_names={"dprice/dx": "delta"})
    titles = [axes.get_title(loc="left").splitlines()[0] for axes in figure.axes[::2]]
    assert titles[:2] == ["price", "delta"] and "price" in titles[2]


def test_with_many_inputs_each_named_derivative_has_its_panel():
    """Beside the value; an order without a name has none."""
    x = torch.rand(50, 3, dtype=torch.float64)
    exact = [x.prod(1)[:, None], x.roll(1, 1)[:, None] * x.roll(2, 1)[:, None], torch.rand(50, 1, 3, 3).double()]
    predicted = [value + 0.1 for value in exact]
    names = {"dy/dx2": "vega", "d2y/dx1dx3": "vanna"}
    figure = plots.derivatives_figure(x, predicted, exact, input_names=["x1", "x2", "x3"], derivative_names=names)
    assert [axes.get_title(loc="left").splitlines()[0] for axes in figure.axes] == ["$y$", "vega", "vanna"]
    drawn = lines(figure.axes[1])["network"].get_xydata()
    np.testing.assert_array_equal(np.sort(drawn[:, 0]), np.sort(exact[1][:, 0, 1].numpy()))
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.1)
    assert "RMSE 0.1" in figure.axes[2].get_title(loc="left")


def test_many_panels_go_on_in_the_next_row():
    x = torch.rand(20, 3, dtype=torch.float64)
    tensors = [torch.rand(20, 1, *[3] * order, dtype=torch.float64) for order in range(3)]
    names = {f"dy/dx{i}": f"g{i}" for i in (1, 2, 3)} | {"d2y/dx1dx1": "g11"}
    figure = plots.derivatives_figure(x, tensors, input_names=["x1", "x2", "x3"], derivative_names=names)
    assert len(figure.axes) == 5
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2


def test_bands_stand_around_a_curve_without_a_truth():
    x = np.linspace(-1, 1, 60)
    predicted, deviation = [x**2, 2 * x], [np.full_like(x, 0.1), np.full_like(x, 0.2)]
    figure = plots.derivatives_figure(x, predicted, deviations=deviation)
    for axes, half in zip(figure.axes, (0.1645, 0.329), strict=False):
        (band,) = axes.collections
        (path,) = band.get_paths()
        assert np.ptp(path.vertices[path.vertices[:, 0] == x[30], 1]) == pytest.approx(2 * half)
    known = plots.derivatives_figure(x, predicted, predicted, deviations=deviation)
    assert not any(axes.collections for axes in known.axes)


def test_a_map_of_the_estimated_error_stands_beside_each_entry_without_a_truth():
    axis = torch.linspace(0.1, 2, 12, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    tensors = plane_functions(points)
    deviations = [0.1 * tensor.abs() for tensor in tensors]
    figure = plots.derivatives_figure(points, tensors, deviations=deviations)
    maps = [
        axes
        for axes in figure.axes
        if any(isinstance(c, QuadMesh) for c in axes.collections) and axes.get_xlim()[1] == 2
    ]
    assert len(maps) == 12
    titles = [axes.get_title(loc="left") for axes in maps]
    assert titles[1::2] == ["estimated error  rel. L2 0.1"] * 5 + ["estimated error"]  # one bend is 0 everywhere
    shown = maps[1].collections[0].get_array().compressed()
    assert shown.max() == pytest.approx(float(deviations[0].max()))


def test_digits_over_the_epochs():
    history = {1: {0: 1.0, 1: 0.5}, 2: {0: 3.0, 1: 2.5}, 5: {0: 9.0}}
    figure = plots.digits_figure(history, estimated=[1])
    (axes,), (legend,), found = figure.axes, figure.legends, lines(figure.axes[0])
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())  # nor any curve
    np.testing.assert_array_equal(found["f"].get_xydata(), [[1, 1], [2, 3], [5, 9]])
    np.testing.assert_array_equal(found["f', estimated"].get_xydata(), [[1, 0.5], [2, 2.5]])
    assert found["f"].get_linestyle() == "-" and found["f', estimated"].get_linestyle() == "--"
    assert not plots.digits_figure({}).legends


def function_of_three(x):
    """A value, its gradient and its Hessian, in the shapes of a network with one output."""
    a, b, c = x.T
    zero = torch.zeros_like(a)
    gradient = torch.stack([torch.cos(a), 2 * b, zero + 3], 1)
    hessian = torch.diag_embed(torch.stack([-torch.sin(a), zero + 2, zero], 1))
    return [(torch.sin(a) + b**2 + 3 * c)[:, None], gradient[:, None], hessian[:, None]]


def test_without_a_truth_many_inputs_are_drawn_along_each():
    lines_of = [torch.linspace(-1, 1, 20).double()[:, None] * row for row in torch.eye(3).double()]
    x, rows = torch.cat(lines_of), torch.rand(50, 3).double() - 0.5
    labels = [function_of_three(rows)[0] + 0.1, None, None]
    deviations = [0.1 * torch.ones_like(values) for values in function_of_three(x)]
    figure = plots.derivatives_figure(
        x, function_of_three(x), measured=(rows, function_of_three(rows), labels), deviations=deviations,
        outside=x[:, 0] > 0.5, input_names=("a", "b", "c"),
    )  # fmt: skip
    assert len(figure.axes) == 9  # value, slope and curvature along three inputs
    for i, axes in enumerate(figure.axes):
        order, along = divmod(i, 3)
        entry = function_of_three(lines_of[along])[order]
        wanted = entry[(slice(None), 0, *[along] * order)]
        drawn = lines(axes)["network"]
        np.testing.assert_allclose(drawn.get_xdata(), lines_of[along][:, along])
        np.testing.assert_allclose(drawn.get_ydata(), wanted)
        assert ("data" in lines(axes)) == (order == 0)
        low, high = axes.collections[0].get_paths()[0].vertices[:, 1].min(), entry.max()
        assert low < high
    np.testing.assert_allclose(lines(figure.axes[1])["data"].get_xdata(), rows[:, 1])
    assert figure.axes[0].patches and not figure.axes[1].patches  # beyond the data in the first input alone


def test_scattered_points_of_many_inputs_are_no_slices():
    x = torch.rand(60, 3).double()
    figure = plots.derivatives_figure(x, function_of_three(x))
    assert [axes.get_xlabel() for axes in figure.axes] == ["network"] * 3


def test_labels_of_some_derivatives_at_some_rows_of_two_inputs():
    """The network over the whole grid; labels and errors at their rows; no empty panel, no made up colour bar."""
    axis = torch.linspace(-1, 1, 10).double()
    grid, rows = torch.cartesian_prod(axis, axis), torch.rand(30, 2).double()
    towers = [plane_functions(points) for points in (grid, rows)]
    labels = [towers[1][0] + 0.1, towers[1][1].clone(), None]
    labels[1][..., 1] = torch.nan
    figure = plots.derivatives_figure(grid, towers[0], measured=(rows, towers[1], labels), outside=grid[:, 0] > 0.5)
    plots.image(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles.count("data") == 2 and len(titles) == 2 * 3 + 4  # value and first slope compared; four alone
    assert not any("nan" in title for title in titles)
    dots = [axes.collections[0] for axes in figure.axes if axes.get_title(loc="left") == "data"]
    np.testing.assert_allclose(dots[0].get_offsets(), rows)
    np.testing.assert_allclose(dots[0].get_array(), labels[0][:, 0])


def test_measured_values_stand_beside_a_curve(parabola):
    x, predicted, _ = parabola
    rows = x[::30]
    labels = [predicted[0][::30] + 0.5, None, None]
    figure = plots.derivatives_figure(x, predicted, measured=(rows, [p[::30] for p in predicted], labels))
    assert len(figure.axes) == 3 and "data" in lines(figure.axes[0]) and "exact" not in lines(figure.axes[0])
    assert "RMSE to the data 0.5" in figure.axes[0].get_title(loc="left")


def test_units_stand_at_axes_and_behind_names():
    x = torch.linspace(0, 1, 30, dtype=torch.float64)[:, None]
    names = {"input_names": ["T"], "output_names": ["p"], "units": {"T": "K", "p": "$kPa$"}}
    figure = plots.derivatives_figure(x, [x, x, x[..., None]], **names)
    titles = [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes]
    assert [title.partition(" [")[2] for title in titles] == [r"\$kPa\$]", r"\$kPa\$/K]", r"\$kPa\$/K²]"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"$T$ [K]"}
    figure.canvas.draw()


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_values_of_a_formula_at_points_alone_are_no_data(inputs):
    x = torch.rand(40, inputs, dtype=torch.float64)
    y = x.sum(1, keepdim=True)
    for called in ("data", "exact"):
        figure = plots.derivatives_figure(x, [y], measured=(x, [y], [y]), measured_name=called)
        texts = {text.get_text() for text in figure.findobj(Text)}
        assert (called in texts) and ("data" in texts) == (called == "data")


@pytest.mark.parametrize("inputs", [1, 2, 4])
def test_titles_with_units_stay_within_the_figure(inputs):
    names = [f"temperature_{letter}" for letter in "abcd"[:inputs]]
    x = torch.rand(20 if inputs < 4 else 80, inputs, dtype=torch.float64)
    if inputs == 4:  # along each input
        x = torch.full((4, 20, 4), 0.5, dtype=torch.float64)
        for i in range(4):
            x[i, :, i] = torch.linspace(0, 1, 20)
        x = x.flatten(0, 1)
    orders = [torch.rand(len(x), 1, *[inputs] * order, dtype=torch.float64) for order in range(3)]
    units = {**dict.fromkeys(names, "mPa·s"), "density": "kg/m3"}
    figure = plots.derivatives_figure(x, orders, input_names=names, output_names=["density"], units=units)
    figure.canvas.draw()
    right = figure.bbox.width
    assert all(axes.title.get_window_extent().x1 <= right for axes in figure.axes)
    assert all(axes._left_title.get_window_extent().x1 <= right for axes in figure.axes)


def test_the_panel_is_as_high_as_the_usual_band():
    """A line within a band of an error a hundred times its variation is shown as flat, not as steep."""
    x = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    deviation = torch.ones_like(x)
    deviation[0] = 1e6  # the ends are hardly known
    figure = plots.derivatives_figure(x, [1e-2 * x], deviations=[deviation])
    low, high = figure.axes[0].get_ylim()
    assert -2 < low < -1.6 and 1.6 < high < 2
