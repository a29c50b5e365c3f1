"""The curves as pictures of their own."""

from loadtests.report.charts.figures import png, svg

DRAWINGS = {"curves.svg": svg, "curves.png": png}
