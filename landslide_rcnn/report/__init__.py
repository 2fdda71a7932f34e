"""One HTML page from a map's folder and, where there is one, its evaluation; never runs a model.

collect.py   files -> facts         shapes.py   polygons -> what the page draws and lists
pictures.py  rasters -> pictures    charts.py   numbers -> SVG with a text alternative
sections.py  facts -> HTML          page.py     all of it -> one file

page.html, page.css and the scripts beside them are put into the file as they are; so is vendor/,
Leaflet 1.9.4 as npm has it (BSD 2-Clause, vendor/LICENSE.leaflet).
"""
